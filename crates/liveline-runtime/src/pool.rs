//! The instances of a class: its part of the object translation table, in lists of their own for each CPU.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::domain::Domain;
use crate::entry::{Entry, EntryRef, Target};
use crate::hold::Held;
use crate::record::Record;
use crate::sync::{Arc, Mutex, lock};
use crate::update::Update;
use crate::version::{Version, discard};

/// The head of a block of entries; it takes the room of one.
#[repr(C)]
pub(crate) struct Chunk {
    pub(crate) pool: &'static Pool,
    shard: usize,
}

impl Chunk {
    /// Chunks are aligned to their size, so that an entry finds its chunk.
    pub(crate) const SIZE: usize = if cfg!(loom) { 4 << 10 } else { 64 << 10 };
    const ENTRIES: usize = Self::SIZE / size_of::<Entry>() - 1;
    /// The most chunks that are asked for at once: room that is not used yet takes no memory, and many small
    /// aligned blocks would tear holes into the allocator's.
    const MOST: usize = if cfg!(loom) { 1 } else { 16 };

    /// The room of so many chunks.
    fn layout(chunks: usize) -> Layout {
        Layout::from_size_align(chunks * Self::SIZE, Self::SIZE).expect("at most a megabyte")
    }
}

const _: () = assert!(size_of::<Chunk>() <= size_of::<Entry>());

/// A chunk of a shard, and how many of its entries were ever used.
#[derive(Clone, Copy)]
pub(crate) struct Filled {
    chunk: NonNull<Chunk>,
    used: usize,
}

// SAFETY: a chunk lives for ever and its entries are shared.
unsafe impl Send for Filled {}
// SAFETY: as above.
unsafe impl Sync for Filled {}

impl Filled {
    fn entry(self, at: usize) -> EntryRef {
        debug_assert!(at < Chunk::ENTRIES);
        // SAFETY: entry `at` lies inside the chunk, behind the head, and the pointer comes from the chunk's own.
        unsafe { EntryRef::new(self.chunk.cast::<Entry>().add(1 + at)) }
    }

    /// Its entries, used now or once.
    pub(crate) fn entries(self) -> impl Iterator<Item = EntryRef> {
        (0..self.used).map(move |at| self.entry(at))
    }
}

/// The instances that were created on one CPU.
#[derive(Default)]
struct Shard {
    chunks: Vec<Filled>,
    /// Which of them has room.
    filling: usize,
    free: Vec<EntryRef>,
    live: usize,
}

/// Keeps shards of different CPUs in different cache lines.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

/// The instances of one class, or of no class.
pub(crate) struct Pool {
    pub(crate) domain: &'static Domain,
    shards: Box<[Padded]>,
    /// The update that is under way; locked while it begins.
    pub(crate) pending: Mutex<Option<Arc<Update>>>,
    /// The versions that instances may have.
    versions: Mutex<Vec<Arc<Version>>>,
}

