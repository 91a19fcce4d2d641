//# opt: 0,1,2,3
//# units: 1,4
//# before: 1 0
//# after: 10 1
//# stateful
//# reverted: 11 1
// What is done on drop changes, for values that were made before; a new type with a destructor comes along.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Mutex;

static DROPS: AtomicU64 = AtomicU64::new(0);
static FRESH: AtomicU64 = AtomicU64::new(0);
static LIVE: Mutex<Vec<(Counted, String)>> = Mutex::new(Vec::new());

struct Counted;
impl Drop for Counted {
    #[inline(never)]
    fn drop(&mut self) {
        DROPS.fetch_add(if cfg!(v2) { 9 } else { 1 }, Relaxed);
    }
}

#[cfg(v2)]
struct Fresh(Vec<String>);
#[cfg(v2)]
impl Drop for Fresh {
    fn drop(&mut self) {
        FRESH.fetch_add(self.0.len() as u64, Relaxed);
    }
}

pub fn start() {
    FRESH.store(std::hint::black_box(0), Relaxed);
    let live = (0..100).map(|number| (Counted, number.to_string()));
    LIVE.lock().unwrap().extend(live);
}

#[inline(never)]
pub fn answer() -> String {
    drop(LIVE.lock().unwrap().pop());
    #[cfg(v2)]
    drop(Fresh(vec!["x".into()]));
    format!("{} {}", DROPS.load(Relaxed), FRESH.load(Relaxed))
}
