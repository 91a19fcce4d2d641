//! The way of a call: in, perhaps past a held entry, and out.

use std::task::{Context, Poll};

use crate::entry::{DRAINING, EntryRef, HELD, RESCAN};
use crate::fence;
use crate::record::{Place, Record, leave};
use crate::sync::{AcqRel, Acquire, Relaxed, Release};
use crate::wait::{self, Until};

/// A call inside an object; it ends when this is dropped, by a panic too.
pub(crate) struct Inside {
    place: &'static Place,
    entry: EntryRef,
}

impl Drop for Inside {
    #[inline(always)]
    fn drop(&mut self) {
        leave(self.place, self.entry);
    }
}

/// Begins a call: from here on nobody replaces the object, until `Inside` is dropped.
#[inline(always)]
pub(crate) fn enter(record: &'static Record, entry: EntryRef) -> Inside {
    let mut place = record.outermost();
    let mut record = record;
    if !place.load(Relaxed).is_null() {
        (record, place) = nested(record);
    }
    // Release: a swapper of the last object may find this instead of the null that the last call left here.
    place.store(entry.pointer(), Release);
    fence::light();
    let inside = Inside { place, entry };
    if entry.state.load(Acquire) != record.generation.load(Relaxed) {
        admit(record, entry, place);
    }
    inside
}

/// A place for a call from inside another one, or of a thread that has no record yet.
#[inline(never)]
fn nested(record: &'static Record) -> (&'static Record, &'static Place) {
    #[cfg(not(loom))]
    let record = crate::thread::own(record);
    (record, record.nested())
}

/// Steps onto a thread inside a call that `Ticket` stands for, so that calls made from there are known to
/// come from inside. Such a call is past the entry already.
pub(crate) fn step_inside(record: &'static Record, entry: EntryRef) -> Inside {
    let place = record.nested();
    place.store(entry.pointer(), Release);
    Inside { place, entry }
}

/// The entry is held, or not yet verified for this generation.
#[cold]
#[inline(never)]
fn admit(record: &'static Record, entry: EntryRef, place: &'static Place) {
    while let Some(state) = refused(record, entry, place) {
        leave(place, entry);
        // Two transfers that call each other's object would wait for ever: one of them gives up.
        let until = if record.is_transferring() { Until::limit() } else { Until::Opened };
        if !wait::wait(entry, state, until) {
            panic!("a state transfer called an object that is itself being transferred");
        }
        place.store(entry.pointer(), Release);
        fence::light();
    }
}

/// The state for which a call must wait, or none if it may pass; its place is filled.
fn refused(record: &'static Record, entry: EntryRef, place: &'static Place) -> Option<usize> {
    loop {
        // First the generation: what is verified from here on is verified for it.
        let generation = record.generation.load(Acquire);
        let state = entry.state.load(Acquire);
        if state == generation {
            return None;
        }
        if state & HELD == 0 {
            entry.pool().verify(record, entry, state, generation);
            continue;
        }
        assert!(!record.transfers(entry), "an object was called by its own state transfer");
        if record.is_inside(entry, place) {
            return None;
        }
        // Our chain is inside another object that somebody waits to swap: two swaps must not wait for each
        // other through us. The swapper of this one looks again before it goes on.
        if state & DRAINING != 0 && record.is_awaited(entry) {
            if state & RESCAN != 0 || entry.change(state, state | RESCAN) {
                return None;
            }
            continue;
        }
        return Some(state);
    }
}

/// An async call inside an object, on whatever thread it is polled.
pub(crate) struct Ticket {
    place: &'static Place,
    entry: EntryRef,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        leave(self.place, self.entry);
    }
}

impl Ticket {
    /// Begins an async call, or has the task woken when the entry is opened.
    pub(crate) fn poll(record: &'static Record, entry: EntryRef, context: &mut Context<'_>) -> Poll<Self> {
        loop {
            let place = record.ticket();
            // A swap: the place may have been freed by another thread just now.
            place.swap(entry.pointer(), AcqRel);
            fence::light();
            let ticket = Self { place, entry };
            let Some(state) = refused(record, entry, place) else { return Poll::Ready(ticket) };
            drop(ticket);
            if wait::register(entry, state, context.waker()) {
                return Poll::Pending;
            }
        }
    }
}
