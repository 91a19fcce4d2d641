//! Reading a patch from the bytes of an `.llp` file. The bytes are not trusted: every index, offset and size
//! is checked here once, so that the engine need not.

use std::collections::BTreeMap;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionFlags, elf};
use thiserror::Error;

use crate::check;
use crate::encode::Stored;
use crate::{
    CHECK_SECTION, FORMAT, Format, META_SECTION, Meta, Patch, Place, Relocation, RelocationKind, Section,
    SectionKind, Symbol,
};

/// The largest file that is read, and the largest section: 256 MiB.
const LIMIT: u64 = 256 << 20;

/// Why bytes are not a patch.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Not an ELF file that can be read.
    #[error("not a patch file: {0}")]
    NotElf(#[from] object::read::Error),
    /// An ELF file of another kind.
    #[error("not a patch file: {0}")]
    NotAPatch(String),
    /// Written by a newer liveline.
    #[error("the patch has format {}.{}, this liveline reads up to {}.x: use a newer liveline", .found.major, .found.minor, FORMAT.major)]
    Newer {
        /// Format of the file.
        found: Format,
    },
    /// The contents contradict themselves.
    #[error("the patch file is damaged: {0}")]
    Malformed(String),
}

impl Patch {
    /// Reads and checks a patch.
    pub fn decode(bytes: &[u8]) -> Result<Patch, DecodeError> {
        decode(bytes, check::verify)
    }
}

/// Reads a patch; `verify` says whether its bytes are whole.
pub(crate) fn decode(
    bytes: &[u8],
    verify: fn(&File<'_>, &[u8]) -> Result<(), String>,
) -> Result<Patch, DecodeError> {
    if bytes.len() as u64 > LIMIT {
        return Err(DecodeError::NotAPatch(format!("larger than {} MiB", LIMIT >> 20)));
    }
    let file = ElfFile64::<object::LittleEndian>::parse(bytes)?;
    let header = file.elf_header();
    let little = object::LittleEndian;
    if header.e_machine.get(little) != elf::EM_X86_64 || header.e_type.get(little) != elf::ET_REL {
        return Err(DecodeError::NotAPatch("not an x86-64 ELF relocatable".into()));
    }
    let section = file
        .section_by_name(META_SECTION)
        .ok_or_else(|| DecodeError::NotAPatch(format!("no {META_SECTION} section")))?;
    // A newer file may be hashed in another way.
    let format = read_format(section.data()?);
    if let Some(found) = format.filter(|format| format.major > FORMAT.major) {
        return Err(DecodeError::Newer { found });
    }
    verify(&file, bytes).map_err(DecodeError::Malformed)?;
    let stored = read_meta(section.data()?)?;
    let mut sections = Vec::new();
    // Section index in the file → index in the patch.
    let mut numbers = BTreeMap::new();
    for section in file.sections() {
        if let Some(kind) = section_kind(&section) {
            numbers.insert(section.index().0, sections.len());
            sections.push(read_section(&section, kind)?);
        }
    }
    let symbols = read_symbols(&file, &numbers, &stored.places)?;
    let patch = Patch { meta: stored.meta, sections, symbols };
    validate(&patch).map_err(DecodeError::Malformed)?;
    Ok(patch)
}

type File<'data> = ElfFile64<'data, object::LittleEndian>;

/// Only what is needed to tell whether the rest can be read.
#[derive(serde::Deserialize)]
struct FormatOnly {
    format: Format,
}

fn read_format(bytes: &[u8]) -> Option<Format> {
    let only: FormatOnly = ciborium::de::from_reader_with_recursion_limit(bytes, 64).ok()?;
    Some(only.format)
}

fn read_meta(bytes: &[u8]) -> Result<Stored, DecodeError> {
    ciborium::de::from_reader_with_recursion_limit(bytes, 64)
        .map_err(|error| DecodeError::Malformed(format!("description: {error}")))
}

fn section_kind<'data>(section: &impl ObjectSection<'data>) -> Option<SectionKind> {
    let SectionFlags::Elf { sh_type, sh_flags } = section.flags() else { return None };
    let has = |flag: elf::SectionFlags| sh_flags.0 & flag.0 != 0;
    if !has(elf::SHF_ALLOC) {
        return None;
    }
    Some(match () {
        () if has(elf::SHF_EXECINSTR) => SectionKind::Text,
        () if section.name() == Ok(".eh_frame") => SectionKind::EhFrame,
        () if !has(elf::SHF_WRITE) => SectionKind::Rodata,
        () if sh_type == elf::SHT_NOBITS => SectionKind::Bss,
        () => SectionKind::Data,
    })
}

