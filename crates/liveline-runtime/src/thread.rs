//! Which record is this thread's own.

use std::cell::Cell;

use crate::domain::Domain;
use crate::record::Record;
use crate::shared::shared;

static FULL: Record = Record::full();

thread_local! {
    /// Points to `FULL` or to a record that `attach` gave.
    static CURRENT: Cell<*const Record> = const { Cell::new(&raw const FULL) };
    static ATTACHED: Attached = const { Attached };
}

/// Gives the record back when the thread ends.
struct Attached;

impl Drop for Attached {
    fn drop(&mut self) {
        let record = current();
        CURRENT.set(&raw const FULL);
        if !std::ptr::eq(record, &FULL) {
            domain().detach(record);
        }
    }
}

/// This program's objects and threads.
pub(crate) fn domain() -> &'static Domain {
    &shared().domain
}

/// This thread's record, or one with no free place.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn current() -> &'static Record {
    // SAFETY: it points to a static or to a record, and records are never freed.
    unsafe { &*CURRENT.get() }
}

/// This thread's record.
pub(crate) fn attached() -> &'static Record {
    own(current())
}

/// The record itself, unless it is the one that stands for none.
pub(crate) fn own(record: &'static Record) -> &'static Record {
    if std::ptr::eq(record, &FULL) { attach() } else { record }
}

#[cold]
fn attach() -> &'static Record {
    let record = domain().attach(thread_number());
    CURRENT.set(record);
    // A thread that ends may call objects after this was dropped: then its record is never given back.
    let _ = ATTACHED.try_with(|_| ());
    record
}

/// The kernel's number of this thread.
#[allow(unsafe_code)]
fn thread_number() -> usize {
    // SAFETY: gettid(2) takes nothing and always succeeds.
    unsafe { libc::gettid() as usize }
}

/// Lets threads that serve calls go first: this one only sweeps.
#[allow(unsafe_code)]
#[cfg(not(miri))]
pub(crate) fn yield_to_others() {
    // SAFETY: setpriority(2) takes numbers only. That it may be refused is no harm.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread_number() as libc::id_t, 19) };
}

/// Miri knows no priorities.
#[cfg(miri)]
pub(crate) fn yield_to_others() {}
