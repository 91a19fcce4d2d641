//! An allocator that counts what each thread holds and stops the thread that asks for too much.
#![allow(unsafe_code, reason = "an allocator is an unsafe trait; no crate counts by thread")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one input may make a thread hold, in bytes.
pub const LIMIT: isize = 1 << 30;

/// No worker has been refused.
pub(crate) const NONE: usize = usize::MAX;
/// A thread that is no worker: one that a target started.
pub(crate) const OTHER: usize = usize::MAX - 1;

static REFUSED: AtomicUsize = AtomicUsize::new(NONE);

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static WORKER: Cell<usize> = const { Cell::new(OTHER) };
}

/// Starts to count for a new input of worker `worker` on this thread.
pub(crate) fn begin(worker: usize) {
    WORKER.set(worker);
    HELD.set(0);
}

/// The worker that was refused, [`OTHER`], or [`NONE`].
pub(crate) fn refused() -> usize {
    REFUSED.load(Ordering::Acquire)
}

/// The system's allocator, counted.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Counts `more` bytes; does not return if that is too much. A null pointer would end the process before the
/// input is saved, a panic is not allowed here: so the thread waits for the watchdog to end everything.
fn count(more: isize) {
    let held = HELD.get().saturating_add(more);
    HELD.set(held);
    if held > LIMIT && more > 0 {
        REFUSED.store(WORKER.get(), Ordering::Release);
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
}

// SAFETY: every request goes to the system's allocator unchanged; counting allocates nothing and does not unwind.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `realloc`; the pointer came from the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}
