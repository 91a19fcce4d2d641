//! What the debug information of an object says about its types, and whether two builds lay them out alike.
//!
//! [`Types`] is read from one relocatable object. [`Types::reach`] tells which types code can get at, [`Compare`]
//! holds the types of two builds against each other and makes a [`Change`], with a picture, of each that is laid
//! out in another way.
#![forbid(unsafe_code)]

mod change;
mod closures;
mod compare;
mod coroutine;
mod describe;
mod entry;
mod fields;
mod matching;
mod reach;
mod read;
mod sections;
mod types;

pub use change::{Change, Kind, Mark, Row, Unit};
pub use compare::{Compare, Outcome};
pub use reach::{Reach, Root};
pub use sections::{Place, TypesError};
pub use types::{TypeId, Types};
