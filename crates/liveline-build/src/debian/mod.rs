//! Debian's packages: binaries and sources fetched, sources rebuilt as the archive built them, and the proof of it.
//!
//! - [`update`]: a package and its security update, to one patch for each program and library that changed;
//! - [`Archive`]: what the archive has, downloaded and unpacked;
//! - [`Room`]: a copy-on-write view of this system in which packages are installed and sources built, so that
//!   nothing of the system itself changes;
//! - [`Recipe`]: one build of a source package; [`Built`] is its programs with the objects each was linked from;
//! - [`prove`]: by what a rebuilt program is known to be the archive's.

mod archive;
mod contents;
mod error;
mod pins;
mod pool;
mod proof;
mod quiet;
mod rebuild;
mod room;
mod source;
mod update;

pub use archive::Archive;
pub use contents::Beyond;
pub use error::{DebianError, Result};
pub use proof::{Proof, SectionDifference, build_id, prove, same_image};
pub use quiet::Quiet;
pub use rebuild::{Built, Recipe, TextChange};
pub use room::Room;
pub use source::patches;
pub use update::{Patched, Request, Update, update};
