//! What an ELF file says: symbols, sections, relocations, build-ids, unwind tables.
//!
//! Only x86-64 files are read. Everything here accepts hostile bytes: what cannot be read is an error or is
//! left out, never a panic.
#![forbid(unsafe_code)]

pub mod demangle;
pub mod module;
