//! Links: components know their own ports, and a configuration says where each leads.
//!
//! A component calls through a [`Port`] within a [`Transaction`], which it begins at its [`Node`]. A [`Change`] of the
//! configuration makes the nodes whose ports it touches *passive*: they begin no transaction, and when those under
//! way have ended, all links change at once. So a transaction sees the links of before or those of after, never a
//! mixture. Past the bound the change is taken back and nothing has changed.
//!
//! A transaction that a thread begins inside of another one is a consequence of that, and is never kept waiting for
//! a change: otherwise a change could wait for what waits for it.
//!
//! Nodes that are only called, not rewired, need not be passive: what is behind a link is an object, which is
//! replaced by itself.

mod change;
mod node;
mod port;

use std::fmt;
use std::sync::Arc;

use liveline_runtime::{Interface, ObjectRef};

pub use change::Change;
pub use node::{Node, Transaction};
pub use port::{Offer, Port, Unlinked};

use crate::activity::Active;
use node::Shared;

/// Why a configuration was not changed. It is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Transactions had not ended when the time was over.
    #[error("{transactions} transactions of {node} had not ended when the time was over")]
    Busy {
        /// Whose.
        node: String,
        /// How many.
        transactions: usize,
    },
    /// The change was asked for from inside a transaction that it would wait for.
    #[error("a change cannot be made from inside a transaction of {0}, for which it would wait")]
    FromInside(String),
    /// The node is removed, but would still be led to.
    #[error("{node} cannot be removed: {from}.{port} leads to it")]
    StillLinked {
        /// The node.
        node: String,
        /// The node whose port leads to it.
        from: String,
        /// That port.
        port: String,
    },
    /// The node was removed before.
    #[error("{0} is not in this configuration")]
    Removed(String),
}

impl From<Active> for ChangeError {
    fn from(active: Active) -> Self {
        match active {
            Active::Busy { node, transactions } => Self::Busy { node, transactions },
            Active::FromInside(node) => Self::FromInside(node),
        }
    }
}

/// A link, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The node that calls.
    pub from: String,
    /// Its port.
    pub port: String,
    /// The node that is called.
    pub to: String,
    /// What it offers.
    pub offer: String,
}

/// Nodes and links: the configuration manager. It is shared by counting.
#[derive(Clone, Default)]
pub struct Configuration {
    shared: Arc<Shared>,
}

impl Configuration {
    /// A configuration without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new node. The name is for people.
    pub fn node(&self, name: &str) -> Node {
        Node::create(&self.shared, name)
    }

    /// A change to be made: its links are all made at once, or none is.
    pub fn change(&self) -> Change {
        Change::new(&self.shared)
    }

    /// Makes one link, within a second.
    ///
    /// # Errors
    /// As [`Change::commit`].
    pub fn link<I: ?Sized + Interface>(&self, port: &Port<I>, offer: &Offer<I>) -> Result<(), ChangeError> {
        self.change().link(port, offer).commit(std::time::Duration::from_secs(1))
    }

    /// All links.
    pub fn links(&self) -> Vec<Link> {
        node::links(&self.shared)
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration").field("links", &self.links()).finish()
    }
}

/// What a port holds.
type Target<I> = Option<ObjectRef<I>>;
