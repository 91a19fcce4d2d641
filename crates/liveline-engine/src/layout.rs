//! Where everything of a patch lies in its image, as offsets from the image's base.
//!
//! The image is an ELF file whose file offsets equal its addresses less the base: headers, update table, new
//! code, constants, unwind tables and symbols first (mapped read + execute, never writable), then from a page
//! boundary the registry record, slots and new data (mapped read + write, private).

use liveline_patch::{Patch, Place, SectionKind};

use crate::continuation::CONTINUATION_SIZE;
use crate::record::HEADER_SIZE;
use crate::starter::{OBJECT_SIZE, Starter};
use crate::table::{GATE_SIZE, STUB_SIZE, THUNK_SIZE};

/// Size of a page.
pub(crate) const PAGE: u64 = 4096;

/// Offsets of everything that is loaded.
#[derive(Debug)]
pub(crate) struct Layout {
    /// First stub; one per function.
    pub(crate) stubs: u64,
    /// First thunk.
    pub(crate) thunks: u64,
    /// The gate.
    pub(crate) gate: u64,
    /// First continuation.
    pub(crate) continuations: u64,
    /// The starter, see [`Starter`].
    pub(crate) starter: u64,
    /// Bytes of the starter; 0 where there is none.
    pub(crate) starter_size: u64,
    /// What the unwinders keep of us, one object each.
    pub(crate) objects: u64,
    objects_size: u64,
    /// Offset of each section of the patch, in its order.
    pub(crate) sections: Vec<u64>,
    /// End of the code.
    pub(crate) text_end: u64,
    /// First byte behind the constants; unwind tables and symbols follow.
    pub(crate) rodata_end: u64,
    /// Offset of the record: end of the read-execute part, a page boundary. Set by the image.
    pub(crate) record: u64,
    /// End of what the file holds of the read-write part.
    pub(crate) data_end: u64,
    /// End of the image, a page boundary.
    pub(crate) end: u64,
    pub(crate) functions: u64,
}

impl Layout {
    /// Offset of the first stub: behind the ELF header and four program headers, rounded up.
    pub(crate) const STUBS: u64 = 0x200;

    /// Lays out code and constants. The read-write part follows with [`Layout::place_data`], once the size of
    /// what lies between is known.
    pub(crate) fn new(patch: &Patch, starter: Option<&Starter>) -> Layout {
        let functions = patch.meta.functions.len() as u64;
        let stubs = Self::STUBS;
        let thunks = stubs + functions * STUB_SIZE;
        let gate = thunks + functions * THUNK_SIZE;
        let continuations = gate + GATE_SIZE;
        let behind_continuations = continuations + functions * CONTINUATION_SIZE;
        let starter_size = starter.map_or(0, |starter| starter.size(patch.meta.initializers.len()));
        let mut layout = Layout {
            stubs,
            thunks,
            gate,
            continuations,
            starter: behind_continuations,
            starter_size,
            objects: 0,
            objects_size: starter.map_or(0, |starter| starter.registrars.len() as u64 * OBJECT_SIZE),
            sections: vec![0; patch.sections.len()],
            text_end: 0,
            rodata_end: 0,
            record: 0,
            data_end: 0,
            end: 0,
            functions,
        };
        let at = behind_continuations + starter_size;
        layout.text_end = layout.place(patch, SectionKind::Text, at);
        layout.rodata_end = layout.place(patch, SectionKind::Rodata, layout.text_end);
        layout
    }

    /// Places the record at `record` (a page boundary) and the data behind it.
    pub(crate) fn place_data(&mut self, patch: &Patch, record: u64, description_size: u64) {
        self.record = record;
        let at = record + HEADER_SIZE + 24 * self.functions + description_size;
        self.data_end = self.place(patch, SectionKind::Data, at);
        self.objects = self.place(patch, SectionKind::Bss, self.data_end).next_multiple_of(16);
        self.end = (self.objects + self.objects_size).next_multiple_of(PAGE);
    }

    fn place(&mut self, patch: &Patch, kind: SectionKind, mut at: u64) -> u64 {
        for (section, offset) in patch.sections.iter().zip(&mut self.sections) {
            if section.kind == kind {
                at = at.next_multiple_of(section.align);
                *offset = at;
                at += section.size;
            }
        }
        at
    }

    pub(crate) fn stub(&self, index: usize) -> u64 {
        self.stubs + STUB_SIZE * index as u64
    }

    pub(crate) fn thunk(&self, index: usize) -> u64 {
        self.thunks + THUNK_SIZE * index as u64
    }

    pub(crate) fn continuation(&self, index: usize) -> u64 {
        self.continuations + CONTINUATION_SIZE * index as u64
    }

    /// Offset and size in the image of a symbol of the patch.
    pub(crate) fn symbol(&self, patch: &Patch, index: usize) -> Option<(u64, u64)> {
        match patch.symbols.get(index)?.place {
            Place::Here { section, offset, size, .. } => Some((self.sections.get(section)? + offset, size)),
            _ => None,
        }
    }
}
