//! A linked program or shared library: its segments, symbols, versions and dynamic relocations.

use std::sync::Arc;

use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _, Sym as _, VersionTable};
use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _};

type File<'data> = ElfFile64<'data, LE>;
type Versions<'data> = VersionTable<'data, elf::FileHeader64<LE>>;

/// Why a file is not a module that can be worked on.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// Not an ELF file of 64 bits, or damaged.
    #[error("not a readable 64-bit little-endian ELF file: {0}")]
    Malformed(#[from] object::read::Error),
    /// Another processor.
    #[error("not an x86-64 file (ELF machine {0})")]
    Machine(u16),
    /// A relocatable object, a core file, ….
    #[error("not a linked program or shared library (ELF type {0})")]
    Type(u16),
    /// A `PT_LOAD` segment that wraps around or overlaps an earlier one.
    #[error("segment {0} has an impossible address")]
    Segment(usize),
}

/// Whether and how a module is positioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// `ET_EXEC`: linked to a fixed address.
    Fixed,
    /// `ET_DYN` that is a program (PIE or static PIE).
    Pie,
    /// A shared library (the dynamic linker and the vdso count as such).
    Library,
}

/// A `PT_LOAD` segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Link-time address.
    pub address: u64,
    /// Size in memory, in bytes.
    pub size: u64,
    /// Where its contents start in the file.
    pub offset: u64,
    /// Bytes of contents in the file; the rest is zero.
    pub file_size: u64,
    /// `PF_R`.
    pub read: bool,
    /// `PF_W`.
    pub write: bool,
    /// `PF_X`.
    pub execute: bool,
}

impl Load {
    /// Whether the address lies inside, as the segment is in memory.
    pub fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|at| at < self.size)
    }
}

/// The `PT_TLS` segment: the image of the thread-locals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Link-time address of the image.
    pub address: u64,
    /// Size in memory.
    pub size: u64,
    /// Bytes of the image in the file.
    pub file_size: u64,
    /// Alignment, a power of two.
    pub align: u64,
}

impl Tls {
    /// Size rounded up to the alignment: in an executable (variant II), a thread-local at `offset` in the image
    /// is at `fs:0 + offset - aligned_size()`. Takes care of an image whose address is not aligned.
    pub fn aligned_size(&self) -> u64 {
        let align = self.align.max(1);
        let skew = self.address & (align - 1);
        let end = self.size.saturating_add(skew);
        (end.checked_next_multiple_of(align).unwrap_or(end)).saturating_sub(skew)
    }
}

/// What a symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SymbolKind {
    /// Code.
    Function,
    /// `STT_GNU_IFUNC`: the address is that of a resolver.
    IndirectFunction,
    /// Data.
    Data,
    /// A thread-local; the address is an offset in the TLS image.
    Tls,
    /// No type (assembly labels), sections, ….
    Other,
}

impl SymbolKind {
    fn of(kind: elf::SymbolType) -> Self {
        match kind {
            elf::STT_FUNC => Self::Function,
            elf::STT_GNU_IFUNC => Self::IndirectFunction,
            elf::STT_OBJECT | elf::STT_COMMON => Self::Data,
            elf::STT_TLS => Self::Tls,
            _ => Self::Other,
        }
    }
}

/// A symbol of the dynamic symbol table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicSymbol {
    /// Name, without version.
    pub name: String,
    /// Version it is defined with or needed in, if any.
    pub version: Option<String>,
    /// Defined with `@@` (or without version): what an unversioned look-up finds.
    pub default: bool,
    /// Link-time address; for undefined functions, the canonical PLT entry or 0.
    pub address: u64,
    /// Size in bytes.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Defined in this module.
    pub defined: bool,
    /// Bound weakly.
    pub weak: bool,
    /// `STV_PROTECTED`: cannot be interposed.
    pub protected: bool,
}