fn read_section<'data>(
    section: &impl ObjectSection<'data>,
    kind: SectionKind,
) -> Result<Section, DecodeError> {
    let mut relocations = Vec::new();
    for (offset, relocation) in section.relocations() {
        let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
        let kind = match r_type {
            elf::R_X86_64_64 => RelocationKind::Abs64,
            elf::R_X86_64_32 => RelocationKind::Abs32,
            elf::R_X86_64_32S => RelocationKind::Abs32S,
            elf::R_X86_64_PC32 => RelocationKind::Pc32,
            elf::R_X86_64_PC64 => RelocationKind::Pc64,
            other => {
                return Err(DecodeError::Malformed(format!("relocation type {} at {offset:#x}", other.0)));
            }
        };
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            return Err(DecodeError::Malformed(format!("relocation without a symbol at {offset:#x}")));
        };
        let symbol = symbol.0.checked_sub(1).ok_or_else(|| DecodeError::Malformed("null symbol".into()))?;
        relocations.push(Relocation { offset, kind, symbol, addend: relocation.addend() });
    }
    Ok(Section {
        name: section.name()?.to_owned(),
        kind,
        align: section.align().max(1),
        bytes: if kind == SectionKind::Bss { Vec::new() } else { section.data()?.to_vec() },
        size: section.size(),
        relocations,
    })
}

fn read_symbols(
    file: &File<'_>,
    sections: &BTreeMap<usize, usize>,
    outer: &BTreeMap<usize, Place>,
) -> Result<Vec<Symbol>, DecodeError> {
    let mut symbols = Vec::new();
    for symbol in file.symbols() {
        // The reader leaves out the null symbol, so file index = position + 1.
        let position = symbols.len();
        if symbol.index().0 != position + 1 {
            return Err(DecodeError::Malformed("symbols are not in order".into()));
        }
        let place = match symbol.section_index() {
            Some(index) => Place::Here {
                section: *sections.get(&index.0).ok_or_else(|| {
                    DecodeError::Malformed(format!("symbol {position} lies in no loaded section"))
                })?,
                offset: symbol.address(),
                size: symbol.size(),
                function: symbol.kind() == object::SymbolKind::Text,
            },
            None => outer
                .get(&position)
                .cloned()
                .ok_or_else(|| DecodeError::Malformed(format!("symbol {position} has no place")))?,
        };
        symbols.push(Symbol { name: symbol.name()?.to_owned(), place });
    }
    Ok(symbols)
}

/// Checks everything that the rest of liveline relies on; says what is wrong.
pub(crate) fn validate(patch: &Patch) -> Result<(), String> {
    check_meta(&patch.meta)?;
    let mut total = 0u64;
    for section in &patch.sections {
        let name = &section.name;
        if [META_SECTION, CHECK_SECTION].contains(&name.as_str()) {
            return Err(format!("{name}: a reserved name"));
        }
        if !section.align.is_power_of_two() || section.align > 4096 {
            return Err(format!("{name}: alignment {}", section.align));
        }
        if section.kind == SectionKind::Bss {
            if !section.bytes.is_empty() || !section.relocations.is_empty() {
                return Err(format!("{name}: zeroed data with contents"));
            }
        } else if section.size != section.bytes.len() as u64 {
            return Err(format!("{name}: size {} but {} bytes", section.size, section.bytes.len()));
        }
        total =
            total.checked_add(section.size).filter(|total| *total <= LIMIT).ok_or("larger than 256 MiB")?;
        for relocation in &section.relocations {
            let width = relocation.kind.width();
            let end = relocation.offset.checked_add(width);
            if end.is_none_or(|end| end > section.size) || relocation.symbol >= patch.symbols.len() {
                return Err(format!("{name}: relocation at {:#x} out of bounds", relocation.offset));
            }
        }
    }
    if patch.sections.iter().filter(|section| section.kind == SectionKind::EhFrame).count() > 1 {
        return Err("more than one .eh_frame".into());
    }
    for symbol in &patch.symbols {
        check_symbol(patch, symbol)?;
    }
    for function in &patch.meta.functions {
        if !is_new_code(patch, function.new) {
            return Err(format!("{}: no new code", function.name));
        }
    }
    if !patch.meta.initializers.iter().all(|index| is_new_code(patch, *index)) {
        return Err("an initializer is no new code".into());
    }
    Ok(())
}

