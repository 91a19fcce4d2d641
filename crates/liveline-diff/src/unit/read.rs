//! Reading an object into a [`Unit`].

use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ElfFile64, FileHeader as _, Sym as _};
use object::read::{Object as _, ObjectSection as _, SymbolIndex};

use super::decode::{inner, instructions};
use super::split::{Span, spans};
use super::{Extern, Kind, Name, Piece, Reloc, To, Unit, is_relative, locate};
use crate::DiffError;

/// Sections larger than this are damaged.
const LARGEST: u64 = 1 << 40;

/// A section as the object has it.
#[derive(Debug)]
pub(crate) struct RawSection<'d> {
    pub(crate) index: usize,
    pub(crate) name: &'d str,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) align: u64,
    pub(crate) bytes: &'d [u8],
    pub(crate) merge: bool,
    pub(crate) strings: bool,
    /// `sh_entsize`.
    pub(crate) entry: u64,
    pub(crate) relocs: Vec<RawReloc>,
}

impl<'d> RawSection<'d> {
    pub(crate) fn slice(&self, start: u64, end: u64) -> &'d [u8] {
        let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        self.bytes.get(range).unwrap_or_default()
    }
}

/// A defined symbol of a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawSymbol<'d> {
    pub(crate) name: &'d str,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) source: Option<&'d str>,
    pub(crate) local: bool,
    pub(crate) weak: bool,
    pub(crate) hidden: bool,
    /// Has a type: function, object or thread-local.
    pub(crate) typed: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RawReloc {
    offset: u64,
    kind: u32,
    symbol: usize,
    addend: i64,
    tail: i64,
    /// Filled in by the assembler: `addend` is the target's offset in the section.
    made: bool,
}

/// What a symbol of the symbol table stands for.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// A section; offsets are in the addend.
    Section(usize),
    /// A place in a section.
    At {
        section: usize,
        value: u64,
    },
    Extern(usize),
    /// A common symbol: a piece of its own.
    Piece(usize),
    Nothing,
}

impl<'d> Unit<'d> {
    /// Takes an object apart that is described by another one.
    pub(crate) fn read_described(
        name: &'d str,
        data: &'d [u8],
        described: Option<&'d [u8]>,
    ) -> Result<Self, DiffError> {
        let mut unit = Self::read(name, data)?;
        if let Some(data) = described {
            let file = ElfFile64::<LE>::parse(data);
            unit.described = Some(file.map_err(|source| DiffError::Object { name: name.into(), source })?);
            unit.debug = true;
        }
        Ok(unit)
    }

    /// Takes an object apart.
    pub(crate) fn read(name: &'d str, data: &'d [u8]) -> Result<Self, DiffError> {
        let malformed = |source| DiffError::Object { name: name.into(), source };
        check_format(name, data)?;
        let file = ElfFile64::<LE>::parse(data).map_err(malformed)?;
        let header = file.elf_header();
        if header.e_machine(LE) != elf::EM_X86_64 {
            return Err(DiffError::NotX86 { name: name.into() });
        }
        if header.e_type(LE) != elf::ET_REL {
            return Err(DiffError::NotRelocatable { name: name.into() });
        }
        let mut sections = raw_sections(&file);
        if sections.lto_only {
            return Err(DiffError::Lto { name: name.into() });
        }
        let mut unit = Self {
            name,
            source: None,
            pieces: Vec::new(),
            externs: Vec::new(),
            debug: sections.debug,
            layout: vec![Vec::new(); sections.count],
            file,
            described: None,
        };
        let (meanings, mut by_section) = read_symbols(&mut unit, sections.count);
        for symbols in &mut by_section {
            symbols.sort_by_key(|symbol| (symbol.value, std::cmp::Reverse(symbol.size)));
        }
        for section in sections.list.iter_mut().filter(|section| section.kind == Kind::Code) {
            split_section(&mut unit, section, &by_section[section.index], &[]);
            decode_tails(section, unit.layout[section.index].len() > 1);
        }
        let mut cuts = cuts(&sections.list, &meanings, sections.count);
        cut_tables(&unit.file, &meanings, &mut cuts);
        for section in sections.list.iter().filter(|section| section.kind != Kind::Code) {
            split_section(&mut unit, section, &by_section[section.index], &cuts[section.index]);
        }
        for section in &sections.list {
            attach(&mut unit, section, &meanings);
        }
        Ok(unit)
    }
}

