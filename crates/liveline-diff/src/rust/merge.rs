//! The objects of one crate as one object.
//!
//! rustc spreads a crate over codegen units anew for each build: a function may lie in another unit than before,
//! be local in one build and hidden in the next, or lie in several units at once. Only as a whole can two builds
//! of a crate be compared.

use std::borrow::Cow;
use std::collections::HashMap;

use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ElfFile64, Rela as _, SectionHeader as _, Sym as _};
use object::read::{Error, Object as _, ObjectSection as _, SymbolIndex};

/// A section of the merged object.
#[derive(Debug)]
pub(super) struct OutSection<'d> {
    pub(super) name: &'d [u8],
    pub(super) kind: elf::SectionType,
    pub(super) flags: elf::SectionFlags,
    pub(super) align: u64,
    pub(super) entry: u64,
    pub(super) size: u64,
    pub(super) data: Cow<'d, [u8]>,
    pub(super) relocs: Vec<OutReloc>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OutReloc {
    pub(super) offset: u64,
    pub(super) kind: elf::RelocationType,
    /// Index of a symbol, from 0.
    pub(super) symbol: usize,
    pub(super) addend: i64,
}

/// A symbol of the merged object.
#[derive(Debug)]
pub(super) struct OutSymbol<'d> {
    pub(super) name: &'d [u8],
    /// Index of a section, from 0.
    pub(super) section: Option<usize>,
    /// What `st_shndx` says where there is no section.
    pub(super) special: elf::SymbolSection,
    pub(super) info: elf::SymbolInfo,
    pub(super) other: elf::SymbolOther,
    pub(super) value: u64,
    pub(super) size: u64,
}

/// The merged object before it is written.
#[derive(Debug, Default)]
pub(super) struct Merged<'d> {
    pub(super) sections: Vec<OutSection<'d>>,
    pub(super) symbols: Vec<OutSymbol<'d>>,
    /// Debug sections by name: those of all objects in a row.
    joined: HashMap<&'d [u8], usize>,
    /// For each section, its symbol.
    own_symbols: Vec<usize>,
    /// Global symbols by name.
    globals: HashMap<&'d [u8], usize>,
    /// Signatures of the groups that are in.
    groups: HashMap<&'d [u8], ()>,
}

/// Where a section of one object went.
#[derive(Clone, Copy, Debug)]
enum Went {
    /// Into this section, from this offset.
    To(usize, u64),
    Nowhere,
}

/// Merges objects into one; none if one of them is no readable object.
pub(crate) fn merge(objects: &[&[u8]]) -> Option<Vec<u8>> {
    super::write::write(&gather(objects).ok()?).ok()
}

fn gather<'d>(objects: &[&'d [u8]]) -> Result<Merged<'d>, Error> {
    let files: Vec<ElfFile64<LE>> =
        objects.iter().map(|data| ElfFile64::parse(*data)).collect::<Result<_, _>>()?;
    let mut merged = Merged::default();
    let mut places = Vec::new();
    for file in &files {
        places.push(merged.add_sections(file)?);
    }
    let mut symbols = Vec::new();
    for (file, places) in files.iter().zip(&places) {
        symbols.push(merged.add_symbols(file, places)?);
    }
    for (file, symbols) in files.iter().zip(&mut symbols) {
        merged.add_undefined(file, symbols)?;
    }
    for ((file, places), symbols) in files.iter().zip(&places).zip(&symbols) {
        merged.add_relocations(file, places, symbols)?;
    }
    Ok(merged)
}

impl<'d> Merged<'d> {
    fn add_sections(&mut self, file: &ElfFile64<'d, LE>) -> Result<Vec<Went>, Error> {
        let dropped = self.dropped_groups(file)?;
        let mut places = vec![Went::Nowhere; file.elf_section_table().len()];
        for section in file.sections() {
            let index = section.index();
            let header = section.elf_section_header();
            let name = file.elf_section_table().section_name(LE, header)?;
            let kind = header.sh_type(LE);
            let linking = matches!(
                kind,
                elf::SHT_NULL
                    | elf::SHT_SYMTAB
                    | elf::SHT_STRTAB
                    | elf::SHT_RELA
                    | elf::SHT_REL
                    | elf::SHT_GROUP
                    | elf::SHT_SYMTAB_SHNDX
            );
            let unused = matches!(name, b".llvmbc" | b".llvmcmd" | b".note.GNU-stack" | b".llvm_addrsig");
            if linking || unused || dropped.contains(&index.0) {
                continue;
            }
            let flags = elf::SectionFlags(header.sh_flags(LE).0 & !elf::SHF_GROUP.0);
            let loaded = flags.contains(elf::SHF_ALLOC);
            let empty = kind == elf::SHT_NOBITS;
            let data = if empty {
                Cow::Borrowed(&[][..])
            } else if loaded {
                Cow::Borrowed(section.data()?)
            } else {
                section.uncompressed_data()?
            };
            let Some(place) = places.get_mut(index.0) else { continue };
            if loaded {
                *place = Went::To(self.sections.len(), 0);
                let size = header.sh_size(LE);
                self.push(OutSection {
                    name,
                    kind,
                    flags,
                    align: header.sh_addralign(LE).max(1),
                    entry: header.sh_entsize(LE),
                    size,
                    data,
                    relocs: Vec::new(),
                });
                continue;
            }
            let flags = elf::SectionFlags(flags.0 & !elf::SHF_COMPRESSED.0);
            let size = data.len() as u64;
            match self.joined.get(name) {
                Some(&at) => {
                    let section = &mut self.sections[at];
                    *place = Went::To(at, section.size);
                    section.data.to_mut().extend_from_slice(&data);
                    section.size += size;
                }
                None => {
                    *place = Went::To(self.sections.len(), 0);
                    self.joined.insert(name, self.sections.len());
                    let (align, entry) = (1, header.sh_entsize(LE));
                    self.push(OutSection { name, kind, flags, align, entry, size, data, relocs: Vec::new() });
                }
            }
        }
        Ok(places)
    }

