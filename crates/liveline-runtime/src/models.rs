//! Models under loom: every interleaving of a few threads, up to a bound of preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p liveline-runtime --lib models`
//!
//! Loom checks that no place is read while it is written: the entry's target, and what is behind it, which a
//! `Probe` holds in a cell that its drop writes.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use loom::thread;

use crate::call::{Inside, Ticket, enter};
use crate::domain::Domain;
use crate::entry::{EntryRef, Target};
use crate::error::{Refusal, SwapError};
use crate::hold::{Held, Patience};
use crate::pool::Pool;
use crate::record::Record;
use crate::transfer::{Format, Formats, Offer, Payload};
use crate::update::Update;
use crate::version::{Code, Version, discard};

/// Runs a model with at most so many preemptions.
fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// An object that says its version, and notices if it is used while it is dropped.
struct Probe(UnsafeCell<u32>);

trait Says: Send + Sync {
    fn version(&self) -> u32;
}

// SAFETY: that this holds is what loom checks.
unsafe impl Send for Probe {}
// SAFETY: as above.
unsafe impl Sync for Probe {}

impl Says for Probe {
    fn version(&self) -> u32 {
        // SAFETY: loom reports a write at the same time.
        self.0.with(|version| unsafe { *version })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: loom reports whoever reads at the same time.
        self.0.with_mut(|version| unsafe { *version = 0 });
    }
}

fn probe(version: u32) -> Target {
    Target::of::<dyn Says>(Box::new(Probe(UnsafeCell::new(version))))
}

/// A version of probes: takes the number before it.
struct ProbeCode {
    number: u32,
    formats: Formats<u32>,
    offer: Offer,
}

impl ProbeCode {
    fn version(number: u32) -> Arc<Version> {
        let mut formats = Formats::new();
        formats.give("number", |old: &u32| *old).take("number", |old: u32| old);
        let offer = formats.given();
        Arc::new(Version { id: number, number, code: Arc::new(Self { number, formats, offer }) })
    }
}

impl Code for ProbeCode {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn home(&self) -> usize {
        crate::version::home()
    }

    fn gives(&self) -> &Offer {
        &self.offer
    }

    fn takes(&self) -> &Offer {
        &self.offer
    }

    unsafe fn export(&self, target: Target, format: Format) -> Result<Payload, Refusal> {
        // SAFETY: all targets of these models are `dyn Says`.
        self.formats.export(&unsafe { &*target.pointer::<dyn Says>() }.version(), format)
    }

    fn import(&self, state: Payload, format: Format) -> Result<Target, Refusal> {
        assert_eq!(self.formats.import(state, format)?, self.number - 1, "versions follow each other");
        Ok(probe(self.number))
    }

    unsafe fn discard(&self, target: Target) {
        // SAFETY: as in `export`; the caller has it alone.
        drop(unsafe { target.into_box::<dyn Says>() });
    }
}

/// A domain with a pool of probes of version 1, and a record for each thread.
struct World {
    domain: &'static Domain,
    pool: &'static Pool,
    one: Arc<Version>,
}

impl World {
    fn new() -> Self {
        let domain: &'static Domain = Box::leak(Box::new(Domain::new()));
        let pool = Pool::leak(domain, 1);
        let one = ProbeCode::version(1);
        pool.introduce(&one);
        Self { domain, pool, one }
    }

    fn object(&self) -> EntryRef {
        self.pool.adopt(probe(1), &self.one, self.domain.generation())
    }

    fn record(&self, thread: usize) -> &'static Record {
        self.domain.attach(thread)
    }
}

/// A call that asks the object for its version.
fn ask(record: &'static Record, entry: EntryRef) -> u32 {
    let inside = enter(record, entry);
    let version = says(&inside, entry);
    drop(inside);
    version
}

fn two_callers(world: &World, entry: EntryRef) -> [thread::JoinHandle<u32>; 2] {
    [0, 1].map(|n| {
        let record = world.record(n);
        thread::spawn(move || ask(record, entry))
    })
}

fn says(_inside: &Inside, entry: EntryRef) -> u32 {
    // SAFETY: we are inside; loom reports it if that does not keep the object in place.
    unsafe { &*entry.target().pointer::<dyn Says>() }.version()
}

/// Swaps version 1 for version 2.
fn swap(record: &'static Record, entry: EntryRef, deadline: Option<Instant>) -> Result<(), SwapError> {
    let generation = entry.pool().domain.generation();
    let held = Held::hold(record, entry, deadline)?;
    let old = held.replace(probe(2), 2);
    held.open(generation);
    // SAFETY: the old object is out of the table.
    drop(unsafe { old.into_box::<dyn Says>() });
    Ok(())
}

