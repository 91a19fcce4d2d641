//# refused: thread-local
// A new thread-local has no room in threads that exist.
use std::cell::Cell;

#[cfg(v2)]
thread_local! { static FRESH: Cell<u64> = const { Cell::new(3) }; }

pub fn start() {}

#[inline(never)]
pub fn answer() -> String {
    #[cfg(v2)]
    return FRESH.with(|fresh| {
        fresh.set(fresh.get() + 1);
        fresh.get().to_string()
    });
    #[cfg(not(v2))]
    "1".into()
}
