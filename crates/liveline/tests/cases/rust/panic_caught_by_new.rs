//# opt: 0,1,2,3
//# units: 1,4
//# before: caught old 1
//# after: caught anew 2
// New code catches a panic of old code, and its own destructors run.
use std::panic::{catch_unwind, set_hook};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Guard<'a>(&'a AtomicU64);
impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

pub fn start() {
    set_hook(Box::new(|_| {}));
}

#[inline(never)]
fn fails(number: u64) -> u64 {
    std::hint::black_box(number).checked_sub(2).expect("too small")
}

#[inline(never)]
fn catches() -> String {
    let count = AtomicU64::new(0);
    let result = catch_unwind(|| {
        let _first = Guard(&count);
        #[cfg(v2)]
        let _second = Guard(&count);
        fails(1)
    });
    let how = if cfg!(v2) { "anew" } else { "old" };
    match result {
        Ok(number) => number.to_string(),
        Err(_) => format!("caught {how} {}", count.load(Relaxed)),
    }
}

#[inline(never)]
pub fn answer() -> String {
    catches()
}
