//! A change of a configuration: as a whole, or not at all.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use liveline_runtime::Interface;

use super::ChangeError;
use super::node::{Id, Linked, Node, Shared, State, is_inside};
use super::port::{Offer, Port};

/// Links to be made and ended, nodes to be removed.
pub struct Change {
    shared: Arc<Shared>,
    steps: Vec<Step>,
}

/// Sets a port and gives what it led to.
type Set = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

enum Step {
    Link { port: Id, linked: Linked, set: Set },
    Unlink { port: Id, from: Id, set: Set },
    Remove { node: Id, name: String },
}

impl Change {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), steps: Vec::new() }
    }

    /// The port leads to the offer, wherever it led before.
    ///
    /// # Panics
    /// If one of them is of another configuration.
    #[must_use]
    pub fn link<I: ?Sized + Interface>(mut self, port: &Port<I>, offer: &Offer<I>) -> Self {
        self.must_know(&port.node);
        self.must_know(&offer.node);
        let linked = Linked {
            from: port.node.id,
            port: port.name.to_string(),
            to: offer.node.id,
            offer: offer.name.to_string(),
        };
        let (end, object) = (port.clone(), offer.object.clone());
        let set: Set = Box::new(move || Box::new(end.set(Some(object))));
        self.steps.push(Step::Link { port: port.id, linked, set });
        self
    }

    /// The port leads nowhere.
    ///
    /// # Panics
    /// If it is of another configuration.
    #[must_use]
    pub fn unlink<I: ?Sized + Interface>(mut self, port: &Port<I>) -> Self {
        self.must_know(&port.node);
        let end = port.clone();
        let set: Set = Box::new(move || Box::new(end.set(None)));
        self.steps.push(Step::Unlink { port: port.id, from: port.node.id, set });
        self
    }

    /// The node is removed, with the links of its own ports. No port of another node may lead to it then.
    ///
    /// # Panics
    /// If it is of another configuration.
    #[must_use]
    pub fn remove(mut self, node: &Node) -> Self {
        self.must_know(node);
        self.steps.push(Step::Remove { node: node.id, name: node.name().to_string() });
        self
    }

    /// Waits until the transactions of all nodes whose ports change, or that are removed, have ended, at most as
    /// long as is said, and changes all at once. Meanwhile those nodes begin no transaction.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn commit(self, bound: Duration) -> Result<(), ChangeError> {
        let shared = Arc::clone(&self.shared);
        let touched = self.touched();
        // First this: another change may wait for the transaction from which we were called.
        for node in &touched {
            if is_inside(&shared, *node) {
                let name = shared.state().nodes.get(node).map_or_else(String::new, |n| n.name.clone());
                return Err(ChangeError::FromInside(name));
            }
        }
        let _one = shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let state = shared.state();
        let links = self.check(&state)?;
        let mut state = passivate(&shared, state, &touched, bound)?;
        // Nobody is inside and nobody enters: that needs no order.
        let mut ends = Vec::new();
        for step in self.steps {
            match step {
                Step::Link { set, .. } | Step::Unlink { set, .. } => ends.push(set),
                Step::Remove { node, .. } => {
                    state.nodes.remove(&node);
                }
            }
        }
        let before: Vec<_> = ends.into_iter().map(|set| set()).collect();
        state.links = links;
        activate(&mut state, &touched);
        drop(state);
        shared.moved.notify_all();
        // Outside of the lock: the last reference to an object runs what its user wrote.
        drop(before);
        Ok(())
    }

    /// The nodes that must be passive.
    fn touched(&self) -> BTreeSet<Id> {
        let node = |step: &Step| match step {
            Step::Link { linked, .. } => linked.from,
            Step::Unlink { from, .. } => *from,
            Step::Remove { node, .. } => *node,
        };
        self.steps.iter().map(node).collect()
    }

    /// The links as they will be.
    fn check(&self, state: &State) -> Result<BTreeMap<Id, Linked>, ChangeError> {
        let mut links = state.links.clone();
        let mut removed = Vec::new();
        for step in &self.steps {
            match step {
                Step::Link { port, linked, .. } => drop(links.insert(*port, linked.clone())),
                Step::Unlink { port, .. } => drop(links.remove(port)),
                Step::Remove { node, name } => {
                    if !state.nodes.contains_key(node) {
                        return Err(ChangeError::Removed(name.clone()));
                    }
                    removed.push(*node);
                }
            }
        }
        links.retain(|_, link| !removed.contains(&link.from));
        let name = |id: &Id| state.nodes.get(id).map_or_else(String::new, |node| node.name.clone());
        for link in links.values() {
            if removed.contains(&link.to) {
                let (node, from) = (name(&link.to), name(&link.from));
                return Err(ChangeError::StillLinked { node, from, port: link.port.clone() });
            }
            if [link.from, link.to].iter().any(|end| !state.nodes.contains_key(end)) {
                return Err(ChangeError::Removed(format!("a node of {} to {}", link.port, link.offer)));
            }
        }
        Ok(links)
    }

    fn must_know(&self, node: &Node) {
        assert!(Arc::ptr_eq(&self.shared, &node.shared), "{node:?} is of another configuration");
    }
}

/// Waits until no transaction of these nodes is under way; if that takes too long they are as before.
fn passivate<'s>(
    shared: &'s Shared,
    mut state: MutexGuard<'s, State>,
    nodes: &BTreeSet<Id>,
    bound: Duration,
) -> Result<MutexGuard<'s, State>, ChangeError> {
    let deadline = Instant::now() + bound;
    for id in nodes {
        if let Some(node) = state.nodes.get_mut(id) {
            node.passive = true;
        }
    }
    loop {
        let mut touched = nodes.iter().filter_map(|id| state.nodes.get(id));
        let Some(busy) = touched.find(|node| node.transactions > 0) else { return Ok(state) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let error = ChangeError::Busy { node: busy.name.clone(), transactions: busy.transactions };
            activate(&mut state, nodes);
            drop(state);
            shared.moved.notify_all();
            return Err(error);
        }
        state = shared.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn activate(state: &mut State, nodes: &BTreeSet<Id>) {
    for id in nodes {
        if let Some(node) = state.nodes.get_mut(id) {
            node.passive = false;
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a change of {} steps", self.steps.len())
    }
}
