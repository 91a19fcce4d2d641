//! Closures that got another number.
//!
//! rustc numbers the closures of a function in the order of the source. With one more in front, the second is what
//! the first was, and a name of the old build means another closure in the new one. A closure that lives keeps its
//! captures and must keep the code that knows them.

use std::collections::{BTreeMap, BTreeSet};

use gimli::constants as dw;

use crate::compare::Sections;
use crate::unit::{Kind, Unit};

/// What the debug information says of closures.
#[derive(Debug, Default)]
struct Closures {
    /// By path of the function that they stand in: their names.
    numbers: BTreeMap<String, BTreeSet<String>>,
    /// By symbol: the function as the debug information has it, with its path and what it is generic over.
    functions: BTreeMap<String, String>,
}

/// New functions of, or generic over, closures whose function has others than before: their names mean nothing.
pub(crate) fn renumbered(old: &Unit, new: &Unit) -> BTreeSet<usize> {
    let closure = |unit: &Unit| {
        unit.pieces.iter().any(|piece| piece.kind == Kind::Code && names_closure(piece.label()))
    };
    if !closure(old) || !closure(new) {
        return BTreeSet::new();
    }
    let (before, after) = (read(old), read(new));
    let none = BTreeSet::new();
    let moved: Vec<&String> = before
        .numbers
        .iter()
        .filter(|(path, numbers)| after.numbers.get(*path).unwrap_or(&none) != *numbers)
        .map(|(path, _)| path)
        .collect();
    let of_moved = |name: &str| {
        moved.iter().any(|path| {
            name.match_indices(path.as_str()).any(|(at, _)| {
                let whole = !name[..at]
                    .ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':');
                whole && name[at + path.len()..].starts_with("::{")
            })
        })
    };
    let mut out = BTreeSet::new();
    for (index, piece) in new.pieces.iter().enumerate().filter(|(_, piece)| piece.kind == Kind::Code) {
        let symbol = super::symbols::meaning(piece.label());
        let known = after.functions.get(symbol).or_else(|| before.functions.get(symbol));
        if known.is_some_and(|name| of_moved(name)) {
            out.insert(index);
        }
    }
    out
}

fn names_closure(symbol: &str) -> bool {
    symbol.contains("closure") || (symbol.starts_with("_R") && symbol.contains("NC"))
}

fn read(unit: &Unit) -> Closures {
    let mut out = Closures::default();
    let sections = Sections::described(unit);
    let Ok(dwarf) = sections.dwarf() else { return out };
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        if let Ok(debug) = dwarf.unit(header) {
            // What cannot be read is left out: pieces are then paired by name.
            let _ = read_unit(&dwarf, &debug, &mut out);
        }
    }
    out
}

fn read_unit<R: gimli::Reader>(
    dwarf: &gimli::Dwarf<R>,
    debug: &gimli::Unit<R>,
    out: &mut Closures,
) -> gimli::Result<()> {
    let mut entries = debug.entries();
    let mut path: Vec<(isize, String)> = Vec::new();
    let text = |value: Option<gimli::AttributeValue<R>>| -> gimli::Result<Option<String>> {
        let Some(value) = value else { return Ok(None) };
        Ok(Some(dwarf.attr_string(debug, value)?.to_string_lossy()?.into_owned()))
    };
    while let Some(entry) = entries.next_dfs()? {
        let depth = entry.depth();
        path.retain(|(at, _)| *at < depth);
        let scope = matches!(
            entry.tag(),
            dw::DW_TAG_namespace
                | dw::DW_TAG_structure_type
                | dw::DW_TAG_enumeration_type
                | dw::DW_TAG_union_type
        );
        if !scope && entry.tag() != dw::DW_TAG_subprogram {
            continue;
        }
        let Some(name) = text(entry.attr_value(dw::DW_AT_name))? else { continue };
        let parents = || path.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("::");
        if let Some(number) = number(&name) {
            out.numbers.entry(parents()).or_default().insert(number);
        }
        if scope {
            path.push((depth, name));
        } else if let Some(symbol) = text(entry.attr_value(dw::DW_AT_linkage_name))? {
            let whole = format!("{}::{name}", parents());
            out.functions.insert(super::symbols::meaning(&symbol).to_owned(), whole);
        }
    }
    Ok(())
}

/// The number of a closure or coroutine, of its code or of its captures: `{closure#1}`, `{async_fn_env#0}<T>`.
fn number(name: &str) -> Option<String> {
    let (kind, rest) = name.strip_prefix('{')?.split_once('#')?;
    let (number, _) = rest.split_once('}')?;
    let kind = kind.strip_suffix("_env").unwrap_or(kind);
    let closure = kind == "closure"
        || kind.starts_with("async")
        || kind.contains("coroutine")
        || kind.starts_with("gen");
    closure.then(|| number.to_owned())
}
