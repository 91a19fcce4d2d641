//! What a class must say of itself: `#[class]` writes this.

use std::any::{Any, TypeId};

use crate::transfer::Formats;

/// What is behind an interface: its concrete type. Every type has it, none can say otherwise.
pub trait Concrete: Any + Send + Sync {
    /// The type of the object itself.
    #[doc(hidden)]
    fn concrete(&self) -> TypeId;
}

impl<T: Any + Send + Sync> Concrete for T {
    fn concrete(&self) -> TypeId {
        TypeId::of::<T>()
    }
}

/// An interface: the trait object of a trait under [`#[interface]`](macro@crate::interface), which writes this.
pub trait Interface: Concrete {
    /// The trait's name.
    const NAME: &'static str;
    /// Its methods, as they stand in the source, in order.
    const METHODS: &'static [&'static str];

    /// A number that differs where the methods differ: two modules with one fingerprint mean one interface.
    fn fingerprint() -> u64 {
        let mut hash = Fnv::new();
        hash.add(Self::NAME);
        for method in Self::METHODS {
            hash.add(method);
        }
        hash.0
    }
}

/// A version of a class: a type with one interface. [`#[class]`](macro@crate::class) writes this.
pub trait Object: Sized + Send + Sync + 'static {
    /// The interface by which it is called.
    type Interface: ?Sized + Interface;
    /// The version's number; the first is 1.
    const VERSION: u32;

    /// The object as its callers see it.
    fn into_interface(self: Box<Self>) -> Box<Self::Interface>;

    /// The state formats that it gives and takes.
    fn formats(formats: &mut Formats<Self>);
}

/// The state formats of a class under `#[class(transfer)]`.
pub trait Transfer: Sized + 'static {
    /// Names the formats that this version gives and takes, those it prefers first.
    fn formats(formats: &mut Formats<Self>);
}

/// The 64-bit hash of Fowler, Noll and Vo: equal in every build, unlike the standard library's.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
