//! The classes of this program, by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::class::{Class, Options};
use crate::error::ClassError;
use crate::object::Interface;
use crate::shared::shared;
use crate::update::Report;

/// A class whose types are not known: what `status` and `revert` need.
pub trait AnyClass: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Its interface's name.
    fn interface(&self) -> &'static str;
    /// The methods of its interface, as they stand in the source.
    fn methods(&self) -> &'static [&'static str];
    /// The interface's fingerprint ([`Interface::fingerprint`]).
    fn fingerprint(&self) -> u64;
    /// The number of the current version.
    fn version(&self) -> u32;
    /// The number under which the current code came. A revert gives code another number.
    fn origin(&self) -> u32;
    /// How many instances there are.
    fn instances(&self) -> usize;
    /// Goes back to the code before.
    ///
    /// # Errors
    /// As [`Class::revert_with`].
    fn revert_with(&self, options: Options) -> Result<Report, ClassError>;
    /// Takes the last revert back.
    ///
    /// # Errors
    /// As [`Class::revert_with`].
    fn redo_with(&self, options: Options) -> Result<Report, ClassError>;
}

impl<I: ?Sized + Interface, A: Send + 'static> AnyClass for Class<I, A> {
    fn name(&self) -> &'static str {
        self.name()
    }

    fn interface(&self) -> &'static str {
        I::NAME
    }

    fn methods(&self) -> &'static [&'static str] {
        I::METHODS
    }

    fn fingerprint(&self) -> u64 {
        I::fingerprint()
    }

    fn version(&self) -> u32 {
        self.version()
    }

    fn origin(&self) -> u32 {
        self.origin()
    }

    fn instances(&self) -> usize {
        self.len()
    }

    fn revert_with(&self, options: Options) -> Result<Report, ClassError> {
        self.revert_with(options)
    }

    fn redo_with(&self, options: Options) -> Result<Report, ClassError> {
        self.redo_with(options)
    }
}

/// A class, to be called by its types or without them.
pub(crate) struct Known {
    typed: Box<dyn Any + Send + Sync>,
    untyped: &'static dyn AnyClass,
    kind: String,
}

/// The classes, by name.
pub(crate) type Classes = Mutex<BTreeMap<String, Known>>;

fn classes_locked() -> MutexGuard<'static, BTreeMap<String, Known>> {
    shared().classes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All classes of this program, by name.
pub fn classes() -> Vec<&'static dyn AnyClass> {
    classes_locked().values().map(|known| known.untyped).collect()
}

pub(crate) fn add<I: ?Sized + Interface, A: Send + 'static>(
    name: &str,
    make: impl FnOnce() -> Class<I, A>,
) -> Result<Class<I, A>, ClassError> {
    let mut classes = classes_locked();
    if classes.contains_key(name) {
        return Err(ClassError::NameTaken(name.to_string()));
    }
    let class = make();
    let untyped: &'static Class<I, A> = Box::leak(Box::new(class));
    let known = Known { typed: Box::new(class), untyped, kind: Class::<I, A>::kind() };
    classes.insert(name.to_string(), known);
    Ok(class)
}

pub(crate) fn find<I: ?Sized + Interface, A: Send + 'static>(name: &str) -> Result<Class<I, A>, ClassError> {
    let classes = classes_locked();
    let known = classes.get(name).ok_or_else(|| ClassError::Unknown(name.to_string()))?;
    known.typed.downcast_ref::<Class<I, A>>().copied().ok_or_else(|| ClassError::Mismatch {
        name: name.to_string(),
        has: known.kind.clone(),
        wanted: Class::<I, A>::kind(),
    })
}