/// A defined symbol of the full symbol table (or of the dynamic one where that is all there is).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Name.
    pub name: String,
    /// The source file, for symbols local to one.
    pub file: Option<Arc<str>>,
    /// Link-time address.
    pub address: u64,
    /// Size in bytes; 0 if not given.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Local to its file.
    pub local: bool,
}

/// A dynamic relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicRelocation {
    /// The word it fills: link-time address.
    pub address: u64,
    /// `R_X86_64_*`.
    pub kind: u32,
    /// Index into [`Module::dynamic_symbols`], if it has a symbol.
    pub symbol: Option<usize>,
    /// Addend.
    pub addend: i64,
}

/// A section of a linked module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSection {
    /// Name.
    pub name: String,
    /// Link-time address, 0 where it is not loaded.
    pub address: u64,
    /// Size in bytes.
    pub size: u64,
    /// Has contents in this file (not `SHT_NOBITS`).
    pub contents: bool,
    /// Loaded (`SHF_ALLOC`).
    pub loaded: bool,
    /// Code (`SHF_EXECINSTR`).
    pub execute: bool,
    /// Data that is written (`SHF_WRITE`).
    pub write: bool,
}

/// A linked program or shared library.
#[derive(Clone, Debug)]
pub struct Module {
    /// Positioned how.
    pub kind: ModuleKind,
    /// GNU build-id.
    pub build_id: Option<Vec<u8>>,
    /// `e_entry`, a link-time address (0: none).
    pub entry: u64,
    /// `PT_LOAD` segments, in file order.
    pub loads: Vec<Load>,
    /// The thread-locals, if any.
    pub tls: Option<Tls>,
    /// Link-time address and size of `PT_GNU_EH_FRAME`.
    pub eh_frame_hdr: Option<(u64, u64)>,
    /// Link-time address and size of `PT_DYNAMIC`.
    pub dynamic: Option<(u64, u64)>,
    /// Link-time address and size of `PT_GNU_RELRO`.
    pub relro: Option<(u64, u64)>,
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
    /// The whole dynamic symbol table, index 0 included, so that indices of the file hold.
    pub dynamic_symbols: Vec<DynamicSymbol>,
    /// Defined symbols of the symbol table, in file order; empty if stripped.
    pub symbols: Vec<Symbol>,
    /// Dynamic relocations (of static programs, too).
    pub relocations: Vec<DynamicRelocation>,
    /// Sections, in file order.
    pub sections: Vec<ModuleSection>,
}

impl Module {
    /// Reads a linked ELF file.
    pub fn parse(data: &[u8]) -> Result<Self, ModuleError> {
        let file = File::parse(data)?;
        let header = file.elf_header();
        let machine = header.e_machine(LE);
        if machine != elf::EM_X86_64 {
            return Err(ModuleError::Machine(machine.0));
        }
        let kind = header.e_type(LE);
        if kind != elf::ET_EXEC && kind != elf::ET_DYN {
            return Err(ModuleError::Type(kind.0));
        }
        let mut module = Self {
            kind: if kind == elf::ET_EXEC { ModuleKind::Fixed } else { ModuleKind::Library },
            build_id: file.build_id().ok().flatten().map(<[u8]>::to_vec),
            entry: header.e_entry(LE),
            loads: Vec::new(),
            tls: None,
            eh_frame_hdr: None,
            dynamic: None,
            relro: None,
            soname: None,
            needed: Vec::new(),
            dynamic_symbols: Vec::new(),
            symbols: Vec::new(),
            relocations: Vec::new(),
            sections: sections(&file),
        };
        let interpreter = module.read_segments(&file)?;
        let pie_flag = module.read_dynamic(&file);
        if kind == elf::ET_DYN && (interpreter && module.soname.is_none() || pie_flag) {
            module.kind = ModuleKind::Pie;
        }
        let versions = file.elf_section_table().versions(LE, data).ok().flatten();
        module.dynamic_symbols = dynamic_symbols(&file, versions.as_ref());
        module.symbols = symbols(&file);
        module.relocations = relocations(&file, module.dynamic_symbols.len());
        Ok(module)
    }

