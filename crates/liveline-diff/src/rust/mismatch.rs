//! Builds that cannot be compared: other compilers, other crate identities.

use std::collections::{BTreeMap, BTreeSet};

use object::read::elf::ElfFile64;
use object::read::{Object as _, ObjectSection as _};

use super::pair::has_own_name;
use super::symbols::readable;
use crate::unit::{Kind, Unit};

/// Why two builds of a Rust crate, or a build and the program that runs, do not belong together.
pub(crate) fn mismatch(old: &Unit, new: &Unit, target: &[u8]) -> Option<String> {
    if !old.pieces.iter().chain(&new.pieces).any(has_own_name) {
        return None;
    }
    let (before, after) = (compilers(&old.file), compilers(&new.file));
    if !before.is_empty() && !after.is_empty() && before != after {
        return Some(format!(
            "the old build was compiled by {}, the new one by {}; compile both with the compiler of the running program",
            list(&before),
            list(&after)
        ));
    }
    let running = ElfFile64::parse(target).map(|file| compilers(&file)).unwrap_or_default();
    if let Some(other) = before.iter().find(|compiler| !running.contains(*compiler))
        && !running.is_empty()
    {
        return Some(format!(
            "the objects were compiled by {other}, the running program by {}; compile both builds with that",
            list(&running)
        ));
    }
    let (before, after) = (identities(old), identities(new));
    let renamed = match (before.is_empty(), after.is_empty()) {
        (false, false) => {
            before.is_disjoint(&after).then(|| format!(" ({} and {})", list(&before), list(&after)))
        }
        _ => all_renamed(old, new).then(String::new),
    };
    renamed.map(|which| {
        format!(
            "the crate has another identity in the new build{which}, so that no name of one build means anything in \
             the other: -C metadata differs, which cargo makes of the package's version, features, path and profile; \
             build the new source under the same ones"
        )
    })
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The versions of rustc that a file's `.comment` names.
fn compilers(file: &ElfFile64<object::LittleEndian>) -> BTreeSet<String> {
    let comment = file.section_by_name(".comment").and_then(|section| section.uncompressed_data().ok());
    let comment = comment.unwrap_or_default();
    let lines = comment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    lines.filter_map(|line| Some(format!("rustc {}", line.strip_prefix("rustc version ")?))).collect()
}

/// The crate's name and number, as the names of its codegen units have them: `name.4c326391e5c9970c`.
fn identities(unit: &Unit) -> BTreeSet<String> {
    let sources = unit.pieces.iter().filter_map(|piece| piece.names.first()?.source);
    let mut seen = BTreeSet::new();
    sources
        .filter(|source| seen.insert(*source))
        .filter_map(|source| {
            let (name, number) = source.rsplit_once("-cgu.")?;
            let (_, hash) = name.rsplit_once('.')?;
            let plain = hash.len() == 16 && !number.is_empty();
            plain.then(|| name.to_owned())
        })
        .collect()
}

/// Whether all functions of the crate have other symbols for the same names.
fn all_renamed(old: &Unit, new: &Unit) -> bool {
    let (before, after) = (functions(old), functions(new));
    // Of the crates that functions are of, most are of the one that is compiled; others' come by being generic.
    let Some((name, before)) = before.iter().max_by_key(|(_, symbols)| symbols.len()) else { return false };
    let Some(after) = after.get(name) else { return false };
    let names = |symbols: &BTreeSet<String>| -> BTreeSet<String> {
        symbols.iter().map(|name| readable(name)).collect()
    };
    before.is_disjoint(after) && !names(before).is_disjoint(&names(after))
}

/// The symbols of functions by crate, but for those of the standard library.
fn functions(unit: &Unit) -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for piece in unit.pieces.iter().filter(|piece| piece.kind == Kind::Code && has_own_name(piece)) {
        let name = readable(piece.label());
        let start = name.trim_start_matches(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let Some((of, _)) = start.split_once("::") else { continue };
        if !matches!(of, "core" | "alloc" | "std" | "hashbrown" | "__rustc") {
            out.entry(of.to_owned()).or_default().insert(piece.label().to_owned());
        }
    }
    out
}
