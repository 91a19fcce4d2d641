//! The patch file (`.llp`): its model, and how it is written and read.
//!
//! A patch is an ordinary ELF relocatable, so that `readelf`, `objdump` and `gdb` open it: the new code and
//! data in sections of their own with plain `R_X86_64_*` relocations, and one section [`META_SECTION`] of CBOR
//! that says which program it is for, what it replaces, and where every outer symbol is found.
//!
//! Everything the builder can resolve is resolved here: a patch holds no GOT, PLT or TLS relocations. The
//! builder turns those into ordinary data words, stubs and constants, so the installer only ever adds and
//! subtracts addresses.
//!
//! A second section, [`CHECK_SECTION`], holds a hash of the whole file: one flipped bit of new code would be new
//! code too, and crash the program it is put into.
#![forbid(unsafe_code)]

mod check;
mod decode;
mod encode;
#[doc(hidden)]
pub mod fuzzing;
mod model;

pub use decode::{DecodeError, check_word};
pub use encode::EncodeError;
pub use model::*;

/// The section that holds the CBOR description of the patch.
pub const META_SECTION: &str = ".liveline.meta";

/// The section that holds the BLAKE3 hash of the file, taken while these 32 bytes are zero.
pub const CHECK_SECTION: &str = ".liveline.check";

/// The newest format this library writes. A reader refuses a newer [`Format::major`] and ignores what it does
/// not know within the same one.
pub const FORMAT: Format = Format { major: 1, minor: 0 };
