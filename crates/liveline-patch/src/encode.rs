//! Writing a patch as an ELF relocatable.

use std::collections::BTreeMap;

use object::write::{Object, Relocation as ObjectRelocation, SectionId, Symbol as ObjectSymbol, SymbolId};
use object::write::{StandardSegment, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SymbolFlags, SymbolKind,
    SymbolScope, elf,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::check;
use crate::decode::validate;
use crate::{CHECK_SECTION, META_SECTION, Meta, Patch, Place, RelocationKind, SectionKind};

/// Why a patch could not be written.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The patch is not well formed.
    #[error("the patch is not well formed: {0}")]
    Malformed(String),
    /// The ELF writer refused.
    #[error("could not write the patch as ELF: {0}")]
    Elf(#[from] object::write::Error),
    /// The description could not be written.
    #[error("could not write the description: {0}")]
    Meta(String),
}

/// The contents of [`META_SECTION`]: the description plus where each outer symbol is, by symbol-table index.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored {
    #[serde(flatten)]
    pub(crate) meta: Meta,
    /// By index into the file's symbol list without the null symbol and section symbols.
    pub(crate) places: BTreeMap<usize, Place>,
}

impl Patch {
    /// The bytes of the `.llp` file: the same patch always gives the same bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        validate(self).map_err(EncodeError::Malformed)?;
        let mut out = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let sections: Vec<SectionId> =
            self.sections.iter().map(|section| add_section(&mut out, section)).collect();
        let symbols = self.add_symbols(&mut out, &sections);
        for (section, id) in self.sections.iter().zip(&sections) {
            for relocation in &section.relocations {
                let flags = RelocationFlags::Elf { r_type: elf_type(relocation.kind) };
                let symbol = symbols[relocation.symbol];
                out.add_relocation(
                    *id,
                    ObjectRelocation { offset: relocation.offset, symbol, addend: relocation.addend, flags },
                )?;
            }
        }
        let stored = Stored { meta: self.meta.clone(), places: self.outer_places() };
        let mut cbor = Vec::new();
        ciborium::into_writer(&stored, &mut cbor).map_err(|error| EncodeError::Meta(error.to_string()))?;
        let meta = out.add_section(Vec::new(), META_SECTION.into(), object::SectionKind::Metadata);
        out.append_section_data(meta, &cbor, 1);
        let check = out.add_section(Vec::new(), CHECK_SECTION.into(), object::SectionKind::Metadata);
        out.append_section_data(check, &[0; check::SIZE], 1);
        let mut bytes = out.write()?;
        match check::seal(&mut bytes) {
            Ok(true) => Ok(bytes),
            Ok(false) => Err(EncodeError::Malformed("no room for its hash".into())),
            Err(error) => Err(EncodeError::Malformed(error.to_string())),
        }
    }

    fn add_symbols(&self, out: &mut Object<'_>, sections: &[SectionId]) -> Vec<SymbolId> {
        let add = |symbol: &crate::Symbol| {
            let (value, size, kind, section, scope) = match &symbol.place {
                Place::Here { section, offset, size, function } => {
                    let kind = if *function { SymbolKind::Text } else { SymbolKind::Data };
                    (*offset, *size, kind, SymbolSection::Section(sections[*section]), SymbolScope::Linkage)
                }
                _ => (0, 0, SymbolKind::Unknown, SymbolSection::Undefined, SymbolScope::Unknown),
            };
            let name = symbol.name.clone().into_bytes();
            out.add_symbol(ObjectSymbol {
                name,
                value,
                size,
                kind,
                scope,
                weak: false,
                section,
                flags: SymbolFlags::None,
            })
        };
        self.symbols.iter().map(add).collect()
    }

    fn outer_places(&self) -> BTreeMap<usize, Place> {
        let outer = |(index, symbol): (usize, &crate::Symbol)| match &symbol.place {
            Place::Here { .. } => None,
            place => Some((index, place.clone())),
        };
        self.symbols.iter().enumerate().filter_map(outer).collect()
    }
}

fn add_section(out: &mut Object<'_>, section: &crate::Section) -> SectionId {
    let alloc = elf::SHF_ALLOC;
    let (kind, sh_flags) = match section.kind {
        SectionKind::Text => (object::SectionKind::Text, alloc | elf::SHF_EXECINSTR),
        SectionKind::Rodata | SectionKind::EhFrame => (object::SectionKind::ReadOnlyData, alloc),
        SectionKind::Data => (object::SectionKind::Data, alloc | elf::SHF_WRITE),
        SectionKind::Bss => (object::SectionKind::UninitializedData, alloc | elf::SHF_WRITE),
    };
    let sh_type = if section.kind == SectionKind::Bss { elf::SHT_NOBITS } else { elf::SHT_PROGBITS };
    let id = out.add_section(
        out.segment_name(StandardSegment::Text).to_vec(),
        section.name.clone().into_bytes(),
        kind,
    );
    out.section_mut(id).flags = SectionFlags::Elf { sh_type, sh_flags };
    match section.kind {
        SectionKind::Bss => out.append_section_bss(id, section.size, section.align),
        _ => out.append_section_data(id, &section.bytes, section.align),
    };
    id
}

fn elf_type(kind: RelocationKind) -> elf::RelocationType {
    match kind {
        RelocationKind::Abs64 => elf::R_X86_64_64,
        RelocationKind::Abs32 => elf::R_X86_64_32,
        RelocationKind::Abs32S => elf::R_X86_64_32S,
        RelocationKind::Pc32 => elf::R_X86_64_PC32,
        RelocationKind::Pc64 => elf::R_X86_64_PC64,
    }
}
