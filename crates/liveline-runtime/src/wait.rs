//! Callers that wait for a held entry, and the opening that wakes them.
//!
//! A thousand threads that are woken at once stand in the processors' queues in whatever order the kernel likes, and
//! who waited longest may come last, milliseconds later. So the opening wakes as many as there are processors, and each
//! of those wakes the next before it goes on: they come in the order in which they fell asleep.

#[cfg(not(loom))]
use std::sync::OnceLock;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::entry::{EntryRef, HELD, WAITERS};
use crate::sync::{AcqRel, Acquire, Relaxed};
#[cfg(loom)]
use crate::sync::{Sleeper, lock};

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
    let domain = entry.pool().domain;
    domain.slept.fetch_add(1, Relaxed);
    sleep(entry, flagged, remaining);
    // Whoever slept may have been woken for all who still sleep.
    wake_next(entry, 1);
    domain.passed.fetch_add(1, Relaxed);
    true
}

/// Wakes so many of those who sleep on an open entry, and tells how many there were. Where it is held again nobody is
/// woken: the next opening does it.
fn wake_next(entry: EntryRef, count: usize) -> usize {
    let mut state = entry.state.load(Acquire);
    while state & HELD != 0 {
        // That opening need not know of those who slept through the one before.
        if state & WAITERS != 0 || entry.change(state, state | WAITERS) {
            return 0;
        }
        state = entry.state.load(Acquire);
    }
    wake(entry, count)
}

/// Has the task woken when the entry is opened; false if it is open, or held in another way, already.
pub(crate) fn register(entry: EntryRef, seen: usize, waker: &Waker) -> bool {
    let flagged = seen | WAITERS;
    let still = || entry.state.load(Acquire) == flagged || (seen != flagged && entry.change(seen, flagged));
    entry.pool().domain.register(entry, waker, still)
}

/// How those are woken who wait for an entry.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Waking {
    /// All at once, by one who has other things to do: they are few.
    AtOnce,
    /// One behind the other, by one who may take his time.
    InTurn,
}

/// Opens a held entry and wakes all who wait for it.
pub(crate) fn open(entry: EntryRef, stamp: usize, waking: Waking) {
    debug_assert_eq!(stamp & HELD, 0);
    let held = entry.state.swap(stamp, AcqRel);
    if held & WAITERS == 0 {
        return;
    }
    let domain = entry.pool().domain;
    let asleep = domain.slept.load(Relaxed).wrapping_sub(domain.passed.load(Relaxed));
    let first = if waking == Waking::AtOnce || asleep < MANY { usize::MAX } else { processors() };
    let woken = wake(entry, first);
    domain.wake(entry);
    if woken == first {
        usher(entry);
    }
}

/// Fewer threads may be woken at once: that takes no longer than to wake one behind the other.
const MANY: usize = if cfg!(loom) { 1 } else { 9 };

/// Sees to it that those who were woken do wake the others. One may have no processor for long, at low priority say:
/// others are woken past it, twice as many each time that nobody came.
#[cfg(not(any(loom, miri)))]
fn usher(entry: EntryRef) {
    const LONGEST: Duration = Duration::from_millis(1);
    let came = || entry.pool().domain.passed.load(Relaxed);
    let (mut pause, mut count, mut before) = (Duration::from_micros(100), 1, came());
    loop {
        std::thread::sleep(pause);
        let now = came();
        // Once they come again, more at once would only disturb their order.
        count = if now == before { count * 2 } else { 1 };
        if wake_next(entry, count) < count {
            return;
        }
        (pause, before) = (LONGEST.min(pause * 2), now);
    }
}

/// Nobody starves in a model: there each must be woken by the one before.
#[cfg(any(loom, miri))]
fn usher(_: EntryRef) {}

