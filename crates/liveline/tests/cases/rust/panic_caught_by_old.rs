//# opt: 0,1,2,3
//# units: 1,4
//# before: 5
//# after: caught: new 4
// A panic in new code goes through new frames with destructors and is caught in an old one.
use std::panic::{catch_unwind, set_hook};

struct Guard<'a>(&'a std::cell::Cell<u64>);
impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

pub fn start() {
    set_hook(Box::new(|_| {}));
}

#[inline(never)]
fn deep(level: u64, count: &std::cell::Cell<u64>) -> u64 {
    let _guard = Guard(count);
    if level == 0 {
        if cfg!(v2) {
            std::panic::panic_any(format!("new {}", count.get() + 4));
        }
        return 1;
    }
    deep(level - 1, count) + std::hint::black_box(1)
}

#[inline(never)]
fn caught() -> Result<u64, Box<dyn std::any::Any + Send>> {
    catch_unwind(|| outer())
}

#[inline(never)]
fn outer() -> u64 {
    let count = std::cell::Cell::new(0);
    deep(4, &count)
}

#[inline(never)]
pub fn answer() -> String {
    match caught() {
        Ok(number) => number.to_string(),
        Err(what) => format!("caught: {}", what.downcast_ref::<String>().unwrap()),
    }
}
