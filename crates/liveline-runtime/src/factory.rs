//! Factories: what makes the instances of one version of a class.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::class::version_id;
use crate::entry::Target;
use crate::object::{Interface, Object};
use crate::panics::outward;
use crate::transfer::Captured;
use crate::version::{Code, Typed, Version, target_of};

/// Makes the instances of one version of a class, from arguments `A`.
pub struct Factory<I: ?Sized + Interface, A = ()> {
    number: u32,
    code: Arc<dyn Code>,
    construct: Arc<Construct<A>>,
    interface: PhantomData<fn() -> Box<I>>,
}

type Construct<A> = dyn Fn(A) -> Target + Send + Sync;

impl<I: ?Sized + Interface, A: 'static> Factory<I, A> {
    /// A factory that makes objects of type `T` by calling `construct`. A panic in the drop of what that captured
    /// goes no further: it may come whenever the class needs the factory no more.
    pub fn new<T: Object<Interface = I>>(construct: impl Fn(A) -> T + Send + Sync + 'static) -> Self {
        let construct = Captured::new(construct);
        Self {
            number: T::VERSION,
            code: Arc::new(Typed::<T>::new()),
            construct: Arc::new(move |arguments| outward(|| target_of(construct.code()(arguments)))),
            interface: PhantomData,
        }
    }

    /// The same under another number than the type's own: after a revert the line is longer than the sources say.
    #[must_use]
    pub fn numbered(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// The version's number in the class's line.
    pub fn version(&self) -> u32 {
        self.number
    }

    /// The type of the objects it makes, for people.
    pub fn type_name(&self) -> &'static str {
        self.code.name()
    }

    pub(crate) fn works(&self, number: u32) -> Works<A> {
        let version = Version { id: version_id(), number, code: Arc::clone(&self.code) };
        Works { version: Arc::new(version), construct: Arc::clone(&self.construct), origin: number }
    }
}

/// A factory at work. It stands behind an entry of its own, and is called through it.
pub(crate) struct Works<A> {
    pub(crate) version: Arc<Version>,
    pub(crate) construct: Arc<Construct<A>>,
    /// The number under which this code came.
    pub(crate) origin: u32,
}

impl<A> Clone for Works<A> {
    fn clone(&self) -> Self {
        Self {
            version: Arc::clone(&self.version),
            construct: Arc::clone(&self.construct),
            origin: self.origin,
        }
    }
}

/// The interface of factories.
pub(crate) trait Make<A>: Send + Sync {
    fn make(&self, arguments: A) -> Target;
    fn version(&self) -> &Version;
    fn origin(&self) -> u32;
}

impl<A> Make<A> for Works<A> {
    fn make(&self, arguments: A) -> Target {
        (self.construct)(arguments)
    }

    fn version(&self) -> &Version {
        &self.version
    }

    fn origin(&self) -> u32 {
        self.origin
    }
}
