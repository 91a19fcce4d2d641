//! Nodes, and the transactions under way in each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use liveline_runtime::{Interface, ObjectRef};

use super::port::{Offer, Port};
use super::{Link, Target};

/// A number that no other node or port of the configuration has.
pub(super) type Id = u64;

/// What all handles of a configuration share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// A transaction ended, or a change did.
    pub(super) moved: Condvar,
    /// One change at a time.
    pub(super) changing: Mutex<()>,
}

#[derive(Default)]
pub(super) struct State {
    next: Id,
    pub(super) nodes: BTreeMap<Id, NodeState>,
    pub(super) links: BTreeMap<Id, Linked>,
}

/// A node, as the configuration knows it.
pub(super) struct NodeState {
    pub(super) name: String,
    /// Transactions under way.
    pub(super) transactions: usize,
    /// A change waits for them.
    pub(super) passive: bool,
}

/// A link, by its port.
#[derive(Clone)]
pub(super) struct Linked {
    pub(super) from: Id,
    pub(super) port: String,
    pub(super) to: Id,
    pub(super) offer: String,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn links(&self) -> Vec<Link> {
        let state = self.state();
        let name = |id: &Id| state.nodes.get(id).map_or_else(String::new, |node| node.name.clone());
        let links = state.links.values();
        links
            .map(|l| Link {
                from: name(&l.from),
                port: l.port.clone(),
                to: name(&l.to),
                offer: l.offer.clone(),
            })
            .collect()
    }
}

impl State {
    pub(super) fn id(&mut self) -> Id {
        self.next += 1;
        self.next
    }
}

thread_local! {
    /// The transactions that this thread is inside of: configuration and node.
    static INSIDE: RefCell<Vec<(usize, Id)>> = const { RefCell::new(Vec::new()) };
}

/// Whether this thread is inside a transaction of the node.
pub(super) fn is_inside(shared: &Arc<Shared>, node: Id) -> bool {
    let key = (Arc::as_ptr(shared).addr(), node);
    INSIDE.with_borrow(|inside| inside.contains(&key))
}

/// A component's place in the configuration. It is shared by counting.
#[derive(Clone)]
pub struct Node {
    pub(super) shared: Arc<Shared>,
    pub(super) id: Id,
    name: Arc<str>,
}

impl Node {
    pub(super) fn create(shared: &Arc<Shared>, name: &str) -> Self {
        let mut state = shared.state();
        let id = state.id();
        let node = NodeState { name: name.to_string(), transactions: 0, passive: false };
        state.nodes.insert(id, node);
        drop(state);
        Self { shared: Arc::clone(shared), id, name: name.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A port: where this component calls out. It leads nowhere yet.
    pub fn port<I: ?Sized + Interface>(&self, name: &str) -> Port<I> {
        let id = self.shared.state().id();
        Port { node: self.clone(), id, name: name.into(), target: Arc::new(Mutex::new(Target::None)) }
    }

    /// What this component answers by: ports of other nodes are linked to it.
    pub fn offer<I: ?Sized + Interface>(&self, name: &str, object: ObjectRef<I>) -> Offer<I> {
        Offer { node: self.clone(), name: name.into(), object }
    }

    /// Begins a transaction. It waits while the node is passive, unless this thread is inside another transaction
    /// already, of whatever node.
    pub fn begin(&self) -> Transaction<'_> {
        let consequent = INSIDE.with_borrow(|inside| !inside.is_empty());
        let mut state = self.shared.state();
        // A node that was removed has no links and no changes to wait for.
        while let Some(node) = state.nodes.get_mut(&self.id) {
            if consequent || !node.passive {
                node.transactions += 1;
                break;
            }
            state = self.shared.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        INSIDE.with_borrow_mut(|inside| inside.push((Arc::as_ptr(&self.shared).addr(), self.id)));
        Transaction { node: self, thread: PhantomData }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.name)
    }
}

/// A transaction of a node: while it lasts the node's links stay as they are. It belongs to the thread that began it.
#[derive(Debug)]
pub struct Transaction<'node> {
    pub(super) node: &'node Node,
    thread: PhantomData<*const ()>,
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        let key = (Arc::as_ptr(&self.node.shared).addr(), self.node.id);
        INSIDE.with_borrow_mut(|inside| {
            if let Some(last) = inside.iter().rposition(|entry| *entry == key) {
                inside.remove(last);
            }
        });
        let mut state = self.node.shared.state();
        if let Some(node) = state.nodes.get_mut(&self.node.id) {
            node.transactions -= 1;
            if node.passive && node.transactions == 0 {
                self.node.shared.moved.notify_all();
            }
        }
    }
}
