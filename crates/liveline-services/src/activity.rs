//! Which nodes have transactions under way, and which are passive: they begin none while something changes.
//!
//! Knows neither links nor objects, so that loom can go through its interleavings: `src/activity/models.rs`.

#[cfg(all(test, loom))]
mod models;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

#[cfg(loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

/// A number that nothing else of these nodes has.
pub(crate) type Id = u64;

/// Nodes, and what they see: it changes only while those that it concerns are passive.
#[derive(Default)]
pub(crate) struct Activity<T> {
    state: Mutex<State<T>>,
    /// A transaction ended, or a change did.
    moved: Condvar,
    /// One change at a time.
    changing: Mutex<()>,
}

/// What stands under the lock.
#[derive(Default)]
pub(crate) struct State<T> {
    next: Id,
    nodes: BTreeMap<Id, Node>,
    pub(crate) seen: T,
}

struct Node {
    name: String,
    /// Transactions under way.
    transactions: usize,
    /// A change waits for them.
    passive: bool,
}

/// Why nodes could not be made passive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Active {
    /// Transactions of this node had not ended when the time was over.
    Busy { node: String, transactions: usize },
    /// Who asks is inside a transaction of this node.
    FromInside(String),
}

impl<T> State<T> {
    /// A number for something that nodes have.
    pub(crate) fn id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    pub(crate) fn add(&mut self, name: &str) -> Id {
        let id = self.id();
        self.nodes.insert(id, Node { name: name.to_string(), transactions: 0, passive: false });
        id
    }

    /// Only of a node that is passive.
    pub(crate) fn remove(&mut self, id: Id) {
        self.nodes.remove(&id);
    }

    pub(crate) fn knows(&self, id: Id) -> bool {
        self.nodes.contains_key(&id)
    }

    /// A node's name; empty if it was removed.
    pub(crate) fn name(&self, id: Id) -> String {
        self.nodes.get(&id).map_or_else(String::new, |node| node.name.clone())
    }

    fn set_passive(&mut self, nodes: &BTreeSet<Id>, passive: bool) {
        for id in nodes {
            if let Some(node) = self.nodes.get_mut(id) {
                node.passive = passive;
            }
        }
    }
}

impl<T> Activity<T> {
    pub(crate) fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction of the node. It waits while the node is passive, unless this thread is inside another
    /// transaction already, of whatever node.
    pub(crate) fn begin(&self, id: Id) {
        let consequent = with_inside(|inside| !inside.is_empty());
        let mut state = self.state();
        // A node that was removed sees nothing that could change.
        while let Some(node) = state.nodes.get_mut(&id) {
            if consequent || !node.passive {
                node.transactions += 1;
                break;
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        with_inside(|inside| inside.push((self.address(), id)));
    }

    /// Ends a transaction that this thread began.
    pub(crate) fn end(&self, id: Id) {
        let transaction = (self.address(), id);
        with_inside(|inside| {
            if let Some(last) = inside.iter().rposition(|t| *t == transaction) {
                inside.remove(last);
            }
        });
        let mut state = self.state();
        if let Some(node) = state.nodes.get_mut(&id) {
            node.transactions -= 1;
            if node.passive && node.transactions == 0 {
                self.moved.notify_all();
            }
        }
    }

    /// Makes the nodes passive and has `make` change what they see; `check` is asked before, and may refuse. At the
    /// latest after the bound they go on, changed or not.
    pub(crate) fn change<C, R, E: From<Active>>(
        &self,
        nodes: &BTreeSet<Id>,
        bound: Duration,
        check: impl FnOnce(&State<T>) -> Result<C, E>,
        make: impl FnOnce(&mut State<T>, C) -> R,
    ) -> Result<R, E> {
        // First this: another change may wait for the transaction from which we were called.
        if let Some(node) = nodes.iter().find(|id| self.is_inside(**id)) {
            return Err(Active::FromInside(self.state().name(*node)).into());
        }
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        let checked = check(&state)?;
        let mut state = self.passivate(state, nodes, bound)?;
        let made = make(&mut state, checked);
        state.set_passive(nodes, false);
        drop(state);
        self.moved.notify_all();
        Ok(made)
    }

    /// Waits until no transaction of these nodes is under way; if that takes too long they are as before.
    fn passivate<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<T>>,
        nodes: &BTreeSet<Id>,
        bound: Duration,
    ) -> Result<MutexGuard<'s, State<T>>, Active> {
        let begun = Instant::now();
        state.set_passive(nodes, true);
        loop {
            let mut touched = nodes.iter().filter_map(|id| state.nodes.get(id));
            let Some(busy) = touched.find(|node| node.transactions > 0) else { return Ok(state) };
            let left = bound.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let active = Active::Busy { node: busy.name.clone(), transactions: busy.transactions };
                state.set_passive(nodes, false);
                drop(state);
                self.moved.notify_all();
                return Err(active);
            }
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether this thread is inside a transaction of the node.
    fn is_inside(&self, node: Id) -> bool {
        let transaction = (self.address(), node);
        with_inside(|inside| inside.contains(&transaction))
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// The transactions that a thread is inside of: whose, and of which node.
type Inside = Vec<(usize, Id)>;

#[cfg(not(loom))]
thread_local! {
    static INSIDE: RefCell<Inside> = const { RefCell::new(Vec::new()) };
}

#[cfg(loom)]
loom::thread_local! {
    static INSIDE: RefCell<Inside> = RefCell::new(Vec::new());
}

fn with_inside<R>(look: impl FnOnce(&mut Inside) -> R) -> R {
    INSIDE.with(|inside| look(&mut inside.borrow_mut()))
}
