//! A version of a class, its type forgotten: how its objects give, take and leave.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::sync::atomic::AtomicU8;

use crate::entry::Target;
use crate::error::{Refusal, SwapError};
use crate::object::{Concrete, Object};
#[cfg(not(loom))]
use crate::panics::{Guarded, caught, outward};
use crate::transfer::{Format, Formats, Offer, Payload, end, guarded};

/// The code of a version.
pub(crate) trait Code: Send + Sync {
    /// The type, for people.
    fn name(&self) -> &'static str;
    /// The module that the code is of ([`home`]).
    fn home(&self) -> usize;
    fn gives(&self) -> &Offer;
    fn takes(&self) -> &Offer;

    /// The object's state.
    ///
    /// # Safety
    /// The target is of this code, and lives.
    unsafe fn export(&self, target: Target, format: Format) -> Result<Payload, Refusal>;

    /// A new object of this code.
    fn import(&self, state: Payload, format: Format) -> Result<Target, Refusal>;

    /// Drops an object of this code.
    ///
    /// # Safety
    /// The target is of this code, and nobody uses it any more.
    unsafe fn discard(&self, target: Target);
}

/// The module that asks: each has its own copy of this static.
#[inline(never)]
pub(crate) fn home() -> usize {
    static HOME: AtomicU8 = AtomicU8::new(0);
    std::ptr::from_ref(&HOME).addr()
}

/// A version: its code, under a number that no other version of the program has.
pub(crate) struct Version {
    pub(crate) id: u32,
    /// Its place in the class's line.
    pub(crate) number: u32,
    pub(crate) code: std::sync::Arc<dyn Code>,
}

/// The code of the versions made of one type.
pub(crate) struct Typed<T: Object> {
    formats: Formats<T>,
    gives: Offer,
    takes: Offer,
}

impl<T: Object> Typed<T> {
    pub(crate) fn new() -> Self {
        let mut formats = Formats::new();
        T::formats(&mut formats);
        Self { gives: formats.given(), takes: formats.taken(), formats }
    }
}

/// An object of type `T`, as a target.
pub(crate) fn target_of<T: Object>(object: T) -> Target {
    let object = Box::new(object).into_interface();
    // `Typed::export` relies on it; an `Object` written by hand could give another object away.
    assert!(
        is_of::<T>(<T::Interface as Concrete>::concrete(&*object)),
        "into_interface gave another type than {}",
        std::any::type_name::<T>()
    );
    Target::of::<T::Interface>(object)
}

/// Whether the concrete type is `T`, guarded or not: the two have one layout.
#[cfg(not(loom))]
pub(crate) fn is_of<T: Object>(concrete: TypeId) -> bool {
    concrete == TypeId::of::<T>() || concrete == TypeId::of::<Guarded<T>>()
}

#[cfg(loom)]
fn is_of<T: Object>(concrete: TypeId) -> bool {
    concrete == TypeId::of::<T>()
}

#[cfg(loom)]
use crate::transfer::caught;

#[cfg(loom)]
fn outward<R>(work: impl FnOnce() -> R) -> R {
    work()
}

impl<T: Object> Code for Typed<T> {
    fn name(&self) -> &'static str {
        std::any::type_name::<T>()
    }

    fn home(&self) -> usize {
        home()
    }

    fn gives(&self) -> &Offer {
        &self.gives
    }

    fn takes(&self) -> &Offer {
        &self.takes
    }

    unsafe fn export(&self, target: Target, format: Format) -> Result<Payload, Refusal> {
        // SAFETY: a target of this code was made by `target_of::<T>`, which saw that it is a `T`.
        let object = unsafe { &*target.pointer::<T::Interface>().cast::<T>() };
        outward(|| self.formats.export(object, format))
    }

    fn import(&self, state: Payload, format: Format) -> Result<Target, Refusal> {
        outward(|| self.formats.import(state, format).map(target_of))
    }

    unsafe fn discard(&self, target: Target) {
        // SAFETY: as in `export`; nobody else uses it, says the caller.
        outward(|| drop(unsafe { target.into_box::<T::Interface>() }));
    }
}

/// Makes an object of the new version from the state of an old one, which stays as it is.
///
/// # Safety
/// The target is of the code `from`, it lives, and nobody is inside.
pub(crate) unsafe fn transfer(from: &dyn Code, to: &dyn Code, target: Target) -> Result<Target, SwapError> {
    let format = from.gives().best(to.takes())?;
    // SAFETY: passed on.
    guarded(|| to.import(unsafe { from.export(target, format) }?, format))
}

/// Drops an object that is no more in use. A panic in its drop ends here: nobody called it.
///
/// # Safety
/// As `Code::discard`.
pub(crate) unsafe fn discard(code: &dyn Code, target: Target) {
    // SAFETY: passed on.
    let dropped = caught(|| unsafe { code.discard(target) });
    if let Err(panic) = dropped {
        end(panic);
    }
}
