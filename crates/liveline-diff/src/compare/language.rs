//! The source language of an object.

use gimli::{DebugAbbrev, DebugInfo, DwLang};

use super::relocated::Relocated;
use crate::unit::Unit;

/// The language of an object, if its debug information names one that patches do not carry yet: new C++ and
/// Rust code would need its unwind tables registered, its initialisers run and its types compared.
pub(crate) fn foreign(unit: &Unit) -> Option<String> {
    let language = read(unit)?;
    match language {
        gimli::DW_LANG_C
        | gimli::DW_LANG_C89
        | gimli::DW_LANG_C99
        | gimli::DW_LANG_C11
        | gimli::DW_LANG_C17 => None,
        gimli::DW_LANG_Mips_Assembler | gimli::DW_LANG_Rust => None,
        other => {
            Some(other.static_string().map_or_else(|| other.to_string(), |name| name.replace("DW_LANG_", "")))
        }
    }
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