/// Ends the object at the end of a model: nobody else is there.
fn end(entry: EntryRef) {
    // SAFETY: all other threads were joined.
    drop(unsafe { entry.target().into_box::<dyn Says>() });
}

#[test]
fn a_call_meets_the_old_or_the_new_object_whole_and_after_the_swap_the_new_one() {
    model(3, || {
        let world = World::new();
        let (entry, swapped) = (world.object(), Arc::new(AtomicBool::new(false)));
        let callers: Vec<_> = (0..2)
            .map(|n| {
                let (record, swapped) = (world.record(n), Arc::clone(&swapped));
                thread::spawn(move || {
                    let after = swapped.load(SeqCst);
                    let version = ask(record, entry);
                    assert!(version == 2 || (version == 1 && !after), "an old object after the swap");
                })
            })
            .collect();
        swap(world.record(9), entry, None).unwrap();
        swapped.store(true, SeqCst);
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(ask(world.record(9), entry), 2);
        end(entry);
    });
}

#[test]
fn a_chain_inside_comes_back_in_and_the_swap_ends() {
    model(4, || {
        let world = World::new();
        let entry = world.object();
        let record = world.record(0);
        let caller = thread::spawn(move || {
            let outer = enter(record, entry);
            let first = says(&outer, entry);
            // Deeper than the first places of a record of a model.
            let (second, third) = {
                let inner = enter(record, entry);
                (says(&inner, entry), ask(record, entry))
            };
            assert_eq!((second, third), (first, first), "a chain stays in one version");
        });
        swap(world.record(9), entry, None).unwrap();
        caller.join().unwrap();
        assert_eq!(ask(world.record(9), entry), 2);
        end(entry);
    });
}

#[test]
fn two_swaps_do_not_wait_for_each_other_through_chains() {
    model(2, || {
        let world = World::new();
        let (one, two) = (world.object(), world.object());
        // Both chains are inside before either swap begins.
        let chains = [(0, one, two), (1, two, one)].map(|(n, outer, inner)| {
            let record = world.record(n);
            (record, enter(record, outer), inner)
        });
        let chains = chains.map(|(record, inside, inner)| {
            thread::spawn(move || {
                assert_ne!(ask(record, inner), 0);
                drop(inside);
            })
        });
        let record = world.record(8);
        let other = thread::spawn(move || swap(record, one, None).unwrap());
        swap(world.record(9), two, None).unwrap();
        other.join().unwrap();
        for chain in chains {
            chain.join().unwrap();
        }
        end(one);
        end(two);
    });
}

#[test]
fn a_swap_past_its_bound_is_taken_back_and_all_callers_go_on() {
    model(3, || {
        let world = World::new();
        let entry = world.object();
        let callers = two_callers(&world, entry);
        // The bound is over before it begins: whoever is inside has the swap taken back.
        let result = swap(world.record(9), entry, Some(Instant::now()));
        let expected = if result.is_ok() { 2 } else { 1 };
        for caller in callers {
            assert!([1, expected].contains(&caller.join().unwrap()));
        }
        assert_eq!(ask(world.record(9), entry), expected);
        end(entry);
    });
}

#[test]
fn each_who_slept_wakes_the_next_though_the_entry_is_held_again() {
    model(2, || {
        let world = World::new();
        let entry = world.object();
        let callers = two_callers(&world, entry);
        for _ in 0..2 {
            swap(world.record(9), entry, None).unwrap();
        }
        for caller in callers {
            assert!([1, 2].contains(&caller.join().unwrap()));
        }
        end(entry);
    });
}

