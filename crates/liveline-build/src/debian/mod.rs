//! Debian's packages: binaries and sources fetched, sources rebuilt as the archive built them, and the proof of it.
//!
//! - [`Archive`]: what the archive has, downloaded and unpacked;
//! - [`Room`]: a copy-on-write view of this system in which packages are installed and sources built, so that
//!   nothing of the system itself changes;
//! - [`Recipe`]: one build of a source package; [`Built`] is its programs with the objects each was linked from;
//! - [`prove`]: by what a rebuilt program is known to be the archive's.

mod archive;
mod command;
mod links;
mod proof;
mod rebuild;
mod room;
mod source;
mod update;

pub use archive::Archive;
pub use command::{Failure, Quiet, Result, Tried, output_of};
pub use proof::{build_id, prove, same_image};
pub use rebuild::{Built, Change, Recipe};
pub use room::Room;
pub use update::{Prepared, Program, SecurityUpdate, Side};
