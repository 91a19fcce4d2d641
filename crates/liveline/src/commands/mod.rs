//! The commands, one file each.

pub(crate) mod build;
pub(crate) mod change;
mod debian;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod inspect;
pub(crate) mod module;
pub(crate) mod pages;
pub(crate) mod status;

use std::path::Path;

use liveline_patch::Patch;

use crate::failure::{Code, Failure};

/// Reads a patch file: its bytes, and what they say.
fn read_patch(path: &Path) -> Result<(Vec<u8>, Patch), Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
    match Patch::decode(&bytes) {
        Ok(patch) => Ok((bytes, patch)),
        Err(error) => Err(Failure::new(Code::Refused, format!("{}: {error}", path.display()))
            .hint("a patch file is made by: liveline diff --old … --new … --target … -o FILE.llp")),
    }
}
