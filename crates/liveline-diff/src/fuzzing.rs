//! Ways in for the fuzzer; no part of the interface.

use std::path::Path;

use crate::DiffError;
use crate::compare::compare;
use crate::input::Build;
use crate::unit::Unit;

/// Takes two builds of an object apart and compares them; gives the number of functions that changed.
pub fn objects(old: &[u8], new: &[u8]) -> Result<usize, DiffError> {
    let old = Unit::read("old", old)?;
    let new = Unit::read("new", new)?;
    let comparison = compare(&old, &new);
    Ok(comparison.changed.len())
}

/// Pairs the members of two archives; gives the number of pairs.
pub fn archives(old: Vec<u8>, new: Vec<u8>) -> Result<usize, DiffError> {
    let mut builds = [Build::default(), Build::default()];
    for (build, bytes) in builds.iter_mut().zip([old, new]) {
        build.add_bytes(Path::new("archive"), String::new(), bytes)?;
    }
    Ok(Build::pair(&builds[0], &builds[1], "archive").len())
}
