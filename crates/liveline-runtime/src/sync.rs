//! Atomics, locks and cells: the standard library's, or loom's where the models run (`--cfg loom`).

pub(crate) use std::sync::Arc;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, fence},
};

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
pub(crate) type Shared<T> = loom::cell::UnsafeCell<T>;

/// A place where one thread sleeps until another wakes it.
#[cfg(not(loom))]
pub(crate) struct Sleeper(Mutex<Option<std::thread::Thread>>);

#[cfg(not(loom))]
impl Sleeper {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// From here on the thread that asks is the one that is woken.
    pub(crate) fn settle(&self) {
        *lock(&self.0) = Some(std::thread::current());
    }

    /// Sleeps until woken or until the time has passed, or for no reason. Only the settled thread calls this.
    pub(crate) fn sleep(&self, deadline: Option<std::time::Instant>) {
        match deadline {
            None => std::thread::park(),
            Some(deadline) => {
                std::thread::park_timeout(deadline.saturating_duration_since(std::time::Instant::now()));
            }
        }
    }

    /// Wakes it, also if it sleeps only later.
    pub(crate) fn wake(&self) {
        if let Some(thread) = &*lock(&self.0) {
            thread.unpark();
        }
    }
}

/// Loom has no clock: a model sleeps until woken.
#[cfg(loom)]
pub(crate) struct Sleeper(Mutex<bool>, loom::sync::Condvar);

#[cfg(loom)]
impl Sleeper {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(false), loom::sync::Condvar::new())
    }

    pub(crate) fn settle(&self) {}

    pub(crate) fn sleep(&self, _: Option<std::time::Instant>) {
        let mut woken = lock(&self.0);
        while !std::mem::take(&mut *woken) {
            woken = self.1.wait(woken).unwrap();
        }
    }

    pub(crate) fn wake(&self) {
        *lock(&self.0) = true;
        self.1.notify_one();
    }
}
