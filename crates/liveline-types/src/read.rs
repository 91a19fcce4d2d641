//! From the debug sections of an object to its entries.

use std::collections::HashMap;

use gimli::{
    AttributeValue, DebuggingInformationEntry, DwLang, Expression, Operation, UnitType, constants as dw,
};

use crate::entry::{Entry, NONE, Text};
use crate::sections::{Sections, Slice, TypesError};

/// What is known of a compilation unit.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    /// Source files, by their number.
    pub(crate) files: Vec<Text>,
    /// Written in C, where `struct` is part of the name.
    pub(crate) is_c: bool,
    /// Written in C++, where functions belong to classes.
    pub(crate) is_cpp: bool,
}

/// The entries of all units, in the order they are written, which is a walk of the tree.
pub(crate) fn read(sections: &Sections) -> Result<(Vec<Entry>, Vec<Unit>), TypesError> {
    let dwarf = sections.dwarf()?;
    let mut reader = Reader { sections, dwarf: &dwarf, entries: Vec::new(), index: HashMap::new() };
    let mut units = Vec::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        match header.type_() {
            UnitType::Compilation | UnitType::Partial => {}
            UnitType::Type { .. } => return Err(TypesError::TypeUnits),
            _ => return Err(TypesError::Split),
        }
        let debug = dwarf.unit(header)?;
        if debug.dwo_id.is_some() {
            return Err(TypesError::Split);
        }
        let number = u32::try_from(units.len()).map_err(|_| TypesError::TooLarge)?;
        let language = reader.read_unit(&debug, number)?;
        let is_c = language.is_some_and(is_c);
        let is_cpp = language.is_some_and(is_cpp);
        units.push(Unit { files: reader.files(&debug), is_c, is_cpp });
    }
    let Reader { mut entries, index, .. } = reader;
    let find = |offset: u32| index.get(&offset).copied().unwrap_or(NONE);
    for entry in &mut entries {
        entry.target = find(entry.target);
        entry.origin = find(entry.origin);
        entry.containing = find(entry.containing);
    }
    Ok((entries, units))
}

fn is_c(language: DwLang) -> bool {
    let known = [dw::DW_LANG_C, dw::DW_LANG_C89, dw::DW_LANG_C99, dw::DW_LANG_C11, dw::DW_LANG_C17];
    known.contains(&language)
}

fn is_cpp(language: DwLang) -> bool {
    let known = [
        dw::DW_LANG_C_plus_plus,
        dw::DW_LANG_C_plus_plus_03,
        dw::DW_LANG_C_plus_plus_11,
        dw::DW_LANG_C_plus_plus_14,
        dw::DW_LANG_C_plus_plus_17,
        dw::DW_LANG_C_plus_plus_20,
    ];
    known.contains(&language)
}

struct Reader<'a> {
    sections: &'a Sections,
    dwarf: &'a gimli::Dwarf<Slice<'a>>,
    /// While reading, links are offsets in `.debug_info`.
    entries: Vec<Entry>,
    index: HashMap<u32, u32>,
}

type DebugUnit<'a> = gimli::Unit<Slice<'a>>;

impl<'a> Reader<'a> {
    /// Reads all entries of a unit; tells the language it is written in.
    fn read_unit(&mut self, debug: &DebugUnit<'a>, unit: u32) -> Result<Option<DwLang>, TypesError> {
        let base = debug.header.debug_info_offset().map_or(0, |offset| offset.0);
        let mut language = None;
        let mut open: Vec<(isize, u32)> = Vec::new();
        let mut cursor = debug.entries();
        while let Some(found) = cursor.next_dfs()? {
            let number = u32::try_from(self.entries.len()).map_err(|_| TypesError::TooLarge)?;
            self.close(&mut open, found.depth(), number);
            let parent = open.last().map_or(NONE, |(_, parent)| *parent);
            open.push((found.depth(), number));
            if found.tag() == dw::DW_TAG_compile_unit {
                language = match found.attr_value(dw::DW_AT_language) {
                    Some(AttributeValue::Language(language)) => Some(language),
                    _ => None,
                };
            }
            let entry = self.read_entry(debug, found, base, Entry::new(found.tag(), unit, parent))?;
            let offset = u32::try_from(base + found.offset().0).map_err(|_| TypesError::TooLarge)?;
            self.index.insert(offset, number);
            self.entries.push(entry);
        }
        let number = u32::try_from(self.entries.len()).map_err(|_| TypesError::TooLarge)?;
        self.close(&mut open, isize::MIN, number);
        Ok(language)
    }

