//! A pump and its sensors, rewired while it works: both ports change together, so it never adds what one sensor of
//! the old pair says to what one of the new pair says.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use liveline_runtime::{ObjectRef, class, interface};
use liveline_services::links::{ChangeError, Configuration};

#[interface]
trait Sensor {
    fn level(&self) -> u32;
}

struct Fixed(u32);

#[class]
impl Sensor for Fixed {
    fn level(&self) -> u32 {
        self.0
    }
}

pub(crate) fn main() {
    let configuration = Configuration::new();
    let pump = configuration.node("pump");
    let (left, right) = (pump.port::<dyn Sensor>("left"), pump.port::<dyn Sensor>("right"));
    let pair = |name: &str, level| {
        let node = configuration.node(name);
        let offer = |end| node.offer(end, ObjectRef::<dyn Sensor>::new(Fixed(level)));
        let (left, right) = (offer("left"), offer("right"));
        (node, left, right)
    };
    let (old, old_left, old_right) = pair("old sensors", 1);
    let (_new, new_left, new_right) = pair("new sensors", 10);
    let second = Duration::from_secs(1);
    configuration.change().link(&left, &old_left).link(&right, &old_right).commit(second).unwrap();

    let (began, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let work = scope.spawn(|| {
            let mut sums = [0, 0];
            while !stop.load(Ordering::Relaxed) || sums.contains(&0) {
                let transaction = pump.begin();
                let a = left.within(&transaction).unwrap().level();
                thread::yield_now();
                let b = right.within(&transaction).unwrap().level();
                match a + b {
                    2 => {
                        sums[0] += 1;
                        began.store(true, Ordering::Relaxed);
                    }
                    20 => sums[1] += 1,
                    half => panic!("half of each pair: {half}"),
                }
            }
            sums
        });
        // The pair that is led to cannot go, but when the pump is led elsewhere in the same change it can.
        let refused = configuration.change().remove(&old).commit(second).unwrap_err();
        assert!(matches!(refused, ChangeError::StillLinked { .. }), "{refused}");
        println!("{refused}");
        while !began.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let change = configuration.change().link(&left, &new_left).link(&right, &new_right).remove(&old);
        change.commit(10 * second).unwrap();
        stop.store(true, Ordering::Relaxed);
        println!("sums of the old and the new pair: {:?}", work.join().unwrap());
    });
    for link in configuration.links() {
        println!("{}.{} leads to {}.{}", link.from, link.port, link.to, link.offer);
    }
}
