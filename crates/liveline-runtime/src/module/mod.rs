//! Modules: shared libraries that bring factories into a running program.

pub(crate) mod bytes;
mod descriptors;
mod entrance;
pub(crate) mod loaded;
mod mapped;
mod steps;

pub use entrance::{Entrance, Loaded};
pub use steps::Module;

pub use crate::shared::ProgramAllocator;
