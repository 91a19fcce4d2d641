//! Debug sections of a relocatable object, with their relocations applied in place.

use gimli::{EndianSlice, LittleEndian, SectionId};
use object::read::{Object, ObjectSection, ObjectSymbol};
use object::{RelocationKind, RelocationTarget};

/// Why the types of an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TypesError {
    /// Types in units of their own.
    #[error("its types are in type units; compile without -fdebug-types-section")]
    TypeUnits,
    /// The debug information is in another file.
    #[error("its debug information is in a .dwo file; compile without -gsplit-dwarf")]
    Split,
    /// Damaged or of an unknown kind.
    #[error("its debug information cannot be read: {0}")]
    Damaged(#[from] gimli::Error),
    /// An object of 4 GiB.
    #[error("its debug information is too large")]
    TooLarge,
}

/// A place in an object: a section and an offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

/// A place is written into address fields as one number: the section's index above, the offset below.
const SECTION_SHIFT: u32 = 40;

impl Place {
    /// The place at an offset of a section, by its index in the object.
    pub fn new(section: usize, offset: u64) -> Self {
        Self((section as u64) << SECTION_SHIFT | offset & ((1 << SECTION_SHIFT) - 1))
    }

    /// The place a relocated address stands for.
    pub(crate) fn from_address(address: u64) -> Self {
        Self(address)
    }

    /// Offset in the section.
    pub(crate) fn offset(self) -> u64 {
        self.0 & ((1 << SECTION_SHIFT) - 1)
    }

    /// Index of the section.
    pub(crate) fn section(self) -> usize {
        (self.0 >> SECTION_SHIFT) as usize
    }
}

/// A debug section as gimli reads it.
pub(crate) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The sections that types are read from.
const NEEDED: [SectionId; 8] = [
    SectionId::DebugInfo,
    SectionId::DebugStr,
    SectionId::DebugLineStr,
    SectionId::DebugAbbrev,
    SectionId::DebugStrOffsets,
    SectionId::DebugAddr,
    SectionId::DebugLine,
    SectionId::DebugRngLists,
];

/// The debug sections of an object.
#[derive(Debug)]
pub(crate) struct Sections {
    data: Vec<Vec<u8>>,
}

impl Sections {
    pub(crate) fn read<'d>(file: &impl Object<'d>) -> Result<Self, TypesError> {
        if file.section_by_name(".debug_types").is_some() {
            return Err(TypesError::TypeUnits);
        }
        let mut data = Vec::new();
        for id in NEEDED {
            let section = relocated(file, id.name());
            if u32::try_from(section.len()).is_err() {
                return Err(TypesError::TooLarge);
            }
            data.push(section);
        }
        Ok(Self { data })
    }

    pub(crate) fn dwarf(&self) -> Result<gimli::Dwarf<Slice<'_>>, gimli::Error> {
        gimli::Dwarf::load(|id| -> Result<Slice<'_>, gimli::Error> {
            let at = NEEDED.iter().position(|needed| *needed == id);
            let data = at.and_then(|at| self.data.get(at)).map_or(&[][..], Vec::as_slice);
            Ok(EndianSlice::new(data, LittleEndian))
        })
    }

    /// Where a piece of text that was read lies: the section's number and the offset.
    pub(crate) fn locate(&self, text: &[u8]) -> Option<(u8, u32)> {
        let start = text.as_ptr() as usize;
        self.data.iter().enumerate().find_map(|(number, section)| {
            let offset = start.checked_sub(section.as_ptr() as usize)?;
            (offset < section.len()).then_some((u8::try_from(number).ok()?, u32::try_from(offset).ok()?))
        })
    }

    /// Keeps the sections that hold text.
    pub(crate) fn into_text(mut self) -> Vec<Vec<u8>> {
        self.data.truncate(3);
        self.data
    }
}

/// A section with its relocations applied; empty if there is none.
fn relocated<'d>(file: &impl Object<'d>, name: &str) -> Vec<u8> {
    let Some(section) = file.section_by_name(name) else { return Vec::new() };
    let mut data = section.uncompressed_data().unwrap_or_default().into_owned();
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else { continue };
        let Ok(symbol) = file.symbol_by_index(index) else { continue };
        let value = symbol.address().wrapping_add(relocation.addend() as u64);
        let Ok(offset) = usize::try_from(offset) else { continue };
        let thread_local = relocation.kind() == RelocationKind::Unknown;
        match if thread_local { 64 } else { relocation.size() } {
            32 => {
                if let Some(field) = data.get_mut(offset..).and_then(|rest| rest.get_mut(..4)) {
                    field.copy_from_slice(&(value as u32).to_le_bytes());
                }
            }
            64 => {
                let section = symbol.section_index().map_or(0, |index| index.0);
                if let Some(field) = data.get_mut(offset..).and_then(|rest| rest.get_mut(..8)) {
                    field.copy_from_slice(&Place::new(section, value).0.to_le_bytes());
                }
            }
            _ => {}
        }
    }
    data
}