fn check_format(name: &str, data: &[u8]) -> Result<(), DiffError> {
    if data.starts_with(b"BC\xc0\xde") || data.starts_with(&[0xde, 0xc0, 0x17, 0x0b]) {
        return Err(DiffError::Lto { name: name.into() });
    }
    match data {
        [0x7f, b'E', b'L', b'F', 1, ..] => Err(DiffError::NotX86 { name: name.into() }),
        _ => Ok(()),
    }
}

struct Sections<'d> {
    list: Vec<RawSection<'d>>,
    count: usize,
    debug: bool,
    lto_only: bool,
}

fn raw_sections<'d>(file: &ElfFile64<'d, LE>) -> Sections<'d> {
    let count = file.elf_section_table().len();
    let mut out = Sections { list: Vec::new(), count, debug: false, lto_only: false };
    let mut lto = false;
    for section in file.sections() {
        let header = section.elf_section_header();
        let name = section.name().unwrap_or_default();
        out.debug |= matches!(name, ".debug_info" | ".zdebug_info");
        lto |= name.starts_with(".gnu.lto_") || name == ".llvm.lto";
        let flags = header.sh_flags.get(LE).0;
        let kind = header.sh_type.get(LE);
        let has = |flag: elf::SectionFlags| flags & flag.0 != 0;
        let contents = kind == elf::SHT_PROGBITS;
        if !has(elf::SHF_ALLOC) || !(contents || kind == elf::SHT_NOBITS) || name.starts_with(".eh_frame") {
            continue;
        }
        // Code without contents is no code.
        if has(elf::SHF_EXECINSTR) && !contents {
            continue;
        }
        let size = section.size();
        if size > LARGEST {
            continue;
        }
        let bytes = if contents { section.data().unwrap_or_default() } else { &[] };
        if contents && bytes.len() as u64 != size {
            continue;
        }
        let piece_kind = if has(elf::SHF_EXECINSTR) {
            Kind::Code
        } else if has(elf::SHF_TLS) {
            Kind::Tls
        } else if !has(elf::SHF_WRITE) || name.starts_with(".data.rel.ro") {
            Kind::Const
        } else if contents {
            Kind::Data
        } else {
            Kind::Bss
        };
        let mut relocs: Vec<RawReloc> = Vec::new();
        for (offset, reloc) in section.relocations().take_while(|_| contents) {
            let object::RelocationFlags::Elf { r_type } = reloc.flags() else { continue };
            let object::RelocationTarget::Symbol(SymbolIndex(symbol)) = reloc.target() else { continue };
            relocs.push(RawReloc {
                offset,
                kind: r_type.0,
                symbol,
                addend: reloc.addend(),
                tail: 0,
                made: false,
            });
        }
        relocs.sort_by_key(|reloc| reloc.offset);
        out.list.push(RawSection {
            index: section.index().0,
            name,
            kind: piece_kind,
            size,
            align: section.align().clamp(1, 4096),
            bytes,
            merge: has(elf::SHF_MERGE) && contents,
            strings: has(elf::SHF_STRINGS),
            entry: header.sh_entsize.get(LE),
            relocs,
        });
    }
    let code = out.list.iter().any(|section| section.kind == Kind::Code && section.size != 0);
    out.lto_only = lto && !code;
    out
}

