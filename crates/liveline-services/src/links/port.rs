//! Ports and offers: the two ends of a link.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use liveline_runtime::{Interface, ObjectRef};

use super::Target;
use super::node::{Node, Transaction};
use crate::activity::Id;

/// The port leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} leads nowhere")]
pub struct Unlinked(String);

/// Where a component calls out, by an interface. It is shared by counting.
pub struct Port<I: ?Sized + Interface> {
    pub(super) node: Node,
    pub(super) id: Id,
    pub(super) name: Arc<str>,
    pub(super) target: Arc<Mutex<Target<I>>>,
}

impl<I: ?Sized + Interface> Port<I> {
    /// What the port leads to, for as long as the transaction lasts.
    ///
    /// # Errors
    /// [`Unlinked`]: it has no link, or its node was removed.
    ///
    /// # Panics
    /// If the transaction is of another node: then the port could change under it.
    pub fn within<'t>(&self, transaction: &'t Transaction<'_>) -> Result<Linked<'t, I>, Unlinked> {
        assert!(
            transaction.node.id == self.node.id && Arc::ptr_eq(&transaction.node.shared, &self.node.shared),
            "{self:?} was used in a transaction of {}",
            transaction.node.name()
        );
        if !self.node.shared.state().knows(self.node.id) {
            return Err(Unlinked(format!("{self:?}")));
        }
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let object = target.clone().ok_or_else(|| Unlinked(format!("{self:?}")))?;
        Ok(Linked { object, transaction: PhantomData })
    }

    pub(super) fn set(&self, to: Target<I>) -> Target<I> {
        std::mem::replace(&mut *self.target.lock().unwrap_or_else(PoisonError::into_inner), to)
    }
}

impl<I: ?Sized + Interface> Clone for Port<I> {
    fn clone(&self) -> Self {
        Self {
            node: self.node.clone(),
            id: self.id,
            name: Arc::clone(&self.name),
            target: Arc::clone(&self.target),
        }
    }
}

impl<I: ?Sized + Interface> fmt::Debug for Port<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}.{} to a {}", self.node.name(), self.name, I::NAME)
    }
}

/// What a port leads to, within a transaction: it is called like an [`ObjectRef`], and does not outlive the
/// transaction.
pub struct Linked<'t, I: ?Sized + Interface> {
    object: ObjectRef<I>,
    transaction: PhantomData<&'t ()>,
}

impl<I: ?Sized + Interface> std::ops::Deref for Linked<'_, I> {
    type Target = ObjectRef<I>;

    fn deref(&self) -> &ObjectRef<I> {
        &self.object
    }
}

/// What a component answers by. It is shared by counting.
pub struct Offer<I: ?Sized + Interface> {
    pub(super) node: Node,
    pub(super) name: Arc<str>,
    pub(super) object: ObjectRef<I>,
}

impl<I: ?Sized + Interface> Clone for Offer<I> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), name: Arc::clone(&self.name), object: self.object.clone() }
    }
}

impl<I: ?Sized + Interface> fmt::Debug for Offer<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}, a {}", self.node.name(), self.name, I::NAME)
    }
}
