//! An update of a class: its instances go over one by one, by whoever comes first to each.
//!
//! An update begins a generation. Every call after that finds its entry unverified and asks the pool; so who
//! asks may convert the object alone (`Held::claim`), unless somebody was inside when the generation began.
//! Those objects go on as they are until they can be held in the ordinary way.
#![allow(unsafe_code)]

use std::collections::{HashMap, HashSet};

use crate::entry::{EntryRef, HELD};
use crate::error::{Refusal, SwapError};
use crate::hold::{Held, Patience};
#[cfg(not(loom))]
use crate::pool::Filled;
use crate::pool::Pool;
use crate::record::{Record, each_call};
use crate::sync::{AcqRel, Acquire, Arc, AtomicUsize, Mutex, Relaxed, lock};
use crate::version::{Version, discard, transfer};
use crate::wait::{self, Until};

/// An update that began.
pub(crate) struct Update {
    pool: &'static Pool,
    pub(crate) to: Arc<Version>,
    patience: Patience,
    /// Entries that somebody was inside of when the update began.
    busy: HashSet<EntryRef>,
    /// The versions that instances may have. Nobody takes a lock to convert an instance: a sweeper at low priority
    /// that lost its processor with the lock would hold up callers.
    versions: Vec<Arc<Version>>,
    /// Other versions with this very code: instances that an update left behind are found right by its revert.
    alike: Vec<u32>,
    /// Instances that stay as they are, and why.
    kept: Mutex<HashMap<EntryRef, SwapError>>,
    /// How many those are: while there is none nobody asks for the lock.
    keeping: AtomicUsize,
    converted: AtomicUsize,
}

/// How much a sweep gives way to the rest of the program.
#[cfg(not(loom))]
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// Not at all: somebody waits for it.
    Awaited,
    /// It runs when nothing else wants the processor.
    Background,
}

/// What became of the instances.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many are of the new version now.
    pub converted: usize,
    /// Why others stayed as they were: whole, of the old version, answering calls.
    pub kept: Vec<SwapError>,
}

impl Update {
    /// Begins an update: every later call of an instance finds it converted, or converts it.
    pub(crate) fn begin(
        pool: &'static Pool,
        to: Arc<Version>,
        patience: Patience,
    ) -> Result<Arc<Self>, SwapError> {
        let mut pending = lock(&pool.pending);
        let records = pool.domain.begin_generation().ok_or(SwapError::NoFence)?;
        let mut busy = HashSet::new();
        each_call(&records, |_, _, entry| {
            if std::ptr::eq(entry.pool(), pool) {
                busy.insert(entry);
            }
        });
        drop(records);
        // Without their tables of functions, of which each module may have its own.
        let code = |version: &Version| Arc::as_ptr(&version.code).cast::<()>();
        let alike = pool.versions().iter().filter(|v| code(v) == code(&to)).map(|v| v.id).collect();
        pool.introduce(&to);
        let update = Arc::new(Self {
            pool,
            to,
            alike,
            patience,
            busy,
            versions: pool.versions(),
            keeping: AtomicUsize::new(0),
            kept: Mutex::new(HashMap::new()),
            converted: AtomicUsize::new(0),
        });
        *pending = Some(Arc::clone(&update));
        Ok(update)
    }

    /// Whether the first caller of the entry is to convert it.
    pub(crate) fn wants(&self, entry: EntryRef) -> bool {
        self.is_old(entry) && !self.busy.contains(&entry)
    }

    fn is_old(&self, entry: EntryRef) -> bool {
        let version = entry.version();
        version != self.to.id
            && !self.alike.contains(&version)
            && (self.keeping.load(Acquire) == 0 || !lock(&self.kept).contains_key(&entry))
    }

    /// The instance stays as it is. Whoever finds its entry open again finds it noted.
    fn keep(&self, entry: EntryRef, why: SwapError) {
        lock(&self.kept).insert(entry, why);
        self.keeping.fetch_add(1, AcqRel);
    }

    /// Puts an object of the new version in place of the one held; if that fails the old one stays.
    pub(crate) fn convert(&self, record: &'static Record, entry: EntryRef, held: Held, generation: usize) {
        let id = entry.version();
        let made = match self.versions.iter().find(|v| v.id == id) {
            // It was converted before we held it.
            Some(from) if from.id == self.to.id => return held.open(generation),
            Some(from) => {
                record.begin_transfer(entry);
                // SAFETY: the entry said that its object is of this version; it is held.
                let made = unsafe { transfer(&*from.code, &*self.to.code, held.target()) };
                record.end_transfer();
                made.map(|new| (from, new))
            }
            None => Err(SwapError::Refused(Refusal::new("the version of the object is unknown"))),
        };
        match made {
            Ok((from, new)) => {
                // Counted first: whoever finds the new version finds it counted.
                self.converted.fetch_add(1, Relaxed);
                let old = held.replace(new, self.to.id);
                held.open(generation);
                // SAFETY: the old object is out of the table; nobody was inside.
                unsafe { discard(&*from.code, old) };
            }
            Err(why) => {
                self.keep(entry, why);
                held.open(generation);
            }
        }
    }

    /// Converts all instances, each alone, on as many threads as are said.
    #[cfg(not(loom))]
    pub(crate) fn sweep(&self, workers: usize, pace: Pace) {
        let chunks = self.pool.chunks();
        let next = AtomicUsize::new(0);
        let work = || {
            if pace == Pace::Background {
                crate::thread::yield_to_others();
            }
            let record = crate::thread::attached();
            while let Some(chunk) = chunks.get(next.fetch_add(1, Relaxed)) {
                self.visit_all(record, *chunk);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..workers.clamp(1, chunks.len().max(1)) {
                if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    // The system gives no more threads: this one does what is left.
                    work();
                    break;
                }
            }
        });
    }

    #[cfg(not(loom))]
    fn visit_all(&self, record: &'static Record, chunk: Filled) {
        for entry in chunk.entries() {
            if entry.try_retain() {
                self.visit(record, entry);
                self.pool.release(entry);
            }
        }
    }

    /// Converts one instance, or waits until another thread has.
    pub(crate) fn visit(&self, record: &'static Record, entry: EntryRef) {
        loop {
            let generation = self.pool.domain.generation();
            // The state before the version: an entry whose state is still the same is of this version still.
            let state = entry.state.load(Acquire);
            if !self.is_old(entry) {
                return;
            }
            if self.busy.contains(&entry) {
                match self.patience.hold(record, entry) {
                    Ok(held) => self.convert(record, entry, held, generation),
                    Err(why) => self.keep(entry, why),
                }
            } else if state & HELD != 0 {
                wait::wait(entry, state, Until::Opened);
            } else if let Some(held) = Held::claim(entry, state) {
                self.convert(record, entry, held, generation);
            }
        }
    }

    /// The update is over: instances that are still of an old version stay so.
    pub(crate) fn end(&self) -> Report {
        *lock(&self.pool.pending) = None;
        let kept = lock(&self.kept);
        let old: HashSet<u32> = kept.keys().map(|entry| entry.version()).collect();
        self.pool.keep(|id| id == self.to.id || old.contains(&id) || self.alike.contains(&id));
        Report { converted: self.converted.load(Relaxed), kept: kept.values().cloned().collect() }
    }
}
