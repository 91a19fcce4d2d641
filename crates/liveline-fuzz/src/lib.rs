//! Random damage to everything that liveline reads: patches, programs, objects, archives, unwind tables, and
//! records in the memory of other processes.
//!
//! [`run()`] makes each input from a seed of `corpus/` and the number of the run, so that a run can be made again.
//! A failure is a panic, an input that keeps a thread busy for more than [`run::DEADLINE`], or one that makes it
//! hold more than [`allocation::LIMIT`] bytes.

pub mod allocation;
pub mod corpus;
mod mutate;
mod random;
pub mod run;
pub mod target;

pub use run::{Failure, Options, Summary, run};
