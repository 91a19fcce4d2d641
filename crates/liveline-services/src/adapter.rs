//! Adapters: an old interface, answered by an object that has the new one.
//!
//! An adapter is a version like any other of what has the old interface: its methods call the new object, and its
//! [`Transfer`](liveline_runtime::Transfer) makes that object of the old state. [`adapt`] puts it in place. Callers of
//! the old interface keep their references; who knows the new one gets a reference to the object behind the
//! adapter. That object is replaced by itself from then on.
//!
//! The other direction needs nothing from here: an object that has the new interface and holds a reference to an old
//! one is made with [`ObjectRef::new`].
//!
//! An adapter that also gives the old state, read from the new object, can be taken back.

use liveline_runtime::{Object, ObjectRef, Patience, SwapError};

/// A version with an old interface that answers by an object with a new one.
pub trait Adapter: Object {
    /// The new interface.
    type New: ?Sized + liveline_runtime::Interface;

    /// The object that answers.
    fn adapted(&self) -> &ObjectRef<Self::New>;
}

/// Replaces the object behind a reference by an adapter, and gives the object behind that.
///
/// # Errors
/// As [`ObjectRef::swap`]; the old object stays then.
pub fn adapt<A: Adapter>(old: &ObjectRef<A::Interface>) -> Result<ObjectRef<A::New>, SwapError> {
    adapt_with::<A>(old, Patience::default())
}

/// As [`adapt`], with a bound of your own.
///
/// # Errors
/// As [`adapt`].
pub fn adapt_with<A: Adapter>(
    old: &ObjectRef<A::Interface>,
    patience: Patience,
) -> Result<ObjectRef<A::New>, SwapError> {
    ObjectRef::swap_with::<A>(old, patience)?;
    // Somebody else may have replaced the adapter already.
    behind::<A>(old).ok_or(SwapError::Contended)
}

/// The object behind an adapter; none if the reference leads to another version now.
pub fn behind<A: Adapter>(old: &ObjectRef<A::Interface>) -> Option<ObjectRef<A::New>> {
    ObjectRef::visit_as::<A, _>(old, |adapter| adapter.adapted().clone())
}
