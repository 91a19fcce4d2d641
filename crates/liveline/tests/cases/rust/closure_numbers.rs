//# opt: 0,2
//# units: 1,4
//# mangling: legacy,v0
//# stateful
//# before: 11
//# after: 11
//# after: 28
//# reverted: 28
// A closure more in front gets the number of one that lives: what was boxed before keeps its own body.
use std::sync::Mutex;

type Boxed = Box<dyn Fn(u64) -> u64 + Send>;
static LIVE: Mutex<Vec<Boxed>> = Mutex::new(Vec::new());

#[inline(never)]
fn make(base: u64) -> Boxed {
    #[cfg(v2)]
    let other = Box::new(move |value: u64| value - base);
    #[cfg(v2)]
    if base > 100 {
        return other;
    }
    Box::new(move |value| if cfg!(v2) { value * base + 8 } else { value + base })
}

pub fn start() {
    LIVE.lock().unwrap().push(make(1));
}

#[inline(never)]
pub fn answer() -> String {
    let mut live = LIVE.lock().unwrap();
    let value = live.last().unwrap()(10).to_string();
    live.push(make(if cfg!(v2) { 2 } else { 1 }));
    value
}
