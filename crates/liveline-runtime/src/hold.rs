//! The mediator: holds an entry, waits until nobody is inside, and opens it again.
#![allow(unsafe_code)]

use std::ptr;
use std::time::{Duration, Instant};

use crate::domain::Domain;
use crate::entry::{DRAINING, EntryRef, HELD, RESCAN, Target};
use crate::error::SwapError;
use crate::record::{Drain, Place, Record, each_call};
use crate::sync::{Acquire, Relaxed, SeqCst, fence};
use crate::wait::{self, Until, Waking};

/// How long calls may be kept waiting for a swap, and how often it is tried.
///
/// A swap waits until all calls inside the object have left; new calls wait meanwhile. When the bound is over the
/// swap is taken back, the calls go on with the object as it was, and after a pause of the same length it is
/// tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long new calls may wait for those inside to leave, each time.
    pub bound: Duration,
    /// How often to try.
    pub attempts: u32,
}

impl Default for Patience {
    /// 10 ms, five times.
    fn default() -> Self {
        Self { bound: Duration::from_millis(10), attempts: 5 }
    }
}

impl Patience {
    /// Holds an entry as [`Held::hold`] does, as often as is said.
    pub(crate) fn hold(self, record: &'static Record, entry: EntryRef) -> Result<Held, SwapError> {
        let mut attempt = 1;
        loop {
            match Held::hold(record, entry, Instant::now().checked_add(self.bound)) {
                Err(SwapError::Busy { .. } | SwapError::Contended) if attempt < self.attempts => {
                    std::thread::sleep(self.bound);
                    attempt += 1;
                }
                result => return result,
            }
        }
    }
}

/// An entry that nobody is inside of and nobody enters, until this is dropped or opened.
pub(crate) struct Held {
    entry: EntryRef,
    /// The stamp it gets when opened.
    stamp: usize,
    waking: Waking,
}

impl Drop for Held {
    fn drop(&mut self) {
        wait::open(self.entry, self.stamp, self.waking);
    }
}

impl Held {
    /// Holds an entry that is known to be left: none is inside of it since a generation began, and every
    /// call since has asked first. None if its state is no more the one seen.
    pub(crate) fn claim(entry: EntryRef, seen: usize) -> Option<Self> {
        debug_assert_eq!(seen & HELD, 0);
        // Not `then_some`: a `Held` that is made and dropped opens the entry of whoever does hold it.
        entry.change(seen, HELD).then(|| Self { entry, stamp: seen, waking: Waking::AtOnce })
    }

    /// Holds an entry and waits until all calls inside have left, at most until the deadline.
    pub(crate) fn hold(
        record: &'static Record,
        entry: EntryRef,
        deadline: Option<Instant>,
    ) -> Result<Self, SwapError> {
        if record.is_inside(entry, &Place::new(ptr::null_mut())) || record.transfers(entry) {
            return Err(SwapError::FromInside);
        }
        let until = deadline.map_or(Until::Opened, Until::Deadline);
        let held = loop {
            let state = entry.state.load(Acquire);
            if state & HELD == 0 {
                if entry.change(state, HELD | DRAINING) {
                    break Self { entry, stamp: state, waking: Waking::InTurn };
                }
            } else if !wait::wait(entry, state, until) {
                return Err(SwapError::Contended);
            }
        };
        if !crate::fence::heavy() {
            return Err(SwapError::NoFence);
        }
        held.drain(record, deadline)?;
        Ok(held)
    }

    fn drain(&self, record: &'static Record, deadline: Option<Instant>) -> Result<(), SwapError> {
        let domain = self.entry.pool().domain;
        record.drain.swapper.settle();
        if !domain.enlist(self.entry, record) {
            return Err(SwapError::OutOfMemory);
        }
        let drained = self.wait_until_left(domain, &record.drain, deadline);
        domain.delist(self.entry);
        drained
    }

    fn wait_until_left(
        &self,
        domain: &Domain,
        drain: &Drain,
        deadline: Option<Instant>,
    ) -> Result<(), SwapError> {
        loop {
            let mut inside = self.look(domain)?;
            while let Some((place, thread)) = inside.last() {
                drain.awaited.store(ptr::from_ref(*place).cast_mut(), Relaxed);
                fence(SeqCst);
                if place.load(Acquire) != self.entry.pointer() {
                    inside.pop();
                } else if deadline.is_some_and(|d| Instant::now() >= d) {
                    return Err(SwapError::Busy { calls: inside.len(), thread: *thread });
                } else {
                    drain.swapper.sleep(deadline);
                }
            }
            if self.is_alone() {
                return Ok(());
            }
        }
    }

    /// Ends the draining, unless a call chain was let in since we looked.
    fn is_alone(&self) -> bool {
        let mut state = self.entry.state.load(Acquire);
        loop {
            let alone = state & RESCAN == 0;
            let next = if alone { state & !DRAINING } else { state & !RESCAN };
            if self.entry.change(state, next) {
                return alone;
            }
            state = self.entry.state.load(Acquire);
        }
    }

    /// The calls inside now.
    fn look(&self, domain: &Domain) -> Result<Vec<(&'static Place, usize)>, SwapError> {
        let mut places = Vec::new();
        let mut room = true;
        each_call(&domain.records(), |record, place, entry| {
            if entry == self.entry {
                room &= places.try_reserve(1).is_ok();
                if room {
                    places.push((place, record.thread.load(Relaxed)));
                }
            }
        });
        if room { Ok(places) } else { Err(SwapError::OutOfMemory) }
    }

    /// The object.
    pub(crate) fn target(&self) -> Target {
        // SAFETY: we hold the entry.
        unsafe { self.entry.target() }
    }

    /// Puts another object in place of the one held; the old one comes back.
    pub(crate) fn replace(&self, target: Target, version: u32) -> Target {
        // SAFETY: we hold the entry and nobody is inside: `hold` has seen all leave, `claim` was told so.
        unsafe { self.entry.replace(target, version) }
    }

    /// Opens the entry, verified for a generation.
    pub(crate) fn open(mut self, stamp: usize) {
        self.stamp = stamp;
    }
}