    /// Fills what the program headers say; whether there is a `PT_INTERP`.
    fn read_segments(&mut self, file: &File) -> Result<bool, ModuleError> {
        let mut interpreter = false;
        for (index, segment) in file.elf_program_headers().iter().enumerate() {
            let address = segment.p_vaddr(LE);
            let size = segment.p_memsz(LE);
            let file_size = segment.p_filesz(LE);
            match segment.p_type(LE) {
                elf::PT_LOAD => {
                    let flags = segment.p_flags(LE);
                    let end = address.checked_add(size).filter(|end| *end <= 1 << 47);
                    let end = end.ok_or(ModuleError::Segment(index))?;
                    let in_file = file_size <= size && segment.p_offset(LE).checked_add(file_size).is_some();
                    let overlaps = self.loads.iter().any(|load| {
                        size != 0
                            && load.size != 0
                            && address < load.address + load.size
                            && load.address < end
                    });
                    if !in_file || overlaps {
                        return Err(ModuleError::Segment(index));
                    }
                    self.loads.push(Load {
                        address,
                        size,
                        offset: segment.p_offset(LE),
                        file_size,
                        read: flags.contains(elf::PF_R),
                        write: flags.contains(elf::PF_W),
                        execute: flags.contains(elf::PF_X),
                    });
                }
                elf::PT_TLS => {
                    let align = segment.p_align(LE).max(1);
                    if !align.is_power_of_two() || align > 1 << 32 || size > 1 << 40 {
                        return Err(ModuleError::Segment(index));
                    }
                    self.tls = Some(Tls { address, size, file_size, align });
                }
                elf::PT_GNU_EH_FRAME => self.eh_frame_hdr = Some((address, size)),
                elf::PT_GNU_RELRO => self.relro = Some((address, size)),
                elf::PT_DYNAMIC => self.dynamic = Some((address, size)),
                elf::PT_INTERP => interpreter = true,
                _ => {}
            }
        }
        Ok(interpreter)
    }