fn is_new_code(patch: &Patch, symbol: usize) -> bool {
    match patch.symbols.get(symbol).map(|symbol| &symbol.place) {
        Some(Place::Here { section, function: true, .. }) => {
            patch.sections[*section].kind == SectionKind::Text
        }
        _ => false,
    }
}

fn check_symbol(patch: &Patch, symbol: &Symbol) -> Result<(), String> {
    let Place::Here { section, offset, size, .. } = &symbol.place else { return Ok(()) };
    let section = patch.sections.get(*section).ok_or_else(|| format!("{}: no such section", symbol.name))?;
    match offset.checked_add(*size) {
        Some(end) if end <= section.size => Ok(()),
        _ => Err(format!("{}: outside {}", symbol.name, section.name)),
    }
}

/// Whether `text` can be the name or version of a patch. Errors: the rule, said of `what`.
pub fn check_word(what: &str, text: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~:-".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(good) || text.starts_with(['.', '-']) {
        return Err(format!(
            "{what} must be 1 to 64 of A-Z a-z 0-9 . _ + ~ : - and start with a letter or digit"
        ));
    }
    Ok(())
}

fn check_meta(meta: &Meta) -> Result<(), String> {
    check_word("name", &meta.name)?;
    check_word("version", &meta.version)?;
    let target = &meta.target;
    if target.low >= target.high || !target.low.is_multiple_of(4096) || target.high > 1 << 47 {
        return Err("target address range".into());
    }
    let inside = |address: u64, size: u64| {
        address >= target.low && address.checked_add(size).is_some_and(|end| end <= target.high)
    };
    let mut seen = std::collections::BTreeSet::new();
    for function in &meta.functions {
        let parts = function.parts.iter().map(|part| (&part.name, part.size));
        for (name, size) in parts.chain([(&function.name, function.size)]) {
            // Names become symbols of the image and lines on a terminal.
            if name.chars().any(char::is_control) {
                return Err(format!("{name:?} is no name of a function"));
            }
            if size > LIMIT {
                return Err(format!("{name}: larger than {} MiB", LIMIT >> 20));
            }
        }
        let parts_inside = function.parts.iter().all(|part| inside(part.address, part.size));
        let room_inside = function.detour <= 4096
            && function.room <= 4096
            && inside(function.address, function.detour + function.room);
        if !inside(function.address, function.size) || !parts_inside || !room_inside || function.room < 5 {
            return Err(format!("{}: lies outside the target or leaves no room for a detour", function.name));
        }
        let behind_detour = function.detour + 5..function.size;
        if !function.remainders.iter().all(|offset| behind_detour.contains(offset)) {
            return Err(format!("{}: a thread may not stay there", function.name));
        }
        if !seen.insert(function.address) {
            return Err(format!("{}: replaced twice", function.name));
        }
    }
    Ok(())
}

impl RelocationKind {
    /// Bytes that are patched.
    pub fn width(self) -> u64 {
        match self {
            RelocationKind::Abs64 | RelocationKind::Pc64 => 8,
            RelocationKind::Abs32 | RelocationKind::Abs32S | RelocationKind::Pc32 => 4,
        }
    }
}
