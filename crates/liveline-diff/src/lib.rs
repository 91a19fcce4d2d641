//! Two builds in, a patch out: what changed, what must come along, what is refused.
//!
//! [`diff`] takes the relocatable objects of two builds and the program as it runs. It takes the objects apart
//! into functions and data, tells which differ in meaning, proves that the old ones are the running program,
//! and gathers what the changed functions need into a [`Patch`] in which every address is resolved.
#![forbid(unsafe_code)]

mod brief;
mod close;
mod compare;
mod constants;
mod differing;
mod emit;
mod entry;
mod far;
#[doc(hidden)]
pub mod fuzzing;
mod gather;
mod held;
mod initializers;
mod input;
mod judge;
mod moved;
mod names;
mod place;
mod program;
mod prove;
mod report;
mod rust;
mod stay;
mod tail;
mod tls;
mod types;
mod unit;
mod unwind;

use std::path::PathBuf;

use liveline_elf::module::ModuleError;
use liveline_patch::{Patch, Requirement, Verdict};

pub use brief::list_in_brief;
pub use report::{diff, diff_described};
pub use rust::crate_of_object;
pub use types::TypeChange;

/// What to make a patch from.
#[derive(Clone, Debug)]
pub struct Request {
    /// Objects of the running build: an object, an archive, or a folder searched for them.
    pub old: PathBuf,
    /// Objects of the new build, of the same form.
    pub new: PathBuf,
    /// The program or shared library as it runs.
    pub target: PathBuf,
    /// Its unstripped twin, where it is stripped.
    pub debug: Option<PathBuf>,
    /// Name of the patch.
    pub name: String,
    /// Version of the patch.
    pub version: String,
    /// Patches that must be there before it.
    pub requires: Vec<Requirement>,
    /// Types, by name, whose changed layout a person takes the responsibility for.
    pub assume: Vec<String>,
    /// Accept objects whose types cannot be compared because they have no debug information.
    pub no_types: bool,
}

/// Debug information of Rust crates, for objects that were compiled without: folders with a `CRATE.o` each, compiled of
/// the same sources for that alone. `CRATE` is what [`crate_of_object`] says of a linked object.
#[derive(Clone, Debug)]
pub struct Described {
    /// Of the running build.
    pub old: PathBuf,
    /// Of the new build.
    pub new: PathBuf,
}

/// What came of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The patch; none if nothing is to be replaced, or something was refused.
    pub patch: Option<Patch>,
    /// One for every function or data object that is not simply unchanged.
    pub verdicts: Vec<Verdict>,
    /// Types that new code gets at and that are laid out in another way, each with a verdict of its own.
    pub types: Vec<TypeChange>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Something that the patch would need cannot be carried: there is no patch.
    pub refused: bool,
    /// Objects compared (pairs).
    pub objects: usize,
    /// Functions compared.
    pub functions: usize,
}

/// Why two builds could not be compared at all.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing to compare.
    #[error("no objects (.o, .a, .lo) in {path}")]
    NoObjects {
        /// Where.
        path: PathBuf,
    },
    /// An object is damaged.
    #[error("{name} is not a readable object: {source}")]
    Object {
        /// Which.
        name: String,
        /// Why.
        source: object::read::Error,
    },
    /// Another processor, or 32 bits.
    #[error("{name} is not an x86-64 object; liveline patches x86-64 programs only")]
    NotX86 {
        /// Which.
        name: String,
    },
    /// A linked file where an object belongs.
    #[error("{name} is not a relocatable object (give the .o files, not the linked program)")]
    NotRelocatable {
        /// Which.
        name: String,
    },
    /// Link-time optimisation.
    #[error(
        "{name} was built for link-time optimisation and holds no code; rebuild with -fno-lto or -ffat-lto-objects \
         (rustc: -C lto=off and without -C linker-plugin-lto; cargo: lto = \"off\" in the profile)"
    )]
    Lto {
        /// Which.
        name: String,
    },
    /// The target is no program.
    #[error("{path}: {source}")]
    Target {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ModuleError,
    },
    /// Nothing says where functions are.
    #[error("{path} is stripped: give its unstripped twin with --debug")]
    NoSymbols {
        /// Which.
        path: PathBuf,
    },
    /// The twin is another build.
    #[error("{path} is not the unstripped twin of the target: {reason}")]
    NotTwin {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