    fn push(&mut self, section: OutSection<'d>) {
        self.own_symbols.push(self.symbols.len());
        self.symbols.push(OutSymbol {
            name: b"",
            section: Some(self.sections.len()),
            special: elf::SHN_UNDEF,
            info: elf::SymbolInfo::new(elf::STB_LOCAL, elf::STT_SECTION),
            other: elf::SymbolOther(0),
            value: 0,
            size: 0,
        });
        self.sections.push(section);
    }

    /// Sections of groups that an earlier object brought already.
    fn dropped_groups(&mut self, file: &ElfFile64<'d, LE>) -> Result<Vec<usize>, Error> {
        let mut out = Vec::new();
        let symbols = file.elf_symbol_table();
        for section in file.sections() {
            let header = section.elf_section_header();
            let Some((flag, members)) = header.group(LE, file.data())? else { continue };
            if flag != elf::GRP_COMDAT {
                continue;
            }
            let symbol = symbols.symbol(SymbolIndex(header.sh_info(LE) as usize))?;
            let signature = symbols.symbol_name(LE, symbol)?;
            if self.groups.insert(signature, ()).is_some() {
                out.extend(members.iter().map(|member| member.get(LE) as usize));
            }
        }
        Ok(out)
    }

    /// Symbols that an object defines; for each, which it became.
    fn add_symbols(
        &mut self,
        file: &ElfFile64<'d, LE>,
        places: &[Went],
    ) -> Result<Vec<Option<usize>>, Error> {
        let table = file.elf_symbol_table();
        let mut out = vec![None; table.len()];
        for (index, symbol) in table.enumerate() {
            if index.0 == 0 {
                continue;
            }
            let (kind, special) = (symbol.st_type(), symbol.st_shndx(LE));
            let section = table.symbol_section(LE, symbol, index)?;
            let place = section.and_then(|section| places.get(section.0)).copied();
            if kind == elf::STT_SECTION {
                if let Some(Went::To(to, _)) = place {
                    out[index.0] = Some(self.own_symbols[to]);
                }
                continue;
            }
            if special == elf::SHN_UNDEF {
                continue;
            }
            let name = table.symbol_name(LE, symbol)?;
            let local = symbol.st_bind() == elf::STB_LOCAL;
            if !local && let Some(&known) = self.globals.get(name) {
                out[index.0] = Some(known);
                continue;
            }
            let (section, base) = match place {
                Some(Went::To(to, base)) => (Some(to), base),
                Some(Went::Nowhere) => continue,
                None => (None, 0),
            };
            out[index.0] = Some(self.symbols.len());
            if !local {
                self.globals.insert(name, self.symbols.len());
            }
            self.symbols.push(OutSymbol {
                name,
                section,
                special,
                info: symbol.st_info(),
                other: symbol.st_other(),
                value: symbol.st_value(LE).wrapping_add(base),
                size: symbol.st_size(LE),
            });
        }
        Ok(out)
    }

    /// Symbols that an object takes from elsewhere: from another of the objects, or from none of them.
    fn add_undefined(&mut self, file: &ElfFile64<'d, LE>, out: &mut [Option<usize>]) -> Result<(), Error> {
        let table = file.elf_symbol_table();
        for (index, symbol) in table.enumerate() {
            if index.0 == 0 || symbol.st_shndx(LE) != elf::SHN_UNDEF {
                continue;
            }
            let name = table.symbol_name(LE, symbol)?;
            let next = self.symbols.len();
            let known = *self.globals.entry(name).or_insert(next);
            if known == next {
                self.symbols.push(OutSymbol {
                    name,
                    section: None,
                    special: elf::SHN_UNDEF,
                    info: symbol.st_info(),
                    other: symbol.st_other(),
                    value: 0,
                    size: 0,
                });
            }
            out[index.0] = Some(known);
        }
        Ok(())
    }

    fn add_relocations(
        &mut self,
        file: &ElfFile64<'d, LE>,
        places: &[Went],
        symbols: &[Option<usize>],
    ) -> Result<(), Error> {
        let table = file.elf_symbol_table();
        for section in file.sections() {
            let header = section.elf_section_header();
            let Some((relocs, _)) = header.rela(LE, file.data())? else { continue };
            let Some(Went::To(to, base)) = places.get(header.sh_info(LE) as usize).copied() else { continue };
            for reloc in relocs {
                let index = SymbolIndex(reloc.r_sym(LE, false) as usize);
                // What refers to a group that another object brought: debug information only.
                let Some(symbol) = symbols.get(index.0).copied().flatten() else { continue };
                let mut addend = reloc.r_addend(LE);
                let source = table.symbol(index)?;
                if source.st_type() == elf::STT_SECTION
                    && let Some(section) = table.symbol_section(LE, source, index)?
                    && let Some(Went::To(_, base)) = places.get(section.0)
                {
                    addend = addend.wrapping_add(*base as i64);
                }
                self.sections[to].relocs.push(OutReloc {
                    offset: reloc.r_offset(LE).wrapping_add(base),
                    kind: reloc.r_type(LE, false),
                    symbol,
                    addend,
                });
            }
        }
        Ok(())
    }
}