fn read_symbols<'d>(unit: &mut Unit<'d>, sections: usize) -> (Vec<Meaning>, Vec<Vec<RawSymbol<'d>>>) {
    let table = unit.file.elf_symbol_table();
    let mut meanings = vec![Meaning::Nothing; table.len()];
    let mut by_section: Vec<Vec<RawSymbol<'d>>> = vec![Vec::new(); sections];
    let mut common = Vec::new();
    let mut source = None;
    for (index, symbol) in table.enumerate() {
        let name = table
            .symbol_name(LE, symbol)
            .ok()
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default();
        let kind = symbol.st_type();
        if kind == elf::STT_FILE {
            source = (!name.is_empty()).then_some(name);
            unit.source = unit.source.or(source);
            continue;
        }
        let weak = symbol.st_bind() == elf::STB_WEAK;
        let hidden = symbol.st_visibility() != elf::STV_DEFAULT;
        let shndx = symbol.st_shndx(LE);
        if index.0 == 0 {
            continue;
        }
        if shndx == elf::SHN_UNDEF || shndx == elf::SHN_ABS {
            meanings[index.0] = Meaning::Extern(unit.externs.len());
            unit.externs.push(Extern { name, weak, hidden });
        } else if shndx == elf::SHN_COMMON {
            common.push((index.0, name, symbol.st_size(LE), symbol.st_value(LE), hidden));
        } else if let Ok(Some(section)) = table.symbol_section(LE, symbol, index) {
            if kind == elf::STT_SECTION {
                meanings[index.0] = Meaning::Section(section.0);
                continue;
            }
            let value = symbol.st_value(LE);
            meanings[index.0] = Meaning::At { section: section.0, value };
            if let Some(list) = by_section.get_mut(section.0) {
                list.push(RawSymbol {
                    name,
                    value,
                    size: symbol.st_size(LE),
                    source,
                    local: symbol.st_bind() == elf::STB_LOCAL,
                    weak,
                    hidden,
                    typed: kind != elf::STT_NOTYPE,
                });
            }
        }
    }
    for (index, name, size, align, hidden) in common {
        meanings[index] = Meaning::Piece(unit.pieces.len());
        let align = align.clamp(1, 4096).checked_next_power_of_two().unwrap_or(1);
        unit.pieces.push(Piece {
            section: "COMMON",
            section_index: usize::MAX,
            kind: Kind::Bss,
            start: 0,
            size,
            align,
            bytes: &[],
            names: vec![Name { name, offset: 0, source: unit.source, local: false, weak: false, hidden }],
            relocs: Vec::new(),
        });
    }
    (meanings, by_section)
}

fn split_section<'d>(unit: &mut Unit<'d>, section: &RawSection<'d>, symbols: &[RawSymbol<'d>], cuts: &[u64]) {
    // A compiler names every variable: what has no name is an initialiser it keeps for itself, and is only read
    // (gcc puts those that hold addresses into `.data`). In assembly it may be anything.
    let compiled = unit.source.is_some_and(|name| !name.ends_with(".s") && !name.ends_with(".S"));
    for Span { start, end, names } in spans(section, symbols, cuts) {
        let constant = section.kind == Kind::Data && names.is_empty() && compiled;
        let kind = if constant { Kind::Const } else { section.kind };
        unit.layout[section.index].push((start, end, unit.pieces.len()));
        // The alignment that the section promises at this offset.
        let promised =
            if start == 0 { section.align } else { section.align.min(1 << start.trailing_zeros().min(12)) };
        unit.pieces.push(Piece {
            section: section.name,
            section_index: section.index,
            kind,
            start,
            size: end - start,
            align: promised.checked_next_power_of_two().unwrap_or(1),
            bytes: section.slice(start, end),
            names,
            relocs: Vec::new(),
        });
    }
}

/// Finds out where the instructions of relocated fields end and, in a section of several functions, which
/// references the assembler resolved by itself.
fn decode_tails(section: &mut RawSection, several: bool) {
    let relative = section.relocs.iter().any(|reloc| is_relative(reloc.kind));
    if !relative && !several {
        return;
    }
    let mut made = Vec::new();
    let relocs = &mut section.relocs;
    let mut next = 0;
    instructions(section.bytes, 0, |decoder, instruction| {
        let (start, end) = (instruction.ip(), instruction.next_ip());
        let mut relocated = false;
        while let Some(reloc) = relocs.get_mut(next)
            && reloc.offset < end
        {
            if reloc.offset >= start {
                reloc.tail = (end - reloc.offset) as i64;
                relocated = true;
            }
            next += 1;
        }
        if several
            && !relocated
            && let Some(field) = inner(decoder, instruction)
        {
            let kind = match field.width {
                1 => elf::R_X86_64_PC8,
                2 => elf::R_X86_64_PC16,
                _ if field.branch => elf::R_X86_64_PLT32,
                _ => elf::R_X86_64_PC32,
            };
            made.push(RawReloc {
                offset: field.field,
                kind: kind.0,
                symbol: 0,
                addend: field.target as i64,
                tail: field.tail as i64,
                made: true,
            });
        }
    });
    section.relocs.extend(made);
    section.relocs.sort_by_key(|reloc| reloc.offset);
}

