//! Watches the sources of a module, and builds it again when they change.
//!
//! [`Project`] finds the package and what it is made of here, and builds it as a module that a program can take in beside
//! the builds before it; [`Sources`] waits until a file of it differs.
#![forbid(unsafe_code)]

mod project;
mod sources;

use std::io;
use std::path::PathBuf;

pub use project::{Built, Project};
pub use sources::{Change, Sources};

/// Why a module is not built, or its sources not watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// cargo does not find a workspace here.
    #[error("{folder}: cargo finds no workspace: {said}")]
    NoWorkspace {
        /// Where it looked.
        folder: PathBuf,
        /// Its words.
        said: String,
    },
    /// It is not clear which package the module is.
    #[error("which package is the module? {0}")]
    NoPackage(String),
    /// cargo or rustc cannot be run.
    #[error("cargo and rustc cannot be run: {0}")]
    Cargo(#[source] io::Error),
    /// The module's sources do not build; cargo has said why.
    #[error("{package} does not build")]
    Build {
        /// The package.
        package: String,
    },
    /// cargo built something, but no shared library.
    #[error("cargo built no shared library of {package}")]
    NoModule {
        /// The package.
        package: String,
    },
    /// The sources cannot be watched.
    #[error("the sources cannot be watched: {0}")]
    Watch(#[from] notify::Error),
}
