//! Models under loom: every interleaving of a few transactions and changes, up to a bound of preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p liveline-services --lib models`
//!
//! What nodes see are cells that stand under no lock: loom reports a change that does not have them alone. A
//! change or a transaction that waits for ever is a deadlock, which loom reports as well.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};
use loom::thread;

use super::{Active, Activity, Id};

const LONG: Duration = Duration::from_secs(1000);

/// Runs a model with at most so many preemptions.
fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// What a node's two ports lead to.
#[derive(Default)]
struct Ports([UnsafeCell<u32>; 2]);

// SAFETY: that this holds is what loom checks.
unsafe impl Send for Ports {}
// SAFETY: as above.
unsafe impl Sync for Ports {}

impl Ports {
    fn get(&self) -> [u32; 2] {
        // SAFETY: loom reports a write at the same time.
        self.0.each_ref().map(|port| port.with(|number| unsafe { *number }))
    }

    fn set(&self, to: u32) {
        for port in &self.0 {
            // SAFETY: loom reports whoever reads or writes at the same time.
            port.with_mut(|number| unsafe { *number = to });
        }
    }
}

/// Two nodes, `1` and `2`, and their ports.
#[derive(Clone)]
struct World {
    activity: Arc<Activity<()>>,
    ports: Arc<[Ports; 2]>,
}

impl World {
    fn new() -> Self {
        let activity = Activity::default();
        let ids = ["one", "two"].map(|name| activity.state().add(name));
        assert_eq!(ids, [1, 2]);
        Self { activity: Arc::new(activity), ports: Arc::default() }
    }

    fn ports(&self, node: Id) -> &Ports {
        &self.ports[node as usize - 1]
    }

    /// A transaction, which sees one moment, with whatever else it does.
    fn transaction(&self, node: Id, inner: impl FnOnce()) -> u32 {
        self.activity.begin(node);
        let first = self.ports(node).get();
        inner();
        let second = self.ports(node).get();
        assert!(first[0] == first[1] && first == second, "half of a change: {first:?}, {second:?}");
        self.activity.end(node);
        first[0]
    }

    /// All ports of these nodes lead elsewhere, or none.
    fn change(&self, nodes: &[Id], to: u32, bound: Duration) -> Result<(), Active> {
        let touched = BTreeSet::from_iter(nodes.iter().copied());
        let make = |_: &mut _, ()| nodes.iter().for_each(|node| self.ports(*node).set(to));
        self.activity.change(&touched, bound, |_| Ok(()), make)
    }

    fn spawn<R: 'static>(&self, run: impl FnOnce(&Self) -> R + 'static) -> thread::JoinHandle<R> {
        let world = self.clone();
        thread::spawn(move || run(&world))
    }
}

#[test]
fn a_transaction_sees_one_moment_and_after_the_change_the_new_one() {
    model(3, || {
        let world = World::new();
        let changed = Arc::new(AtomicBool::new(false));
        let callers = [(); 2].map(|()| {
            let changed = Arc::clone(&changed);
            world.spawn(move |world| {
                let after = changed.load(SeqCst);
                let seen = world.transaction(1, || ());
                assert!(seen == 7 || !after, "an old link after its change");
            })
        });
        world.change(&[1], 7, LONG).unwrap();
        changed.store(true, SeqCst);
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(world.transaction(1, || ()), 7);
    });
}

#[test]
fn a_change_that_waits_comes_before_transactions_that_are_new() {
    model(3, || {
        let world = World::new();
        world.activity.begin(1);
        let change = world.spawn(|world| world.change(&[1], 7, LONG));
        while !world.activity.state().nodes[&1].passive {
            thread::yield_now();
        }
        let newcomers = [(); 2].map(|()| world.spawn(|world| world.transaction(1, || ())));
        world.activity.end(1);
        for newcomer in newcomers {
            assert_eq!(newcomer.join().unwrap(), 7);
        }
        change.join().unwrap().unwrap();
    });
}

#[test]
fn a_transaction_inside_another_is_let_in_while_a_change_waits() {
    model(3, || {
        let world = World::new();
        let caller = world.spawn(|world| {
            world.transaction(1, || {
                // Of another node, and of the same one again.
                world.transaction(2, || {
                    world.transaction(1, || ());
                });
            })
        });
        world.change(&[1, 2], 7, LONG).unwrap();
        assert!([0, 7].contains(&caller.join().unwrap()));
        assert_eq!([1, 2].map(|node| world.transaction(node, || ())), [7, 7]);
    });
}

#[test]
fn changes_do_not_wait_for_each_other_through_transactions() {
    model(2, || {
        let world = World::new();
        let chains = [(1, 2), (2, 1)].map(|(outer, inner)| {
            world.spawn(move |world| {
                world.transaction(outer, || {
                    world.transaction(inner, || ());
                })
            })
        });
        let other = world.spawn(|world| world.change(&[1], 5, LONG));
        world.change(&[1, 2], 7, LONG).unwrap();
        other.join().unwrap().unwrap();
        for chain in chains {
            chain.join().unwrap();
        }
        let seen = [1, 2].map(|node| world.transaction(node, || ()));
        assert!([[5, 7], [7, 7]].contains(&seen), "{seen:?}");
    });
}

#[test]
fn past_its_bound_a_change_has_changed_nothing_and_all_go_on() {
    model(3, || {
        let world = World::new();
        let callers = [1, 2].map(|node| world.spawn(move |world| world.transaction(node, || ())));
        // The bound is over before it begins: whatever transaction is under way has it taken back.
        let expected = match world.change(&[1, 2], 7, Duration::ZERO) {
            Ok(()) => 7,
            Err(active) => {
                assert!(matches!(active, Active::Busy { transactions: 1, .. }), "{active:?}");
                0
            }
        };
        for caller in callers {
            assert!([0, expected].contains(&caller.join().unwrap()));
        }
        assert_eq!([1, 2].map(|node| world.transaction(node, || ())), [expected; 2]);
    });
}

#[test]
fn who_waits_for_a_node_that_goes_is_let_go() {
    model(3, || {
        let world = World::new();
        let callers = [(); 2].map(|()| {
            world.spawn(|world| {
                world.activity.begin(1);
                // As a port does: of a node that is gone it leads nowhere.
                if world.activity.state().knows(1) {
                    assert_eq!(world.ports(1).get(), [0, 0]);
                }
                world.activity.end(1);
            })
        });
        let removed: Result<(), Active> = world.activity.change(
            &BTreeSet::from([1]),
            LONG,
            |_| Ok(()),
            |state, ()| {
                world.ports(1).set(7);
                state.remove(1);
            },
        );
        removed.unwrap();
        for caller in callers {
            caller.join().unwrap();
        }
        assert!(!world.activity.state().knows(1));
    });
}

#[test]
fn a_change_from_inside_is_refused_while_another_waits_for_it() {
    model(3, || {
        let world = World::new();
        let caller = world.spawn(|world| {
            world.transaction(1, || {
                let refused = world.change(&[1, 2], 5, LONG);
                assert_eq!(refused, Err(Active::FromInside("one".into())));
            })
        });
        world.change(&[1], 7, LONG).unwrap();
        assert!([0, 7].contains(&caller.join().unwrap()));
        assert_eq!([1, 2].map(|node| world.transaction(node, || ())), [7, 0]);
    });
}
