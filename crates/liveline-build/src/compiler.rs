//! Which compiler made a program: what `.comment` says.

use std::collections::BTreeSet;
use std::path::Path;

use object::{Object, ObjectSection};

use crate::BuildError;

/// The compilers named in the `.comment` section of an object or program.
pub(crate) fn comments(bytes: &[u8]) -> BTreeSet<String> {
    let Ok(file) = object::File::parse(bytes) else { return BTreeSet::new() };
    let Some(data) = file.section_by_name(".comment").and_then(|section| section.uncompressed_data().ok())
    else {
        return BTreeSet::new();
    };
    let texts = data.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .filter(|text| !text.starts_with("Linker:"))
        .collect()
}

/// Whether a program has no symbols but those of the dynamic linker.
pub(crate) fn is_stripped(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    object::File::parse(&*bytes).is_ok_and(|file| file.section_by_name(".symtab").is_none())
}

/// Refuses a build by compilers that none of the running program was made by. A program that names none passes: the
/// comparison of its code decides. Gives those that the program names and the build does not: the makers of start-up
/// files and static libraries among them, so that only a refused comparison makes them suspect.
pub(crate) fn check(running: &Path, built: &BTreeSet<String>) -> Result<Vec<String>, BuildError> {
    let bytes = std::fs::read(running).map_err(|source| BuildError::Read { path: running.into(), source })?;
    let there = comments(&bytes);
    if there.is_empty() || built.is_empty() || built.iter().any(|own| there.contains(own)) {
        return Ok(there.difference(built).cloned().collect());
    }
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    Err(BuildError::OtherCompiler { running: list(&there), built: list(built) })
}
