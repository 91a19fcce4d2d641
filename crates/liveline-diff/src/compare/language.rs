//! The source language of an object.

use gimli::{DebugAbbrev, DebugInfo, DwLang};

use super::relocated::Relocated;
use crate::unit::{TABLE, Unit};

/// The language of an object, if its debug information names one that patches do not carry.
pub(crate) fn foreign(unit: &Unit) -> Option<String> {
    let language = read(unit)?;
    match language {
        gimli::DW_LANG_C
        | gimli::DW_LANG_C89
        | gimli::DW_LANG_C99
        | gimli::DW_LANG_C11
        | gimli::DW_LANG_C17 => None,
        language if is_cpp(language) => None,
        gimli::DW_LANG_Mips_Assembler | gimli::DW_LANG_Rust => None,
        other => {
            Some(other.static_string().map_or_else(|| other.to_string(), |name| name.replace("DW_LANG_", "")))
        }
    }
}

fn is_cpp(language: DwLang) -> bool {
    [
        gimli::DW_LANG_C_plus_plus,
        gimli::DW_LANG_C_plus_plus_03,
        gimli::DW_LANG_C_plus_plus_11,
        gimli::DW_LANG_C_plus_plus_14,
        gimli::DW_LANG_C_plus_plus_17,
        gimli::DW_LANG_C_plus_plus_20,
    ]
    .contains(&language)
}

/// Whether code of this object throws, catches or cleans up: then the running program must be told its unwind records.
/// Code that others throw through needs that, too; a program that can throw at all has the means for it, but for a static
/// one, which may have lost their names.
pub(crate) fn throws(unit: &Unit, is_static: bool) -> bool {
    let handles = unit.pieces.iter().any(|piece| piece.section.starts_with(TABLE));
    let calls = ["_Unwind_", "__cxa_throw", "__cxa_rethrow", "__cxa_begin_catch"];
    let raises = unit.externs.iter().any(|symbol| calls.iter().any(|start| symbol.name.starts_with(start)));
    let language = read(unit);
    // Rust's panics are told by the program: see `Program::panics_unwind`.
    language != Some(gimli::DW_LANG_Rust)
        && (handles || raises || (is_static && language.is_some_and(is_cpp)))
}

fn read(unit: &Unit) -> Option<DwLang> {
    let info = Relocated::read(unit, ".debug_info");
    let abbreviations = Relocated::read(unit, ".debug_abbrev");
    let header = DebugInfo::from(info.reader()).units().next().ok()??;
    let abbreviations = header.abbreviations(&DebugAbbrev::from(abbreviations.reader())).ok()?;
    let mut entries = header.entries(&abbreviations);
    let root = entries.next_dfs().ok()??;
    match root.attr_value(gimli::DW_AT_language)? {
        gimli::AttributeValue::Language(language) => Some(language),
        _ => None,
    }
}
