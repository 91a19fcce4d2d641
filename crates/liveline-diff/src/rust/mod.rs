//! What is Rust's own: crates spread over objects, names, the places that panics name.

mod closures;
mod copies;
mod location;
mod merge;
mod mismatch;
mod pair;
mod symbols;
mod units;
mod write;

pub(crate) use closures::renumbered;
pub(crate) use copies::pair_copies;
pub(crate) use location::same_file;
pub(crate) use merge::merge;
pub(crate) use mismatch::mismatch;
pub(crate) use pair::{has_own_name, pair, same_function};
pub(crate) use symbols::{is_anonymous, is_rust, readable};
pub use units::crate_of_object;
pub(crate) use units::{crate_of, without_identity};