/// Offsets of data sections that code or pointers refer to through the section symbol.
fn cuts(sections: &[RawSection], meanings: &[Meaning], count: usize) -> Vec<Vec<u64>> {
    let mut cuts = vec![Vec::new(); count];
    for section in sections {
        for reloc in &section.relocs {
            let Some(Meaning::Section(to)) = meanings.get(reloc.symbol) else { continue };
            let relative = is_relative(reloc.kind);
            // A relative field in data is a table entry: it says nothing without the table's own start.
            if relative && section.kind != Kind::Code {
                continue;
            }
            let offset = if relative { reloc.addend.wrapping_add(reloc.tail) } else { reloc.addend };
            if let (Ok(offset), Some(list)) = (u64::try_from(offset), cuts.get_mut(*to)) {
                list.push(offset);
            }
        }
    }
    for list in &mut cuts {
        list.sort_unstable();
        list.dedup();
    }
    cuts
}

/// Cuts the tables of catch clauses and cleanups where the unwind record of a function says that its own begins.
fn cut_tables(file: &ElfFile64<'_, LE>, meanings: &[Meaning], cuts: &mut [Vec<u64>]) {
    let tables: Vec<usize> = file
        .sections()
        .filter(|section| section.name().is_ok_and(|name| name.starts_with(super::TABLE)))
        .map(|section| section.index().0)
        .collect();
    let records = file.sections().filter(|section| section.name() == Ok(".eh_frame"));
    for (_, reloc) in records.flat_map(|section| section.relocations().collect::<Vec<_>>()) {
        let object::RelocationTarget::Symbol(SymbolIndex(symbol)) = reloc.target() else { continue };
        if let Some(Meaning::Section(to)) = meanings.get(symbol)
            && tables.contains(to)
            && let (Ok(offset), Some(list)) = (u64::try_from(reloc.addend()), cuts.get_mut(*to))
        {
            list.push(offset);
        }
    }
}

/// Gives each relocation of a section to its piece, with the target resolved.
fn attach(unit: &mut Unit, section: &RawSection, meanings: &[Meaning]) {
    let layout = std::mem::take(&mut unit.layout[section.index]);
    let own = |offset: u64| {
        let after = layout.partition_point(|(start, _, _)| *start <= offset);
        let (_, end, piece) = *layout.get(after.checked_sub(1)?)?;
        (offset < end).then_some(piece)
    };
    let mut placed = Vec::with_capacity(section.relocs.len());
    for reloc in &section.relocs {
        let Some(piece) = own(reloc.offset) else { continue };
        let offset = reloc.offset - unit.pieces[piece].start;
        let relative = is_relative(reloc.kind);
        // A table entry of the form `target - table` is stored as `target - entry`, plus the entry's offset.
        let shift = if !relative {
            0
        } else if section.kind == Kind::Code {
            reloc.tail
        } else {
            (offset as i64).wrapping_neg()
        };
        let at = |section_index: usize, value: i64, unit: &Unit| {
            let found = if section_index == section.index {
                locate(&layout, value)
            } else {
                unit.locate(section_index, value)
            };
            found.map(|piece| (To::Piece(piece), unit.pieces[piece].start as i64))
        };
        let (to, addend) = if reloc.made {
            match at(section.index, reloc.addend, unit) {
                Some((To::Piece(target), _)) if target == piece => continue,
                Some((to, start)) => (to, reloc.addend.wrapping_sub(start).wrapping_sub(reloc.tail)),
                None => (To::Nowhere, 0),
            }
        } else {
            match meanings.get(reloc.symbol) {
                Some(Meaning::Extern(symbol)) => (To::Extern(*symbol), reloc.addend),
                Some(Meaning::Piece(target)) => (To::Piece(*target), reloc.addend),
                Some(Meaning::Section(to)) => match at(*to, reloc.addend.wrapping_add(shift), unit) {
                    Some((target, start)) => (target, reloc.addend.wrapping_sub(start)),
                    None => (To::Nowhere, reloc.addend),
                },
                Some(Meaning::At { section: to, value }) => match at(*to, *value as i64, unit) {
                    Some((target, start)) => {
                        (target, reloc.addend.wrapping_add(*value as i64).wrapping_sub(start))
                    }
                    None => (To::Nowhere, reloc.addend),
                },
                Some(Meaning::Nothing) | None => (To::Nowhere, reloc.addend),
            }
        };
        let tail = if section.kind == Kind::Code { reloc.tail } else { 0 };
        placed.push((piece, Reloc { offset, kind: reloc.kind, addend, tail, to, made: reloc.made }));
    }
    unit.layout[section.index] = layout;
    for (piece, reloc) in placed {
        unit.pieces[piece].relocs.push(reloc);
    }
}
