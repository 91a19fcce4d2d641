//! Debug sections of an object with their relocations applied.

use std::borrow::Cow;
use std::collections::HashMap;

use gimli::{EndianSlice, LittleEndian, RelocateReader};
use object::LittleEndian as LE;
use object::read::elf::ElfFile64;
use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::unit::Unit;

/// Reads a debug section with its relocations applied.
pub(crate) type Reader<'a> = RelocateReader<EndianSlice<'a, LittleEndian>, Apply<'a>>;

/// Addresses in an object: the section's index above, the offset below.
const SECTION_SHIFT: u32 = 40;

/// The section and offset that a relocated address stands for.
pub(crate) fn place(address: u64) -> (usize, u64) {
    ((address >> SECTION_SHIFT) as usize, address & ((1 << SECTION_SHIFT) - 1))
}

/// A debug section and the values of its relocated fields.
#[derive(Debug, Default)]
pub(crate) struct Relocated<'d> {
    data: Cow<'d, [u8]>,
    values: HashMap<u64, u64>,
}

/// Applies the relocations of a debug section, so that addresses of different sections differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Apply<'a>(&'a HashMap<u64, u64>);

impl gimli::read::Relocate for Apply<'_> {
    fn relocate_address(&self, offset: usize, value: u64) -> gimli::Result<u64> {
        Ok(self.0.get(&(offset as u64)).copied().unwrap_or(value))
    }
    fn relocate_offset(&self, offset: usize, value: usize) -> gimli::Result<usize> {
        let found = self.0.get(&(offset as u64)).and_then(|value| usize::try_from(*value).ok());
        Ok(found.unwrap_or(value))
    }
}

impl<'d> Relocated<'d> {
    /// Reads a section; empty if there is none.
    pub(crate) fn read(unit: &Unit<'d>, name: &str) -> Self {
        Self::read_from(&unit.file, name)
    }

    fn read_from(file: &ElfFile64<'d, LE>, name: &str) -> Self {
        let Some(section) = file.section_by_name(name) else { return Self::default() };
        let data = section.uncompressed_data().unwrap_or_default();
        let mut values = HashMap::new();
        for (offset, relocation) in section.relocations() {
            let object::RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let Ok(symbol) = file.symbol_by_index(index) else { continue };
            let value = symbol.address().wrapping_add(relocation.addend() as u64);
            // Offsets into other debug sections stay what they are.
            let loaded = symbol.section_index().filter(|index| {
                let section = file.section_by_index(*index);
                section.is_ok_and(|section| {
                    matches!(section.flags(), object::SectionFlags::Elf { sh_flags, .. }
                        if sh_flags.contains(object::elf::SHF_ALLOC))
                })
            });
            let base = loaded.map_or(0, |index| (index.0 as u64) << SECTION_SHIFT);
            values.insert(offset, base | value & ((1 << SECTION_SHIFT) - 1));
        }
        Self { data, values }
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        RelocateReader::new(EndianSlice::new(&self.data, LittleEndian), Apply(&self.values))
    }

    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }
}

/// The debug sections of an object.
#[derive(Debug)]
pub(crate) struct Sections<'d> {
    known: HashMap<&'static str, Relocated<'d>>,
    none: Relocated<'d>,
}

impl<'d> Sections<'d> {
    pub(crate) fn read(unit: &Unit<'d>) -> Self {
        Self::read_from(&unit.file)
    }

    /// Those that describe a unit, be it in another object.
    pub(crate) fn described(unit: &Unit<'d>) -> Self {
        Self::read_from(unit.debug_file())
    }

    fn read_from(file: &ElfFile64<'d, LE>) -> Self {
        let known = SECTIONS.iter().map(|id| (id.name(), Relocated::read_from(file, id.name()))).collect();
        Self { known, none: Relocated::default() }
    }

    pub(crate) fn dwarf(&self) -> gimli::Result<gimli::Dwarf<Reader<'_>>> {
        gimli::Dwarf::load(|id| Ok(self.known.get(id.name()).unwrap_or(&self.none).reader()))
    }
}

const SECTIONS: [gimli::SectionId; 9] = [
    gimli::SectionId::DebugInfo,
    gimli::SectionId::DebugAbbrev,
    gimli::SectionId::DebugStr,
    gimli::SectionId::DebugLineStr,
    gimli::SectionId::DebugStrOffsets,
    gimli::SectionId::DebugAddr,
    gimli::SectionId::DebugLine,
    gimli::SectionId::DebugLocLists,
    gimli::SectionId::DebugRngLists,
];
