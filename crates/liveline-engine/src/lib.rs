//! A patch into a process: plan, stage, commit, registry, revert, recover.
//!
//! [`apply`] resolves a patch against one process ([`plan`]), maps its finished image there ([`image`],
//! [`mount`]), and at a safe point ([`safe_point`]) turns the functions over by one store ([`switch`]). What is
//! in a process is read from the process ([`registry`]); [`recover`] completes what a killed patcher left.
#![forbid(unsafe_code)]
#![allow(rustdoc::private_intra_doc_links, reason = "the overview names the modules a reader opens next")]

mod apply;
mod continuation;
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod layout;
mod lock_holder;
mod modules;
mod mount;
mod operation;
mod outcome;
mod place;
mod plan;
mod record;
mod recover;
mod registry;
mod revert;
mod safe_point;
mod start;
mod starter;
mod status;
mod suspended;
mod switch;
mod symbolize;
mod table;
mod turn;
mod unwind_table;

pub use apply::apply;
pub use operation::Options;
pub use outcome::{Blocker, Outcome, State};
pub use recover::recover;
pub use revert::revert;
pub use status::{FunctionStatus, PatchStatus, Status, status};
