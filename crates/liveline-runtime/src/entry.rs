//! An entry of the object translation table: 32 bytes between every caller and the object.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::pool::{Chunk, Pool};
use crate::sync::{AcqRel, Acquire, AtomicU32, AtomicUsize, Relaxed, Release, Shared};

/// Somebody swaps the object: no new caller passes.
pub(crate) const HELD: usize = 1;
/// While held: somebody sleeps until the entry is opened.
pub(crate) const WAITERS: usize = 2;
/// While held: calls inside may still come back in; without it the swapper is alone with the object.
pub(crate) const DRAINING: usize = 4;
/// While draining: a call chain was let in after the swapper looked; it must look again.
pub(crate) const RESCAN: usize = 8;
/// Generations are multiples of this, so that their flag bits are clear.
pub(crate) const GENERATION: usize = 16;
/// A stamp that equals no generation: the next caller asks the class.
pub(crate) const UNVERIFIED: usize = 0;

/// A wide pointer to an object, its type forgotten.
#[derive(Clone, Copy)]
pub(crate) struct Target(MaybeUninit<[*const (); 2]>);

// SAFETY: a `Target` is only ever made of a `Box<I>` where `I: Send + Sync` (`Target::of`).
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    const NONE: Self = Self(MaybeUninit::uninit());

    /// Takes the object over; whoever holds the target must drop it with [`Target::into_box`].
    pub(crate) fn of<I: ?Sized + Send + Sync>(object: Box<I>) -> Self {
        const { assert!(size_of::<*const I>() == size_of::<Self>(), "an interface is a trait object") };
        let mut target = Self::NONE;
        // SAFETY: the two have one size (asserted) and `Self` is aligned for pointers.
        unsafe { target.0.as_mut_ptr().cast::<*mut I>().write(Box::into_raw(object)) };
        target
    }

    /// The object.
    ///
    /// # Safety
    /// The target was made of a `Box<I>` of this very `I`.
    #[inline(always)]
    pub(crate) unsafe fn pointer<I: ?Sized>(&self) -> *mut I {
        // SAFETY: `of` wrote a `*mut I` here, says the caller.
        unsafe { self.0.as_ptr().cast::<*mut I>().read() }
    }

    /// The object back.
    ///
    /// # Safety
    /// As [`Target::pointer`]; nobody else uses the target any more.
    pub(crate) unsafe fn into_box<I: ?Sized>(self) -> Box<I> {
        // SAFETY: `of` took it out of a box, and the caller says that it is used by nobody else.
        unsafe { Box::from_raw(self.pointer::<I>()) }
    }
}

/// One entry. It lives for ever, and serves another object when its own is gone.
#[repr(C)]
pub(crate) struct Entry {
    /// The generation for which this entry is known to be of its class's version, or `HELD` and its flags.
    pub(crate) state: AtomicUsize,
    target: Shared<Target>,
    /// How many `ObjectRef`s and sweeps use it; 0: the entry is free.
    references: AtomicU32,
    /// The `Version::id` of what the target points to.
    version: AtomicU32,
}

/// An entry, usable from anywhere for as long as the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EntryRef(NonNull<Entry>);

// SAFETY: entries are never unmapped; their fields are atomics, and `target` is written only by whoever
// holds the entry exclusively (`Held`) and read only by those let in (`call.rs`).
unsafe impl Send for EntryRef {}
// SAFETY: as above.
unsafe impl Sync for EntryRef {}

impl std::ops::Deref for EntryRef {
    type Target = Entry;

    #[inline(always)]
    fn deref(&self) -> &Entry {
        // SAFETY: an `EntryRef` is made only of an entry of a chunk, and chunks live for ever.
        unsafe { self.0.as_ref() }
    }
}

impl fmt::Debug for EntryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {:#x}", self.address())
    }
}

impl EntryRef {
    /// # Safety
    /// The entry lies in a [`Chunk`], and the pointer may be used for the whole chunk.
    pub(crate) unsafe fn new(entry: NonNull<Entry>) -> Self {
        Self(entry)
    }

    /// As it stands in a caller's record.
    #[inline(always)]
    pub(crate) fn pointer(self) -> *mut Entry {
        self.0.as_ptr()
    }

    /// Its name: no other live object has it.
    pub(crate) fn address(self) -> usize {
        self.0.as_ptr().addr()
    }

    /// The instances among which this object is tracked.
    pub(crate) fn pool(self) -> &'static Pool {
        let chunk = self.0.as_ptr().map_addr(|a| a & !(Chunk::SIZE - 1)).cast::<Chunk>();
        // SAFETY: chunks are aligned to their size and entries lie inside them (`EntryRef::new`).
        unsafe { (*chunk).pool }
    }
}

impl Entry {
    /// A free entry, at its place in a new chunk.
    pub(crate) fn free() -> Self {
        Self {
            state: AtomicUsize::new(UNVERIFIED),
            target: Shared::new(Target::NONE),
            references: AtomicU32::new(0),
            version: AtomicU32::new(0),
        }
    }

    /// Gives a free entry its first object.
    ///
    /// # Safety
    /// The entry is free and the caller alone has it.
    pub(crate) unsafe fn publish(&self, target: Target, version: u32, stamp: usize) {
        // SAFETY: nobody else has the entry, says the caller.
        self.target.with_mut(|place| unsafe { place.write(target) });
        self.version.store(version, Relaxed);
        self.state.store(stamp, Release);
        // Whoever finds the entry among its pool's takes it by `try_retain`, which acquires.
        self.references.store(1, Release);
    }

    /// What the object is now.
    ///
    /// # Safety
    /// The caller was let in (`call::enter`), holds the entry, or has its last reference.
    #[inline(always)]
    pub(crate) unsafe fn target(&self) -> Target {
        // SAFETY: while a caller is inside nobody writes it.
        self.target.with(|place| unsafe { place.read() })
    }

    /// Puts another object in its place and gives the old one back.
    ///
    /// # Safety
    /// The caller holds the entry and nobody is inside.
    pub(crate) unsafe fn replace(&self, target: Target, version: u32) -> Target {
        self.version.store(version, Release);
        // SAFETY: nobody else reads or writes it while it is held.
        self.target.with_mut(|place| unsafe { place.replace(target) })
    }

    /// The `Version::id` of the object. Whoever sees the new one sees what was done before as well.
    pub(crate) fn version(&self) -> u32 {
        self.version.load(Acquire)
    }

    /// One more reference, where there is one.
    pub(crate) fn retain(&self) {
        let before = self.references.fetch_add(1, Relaxed);
        // As `Arc` does: references leaked by the billion must not wrap into a free entry.
        if before > u32::MAX / 2 {
            std::process::abort();
        }
    }

    /// One more reference, unless the entry is free.
    pub(crate) fn try_retain(&self) -> bool {
        let mut seen = self.references.load(Relaxed);
        while seen != 0 {
            match self.references.compare_exchange(seen, seen + 1, Acquire, Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// One reference less; true: it was the last. Acquires without a fence: ThreadSanitizer sees none.
    pub(crate) fn release(&self) -> bool {
        self.references.fetch_sub(1, AcqRel) == 1
    }

    /// Exchanges the state if it is what was seen.
    pub(crate) fn change(&self, seen: usize, wanted: usize) -> bool {
        self.state.compare_exchange(seen, wanted, AcqRel, Relaxed).is_ok()
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Entry>() == 32);