#[test]
fn two_swappers_take_turns() {
    model(2, || {
        let world = World::new();
        let entry = world.object();
        let (first, caller) = (world.record(1), world.record(2));
        let first = thread::spawn(move || swap(first, entry, None).unwrap());
        let caller = thread::spawn(move || ask(caller, entry));
        swap(world.record(9), entry, None).unwrap();
        first.join().unwrap();
        assert!([1, 2].contains(&caller.join().unwrap()));
        end(entry);
    });
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn an_async_caller_gets_in_or_is_woken() {
    model(3, || {
        let world = World::new();
        let entry = world.object();
        let record = world.record(0);
        let caller = thread::spawn(move || {
            let woken = Arc::new(Woken(AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&woken));
            loop {
                let before = woken.0.load(SeqCst);
                if let Poll::Ready(ticket) = Ticket::poll(record, entry, &mut Context::from_waker(&waker)) {
                    // SAFETY: the ticket keeps the object in place; loom reports it if it does not.
                    let version = unsafe { &*entry.target().pointer::<dyn Says>() }.version();
                    drop(ticket);
                    return version;
                }
                // If it were never woken this would spin for ever, and loom would say so.
                while woken.0.load(SeqCst) == before {
                    thread::yield_now();
                }
            }
        });
        swap(world.record(9), entry, None).unwrap();
        assert!([1, 2].contains(&caller.join().unwrap()));
        end(entry);
    });
}

const PATIENCE: Patience = Patience { bound: Duration::from_secs(1000), attempts: 1 };

#[test]
fn an_update_converts_each_instance_once_whoever_comes_first() {
    model(3, || {
        let world = World::new();
        let entry = world.object();
        let updated = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..2)
            .map(|n| {
                let (record, updated) = (world.record(n), Arc::clone(&updated));
                thread::spawn(move || {
                    let after = updated.load(SeqCst);
                    let version = ask(record, entry);
                    assert!(version == 2 || (version == 1 && !after), "an old object after the update");
                })
            })
            .collect();
        let record = world.record(9);
        let update = Update::begin(world.pool, ProbeCode::version(2), PATIENCE).unwrap();
        update.visit(record, entry);
        let report = update.end();
        assert_eq!((report.converted, report.kept.len()), (1, 0));
        updated.store(true, SeqCst);
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(ask(record, entry), 2);
        end(entry);
    });
}

#[test]
fn updates_of_one_class_verify_the_objects_of_another() {
    model(2, || {
        let world = World::new();
        let other = Pool::leak(world.domain, 1);
        other.introduce(&world.one);
        let theirs = other.adopt(probe(1), &world.one, world.domain.generation());
        let ours = world.object();
        let (record, updater) = (world.record(0), world.record(1));
        let caller = thread::spawn(move || {
            assert!([1, 2].contains(&ask(record, ours)));
            assert!([1, 2].contains(&ask(record, theirs)));
        });
        let second = thread::spawn(move || {
            let update = Update::begin(other, ProbeCode::version(2), PATIENCE).unwrap();
            update.visit(updater, theirs);
            assert_eq!(update.end().converted, 1);
        });
        let update = Update::begin(world.pool, ProbeCode::version(2), PATIENCE).unwrap();
        let record = world.record(9);
        update.visit(record, ours);
        assert_eq!(update.end().converted, 1);
        second.join().unwrap();
        caller.join().unwrap();
        assert_eq!((ask(record, ours), ask(record, theirs)), (2, 2));
        end(ours);
        end(theirs);
    });
}

#[test]
fn a_factory_swap_leaves_no_instance_behind() {
    model(3, || {
        let world = World::new();
        // The factory is an object like any other: its version is the version that it makes.
        let factory = world.object();
        let pool = Pool::leak(world.domain, 1);
        pool.introduce(&world.one);
        let two = ProbeCode::version(2);
        let creator = {
            let (record, one, two) = (world.record(0), Arc::clone(&world.one), Arc::clone(&two));
            thread::spawn(move || {
                let inside = enter(record, factory);
                let number = says(&inside, factory);
                let version = if number == 1 { one } else { two };
                let stamp = pool.domain.generation();
                let entry = pool.adopt(probe(number), &version, stamp);
                drop(inside);
                (entry, ask(record, entry))
            })
        };
        let record = world.record(9);
        let held = Held::hold(record, factory, None).unwrap();
        let update = Update::begin(pool, two, PATIENCE).unwrap();
        let old = held.replace(probe(2), 2);
        held.open(world.domain.generation());
        // SAFETY: the old factory is out of the table.
        unsafe { discard(&*world.one.code, old) };
        for chunk in pool.chunks() {
            for entry in chunk.entries() {
                if entry.try_retain() {
                    update.visit(record, entry);
                    pool.release(entry);
                }
            }
        }
        update.end();
        let (entry, version) = creator.join().unwrap();
        assert!([1, 2].contains(&version));
        assert_eq!(ask(record, entry), 2, "an instance of the old version is left");
        end(entry);
        end(factory);
    });
}

#[test]
fn the_last_reference_may_go_while_the_instance_is_swapped() {
    model(3, || {
        let world = World::new();
        let entry = world.object();
        let record = world.record(0);
        let update = Update::begin(world.pool, ProbeCode::version(2), PATIENCE).unwrap();
        let owner = thread::spawn(move || {
            assert!([1, 2].contains(&ask(record, entry)));
            entry.pool().release(entry);
        });
        let record = world.record(9);
        if entry.try_retain() {
            update.visit(record, entry);
            world.pool.release(entry);
        }
        owner.join().unwrap();
        assert_eq!(world.pool.len(), 0);
    });
}
