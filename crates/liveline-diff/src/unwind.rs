//! Unwind records of the new code.

use std::collections::{BTreeMap, HashMap};

use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection as _};
use liveline_patch::{Relocation, RelocationKind, Section, SectionKind};
use object::elf::{self, RelocationType};
use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolIndex};

use crate::emit::Emitter;
use crate::unit::{Kind, Reloc, TABLE, To, Unit};

/// A relocation of `.eh_frame` or `.init_array`, with its target as a piece or extern of the unit.
pub(crate) struct FrameReloc {
    pub(crate) offset: u64,
    pub(crate) reloc: Reloc,
}

/// Adds the CIEs and FDEs of all code that comes along.
pub(crate) fn add(emitter: &mut Emitter) -> Result<(), String> {
    let mut pairs: BTreeMap<usize, ()> = BTreeMap::new();
    for (pair, _) in emitter.placed.keys() {
        pairs.insert(*pair, ());
    }
    let mut out = Section {
        name: ".eh_frame".into(),
        kind: SectionKind::EhFrame,
        align: 8,
        bytes: Vec::new(),
        size: 0,
        relocations: Vec::new(),
    };
    for pair in pairs.into_keys() {
        add_pair(emitter, pair, &mut out)?;
    }
    out.size = out.bytes.len() as u64;
    if !out.bytes.is_empty() {
        emitter.maker.sections.push(out);
    }
    Ok(())
}

