//! Writing a merged object.

use object::elf;
use object::write::elf::{FileHeader, Rel, SectionHeader, Sym, Writer};

use super::merge::Merged;

/// The bytes of a merged object.
pub(super) fn write(merged: &Merged) -> object::write::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(object::Endianness::Little, true, &mut bytes);
    writer.reserve_file_header();
    let mut sections = Vec::new();
    for section in &merged.sections {
        sections.push((writer.add_section_name(section.name), writer.reserve_section_index()));
    }
    let relocated: Vec<usize> =
        (0..merged.sections.len()).filter(|&at| !merged.sections[at].relocs.is_empty()).collect();
    let rela = writer.add_section_name(b".rela");
    for _ in &relocated {
        writer.reserve_section_index();
    }
    let mut symbols = Vec::new();
    for symbol in &merged.symbols {
        let name = (!symbol.name.is_empty()).then(|| writer.add_string(symbol.name));
        let section = symbol.section.map(|section| sections[section].1);
        symbols.push((name, section, writer.reserve_symbol_index(section)));
    }
    let symtab = writer.reserve_symtab_section_index();
    if writer.symtab_shndx_needed() {
        writer.reserve_symtab_shndx_section_index();
    }
    writer.reserve_strtab_section_index();
    writer.reserve_shstrtab_section_index();
    let mut offsets = Vec::new();
    for section in &merged.sections {
        let align = if section.align.is_power_of_two() { section.align } else { 1 };
        offsets.push(writer.reserve(section.data.len() as u64, align));
    }
    let tables: Vec<u64> = relocated
        .iter()
        .map(|&section| writer.reserve_relocations(merged.sections[section].relocs.len(), true))
        .collect();
    writer.reserve_symtab();
    writer.reserve_symtab_shndx();
    writer.reserve_strtab()?;
    writer.reserve_shstrtab()?;
    writer.reserve_section_headers();

    writer.write_file_header(&FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_REL,
        e_machine: elf::EM_X86_64,
        e_entry: 0,
        e_flags: elf::FileFlags(0),
    })?;
    for (section, offset) in merged.sections.iter().zip(&offsets) {
        writer.pad_until(*offset);
        writer.write(&section.data);
    }
    for (&section, offset) in relocated.iter().zip(&tables) {
        writer.pad_until(*offset);
        for reloc in &merged.sections[section].relocs {
            writer.write_relocation(
                true,
                &Rel {
                    r_offset: reloc.offset,
                    r_sym: symbols[reloc.symbol].2.0,
                    r_type: reloc.kind,
                    r_addend: reloc.addend,
                },
            );
        }
    }
    writer.write_null_symbol();
    for (symbol, (name, section, _)) in merged.symbols.iter().zip(&symbols) {
        let st_name = writer.string_offset(*name);
        writer.write_symbol(&Sym {
            section: section.map(|section| section.0),
            st_name,
            st_info: symbol.info,
            st_other: symbol.other,
            st_shndx: symbol.special,
            st_value: symbol.value,
            st_size: symbol.size,
        });
    }
    writer.write_symtab_shndx();
    writer.write_strtab();
    writer.write_shstrtab();
    writer.write_null_section_header();
    for ((section, offset), (name, _)) in merged.sections.iter().zip(&offsets).zip(&sections) {
        let sh_name = writer.section_name_offset(Some(*name));
        writer.write_section_header(&SectionHeader {
            sh_name,
            sh_type: section.kind,
            sh_flags: section.flags,
            sh_addr: 0,
            sh_offset: *offset,
            sh_size: section.size,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: section.align,
            sh_entsize: section.entry,
        });
    }
    for (&section, offset) in relocated.iter().zip(&tables) {
        let count = merged.sections[section].relocs.len();
        writer.write_relocation_section_header(rela, sections[section].1, symtab, *offset, count, true);
    }
    // Symbols stand by object, so that each has its file in front of it: their order says nothing of their binding.
    writer.write_symtab_section_header(1);
    writer.write_symtab_shndx_section_header();
    writer.write_strtab_section_header();
    writer.write_shstrtab_section_header();
    Ok(bytes)
}