impl Pool {
    pub(crate) fn leak(domain: &'static Domain, shards: usize) -> &'static Self {
        Box::leak(Box::new(Self {
            domain,
            shards: (0..shards.max(1)).map(|_| Padded(Mutex::new(Shard::default()))).collect(),
            pending: Mutex::new(None),
            versions: Mutex::new(Vec::new()),
        }))
    }

    /// Tracks a new object.
    pub(crate) fn adopt(&'static self, target: Target, version: &Version, stamp: usize) -> EntryRef {
        let at = cpu() % self.shards.len();
        let mut shard = lock(&self.shards[at].0);
        shard.live += 1;
        let entry = shard.free.pop().unwrap_or_else(|| self.fresh(&mut shard, at));
        // SAFETY: the entry is new or was given back, and the shard's lock is ours.
        unsafe { entry.publish(target, version.id, stamp) };
        entry
    }

    fn fresh(&'static self, shard: &mut Shard, number: usize) -> EntryRef {
        if shard.chunks.get(shard.filling).is_some_and(|c| c.used == Chunk::ENTRIES) {
            shard.filling += 1;
        }
        if shard.filling == shard.chunks.len() {
            grow(shard);
        }
        let filled = &mut shard.chunks[shard.filling];
        if filled.used == 0 {
            // SAFETY: the chunk is new, and as large and aligned as it must be. It is touched only now, since
            // untouched room takes no memory.
            unsafe { filled.chunk.write(Chunk { pool: self, shard: number }) };
        }
        // SAFETY: there is room for one more entry, as just made sure.
        unsafe { filled.chunk.cast::<Entry>().add(1 + filled.used).write(Entry::free()) };
        filled.used += 1;
        filled.entry(filled.used - 1)
    }

    /// Takes an entry back whose last reference is gone; the object is the caller's.
    pub(crate) fn retire(&self, entry: EntryRef) -> Target {
        // SAFETY: nobody has a reference any more, so nobody is inside and nobody swaps it.
        let target = unsafe { entry.target() };
        let chunk = entry.pointer().map_addr(|a| a & !(Chunk::SIZE - 1)).cast::<Chunk>();
        // SAFETY: entries lie in chunks.
        let at = unsafe { (*chunk).shard };
        let mut shard = lock(&self.shards[at].0);
        shard.live -= 1;
        shard.free.push(entry);
        target
    }

    /// Gives a reference back that was taken by `try_retain`.
    pub(crate) fn release(&self, entry: EntryRef) {
        if entry.release() {
            let version = self.version(entry.version());
            let target = self.retire(entry);
            if let Some(version) = version {
                // SAFETY: the object is of the version that its entry said, and nobody else has it.
                unsafe { discard(&*version.code, target) };
            }
        }
    }

    /// All chunks as they are now.
    pub(crate) fn chunks(&self) -> Vec<Filled> {
        self.shards.iter().flat_map(|s| lock(&s.0).chunks.clone()).collect()
    }

    /// How many instances there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| lock(&s.0).live).sum()
    }

    /// A version may have instances from here on.
    pub(crate) fn introduce(&self, version: &Arc<Version>) {
        lock(&self.versions).push(Arc::clone(version));
    }

    /// Only these versions have instances.
    pub(crate) fn keep(&self, ids: impl Fn(u32) -> bool) {
        lock(&self.versions).retain(|v| ids(v.id));
    }

    /// All versions that instances may have.
    pub(crate) fn versions(&self) -> Vec<Arc<Version>> {
        lock(&self.versions).clone()
    }

    /// A version that instances have.
    pub(crate) fn version(&self, id: u32) -> Option<Arc<Version>> {
        lock(&self.versions).iter().find(|v| v.id == id).cloned()
    }

    /// A caller met an entry that is not verified for its generation: converts the object if an update waits
    /// for it, and stamps the entry.
    pub(crate) fn verify(&self, record: &'static Record, entry: EntryRef, seen: usize, generation: usize) {
        // Waits while an update begins: until it has seen who is inside nobody may convert.
        let pending = lock(&self.pending).clone();
        match pending {
            Some(update) if update.wants(entry) => {
                if let Some(held) = Held::claim(entry, seen) {
                    update.convert(record, entry, held, generation);
                }
            }
            _ => {
                entry.change(seen, generation);
            }
        }
    }
}

/// More chunks: as many as there are, up to a bound.
fn grow(shard: &mut Shard) {
    let count = shard.chunks.len().clamp(1, Chunk::MOST);
    let layout = Chunk::layout(count);
    // SAFETY: the layout has a size.
    let Some(first) = NonNull::new(unsafe { alloc(layout) }.cast::<Chunk>()) else {
        handle_alloc_error(layout);
    };
    for at in 0..count {
        // SAFETY: the memory has room for `count` chunks.
        let chunk = unsafe { first.byte_add(at * Chunk::SIZE) };
        shard.chunks.push(Filled { chunk, used: 0 });
    }
}

/// The CPU on which the thread runs, to choose a list by.
#[cfg(not(any(loom, miri)))]
fn cpu() -> usize {
    // SAFETY: sched_getcpu(3) takes nothing; where it is unknown it says -1.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

#[cfg(any(loom, miri))]
fn cpu() -> usize {
    0
}
