//! One entry of the debug information, with what matters of it.

use gimli::{DwTag, constants as dw};

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// A text in one of the sections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Text {
    pub(crate) section: u8,
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// One entry. Links are indexes of other entries, [`NONE`] if there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) tag: DwTag,
    pub(crate) unit: u32,
    pub(crate) parent: u32,
    /// Behind the last entry below this one.
    pub(crate) end: u32,
    pub(crate) name: Text,
    /// Name of the symbol, where it is another.
    pub(crate) linkage: Text,
    /// What it is of.
    pub(crate) target: u32,
    /// What it is an instance or the definition of.
    pub(crate) origin: u32,
    /// The class of a pointer to member.
    pub(crate) containing: u32,
    pub(crate) size: Option<u64>,
    pub(crate) alignment: Option<u64>,
    /// Offset of a member.
    pub(crate) offset: Option<u64>,
    pub(crate) bit_size: Option<u64>,
    /// From the end of the storage unit, as DWARF 3 has it.
    pub(crate) bit_offset: Option<u64>,
    /// From the start of the structure, as DWARF 4 has it.
    pub(crate) data_bit_offset: Option<u64>,
    /// Elements of an array.
    pub(crate) count: Option<u64>,
    /// Of an enumerator, a variant, or a constant.
    pub(crate) value: Option<i128>,
    /// Slot in the vtable, or where the vtable tells the offset of a virtual base.
    pub(crate) slot: Option<u64>,
    /// Start of a function, or where a variable lies.
    pub(crate) place: Option<u64>,
    pub(crate) encoding: u8,
    pub(crate) declaration: bool,
    pub(crate) external: bool,
    pub(crate) artificial: bool,
    /// `DW_AT_virtuality` is not none.
    pub(crate) virtual_: bool,
    pub(crate) file: u32,
    pub(crate) line: u32,
}

impl Entry {
    pub(crate) fn new(tag: DwTag, unit: u32, parent: u32) -> Self {
        Self {
            tag,
            unit,
            parent,
            end: NONE,
            name: Text::default(),
            linkage: Text::default(),
            target: NONE,
            origin: NONE,
            containing: NONE,
            size: None,
            alignment: None,
            offset: None,
            bit_size: None,
            bit_offset: None,
            data_bit_offset: None,
            count: None,
            value: None,
            slot: None,
            place: None,
            encoding: 0,
            declaration: false,
            external: false,
            artificial: false,
            virtual_: false,
            file: 0,
            line: 0,
        }
    }

    /// A structure, class or union.
    pub(crate) fn is_aggregate(&self) -> bool {
        matches!(self.tag, dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type)
    }

    /// A type that has a definition with a name.
    pub(crate) fn is_defined(&self) -> bool {
        self.is_aggregate() || self.tag == dw::DW_TAG_enumeration_type
    }

    /// A name for, or a qualified form of, another type.
    pub(crate) fn is_wrapper(&self) -> bool {
        matches!(
            self.tag,
            dw::DW_TAG_typedef
                | dw::DW_TAG_const_type
                | dw::DW_TAG_volatile_type
                | dw::DW_TAG_restrict_type
                | dw::DW_TAG_atomic_type
                | dw::DW_TAG_immutable_type
                | dw::DW_TAG_packed_type
                | dw::DW_TAG_shared_type
                | dw::DW_TAG_template_alias
        )
    }

    /// A pointer or reference.
    pub(crate) fn is_pointer(&self) -> bool {
        matches!(
            self.tag,
            dw::DW_TAG_pointer_type | dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type
        )
    }

    /// Whether members are laid one upon the other.
    pub(crate) fn is_union(&self) -> bool {
        self.tag == dw::DW_TAG_union_type
    }
}
