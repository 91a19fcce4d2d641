//! Adapters in both directions, under callers, and refused.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use liveline_runtime::{
    Class, Factory, Formats, ObjectRef, Patience, Refusal, SwapError, Transfer, class, interface,
};
use liveline_services::adapter::{Adapter, adapt_with, behind};

/// Calls on a crowded machine leave late: the bound is not what is tested.
const LONG: Patience = Patience { bound: Duration::from_secs(30), attempts: 1 };

#[interface]
trait Counter {
    fn next(&self) -> u64;
}

#[interface]
trait Steps {
    fn advance(&self, steps: u64) -> u64;
}

#[derive(Default)]
struct One(Arc<AtomicU64>);

#[class(transfer)]
impl Counter for One {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

impl Transfer for One {
    fn formats(formats: &mut Formats<Self>) {
        formats.give("count", |old: &Self| Arc::clone(&old.0)).take("count", Self);
    }
}

#[derive(Default)]
struct Many(Arc<AtomicU64>);

#[class(transfer)]
impl Steps for Many {
    fn advance(&self, steps: u64) -> u64 {
        self.0.fetch_add(steps, Ordering::SeqCst)
    }
}

impl Transfer for Many {
    fn formats(formats: &mut Formats<Self>) {
        formats.give("count", |old: &Self| Arc::clone(&old.0)).take("count", Self);
    }
}

/// Gives every second number, so that it is seen who answers.
#[derive(Default)]
struct Double(Arc<AtomicU64>);

#[class(version = 2, transfer)]
impl Steps for Double {
    fn advance(&self, steps: u64) -> u64 {
        self.0.fetch_add(2 * steps, Ordering::SeqCst)
    }
}

impl Transfer for Double {
    fn formats(formats: &mut Formats<Self>) {
        formats.take("count", Self);
    }
}

struct CounterOverSteps(ObjectRef<dyn Steps>);

#[class(version = 2, transfer)]
impl Counter for CounterOverSteps {
    fn next(&self) -> u64 {
        self.0.advance(1)
    }
}

impl Transfer for CounterOverSteps {
    fn formats(formats: &mut Formats<Self>) {
        formats.try_take("count", |count: Arc<AtomicU64>| match count.load(Ordering::SeqCst) {
            13 => Err(Refusal::new("thirteen")),
            _ => Ok(Self(ObjectRef::new(Many(count)))),
        });
    }
}

impl Adapter for CounterOverSteps {
    type New = dyn Steps;

    fn adapted(&self) -> &ObjectRef<dyn Steps> {
        &self.0
    }
}

struct StepsOverCounter(ObjectRef<dyn Counter>);

#[class]
impl Steps for StepsOverCounter {
    fn advance(&self, steps: u64) -> u64 {
        let first = self.0.next();
        for _ in 1..steps {
            self.0.next();
        }
        first
    }
}

#[test]
fn callers_of_the_old_interface_meet_no_gap() {
    let old: ObjectRef<dyn Counter> = ObjectRef::new(One::default());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut last = old.next();
            while !stop.load(Ordering::Relaxed) {
                let next = old.next();
                assert_eq!(next, last + 1, "the only caller misses no number");
                last = next;
            }
            last
        });
        let new = adapt_with::<CounterOverSteps>(&old, LONG).unwrap();
        stop.store(true, Ordering::Relaxed);
        let last = caller.join().unwrap();
        assert_eq!(new.advance(5), last + 1);
        assert_eq!(old.next(), last + 6);
        // What is behind the adapter is replaced by itself.
        ObjectRef::swap_with::<Double>(&new, LONG).unwrap();
        let count = old.next();
        assert_eq!(old.next(), count + 2);
    });
}

#[test]
fn an_adapter_that_takes_no_state_changes_nothing() {
    let old: ObjectRef<dyn Counter> = ObjectRef::new(One(Arc::new(AtomicU64::new(13))));
    let refused = adapt_with::<CounterOverSteps>(&old, LONG).unwrap_err();
    assert_eq!(refused, SwapError::Refused(Refusal::new("thirteen")));
    assert!(behind::<CounterOverSteps>(&old).is_none());
    assert_eq!((ObjectRef::version(&old), old.next()), (1, 13));
}

#[test]
fn an_old_object_answers_the_new_interface() {
    let old: ObjectRef<dyn Counter> = ObjectRef::new(One::default());
    let new: ObjectRef<dyn Steps> = ObjectRef::new(StepsOverCounter(old.clone()));
    assert_eq!((new.advance(3), old.next(), new.advance(1)), (0, 3, 4));
}

#[test]
fn all_instances_of_a_class_are_adapted() {
    let class = Class::new("counter", Factory::new(|()| One::default())).unwrap();
    let old: Vec<_> = (0..10).map(|_| class.create(())).collect();
    for counter in &old {
        counter.next();
    }
    let report = class.update(Factory::new(|()| CounterOverSteps(ObjectRef::new(Many::default())))).unwrap();
    assert_eq!((report.converted, report.kept), (10, vec![]));
    for counter in &old {
        let new = behind::<CounterOverSteps>(counter).unwrap();
        assert_eq!((new.advance(9), counter.next()), (1, 10));
    }
    assert_eq!(class.create(()).next(), 0);
}