fn add_pair(emitter: &mut Emitter, pair: usize, out: &mut Section) -> Result<(), String> {
    let world = emitter.world;
    let Some(unit) = world.new_unit(pair) else { return Ok(()) };
    let bad = |_| format!("{}: its .eh_frame is damaged", unit.name);
    for section in unit.file.sections().filter(|section| section.name() == Ok(".eh_frame")) {
        let data =
            section.uncompressed_data().map_err(|_| format!("{}: its .eh_frame is damaged", unit.name))?;
        let relocs = relocations(unit, &section);
        let frame = EhFrame::new(&data, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(0);
        let mut cies: BTreeMap<usize, u64> = BTreeMap::new();
        let mut entries = frame.entries(&bases);
        while let Some(entry) = entries.next().map_err(bad)? {
            let CieOrFde::Fde(partial) = entry else { continue };
            let cie_at = partial.cie_offset().0;
            let (start, size) = record(&data, partial.offset()).ok_or_else(|| bad(gimli::Error::Io))?;
            let begin = relocs.iter().find(|reloc| reloc.offset == start + 8);
            let Some(To::Piece(function)) = begin.map(|begin| begin.reloc.to) else { continue };
            if !emitter.placed.contains_key(&(pair, function)) || unit.pieces[function].kind != Kind::Code {
                continue;
            }
            let cie = match cies.get(&cie_at) {
                Some(cie) => *cie,
                None => {
                    let (start, size) = record(&data, cie_at).ok_or_else(|| bad(gimli::Error::Io))?;
                    let at = copy(emitter, pair, &data, (start, size), &relocs, out)?;
                    cies.insert(cie_at, at);
                    at
                }
            };
            let at = copy(emitter, pair, &data, (start, size), &relocs, out)?;
            // The CIE pointer: distance from its own field back to the CIE.
            let field = usize::try_from(at + 4).unwrap_or(usize::MAX);
            let distance = u32::try_from(at + 4 - cie).map_err(|_| "too many unwind records")?;
            if let Some(bytes) = out.bytes.get_mut(field..field + 4) {
                bytes.copy_from_slice(&distance.to_le_bytes());
            }
        }
    }
    Ok(())
}

/// For each function that catches or cleans up, the piece that says what and where.
pub(crate) fn tables(unit: &Unit) -> HashMap<usize, usize> {
    let mut out = HashMap::new();
    if !unit.pieces.iter().any(|piece| piece.section.starts_with(TABLE)) {
        return out;
    }
    for section in unit.file.sections().filter(|section| section.name() == Ok(".eh_frame")) {
        let Ok(data) = section.uncompressed_data() else { continue };
        let mut relocs = relocations(unit, &section);
        relocs.sort_unstable_by_key(|reloc| reloc.offset);
        let at = |offset| {
            let found = relocs.binary_search_by_key(&offset, |reloc: &FrameReloc| reloc.offset).ok()?;
            match relocs[found].reloc.to {
                To::Piece(piece) => Some((found, piece)),
                _ => None,
            }
        };
        let frame = EhFrame::new(&data, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(0);
        let mut entries = frame.entries(&bases);
        // What is damaged is refused when the records are carried.
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(partial) = entry else { continue };
            let Some((start, size)) = record(&data, partial.offset()) else { continue };
            let Some((first, function)) = at(start + 8) else { continue };
            let own = relocs[first + 1..].iter().take_while(|reloc| reloc.offset < start + size);
            let table = own.filter_map(|reloc| match reloc.reloc.to {
                To::Piece(piece) if unit.pieces[piece].section.starts_with(TABLE) => Some(piece),
                _ => None,
            });
            out.extend(table.map(|table| (function, table)));
        }
    }
    out
}

/// Start and size of the record at an offset, its length field included.
fn record(data: &[u8], offset: usize) -> Option<(u64, u64)> {
    let length = u32::from_le_bytes(data.get(offset..offset.checked_add(4)?)?.try_into().ok()?);
    let size = u64::from(length).checked_add(4)?;
    let end = offset.checked_add(usize::try_from(size).ok()?)?;
    (length != u32::MAX && data.get(offset..end).is_some()).then_some((offset as u64, size))
}

/// Copies a record with its relocations; where it went.
fn copy(
    emitter: &mut Emitter,
    pair: usize,
    data: &[u8],
    (start, size): (u64, u64),
    relocs: &[FrameReloc],
    out: &mut Section,
) -> Result<u64, String> {
    let at = out.bytes.len() as u64;
    out.bytes.extend_from_slice(&data[start as usize..(start + size) as usize]);
    for FrameReloc { offset, reloc } in relocs {
        if !(start..start + size).contains(offset) {
            continue;
        }
        let kind = match RelocationType(reloc.kind) {
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => RelocationKind::Pc32,
            elf::R_X86_64_PC64 => RelocationKind::Pc64,
            elf::R_X86_64_64 => RelocationKind::Abs64,
            elf::R_X86_64_32 => RelocationKind::Abs32,
            other => return Err(format!("an unwind record has relocation type {}", other.0)),
        };
        if offset + kind.width() > start + size {
            return Err(format!("an unwind record's relocation at {offset:#x} reaches behind its end"));
        }
        let symbol = match reloc.to {
            To::Piece(piece) => emitter.include_for_unwind((pair, piece))?,
            To::Extern(symbol) => emitter.extern_for_unwind(pair, symbol)?,
            To::Nowhere => return Err("an unwind record refers to an unknown place".into()),
        };
        out.relocations.push(Relocation { offset: at + offset - start, kind, symbol, addend: reloc.addend });
    }
    Ok(at)
}

/// The relocations of a section that is not taken apart into pieces.
pub(crate) fn relocations<'d>(
    unit: &Unit<'d>,
    section: &impl object::read::ObjectSection<'d>,
) -> Vec<FrameReloc> {
    let mut out = Vec::new();
    for (offset, relocation) in section.relocations() {
        let object::RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
        let object::RelocationTarget::Symbol(SymbolIndex(index)) = relocation.target() else { continue };
        let Ok(symbol) = unit.file.symbol_by_index(SymbolIndex(index)) else { continue };
        let (to, addend) = match symbol.section_index() {
            Some(section) => {
                let meant = symbol.address() as i64;
                let meant = meant.wrapping_add(relocation.addend());
                match unit.locate(section.0, meant) {
                    Some(piece) => (To::Piece(piece), meant.wrapping_sub(unit.pieces[piece].start as i64)),
                    None => (To::Nowhere, 0),
                }
            }
            None => {
                let name = symbol.name().unwrap_or_default();
                let found = unit.externs.iter().position(|symbol| symbol.name == name);
                (found.map_or(To::Nowhere, To::Extern), relocation.addend())
            }
        };
        let reloc = Reloc { offset, kind: r_type.0, addend, tail: 0, to, made: false };
        out.push(FrameReloc { offset, reloc });
    }
    out
}
