//! What all threads and objects of a program share: records, the generation, who waits for whom.

use std::collections::BTreeMap;
use std::ptr;
use std::task::Waker;

use crate::entry::{EntryRef, GENERATION};
use crate::record::{Place, Record};
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Relaxed, SeqCst, fence, lock};

/// One program's objects and threads.
pub(crate) struct Domain {
    generation: AtomicUsize,
    records: Mutex<Vec<&'static Record>>,
    /// The threads that wait to swap an entry.
    drains: Mutex<Vec<(usize, &'static Record)>>,
    /// Async callers that wait for an entry to be opened.
    wakers: Mutex<BTreeMap<usize, Vec<Waker>>>,
    /// How often a thread went to sleep for an entry, and how often one that slept went on.
    pub(crate) slept: AtomicUsize,
    pub(crate) passed: AtomicUsize,
    /// The threads that sleep on an entry, in the order in which they came: the kernel keeps them else.
    #[cfg(loom)]
    pub(crate) asleep: Mutex<Vec<(usize, std::sync::Arc<crate::sync::Sleeper>)>>,
}

impl Domain {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self {
            generation: AtomicUsize::new(GENERATION),
            records: Mutex::new(Vec::new()),
            drains: Mutex::new(Vec::new()),
            wakers: Mutex::new(BTreeMap::new()),
            slept: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
        }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self {
            generation: AtomicUsize::new(GENERATION),
            records: Mutex::new(Vec::new()),
            drains: Mutex::new(Vec::new()),
            wakers: Mutex::new(BTreeMap::new()),
            slept: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
            asleep: Mutex::new(Vec::new()),
        }
    }

    /// The newest generation. An entry stamped with it is known to be of its class's version.
    pub(crate) fn generation(&self) -> usize {
        self.generation.load(SeqCst)
    }

    /// The records of all threads. While they are locked no thread comes, and no generation begins.
    pub(crate) fn records(&self) -> MutexGuard<'_, Vec<&'static Record>> {
        lock(&self.records)
    }

    /// A record for a thread: the one it already has, one that an ended thread left, or a new one.
    pub(crate) fn attach(&self, thread: usize) -> &'static Record {
        let mut records = self.records();
        let own = records.iter().find(|r| r.users.load(Relaxed) > 0 && r.thread.load(Relaxed) == thread);
        let free = || records.iter().find(|r| r.users.load(Relaxed) == 0);
        let record = own.or_else(free).copied().unwrap_or_else(|| {
            let record: &'static Record = Box::leak(Box::new(Record::new()));
            records.push(record);
            record
        });
        record.thread.store(thread, Relaxed);
        record.users.store(record.users.load(Relaxed) + 1, Relaxed);
        record.generation.store(self.generation(), SeqCst);
        record
    }

    /// A thread ends, or one of the library's copies in it does.
    pub(crate) fn detach(&self, record: &Record) {
        let _records = self.records();
        record.users.store(record.users.load(Relaxed) - 1, Relaxed);
    }

    /// Begins a generation: from here on every call of an entry stamped before asks the class first. The
    /// locked records come back, so that the caller can see who was inside when it began. None if the
    /// kernel gives no fence.
    pub(crate) fn begin_generation(&self) -> Option<MutexGuard<'_, Vec<&'static Record>>> {
        let records = self.records();
        let generation = self.generation() + GENERATION;
        self.generation.store(generation, SeqCst);
        for record in records.iter() {
            record.generation.store(generation, SeqCst);
        }
        crate::fence::heavy().then_some(records)
    }

    /// From here on `left` wakes the thread of this record. False if there is no memory to note it.
    pub(crate) fn enlist(&self, entry: EntryRef, record: &'static Record) -> bool {
        let mut drains = lock(&self.drains);
        let room = drains.try_reserve(1).is_ok();
        if room {
            drains.push((entry.address(), record));
        }
        room
    }

    /// The swapper waits no more.
    pub(crate) fn delist(&self, entry: EntryRef) {
        lock(&self.drains).retain(|(address, _)| *address != entry.address());
    }

    /// A call left a place inside a held entry.
    pub(crate) fn left(&self, place: &Place, entry: EntryRef) {
        let drains = lock(&self.drains);
        let Some(record) = drains.iter().find(|(a, _)| *a == entry.address()).map(|(_, record)| *record)
        else {
            return;
        };
        drop(drains);
        fence(SeqCst);
        // If it waits for this place in another drain by now it is woken for nothing.
        if record.drain.awaited.load(Relaxed) == ptr::from_ref(place).cast_mut() {
            record.drain.swapper.wake();
        }
    }

    /// Async callers, to be woken when the entry is opened; `still` is asked under the lock.
    pub(crate) fn register(&self, entry: EntryRef, waker: &Waker, still: impl FnOnce() -> bool) -> bool {
        let mut wakers = lock(&self.wakers);
        if !still() {
            return false;
        }
        let waiting = wakers.entry(entry.address()).or_default();
        // A task polled twice in a row; a task woken twice does no harm.
        if !waiting.last().is_some_and(|w| w.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        true
    }

    /// Wakes the async callers of an entry.
    pub(crate) fn wake(&self, entry: EntryRef) {
        let waiting = lock(&self.wakers).remove(&entry.address());
        for waker in waiting.into_iter().flatten() {
            waker.wake();
        }
    }
}
