//! What a thread says of itself: which objects it is inside of.
//!
//! A record is written by its own thread alone (its generation by swappers too), so that calls share no cache
//! line. A *place* holds the entry that a call is inside of; the places of calls on the stack are filled from
//! the front, so no counter is needed, and a caller's stores do not depend on an earlier call's loads.

use std::ptr::{self, NonNull};

use crate::entry::{Entry, EntryRef, HELD};
use crate::sync::{
    Acquire, AtomicBool, AtomicPtr, AtomicUsize, Mutex, Relaxed, Release, SeqCst, Sleeper, fence, lock,
};

/// Where a call in flight is written down: the entry it is inside of, or null.
pub(crate) type Place = AtomicPtr<Entry>;

#[cfg(not(loom))]
const OUTER: usize = 6;
#[cfg(loom)]
const OUTER: usize = 2;

#[cfg(not(loom))]
const BLOCK: usize = 63;
#[cfg(loom)]
const BLOCK: usize = 2;

/// A thread's record. Records are never freed; a thread that ends leaves its own to another.
#[repr(C, align(64))]
pub(crate) struct Record {
    /// The domain's generation, as told to this thread.
    pub(crate) generation: AtomicUsize,
    outer: [Place; OUTER],
    deeper: AtomicPtr<Block>,
    /// Places of async calls, which end in any order and on any thread.
    tickets: AtomicPtr<Block>,
    /// Where the last async call found its place.
    here: AtomicPtr<Block>,
    cursor: AtomicUsize,
    /// Entries whose state this thread transfers now.
    transfers: Mutex<Vec<usize>>,
    /// While this thread waits to swap an entry: for whom.
    pub(crate) drain: Drain,
    /// Whether this thread runs the entry of a module.
    entering: AtomicBool,
    /// The thread, and how many copies of this library know it by this record; both under the domain's lock.
    pub(crate) thread: AtomicUsize,
    pub(crate) users: AtomicUsize,
}

/// A swapper that waits until nobody is inside an entry.
pub(crate) struct Drain {
    pub(crate) swapper: Sleeper,
    /// The place for which it sleeps; others that leave need not wake it.
    pub(crate) awaited: AtomicPtr<Place>,
}

/// More places, when the first ones are taken.
struct Block {
    places: [Place; BLOCK],
    next: AtomicPtr<Block>,
}

impl Block {
    fn leak(next: *mut Block) -> &'static Self {
        Box::leak(Box::new(Self {
            places: std::array::from_fn(|_| Place::new(ptr::null_mut())),
            next: AtomicPtr::new(next),
        }))
    }
}

/// The blocks of a list.
fn blocks(head: &AtomicPtr<Block>) -> impl Iterator<Item = &'static Block> + use<> {
    let mut next = head.load(Acquire);
    std::iter::from_fn(move || {
        let block = block(next)?;
        next = block.next.load(Acquire);
        Some(block)
    })
}

#[allow(unsafe_code)]
fn block(pointer: *mut Block) -> Option<&'static Block> {
    // SAFETY: the lists hold only what `Block::leak` made.
    unsafe { pointer.as_ref() }
}

impl Record {
    pub(crate) fn new() -> Self {
        Self {
            generation: AtomicUsize::new(0),
            outer: std::array::from_fn(|_| Place::new(ptr::null_mut())),
            deeper: AtomicPtr::new(ptr::null_mut()),
            tickets: AtomicPtr::new(ptr::null_mut()),
            here: AtomicPtr::new(ptr::null_mut()),
            cursor: AtomicUsize::new(0),
            transfers: Mutex::new(Vec::new()),
            drain: Drain { swapper: Sleeper::new(), awaited: AtomicPtr::new(ptr::null_mut()) },
            entering: AtomicBool::new(false),
            thread: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
        }
    }

    /// A record whose places are all taken, so that the first call of a thread finds its way to
    /// [`crate::thread::attach`] without a check of its own.
    #[cfg(not(loom))]
    pub(crate) const fn full() -> Self {
        Self {
            generation: AtomicUsize::new(0),
            outer: [const { Place::new(ptr::dangling_mut()) }; OUTER],
            deeper: AtomicPtr::new(ptr::null_mut()),
            tickets: AtomicPtr::new(ptr::null_mut()),
            here: AtomicPtr::new(ptr::null_mut()),
            cursor: AtomicUsize::new(0),
            transfers: Mutex::new(Vec::new()),
            drain: Drain { swapper: Sleeper::new(), awaited: AtomicPtr::new(ptr::null_mut()) },
            entering: AtomicBool::new(false),
            thread: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
        }
    }

    /// The place of the outermost call.
    #[inline(always)]
    pub(crate) fn outermost(&self) -> &Place {
        &self.outer[0]
    }

