//! A change of a configuration: as a whole, or not at all.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use liveline_runtime::Interface;

use super::ChangeError;
use super::node::{Linked, Links, Node, Shared};
use super::port::{Offer, Port};
use crate::activity::{Id, State};

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
        let (touched, steps) = (self.touched(), self.steps);
        let before = shared.change(
            &touched,
            bound,
            |state| check(&steps, state).map(|links| (steps, links)),
            |state, (steps, links)| {
                state.seen = links;
                // Nobody is inside and nobody enters: that needs no order.
                let mut before = Vec::new();
                for step in steps {
                    match step {
                        Step::Link { set, .. } | Step::Unlink { set, .. } => before.push(set()),
                        Step::Remove { node, .. } => state.remove(node),
                    }
                }
                before
            },
        )?;
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

    fn must_know(&self, node: &Node) {
        assert!(Arc::ptr_eq(&self.shared, &node.shared), "{node:?} is of another configuration");
    }
}

/// The links as they will be.
fn check(steps: &[Step], state: &State<Links>) -> Result<Links, ChangeError> {
    let mut links = state.seen.clone();
    let mut removed = Vec::new();
    for step in steps {
        match step {
            Step::Link { port, linked, .. } => drop(links.insert(*port, linked.clone())),
            Step::Unlink { port, .. } => drop(links.remove(port)),
            Step::Remove { node, name } => {
                if !state.knows(*node) {
                    return Err(ChangeError::Removed(name.clone()));
                }
                removed.push(*node);
            }
        }
    }
    links.retain(|_, link| !removed.contains(&link.from));
    for link in links.values() {
        if removed.contains(&link.to) {
            let (node, from) = (state.name(link.to), state.name(link.from));
            return Err(ChangeError::StillLinked { node, from, port: link.port.clone() });
        }
        if [link.from, link.to].iter().any(|end| !state.knows(*end)) {
            return Err(ChangeError::Removed(format!("a node of {} to {}", link.port, link.offer)));
        }
    }
    Ok(links)
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a change of {} steps", self.steps.len())
    }
}