    /// Fills what the dynamic table says; whether it carries `DF_1_PIE`.
    fn read_dynamic(&mut self, file: &File) -> bool {
        let Ok(table) = file.elf_dynamic_table() else { return false };
        let text = |value: u64| {
            let bytes = table.strings().get(u32::try_from(value).ok()?).ok()?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        let mut pie = false;
        for entry in &table {
            match entry.tag {
                elf::DT_SONAME => self.soname = text(entry.val),
                elf::DT_NEEDED => self.needed.extend(text(entry.val)),
                elf::DT_FLAGS_1 => pie = entry.val & 0x0800_0000 != 0,
                _ => {}
            }
        }
        pie
    }

    /// Build-id in lower-case hex.
    pub fn build_id_hex(&self) -> Option<String> {
        self.build_id.as_ref().map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Lowest address of a segment, rounded down to a page, and end of the highest, rounded up.
    pub fn span(&self) -> (u64, u64) {
        let low = self.loads.iter().map(|load| load.address & !0xfff).min().unwrap_or(0);
        let high = self
            .loads
            .iter()
            .map(|load| (load.address + load.size).next_multiple_of(4096))
            .max()
            .unwrap_or(0);
        (low, high)
    }

    /// The file's bytes at a link-time address; none where they reach outside one segment's contents.
    pub fn bytes_at<'data>(&self, data: &'data [u8], address: u64, length: u64) -> Option<&'data [u8]> {
        let load = self.loads.iter().find(|load| load.contains(address))?;
        let at = address - load.address;
        if at.checked_add(length)? > load.file_size {
            return None;
        }
        let start = usize::try_from(load.offset.checked_add(at)?).ok()?;
        data.get(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    /// The segment an address lies in.
    pub fn load_at(&self, address: u64) -> Option<&Load> {
        self.loads.iter().find(|load| load.contains(address))
    }

    /// BLAKE3 (hex) of the file bytes of all executable segments, in order: the identity of the code.
    pub fn text_hash(&self, data: &[u8]) -> Option<String> {
        let mut hash = blake3::Hasher::new();
        for load in self.loads.iter().filter(|load| load.execute) {
            let start = usize::try_from(load.offset).ok()?;
            let end = start.checked_add(usize::try_from(load.file_size).ok()?)?;
            hash.update(data.get(start..end)?);
        }
        Some(hash.finalize().to_hex().to_string())
    }

    /// Functions for naming addresses: those of the symbol table, or of the dynamic one in a stripped file.
    pub fn functions(&self) -> Vec<Symbol> {
        let code = |kind| matches!(kind, SymbolKind::Function | SymbolKind::IndirectFunction);
        let mut all: Vec<_> = self.symbols.iter().filter(|symbol| code(symbol.kind)).cloned().collect();
        if all.is_empty() {
            let dynamic = self.dynamic_symbols.iter().filter(|symbol| symbol.defined && code(symbol.kind));
            all.extend(dynamic.map(|symbol| Symbol {
                name: symbol.name.clone(),
                file: None,
                address: symbol.address,
                size: symbol.size,
                kind: symbol.kind,
                local: false,
            }));
        }
        all.sort_by_key(|symbol| (symbol.address, symbol.size));
        all
    }
}

fn sections(file: &File) -> Vec<ModuleSection> {
    let mut out = Vec::new();
    for section in file.sections() {
        let header = section.elf_section_header();
        let flags = header.sh_flags.get(LE).0;
        out.push(ModuleSection {
            name: String::from_utf8_lossy(section.name_bytes().unwrap_or_default()).into_owned(),
            address: section.address(),
            size: section.size(),
            contents: header.sh_type.get(LE) != elf::SHT_NOBITS,
            loaded: flags & elf::SHF_ALLOC.0 != 0,
            execute: flags & elf::SHF_EXECINSTR.0 != 0,
            write: flags & elf::SHF_WRITE.0 != 0,
        });
    }
    out
}

fn dynamic_symbols(file: &File, versions: Option<&Versions>) -> Vec<DynamicSymbol> {
    let table = file.elf_dynamic_symbol_table();
    let mut out = Vec::with_capacity(table.len());
    for (index, symbol) in table.enumerate() {
        let name = table.symbol_name(LE, symbol).unwrap_or_default();
        let (mut version, mut default) = (None, true);
        if let Some(versions) = versions {
            let at = versions.version_index(LE, index);
            default = !at.is_hidden();
            if let Ok(Some(found)) = versions.version(at.index()) {
                version = Some(String::from_utf8_lossy(found.name()).into_owned());
            }
        }
        out.push(DynamicSymbol {
            name: String::from_utf8_lossy(name).into_owned(),
            version,
            default,
            address: symbol.st_value(LE),
            size: symbol.st_size(LE),
            kind: SymbolKind::of(symbol.st_type()),
            defined: symbol.st_shndx(LE) != elf::SHN_UNDEF,
            weak: symbol.st_bind() == elf::STB_WEAK,
            protected: symbol.st_visibility() == elf::STV_PROTECTED,
        });
    }
    out
}

fn symbols(file: &File) -> Vec<Symbol> {
    let mut out = Vec::new();
    let mut source: Option<Arc<str>> = None;
    for symbol in file.symbols() {
        let raw = symbol.elf_symbol();
        let name = String::from_utf8_lossy(symbol.name_bytes().unwrap_or_default());
        if raw.st_type() == elf::STT_FILE {
            source = (!name.is_empty()).then(|| Arc::from(&*name));
            continue;
        }
        if symbol.is_undefined() || raw.st_type() == elf::STT_SECTION || name.is_empty() {
            continue;
        }
        let local = raw.st_bind() == elf::STB_LOCAL;
        out.push(Symbol {
            name: name.into_owned(),
            file: if local { source.clone() } else { None },
            address: raw.st_value(LE),
            size: raw.st_size(LE),
            kind: SymbolKind::of(raw.st_type()),
            local,
        });
    }
    out
}

fn relocations(file: &File, symbols: usize) -> Vec<DynamicRelocation> {
    let mut out = Vec::new();
    for section in file.sections() {
        let header = section.elf_section_header();
        let loaded = header.sh_flags.get(LE).0 & elf::SHF_ALLOC.0 != 0;
        if !loaded || header.sh_type.get(LE) != elf::SHT_RELA {
            continue;
        }
        let Ok(bytes) = section.data() else { continue };
        let Ok(entries) = object::pod::slice_from_all_bytes::<elf::Rela64<LE>>(bytes) else { continue };
        for entry in entries {
            let symbol = entry.r_sym(LE, false) as usize;
            out.push(DynamicRelocation {
                address: entry.r_offset.get(LE),
                kind: entry.r_type(LE, false).0,
                symbol: (symbol != 0 && symbol < symbols).then_some(symbol),
                addend: entry.r_addend.get(LE),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_itself() {
        let data = std::fs::read("/proc/self/exe").expect("own executable");
        let module = Module::parse(&data).expect("a module");
        assert_eq!(module.kind, ModuleKind::Pie);
        let main = module.functions().into_iter().find(|function| function.name == "main").expect("main");
        assert!(module.load_at(main.address).expect("a segment").execute);
        assert!(module.bytes_at(&data, main.address, 5).is_some());
        let needed = module.dynamic_symbols.iter().find(|symbol| symbol.name == "malloc").expect("malloc");
        assert!(!needed.defined && needed.version.as_deref() == Some("GLIBC_2.2.5"));
        assert!(module.text_hash(&data).is_some());
    }

    #[test]
    fn libc_defaults() {
        let data = std::fs::read("/lib/x86_64-linux-gnu/libc.so.6").expect("libc");
        let module = Module::parse(&data).expect("a module");
        assert_eq!(module.kind, ModuleKind::Library);
        let found: Vec<_> = module.dynamic_symbols.iter().filter(|symbol| symbol.name == "memcpy").collect();
        assert!(found.iter().any(|s| s.default && s.version.as_deref() == Some("GLIBC_2.14")));
        assert!(found.iter().any(|s| !s.default && s.version.as_deref() == Some("GLIBC_2.2.5")));
        assert!(found.iter().any(|s| s.default && s.kind == SymbolKind::IndirectFunction));
    }

    #[test]
    fn damaged_files_are_errors_or_partial() {
        let mut data = std::fs::read("/bin/true").expect("a program");
        for at in 0..data.len().min(4096) {
            let old = data[at];
            for value in [0, 0xff, old ^ 0x10] {
                data[at] = value;
                let _ = Module::parse(&data)
                    .map(|module| (module.span(), module.text_hash(&data), module.functions()));
            }
            data[at] = old;
        }
        for length in (0..data.len()).step_by(101) {
            let _ = Module::parse(&data[..length]);
        }
    }

    /// Where and how large a segment is, of each program header, with values at which sums wrap around.
    #[test]
    fn segments_of_any_place_and_size_are_errors_or_partial() {
        let good = std::fs::read("/bin/true").expect("a program");
        let extremes = [0, 16, 1 << 47, i64::MAX as u64, u64::MAX - 4095, u64::MAX];
        let count = usize::from(good[56]);
        assert!(count > 4, "program headers begin behind the header of the file");
        let mut refused = 0;
        for header in (0..count).map(|index| 64 + 56 * index) {
            for (address, size) in extremes.iter().flat_map(|a| extremes.map(|s| (*a, s))) {
                let mut data = good.clone();
                data[header + 16..header + 24].copy_from_slice(&address.to_le_bytes());
                data[header + 40..header + 48].copy_from_slice(&size.to_le_bytes());
                match Module::parse(&data) {
                    Ok(module) => drop((module.span(), module.text_hash(&data), module.functions())),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused >= 4 * 25, "{refused}");
    }
}
