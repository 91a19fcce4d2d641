//# opt: 0,2
//# units: 1,4
//# mangling: legacy,v0
//# stateful
//# before: 1 2 once 30
//# after: 3 3 once 33
//# reverted: 4 4 once 30
// Statics of every kind keep their values; a constant table that changed comes along; a new static is new.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

static COUNT: AtomicU64 = AtomicU64::new(0);
static LIST: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static NAME: OnceLock<String> = OnceLock::new();
static TABLE: [u64; 3] = if cfg!(v2) { [11, 11, 11] } else { [10, 10, 10] };
#[cfg(v2)]
static FRESH: AtomicU64 = AtomicU64::new(1);

pub fn start() {
    LIST.lock().unwrap().push(7);
}

#[inline(never)]
fn step() -> u64 {
    #[cfg(v2)]
    return FRESH.load(Relaxed) + 1;
    #[cfg(not(v2))]
    1
}

#[inline(never)]
fn total() -> u64 {
    TABLE.iter().sum()
}

#[inline(never)]
pub fn answer() -> String {
    let count = COUNT.fetch_add(step(), Relaxed) + step();
    let mut list = LIST.lock().unwrap();
    list.push(1);
    let name = NAME.get_or_init(|| if cfg!(v2) { "twice".into() } else { "once".into() });
    format!("{count} {} {name} {}", list.len(), total())
}