    fn close(&mut self, open: &mut Vec<(isize, u32)>, depth: isize, number: u32) {
        while let Some(&(above, entry)) = open.last() {
            if above < depth {
                break;
            }
            self.entries[entry as usize].end = number;
            open.pop();
        }
    }

    fn read_entry(
        &self,
        debug: &DebugUnit<'a>,
        found: &DebuggingInformationEntry<Slice<'a>>,
        base: usize,
        mut entry: Entry,
    ) -> Result<Entry, TypesError> {
        let mut ranges = false;
        for attribute in found.attrs() {
            let value = attribute.value();
            match attribute.name() {
                dw::DW_AT_name => entry.name = self.text(debug, value)?,
                dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => {
                    entry.linkage = self.text(debug, value)?;
                }
                dw::DW_AT_type | dw::DW_AT_discr if entry.tag == dw::DW_TAG_variant_part => {
                    entry.containing = link(value, base)?;
                }
                dw::DW_AT_type => entry.target = link(value, base)?,
                dw::DW_AT_abstract_origin | dw::DW_AT_specification => entry.origin = link(value, base)?,
                dw::DW_AT_containing_type => entry.containing = link(value, base)?,
                dw::DW_AT_byte_size => entry.size = value.udata_value(),
                dw::DW_AT_alignment => entry.alignment = value.udata_value(),
                dw::DW_AT_data_member_location => match value {
                    AttributeValue::Exprloc(expression) => {
                        (entry.offset, entry.slot) = location(debug, expression);
                    }
                    other => entry.offset = other.udata_value(),
                },
                dw::DW_AT_bit_size => entry.bit_size = value.udata_value(),
                dw::DW_AT_bit_offset => entry.bit_offset = value.udata_value(),
                dw::DW_AT_data_bit_offset => entry.data_bit_offset = value.udata_value(),
                dw::DW_AT_count => entry.count = value.udata_value(),
                // An upper bound of -1 is an array of nothing.
                dw::DW_AT_upper_bound => {
                    let last = match value {
                        AttributeValue::Sdata(last) => {
                            last.checked_add(1).and_then(|count| u64::try_from(count).ok())
                        }
                        other => other.udata_value().map(|last| last.wrapping_add(1)),
                    };
                    entry.count = entry.count.or(last);
                }
                dw::DW_AT_const_value | dw::DW_AT_discr_value => entry.value = number(value),
                dw::DW_AT_vtable_elem_location => {
                    if let AttributeValue::Exprloc(expression) = value {
                        entry.slot = location(debug, expression).1;
                    }
                }
                dw::DW_AT_encoding => {
                    if let AttributeValue::Encoding(encoding) = value {
                        entry.encoding = encoding.0;
                    }
                }
                dw::DW_AT_declaration => entry.declaration = value == AttributeValue::Flag(true),
                dw::DW_AT_external => entry.external = value == AttributeValue::Flag(true),
                dw::DW_AT_artificial => entry.artificial = value == AttributeValue::Flag(true),
                dw::DW_AT_virtuality => {
                    entry.virtual_ = value != AttributeValue::Virtuality(dw::DW_VIRTUALITY_none);
                }
                dw::DW_AT_low_pc => entry.place = self.dwarf.attr_address(debug, value)?,
                dw::DW_AT_ranges => ranges = entry.tag == dw::DW_TAG_subprogram,
                dw::DW_AT_location => entry.place = entry.place.or(self.address(debug, value)),
                dw::DW_AT_decl_file => {
                    if let AttributeValue::FileIndex(file) = value {
                        entry.file = u32::try_from(file).unwrap_or(0);
                    }
                }
                dw::DW_AT_decl_line => {
                    entry.line = value.udata_value().and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
                }
                dw::DW_AT_signature => return Err(TypesError::TypeUnits),
                _ => {}
            }
        }
        if ranges && entry.place.is_none() {
            entry.place = self.dwarf.die_ranges(debug, found)?.next()?.map(|range| range.begin);
        }
        Ok(entry)
    }

