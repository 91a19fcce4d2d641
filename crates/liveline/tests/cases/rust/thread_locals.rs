//# opt: 0,2
//# units: 1,4
//# panic: unwind,abort
//# before: 1 one
//# after: 11 ONE
//# stateful
//# reverted: 12 one
// New code uses the thread-locals that exist, both of a constant and of a value made at first use.
use std::cell::{Cell, RefCell};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static WORDS: RefCell<Vec<String>> = RefCell::new(vec!["one".to_string()]);
}

pub fn start() {}

#[inline(never)]
fn count() -> u64 {
    COUNT.with(|count| {
        count.set(count.get() + if cfg!(v2) { 10 } else { 1 });
        count.get()
    })
}

#[inline(never)]
fn word() -> String {
    WORDS.with_borrow(|words| if cfg!(v2) { words[0].to_uppercase() } else { words[0].clone() })
}

#[inline(never)]
pub fn answer() -> String {
    format!("{} {}", count(), word())
}