/// How many processors there are. To ask the system takes as long as a swap.
#[cfg(not(loom))]
pub(crate) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(loom)]
fn processors() -> usize {
    1
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

    /// Wakes so many of those who sleep on the entry, who slept longest first; tells how many there were.
    pub(crate) fn wake(entry: EntryRef, count: usize) -> usize {
        // SAFETY: FUTEX_WAKE uses the address as a name only.
        let woken = unsafe {
            libc::syscall(
                libc::SYS_futex,
                word(entry),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                libc::c_int::try_from(count).unwrap_or(libc::c_int::MAX),
            )
        };
        woken.try_into().unwrap_or(0)
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
fn wake(_: EntryRef, _: usize) -> usize {
    0
}

/// A futex, told to loom: the word is looked at again under the lock that the waker takes.
#[cfg(loom)]
fn sleep(entry: EntryRef, value: usize, _: Option<Duration>) {
    let sleeper = std::sync::Arc::new(Sleeper::new());
    {
        let mut asleep = lock(&entry.pool().domain.asleep);
        if entry.state.load(Acquire) != value {
            return;
        }
        asleep.push((entry.address(), std::sync::Arc::clone(&sleeper)));
    }
    sleeper.sleep(None);
}

#[cfg(loom)]
fn wake(entry: EntryRef, count: usize) -> usize {
    let mut asleep = lock(&entry.pool().domain.asleep);
    let mut woken = 0;
    asleep.retain(|(address, sleeper)| {
        let is_next = woken < count && *address == entry.address();
        if is_next {
            woken += 1;
            sleeper.wake();
        }
        !is_next
    });
    woken
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use std::thread;

    use super::*;
    use crate::domain::Domain;
    use crate::entry::DRAINING;
    use crate::object::{Concrete, Interface, Object};
    use crate::pool::Pool;
    use crate::transfer::Formats;
    use crate::version::{Typed, Version, target_of};

    struct Thing;

    trait Kind: Concrete {}

    impl Kind for Thing {}

    impl Interface for dyn Kind {
        const NAME: &'static str = "Kind";
        const METHODS: &'static [&'static str] = &[];
    }

    impl Object for Thing {
        type Interface = dyn Kind;
        const VERSION: u32 = 1;

        fn into_interface(self: Box<Self>) -> Box<dyn Kind> {
            self
        }

        fn formats(_: &mut Formats<Self>) {}
    }

    fn object() -> EntryRef {
        // As a leak checker finds it.
        static OBJECT: OnceLock<EntryRef> = OnceLock::new();
        let domain: &'static Domain = Box::leak(Box::new(Domain::new()));
        let code = std::sync::Arc::new(Typed::<Thing>::new());
        let version = Version { id: 1, number: 1, code };
        let adopt = || Pool::leak(domain, 1).adopt(target_of(Thing), &version, domain.generation());
        *OBJECT.get_or_init(adopt)
    }

    /// Sleepers that are woken and never come, more than are woken at first, are in front of all others.
    #[test]
    fn who_has_no_processor_holds_up_nobody() {
        const SEEN: usize = HELD | DRAINING | WAITERS;
        let entry = object();
        let stamp = entry.state.swap(SEEN, AcqRel);
        let sleepers = |count: usize, go_on: fn(EntryRef)| -> Vec<_> {
            let threads: Vec<_> = (0..count).map(|_| thread::spawn(move || go_on(entry))).collect();
            // Those who are not asleep in time find the entry open.
            thread::sleep(Duration::from_millis(50));
            threads
        };
        let starving = sleepers(processors() + 20, |entry| sleep(entry, SEEN, None));
        let others = sleepers(2 * MANY, |entry| {
            wait(entry, SEEN, Until::Opened);
        });
        while entry.pool().domain.slept.load(Relaxed) < 2 * MANY {
            thread::yield_now();
        }
        open(entry, stamp, Waking::InTurn);
        for thread in starving.into_iter().chain(others) {
            thread.join().unwrap();
        }
    }
}
