//! Callers that wait for a held entry, and the opening that wakes them.

use std::task::Waker;
use std::time::{Duration, Instant};

use crate::entry::{EntryRef, HELD, WAITERS};
use crate::sync::{AcqRel, Acquire};

/// How long to wait for a held entry.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// Whoever holds it is bound to open it.
    Opened,
    /// Until then.
    Deadline(Instant),
}

impl Until {
    /// As long as one transfer waits for another.
    pub(crate) fn limit() -> Self {
        Self::Deadline(Instant::now() + Duration::from_millis(100))
    }

    fn remaining(self) -> Option<Duration> {
        match self {
            Self::Opened => None,
            Self::Deadline(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
        }
    }
}

/// Sleeps until the entry's state is no more the one seen; false if the time is over.
pub(crate) fn wait(entry: EntryRef, seen: usize, until: Until) -> bool {
    let flagged = seen | WAITERS;
    if seen != flagged && !entry.change(seen, flagged) {
        return true;
    }
    let remaining = until.remaining();
    if remaining.is_some_and(|r| r.is_zero()) {
        return false;
    }
    sleep(entry, flagged, remaining);
    true
}

/// Has the task woken when the entry is opened; false if it is open, or held in another way, already.
pub(crate) fn register(entry: EntryRef, seen: usize, waker: &Waker) -> bool {
    let flagged = seen | WAITERS;
    let still = || entry.state.load(Acquire) == flagged || (seen != flagged && entry.change(seen, flagged));
    entry.pool().domain.register(entry, waker, still)
}

/// Opens a held entry and wakes all who wait for it.
pub(crate) fn open(entry: EntryRef, stamp: usize) {
    debug_assert_eq!(stamp & HELD, 0);
    let held = entry.state.swap(stamp, AcqRel);
    if held & WAITERS != 0 {
        wake(entry);
        entry.pool().domain.wake(entry);
    }
}

#[cfg(not(any(loom, miri)))]
#[allow(unsafe_code)]
mod futex {
    use std::ptr;
    use std::time::Duration;

    use crate::entry::EntryRef;

    /// The low half of the state, which alone holds the flags.
    fn word(entry: EntryRef) -> *const u32 {
        let high = usize::from(cfg!(target_endian = "big")) * (size_of::<usize>() / 4 - 1);
        ptr::from_ref(&entry.state).cast::<u32>().wrapping_add(high)
    }

    /// Sleeps while the state is `value`; may return for no reason.
    pub(crate) fn sleep(entry: EntryRef, value: usize, limit: Option<Duration>) {
        let limit = limit.map(|l| libc::timespec {
            tv_sec: l.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: l.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: futex(2) reads the word, which lives as long as the program, and the timespec, if there is one.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word(entry),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                value as u32,
                limit,
            )
        };
    }

    /// Wakes all who sleep on the entry.
    pub(crate) fn wake(entry: EntryRef) {
        // SAFETY: FUTEX_WAKE uses the address as a name only.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word(entry),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                libc::c_int::MAX,
            )
        };
    }
}

#[cfg(not(any(loom, miri)))]
use futex::{sleep, wake};

/// Miri takes the kernel's look at half of the state for a race with those at the whole: there a sleeper spins.
#[cfg(miri)]
fn sleep(_: EntryRef, _: usize, _: Option<Duration>) {
    std::thread::yield_now();
}

#[cfg(miri)]
fn wake(_: EntryRef) {}

/// A futex, told to loom: the word is looked at again under the lock that the waker takes.
#[cfg(loom)]
fn sleep(entry: EntryRef, value: usize, _: Option<Duration>) {
    let (lock, opened) = &entry.pool().domain.gate;
    let guard = lock.lock().unwrap();
    if entry.state.load(Acquire) == value {
        drop(opened.wait(guard));
    }
}

#[cfg(loom)]
fn wake(entry: EntryRef) {
    let (lock, opened) = &entry.pool().domain.gate;
    let _guard = lock.lock().unwrap();
    opened.notify_all();
}
