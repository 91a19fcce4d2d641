//! Nodes, and the transactions that components make of calls.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use liveline_runtime::{Interface, ObjectRef};

use super::port::{Offer, Port};
use super::{Link, Target};
use crate::activity::{Activity, Id};

/// What all handles of a configuration share.
pub(super) type Shared = Activity<Links>;

/// All links, by their ports.
pub(super) type Links = BTreeMap<Id, Linked>;

#[derive(Clone)]
pub(super) struct Linked {
    pub(super) from: Id,
    pub(super) port: String,
    pub(super) to: Id,
    pub(super) offer: String,
}

pub(super) fn links(shared: &Shared) -> Vec<Link> {
    let state = shared.state();
    let links = state.seen.values();
    links
        .map(|l| Link {
            from: state.name(l.from),
            port: l.port.clone(),
            to: state.name(l.to),
            offer: l.offer.clone(),
        })
        .collect()
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
        let id = shared.state().add(name);
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
        self.shared.begin(self.id);
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
        self.node.shared.end(self.node.id);
    }
}
