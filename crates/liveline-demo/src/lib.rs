//! The demo of liveline: a server with a bug is repaired while it serves, and the picture of it.
//!
//! [`run`] is what `liveline demo` does. The load generator ([`load`]), the driver of the `liveline`
//! program ([`tool`]) and the picture ([`picture`]) also serve the trials and benchmarks in `xtask`.
#![forbid(unsafe_code)]

pub mod load;
pub mod picture;
pub mod server;
pub mod tool;

mod client;
mod demo;
mod page;
mod words;

pub use demo::{DemoError, DemoOptions, DemoReport, PhaseReport, UpdateReport, run};
pub use words::Words;
