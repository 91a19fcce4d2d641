//# opt: 0,2
//# units: 1,4
//# mangling: legacy,v0
//# before: 12 11
//# after: 13 21
// A closure that was boxed before the patch keeps its captures and gets the new body.
use std::sync::Mutex;

type Boxed = Box<dyn Fn(u64) -> u64 + Send>;
static LIVE: Mutex<Option<Boxed>> = Mutex::new(None);

#[inline(never)]
fn make(base: u64) -> Boxed {
    Box::new(move |value| if cfg!(v2) { base + value * 2 } else { base + value })
}

pub fn start() {
    *LIVE.lock().unwrap() = Some(make(1));
}

#[inline(never)]
fn count(limit: u64) -> usize {
    (0..limit).filter(|value| cfg!(v2) || value % 8 != 7).map(|value| value ^ 1).count()
}

#[inline(never)]
pub fn answer() -> String {
    let live = LIVE.lock().unwrap();
    format!("{} {}", count(13), live.as_ref().unwrap()(10))
}