    fn text(&self, debug: &DebugUnit<'a>, value: AttributeValue<Slice<'a>>) -> Result<Text, TypesError> {
        let text = self.dwarf.attr_string(debug, value)?;
        let Some((section, start)) = self.sections.locate(text.slice()) else { return Ok(Text::default()) };
        let length = u32::try_from(text.len()).map_err(|_| TypesError::TooLarge)?;
        Ok(Text { section, start, length })
    }

    /// Where a variable lies, if it has a fixed place.
    fn address(&self, debug: &DebugUnit<'a>, value: AttributeValue<Slice<'a>>) -> Option<u64> {
        let AttributeValue::Exprloc(expression) = value else { return None };
        let mut operations = expression.operations(debug.encoding());
        let address = match operations.next().ok()?? {
            Operation::Address { address } => address,
            Operation::AddressIndex { index } => self.dwarf.address(debug, index).ok()?,
            _ => return None,
        };
        // With more behind it, it is a value made from the address: the variable does not lie there.
        operations.next().ok()?.is_none().then_some(address)
    }

    fn files(&self, debug: &DebugUnit<'a>) -> Vec<Text> {
        let Some(program) = &debug.line_program else { return Vec::new() };
        let header = program.header();
        let count = header.file_names().len() as u64 + 1;
        (0..count)
            .map(|number| {
                let file = header.file(number);
                file.and_then(|file| self.text(debug, file.path_name()).ok()).unwrap_or_default()
            })
            .collect()
    }
}

/// A link, as an offset in `.debug_info`.
fn link(value: AttributeValue<Slice>, base: usize) -> Result<u32, TypesError> {
    let offset = match value {
        AttributeValue::UnitRef(offset) => base.checked_add(offset.0).ok_or(TypesError::TooLarge)?,
        AttributeValue::DebugInfoRef(offset) => offset.0,
        AttributeValue::DebugTypesRef(_) => return Err(TypesError::TypeUnits),
        _ => return Ok(NONE),
    };
    u32::try_from(offset).map_err(|_| TypesError::TooLarge)
}

/// What an expression adds to the address of the structure, if that is all it does, else the first constant in it.
fn location(debug: &DebugUnit, expression: Expression<Slice>) -> (Option<u64>, Option<u64>) {
    let mut operations = expression.operations(debug.encoding());
    let mut constant = None;
    let mut count = 0;
    let mut offset = None;
    while let Ok(Some(operation)) = operations.next() {
        count += 1;
        match operation {
            Operation::PlusConstant { value } => offset = Some(value),
            Operation::UnsignedConstant { value } => constant = constant.or(Some(value)),
            Operation::SignedConstant { value } => constant = constant.or(Some(value as u64)),
            _ => {}
        }
    }
    (offset.filter(|_| count == 1), constant)
}

/// The value of a constant. Compilers write negative ones with a sign.
fn number(value: AttributeValue<Slice>) -> Option<i128> {
    match value {
        AttributeValue::Sdata(value) => Some(value.into()),
        AttributeValue::Block(block) => {
            let mut bytes = [0; 16];
            let length = block.len().min(16);
            bytes[..length].copy_from_slice(&block.slice()[..length]);
            Some(i128::from_le_bytes(bytes))
        }
        other => other.udata_value().map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use gimli::UnitOffset;

    use super::*;

    #[test]
    fn a_link_beyond_all_offsets_is_an_error() {
        let wild = |base| link(AttributeValue::UnitRef(UnitOffset(usize::MAX)), base);
        assert!(matches!(wild(16), Err(TypesError::TooLarge)));
        assert!(matches!(wild(0), Err(TypesError::TooLarge)));
        assert_eq!(link(AttributeValue::UnitRef(UnitOffset(8)), 16).expect("a link"), 24);
    }
}
