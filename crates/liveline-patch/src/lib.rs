//! The patch file (`.llp`): its model, and how it is written and read.
//!
//! A patch is an ordinary ELF relocatable, so that `readelf`, `objdump` and `gdb` open it: the new code and
//! data in sections of their own with plain `R_X86_64_*` relocations, and one section [`META_SECTION`] of CBOR
//! that says which program it is for, what it replaces, and where every outer symbol is found.
//!
//! Everything the builder can resolve is resolved here: a patch holds no GOT, PLT or TLS relocations. The
//! builder turns those into ordinary data words, stubs and constants, so the installer only ever adds and
//! subtracts addresses.
#![forbid(unsafe_code)]

mod decode;
mod encode;
mod model;

pub use decode::DecodeError;
pub use encode::EncodeError;
pub use model::*;

/// The section that holds the CBOR description of the patch.
pub const META_SECTION: &str = ".liveline.meta";

/// The newest format this library writes. A reader refuses a newer [`Format::major`] and ignores what it does
/// not know within the same one.
pub const FORMAT: Format = Format { major: 1, minor: 0 };