    /// The first free place of a nested call.
    pub(crate) fn nested(&'static self) -> &'static Place {
        match self.outer.iter().find(|p| p.load(Relaxed).is_null()) {
            Some(place) => place,
            None => self.deep(),
        }
    }

    /// Calls nested deeper than the first places: each block's places are filled from the front, so the first
    /// free one is found by halving.
    #[cold]
    fn deep(&'static self) -> &'static Place {
        let mut link = &self.deeper;
        loop {
            let Some(block) = block(link.load(Relaxed)) else {
                let block = Block::leak(ptr::null_mut());
                link.store(ptr::from_ref(block).cast_mut(), Release);
                return &block.places[0];
            };
            let free = block.places.partition_point(|p| !p.load(Relaxed).is_null());
            if let Some(place) = block.places.get(free) {
                return place;
            }
            link = &block.next;
        }
    }

    /// A free place for an async call that begins on this thread. Only the thread itself takes places, anyone
    /// frees them. Where a few blocks are full another one is made, so a search is short.
    pub(crate) fn ticket(&'static self) -> &'static Place {
        for _ in 0..4 {
            let Some(here) = block(self.here.load(Relaxed)) else { break };
            let start = self.cursor.load(Relaxed);
            let free = (start..start + BLOCK).find(|at| here.places[at % BLOCK].load(Relaxed).is_null());
            if let Some(at) = free {
                self.cursor.store(at % BLOCK + 1, Relaxed);
                return &here.places[at % BLOCK];
            }
            let next = here.next.load(Relaxed);
            self.here.store(if next.is_null() { self.tickets.load(Relaxed) } else { next }, Relaxed);
        }
        let block = ptr::from_ref(Block::leak(self.tickets.load(Relaxed))).cast_mut();
        self.tickets.store(block, Release);
        self.here.store(block, Relaxed);
        self.ticket()
    }

    /// Every place of a call on this thread's stack.
    fn calls(&'static self) -> impl Iterator<Item = &'static Place> {
        self.outer.iter().chain(blocks(&self.deeper).flat_map(|b| &b.places))
    }

    /// Every place, of calls on the stack and of async calls that began here.
    pub(crate) fn places(&'static self) -> impl Iterator<Item = &'static Place> {
        self.calls().chain(blocks(&self.tickets).flat_map(|b| &b.places))
    }

    /// Whether this thread is inside the entry by another call than the one that `place` stands for.
    pub(crate) fn is_inside(&'static self, entry: EntryRef, place: &Place) -> bool {
        self.calls().any(|p| p.load(Relaxed) == entry.pointer() && !ptr::eq(p, place))
    }

    /// Whether this thread is inside another entry that is held: then it must go on, or that one never drains.
    #[allow(unsafe_code)]
    pub(crate) fn is_awaited(&'static self, entry: EntryRef) -> bool {
        self.calls().any(|p| {
            let other = p.load(Relaxed);
            // SAFETY: places hold null or entries, which live for ever.
            let held = unsafe { other.as_ref() }.is_some_and(|e| e.state.load(Relaxed) & HELD != 0);
            held && other != entry.pointer()
        })
    }

    /// Notes that this thread now runs the entry's export and import.
    pub(crate) fn begin_transfer(&self, entry: EntryRef) {
        lock(&self.transfers).push(entry.address());
    }

    /// The latest transfer ended.
    pub(crate) fn end_transfer(&self) {
        lock(&self.transfers).pop();
    }

    /// Whether this thread transfers the entry now.
    pub(crate) fn transfers(&self, entry: EntryRef) -> bool {
        lock(&self.transfers).contains(&entry.address())
    }

    /// Runs the entry of a module, which only names what is to change.
    pub(crate) fn entering<R>(&self, entry: impl FnOnce() -> R) -> R {
        self.entering.store(true, Relaxed);
        let done = entry();
        self.entering.store(false, Relaxed);
        done
    }

    /// Whether this thread runs the entry of a module.
    pub(crate) fn is_entering(&self) -> bool {
        self.entering.load(Relaxed)
    }

    /// Whether this thread transfers anything now.
    pub(crate) fn is_transferring(&self) -> bool {
        !lock(&self.transfers).is_empty()
    }
}

/// A call left: frees its place, and tells the swapper that may wait for it.
#[inline(always)]
pub(crate) fn leave(place: &Place, entry: EntryRef) {
    place.store(ptr::null_mut(), Release);
    crate::fence::light();
    if entry.state.load(Relaxed) & HELD != 0 {
        tell(place, entry);
    }
}

#[cold]
fn tell(place: &Place, entry: EntryRef) {
    fence(SeqCst);
    entry.pool().domain.left(place, entry);
}

/// Tells of every call that any of the threads is inside of: whose record, where it is noted, the entry.
#[allow(unsafe_code)]
pub(crate) fn each_call(
    records: &[&'static Record],
    mut found: impl FnMut(&'static Record, &'static Place, EntryRef),
) {
    for record in records.iter().copied() {
        for place in record.places() {
            if let Some(entry) = NonNull::new(place.load(Acquire)) {
                // SAFETY: places hold what `EntryRef::pointer` gave.
                found(record, place, unsafe { EntryRef::new(entry) });
            }
        }
    }
}
