//! Modules: shared libraries that bring factories into a running program.

mod descriptors;
mod entrance;
pub(crate) mod image;
pub(crate) mod loaded;
mod steps;

pub use entrance::{Entrance, Loaded};
pub use steps::Module;

pub use crate::shared::ProgramAllocator;
