//! Atomics, locks and cells: the standard library's, or loom's where the models run (`--cfg loom`).

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicPtr, AtomicU32, AtomicUsize, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicPtr, AtomicU32, AtomicUsize, fence},
};

#[cfg(not(loom))]
pub(crate) use std::thread::{Thread, current};

#[cfg(loom)]
pub(crate) use loom::thread::{Thread, current};

pub(crate) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

/// A lock whose data is whole after every step, so a panic elsewhere does not poison it for us.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A place that is written only by whoever holds the entry, and read only by those let in.
#[cfg(not(loom))]
pub(crate) struct Shared<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> Shared<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// A pointer to read through.
    #[inline(always)]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// A pointer to write through.
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell as Shared;

/// Waits until woken or until the time has passed; may return for no reason.
#[cfg(not(loom))]
pub(crate) fn park_until(deadline: Option<std::time::Instant>) {
    match deadline {
        None => std::thread::park(),
        Some(deadline) => {
            std::thread::park_timeout(deadline.saturating_duration_since(std::time::Instant::now()));
        }
    }
}

/// Loom has no clock: a model waits until woken.
#[cfg(loom)]
pub(crate) fn park_until(_: Option<std::time::Instant>) {
    loom::thread::park();
}
