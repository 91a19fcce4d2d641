//! A patch of everything that an object file holds, for the functions a program has under the same names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use liveline_elf::module::Module;
use liveline_patch::*;
use object::elf;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SymbolSection};

/// Compiles `source` of tests/targets so that every symbol of others is reached through a word.
pub(crate) fn compile(source: &str, folder: &Path) -> PathBuf {
    let out = folder.join("new.o");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/targets").join(source);
    let mut command = Command::new("g++");
    command.args(["-O2", "-fPIC", "-fno-plt", "-ffunction-sections", "-c", "-o"]).arg(&out).arg(source);
    assert!(command.status().unwrap().success());
    out
}

/// Fills `patch`, which replaces functions of `program`, with the code of an object file.
pub(crate) fn fill(patch: &mut Patch, program: &Path, object: &Path) {
    let program = std::fs::read(program).unwrap();
    let program = Module::parse(&program).unwrap();
    let bytes = std::fs::read(object).unwrap();
    let file = ElfFile64::<object::LittleEndian>::parse(&*bytes).unwrap();
    patch.sections.clear();
    patch.symbols.clear();
    let mut places = HashMap::new();
    for section in file.sections() {
        let object::SectionFlags::Elf { sh_flags, .. } = section.flags() else { panic!("no ELF flags") };
        let flags = |flag: elf::SectionFlags| sh_flags.0 & flag.0 != 0;
        let name = section.name().unwrap();
        if !flags(elf::SHF_ALLOC) || section.size() == 0 || name.starts_with(".note") {
            continue;
        }
        let zero = matches!(section.elf_section_header().sh_type.get(object::LittleEndian), elf::SHT_NOBITS);
        let kind = match name {
            ".eh_frame" => SectionKind::EhFrame,
            _ if flags(elf::SHF_EXECINSTR) => SectionKind::Text,
            _ if zero => SectionKind::Bss,
            _ if flags(elf::SHF_WRITE) => SectionKind::Data,
            _ => SectionKind::Rodata,
        };
        places.insert(section.index(), patch.sections.len());
        patch.sections.push(Section {
            name: name.into(),
            kind,
            align: section.align(),
            bytes: section.data().unwrap().to_vec(),
            size: section.size(),
            relocations: vec![],
        });
    }
    let mut symbols = HashMap::new();
    for symbol in file.symbols() {
        let name = symbol.name().unwrap().to_owned();
        let place = match symbol.section() {
            SymbolSection::Section(index) => match places.get(&index) {
                Some(section) => Place::Here {
                    section: *section,
                    offset: symbol.address(),
                    size: symbol.size(),
                    function: symbol.kind() == object::SymbolKind::Text,
                },
                None => continue,
            },
            SymbolSection::Undefined => match program.symbols.iter().find(|other| other.name == name) {
                Some(other) => Place::Target { address: other.address },
                None => Place::Import { version: None, weak: false },
            },
            _ => continue,
        };
        symbols.insert(symbol.index(), patch.symbols.len());
        patch.symbols.push(Symbol { name, place });
    }
    let mut words: Vec<(usize, usize)> = Vec::new();
    for section in file.sections() {
        let Some(place) = places.get(&section.index()) else { continue };
        for (offset, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else { panic!("no ELF relocation") };
            let RelocationTarget::Symbol(symbol) = relocation.target() else { panic!("no symbol") };
            let mut symbol = symbols[&symbol];
            let kind = match r_type {
                elf::R_X86_64_64 => RelocationKind::Abs64,
                elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => RelocationKind::Pc32,
                elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
                    symbol = word_for(patch, &mut words, symbol);
                    RelocationKind::Pc32
                }
                other => panic!("relocation {other:?}"),
            };
            patch.sections[*place].relocations.push(Relocation {
                offset,
                kind,
                symbol,
                addend: relocation.addend(),
            });
        }
    }
    for function in &mut patch.meta.functions {
        let found = patch.symbols.iter().position(|symbol| symbol.name == function.name);
        function.new = found.unwrap();
    }
}

/// The symbol of a word that holds the address of `symbol`.
fn word_for(patch: &mut Patch, words: &mut Vec<(usize, usize)>, symbol: usize) -> usize {
    if let Some((_, word)) = words.iter().find(|(of, _)| *of == symbol) {
        return *word;
    }
    let relocations = vec![Relocation { offset: 0, kind: RelocationKind::Abs64, symbol, addend: 0 }];
    let section = patch.sections.len();
    patch.sections.push(Section {
        name: ".got".into(),
        kind: SectionKind::Data,
        align: 8,
        bytes: vec![0; 8],
        size: 8,
        relocations,
    });
    let place = Place::Here { section, offset: 0, size: 8, function: false };
    patch.symbols.push(Symbol { name: String::new(), place });
    words.push((symbol, patch.symbols.len() - 1));
    patch.symbols.len() - 1
}
