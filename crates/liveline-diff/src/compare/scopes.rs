//! Which function a static local belongs to, from the debug information.

use std::collections::HashMap;

use gimli::{AttributeValue, Operation, Reader as _, UnitOffset, constants as dw};

use super::relocated::{Reader, Sections, place};
use crate::unit::Unit;

/// Where a static local is declared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Scope {
    /// The function, as written in the source.
    pub(crate) function: String,
    /// The variable, as written in the source.
    pub(crate) name: String,
}

/// For each piece that is a static local: where it is declared, and in which line.
pub(crate) fn scopes(unit: &Unit) -> HashMap<usize, (Scope, u64)> {
    let mut out = HashMap::new();
    let sections = Sections::read(unit);
    let Ok(dwarf) = sections.dwarf() else { return out };
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        if let Ok(debug) = dwarf.unit(header) {
            // What cannot be read is left out; the caller then goes by use.
            let _ = read_unit(unit, &dwarf, &debug, &mut out);
        }
    }
    out
}

fn read_unit<'a>(
    unit: &Unit,
    dwarf: &gimli::Dwarf<Reader<'a>>,
    debug: &gimli::Unit<Reader<'a>>,
    out: &mut HashMap<usize, (Scope, u64)>,
) -> gimli::Result<()> {
    let mut entries = debug.entries();
    let mut functions: Vec<(isize, UnitOffset)> = Vec::new();
    while let Some(entry) = entries.next_dfs()? {
        let depth = entry.depth();
        functions.retain(|(at, _)| *at < depth);
        match entry.tag() {
            dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine => functions.push((depth, entry.offset())),
            dw::DW_TAG_variable => {
                let Some(&(_, owner)) = functions.last() else { continue };
                let Some(AttributeValue::Exprloc(expression)) = entry.attr_value(dw::DW_AT_location) else {
                    continue;
                };
                let address = match expression.operations(debug.encoding()).next()? {
                    Some(Operation::Address { address }) => address,
                    Some(Operation::AddressIndex { index }) => dwarf.address(debug, index)?,
                    _ => continue,
                };
                let (section, offset) = place(address);
                let Some(piece) = i64::try_from(offset).ok().and_then(|at| unit.locate(section, at)) else {
                    continue;
                };
                let offset = entry.offset();
                let (Some(function), Some(name)) = (name(dwarf, debug, owner)?, name(dwarf, debug, offset)?)
                else {
                    continue;
                };
                let line = line(debug, offset)?;
                out.entry(piece).or_insert((Scope { function, name }, line));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The entry an entry is an instance of.
fn origin(entry: &gimli::DebuggingInformationEntry<Reader>) -> Option<UnitOffset> {
    let value =
        entry.attr_value(dw::DW_AT_abstract_origin).or_else(|| entry.attr_value(dw::DW_AT_specification));
    match value {
        Some(AttributeValue::UnitRef(offset)) => Some(offset),
        _ => None,
    }
}

fn name<'a>(
    dwarf: &gimli::Dwarf<Reader<'a>>,
    debug: &gimli::Unit<Reader<'a>>,
    mut at: UnitOffset,
) -> gimli::Result<Option<String>> {
    for _ in 0..4 {
        let entry = debug.entry(at)?;
        if let Some(value) = entry.attr_value(dw::DW_AT_name) {
            let text = dwarf.attr_string(debug, value)?;
            return Ok(Some(text.to_string_lossy()?.into_owned()));
        }
        let Some(next) = origin(&entry) else { break };
        at = next;
    }
    Ok(None)
}

fn line(debug: &gimli::Unit<Reader>, mut at: UnitOffset) -> gimli::Result<u64> {
    for _ in 0..4 {
        let entry = debug.entry(at)?;
        if let Some(line) = entry.attr_value(dw::DW_AT_decl_line).and_then(|value| value.udata_value()) {
            return Ok(line);
        }
        let Some(next) = origin(&entry) else { break };
        at = next;
    }
    Ok(0)
}
