//! The image of a patch for one place in one process: a finished ELF file, ready to be mapped.
//!
//! Everything is relocated before anything of the target is touched. The file is linked to the very addresses
//! it will have (`ET_EXEC`), so `perf` resolves samples through the mapping's name and gdb reads it with a
//! bare `add-symbol-file`.

use std::ops::Range;

use liveline_patch::{Patch, Place, RelocationKind, SectionKind};
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, SectionIndex, Sym, Writer};
use object::{Endianness, elf};
use thiserror::Error;

use crate::continuation::Continuation;
use crate::layout::{Layout, PAGE};
use crate::record::{Description, Header, Phase, Start};
use crate::starter::{self, Starter};
use crate::table::{GATE_SIZE, STUB_SIZE, THUNK_SIZE, gate, stub, thunk};
use crate::unwind_table;

/// Why an image cannot be made for a place.
#[derive(Debug, Error)]
pub(crate) enum ImageError {
    #[error("{section}+{offset:#x}: {symbol} is too far away for a 32-bit reference")]
    Overflow { section: String, offset: u64, symbol: String },
    #[error(transparent)]
    Unwind(#[from] unwind_table::IndexError),
    #[error("update table: {0}")]
    Table(#[from] iced_x86::IcedError),
    #[error("{0}: no room for a detour: {1}")]
    Displace(String, crate::continuation::DisplaceError),
    #[error("image: {0}")]
    Write(String),
}

/// What an image needs beside the patch; places are final.
pub(crate) struct Inputs<'a> {
    pub(crate) patch: &'a Patch,
    /// Value of each symbol of the patch that is not in the patch itself.
    pub(crate) outer: &'a [u64],
    pub(crate) generation: u64,
    pub(crate) bias: u64,
    /// For each function, its first instructions moved to the image; none where another patch has the detour.
    pub(crate) continuations: &'a [Option<Continuation>],
}

/// A finished image.
pub(crate) struct Image {
    pub(crate) header: Header,
    /// Contents of the file; what lies behind, up to [`Image::size`], is zero.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of address space, whole pages.
    pub(crate) size: u64,
}

/// The shape of an image, the same for every base.
pub(crate) struct Shape {
    pub(crate) layout: Layout,
    description: Vec<u8>,
    eh_frame: u64,
    eh_frame_size: u64,
    index: u64,
    index_size: u64,
    /// Offsets of symbol table and the rest follow from here.
    loaded_end: u64,
    /// See [`gate`].
    sleeps: bool,
    /// What has to be done before the new code runs.
    starter: Option<Starter>,
}

impl Shape {
    /// Lays everything out. `describe` gets the layout of the code and gives the record's description;
    /// `sleeps` is for the [`gate`].
    pub(crate) fn new(
        patch: &Patch,
        sleeps: bool,
        starter: Option<Starter>,
        describe: impl FnOnce(&Layout) -> Description,
    ) -> Result<(Shape, Description), ImageError> {
        let mut layout = Layout::new(patch, starter.as_ref());
        let description = describe(&layout);
        let mut encoded = Vec::new();
        ciborium::into_writer(&description, &mut encoded)
            .map_err(|error| ImageError::Write(error.to_string()))?;
        let table = table_records(&layout, 0, sleeps)?;
        let new = eh_frame_section(patch).map_or(&[][..], |section| &section.bytes);
        let records = unwind_table::count(&table)? + unwind_table::count(new)?;
        let eh_frame = layout.rodata_end.next_multiple_of(8);
        let eh_frame_size = (table.len() + new.len() + 4) as u64;
        let index = (eh_frame + eh_frame_size).next_multiple_of(8);
        let index_size = unwind_table::index_size(records);
        let mut shape = Shape {
            layout,
            description: encoded,
            eh_frame,
            eh_frame_size,
            index,
            index_size,
            loaded_end: index + index_size,
            sleeps,
            starter,
        };
        // A trial run with empty contents tells where the file's own tables end.
        let end = shape.write_file(patch, 0, None)?.len() as u64;
        layout = shape.layout;
        layout.place_data(patch, end.next_multiple_of(PAGE), shape.description.len() as u64);
        shape.layout = layout;
        Ok((shape, description))
    }

    /// Where the image's data holds addresses of other modules, as ranges of its bytes.
    pub(crate) fn imported<'a>(&'a self, patch: &'a Patch) -> impl Iterator<Item = Range<usize>> + 'a {
        let sections = patch.sections.iter().zip(&self.layout.sections);
        sections.filter(|(section, _)| section.kind == SectionKind::Data).flat_map(move |(section, at)| {
            section.relocations.iter().filter_map(move |relocation| {
                let outer = !matches!(
                    patch.symbols[relocation.symbol].place,
                    Place::Here { .. } | Place::Target { .. }
                );
                let start = (at + relocation.offset) as usize;
                outer.then(|| start..start + relocation.kind.width() as usize)
            })
        })
    }

    /// Makes the image for `base`.
    pub(crate) fn build(&self, base: u64, inputs: &Inputs<'_>) -> Result<Image, ImageError> {
        let layout = &self.layout;
        let header = Header {
            selector: 0,
            phase: Phase::Mapped,
            generation: inputs.generation,
            base,
            code_size: layout.record,
            data_size: layout.end - layout.record,
            bias: inputs.bias,
            functions: layout.functions,
            description_size: self.description.len() as u64,
            check: description_check(&self.description),
            start: Start::NotBegun,
        };
        let loaded = self.loaded(base, inputs)?;
        let mut bytes = self.write_file(inputs.patch, base, Some(&loaded))?;
        bytes.resize(layout.record as usize, 0);
        bytes.extend(self.data(&header, inputs)?);
        Ok(Image { header, bytes, size: layout.end })
    }

    /// Contents from the end of the program headers to the end of the unwind index.
    fn loaded(&self, base: u64, inputs: &Inputs<'_>) -> Result<Vec<u8>, ImageError> {
        let layout = &self.layout;
        let mut bytes = vec![0; self.loaded_end as usize];
        // Between functions: int3, so that a stray jump stops at once.
        bytes[layout.stubs as usize..layout.text_end as usize].fill(0xcc);
        let mut put =
            |at: u64, code: &[u8]| bytes[at as usize..at as usize + code.len()].copy_from_slice(code);
        let words = base + layout.record + crate::record::HEADER_SIZE;
        let selector = base + layout.record + crate::record::SELECTOR;
        let step = 8 * layout.functions;
        put(layout.gate, &gate(base + layout.gate, selector, self.sleeps)?);
        for (index, continuation) in inputs.continuations.iter().enumerate() {
            let slot = words + 8 * index as u64;
            put(layout.stub(index), &stub(base + layout.stub(index), slot)?);
            put(
                layout.thunk(index),
                &thunk(
                    base + layout.thunk(index),
                    selector,
                    slot + step,
                    slot + 2 * step,
                    base + layout.gate,
                )?,
            );
            if let Some(continuation) = continuation {
                put(layout.continuation(index), &continuation.code);
            }
        }
        if let Some(starter) = &self.starter {
            let initializers = initializers(inputs.patch, layout)?.into_iter().map(|at| base + at).collect();
            let job = starter::Job {
                state: base + layout.record + crate::record::START,
                eh_frame: base + self.eh_frame,
                objects: base + layout.objects,
                initializers,
            };
            put(layout.starter, &starter.code(base + layout.starter, &job)?);
        }
        for (section, at) in inputs.patch.sections.iter().zip(&layout.sections) {
            if matches!(section.kind, SectionKind::Text | SectionKind::Rodata) {
                put(*at, &self.relocate(section, base + at, base, inputs)?);
            }
        }
        let eh_frame = self.eh_frame(base, inputs)?;
        put(self.eh_frame, &eh_frame);
        put(self.index, &unwind_table::index(&eh_frame, base + self.eh_frame, base + self.index)?);
        Ok(bytes)
    }

    /// Address of the starter of the image at `base`, if it has one.
    pub(crate) fn starter_at(&self, base: u64) -> Option<u64> {
        self.starter.is_some().then_some(base + self.layout.starter)
    }

    fn eh_frame(&self, base: u64, inputs: &Inputs<'_>) -> Result<Vec<u8>, ImageError> {
        // The new code's records first: their CIE pointers are relative, and their relocations count from the
        // start of the section.
        let mut bytes = match eh_frame_section(inputs.patch) {
            Some(section) => self.relocate(section, base + self.eh_frame, base, inputs)?,
            None => Vec::new(),
        };
        bytes.extend(table_records(&self.layout, base, self.sleeps)?);
        bytes.extend([0; 4]);
        Ok(bytes)
    }

    fn data(&self, header: &Header, inputs: &Inputs<'_>) -> Result<Vec<u8>, ImageError> {
        let layout = &self.layout;
        let mut bytes = header.encode();
        let thunk = |index: usize| header.base + layout.thunk(index);
        let old = |index: usize| match inputs.continuations[index] {
            Some(_) => header.base + layout.continuation(index),
            None => 0, // set just before the thunk is used
        };
        let new = |index: usize| {
            let function = &inputs.patch.meta.functions[index];
            layout.symbol(inputs.patch, function.new).map_or(0, |(offset, _)| header.base + offset)
        };
        let count = inputs.patch.meta.functions.len();
        for value in (0..count).map(thunk).chain((0..count).map(old)).chain((0..count).map(new)) {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(&self.description);
        bytes.resize((layout.data_end - layout.record) as usize, 0);
        for (section, at) in inputs.patch.sections.iter().zip(&layout.sections) {
            if section.kind == SectionKind::Data {
                let contents = self.relocate(section, header.base + at, header.base, inputs)?;
                let start = (at - layout.record) as usize;
                bytes[start..start + contents.len()].copy_from_slice(&contents);
            }
        }
        Ok(bytes)
    }

    fn relocate(
        &self,
        section: &liveline_patch::Section,
        at: u64,
        base: u64,
        inputs: &Inputs<'_>,
    ) -> Result<Vec<u8>, ImageError> {
        let mut bytes = section.bytes.clone();
        for relocation in &section.relocations {
            let symbol = &inputs.patch.symbols[relocation.symbol];
            let value = match &symbol.place {
                Place::Here { section, offset, .. } => base + self.layout.sections[*section] + offset,
                _ => inputs.outer[relocation.symbol],
            };
            let value = value.wrapping_add_signed(relocation.addend);
            let relative = value.wrapping_sub(at + relocation.offset);
            let narrow = match relocation.kind {
                RelocationKind::Abs64 | RelocationKind::Pc64 => None,
                RelocationKind::Abs32 => Some(u32::try_from(value).ok()),
                RelocationKind::Abs32S => Some(i32::try_from(value as i64).ok().map(|value| value as u32)),
                RelocationKind::Pc32 => Some(i32::try_from(relative as i64).ok().map(|value| value as u32)),
            };
            let start = relocation.offset as usize;
            match narrow {
                None => {
                    let value = if relocation.kind == RelocationKind::Abs64 { value } else { relative };
                    bytes[start..start + 8].copy_from_slice(&value.to_le_bytes());
                }
                Some(Some(value)) => bytes[start..start + 4].copy_from_slice(&value.to_le_bytes()),
                Some(None) => {
                    return Err(ImageError::Overflow {
                        section: section.name.clone(),
                        offset: relocation.offset,
                        symbol: symbol.name.clone(),
                    });
                }
            }
        }
        Ok(bytes)
    }

    /// The ELF file without its read-write part. Without contents, only its length means anything.
    fn write_file(&self, patch: &Patch, base: u64, loaded: Option<&[u8]>) -> Result<Vec<u8>, ImageError> {
        let layout = &self.layout;
        let names = symbol_names(patch, layout);
        let mut bytes = Vec::new();
        let mut writer = Writer::new(Endianness::Little, true, &mut bytes);
        let fail = |error: object::write::Error| ImageError::Write(error.to_string());
        writer.reserve_file_header();
        writer.reserve_program_headers(4);
        writer.reserve_until(self.loaded_end);
        let section_names: Vec<_> = [&b".text"[..], b".rodata", b".eh_frame", b".eh_frame_hdr", b".data"]
            .map(|name| writer.add_section_name(name))
            .into();
        writer.reserve_null_section_index();
        let sections: Vec<SectionIndex> =
            section_names.iter().map(|_| writer.reserve_section_index()).collect();
        writer.reserve_symtab_section_index();
        writer.reserve_strtab_section_index();
        writer.reserve_shstrtab_section_index();
        writer.reserve_null_symbol_index();
        let mut symbols = Vec::new();
        for (name, offset, size, kind) in &names {
            let name = writer.add_string(name.as_bytes());
            let section = sections[if *offset >= layout.record && layout.record != 0 {
                4
            } else if *offset >= layout.text_end {
                1
            } else {
                0
            }];
            writer.reserve_symbol_index(Some(section));
            symbols.push((name, *offset, *size, *kind, section));
        }
        writer.reserve_symtab();
        writer.reserve_strtab().map_err(fail)?;
        writer.reserve_shstrtab().map_err(fail)?;
        writer.reserve_section_headers();

        writer
            .write_file_header(&FileHeader {
                os_abi: elf::ELFOSABI_NONE,
                abi_version: 0,
                e_type: elf::ET_EXEC,
                e_machine: elf::EM_X86_64,
                e_entry: 0,
                e_flags: Default::default(),
            })
            .map_err(fail)?;
        writer.write_align_program_headers();
        let data_size = layout.end - layout.record;
        let headers = [
            (elf::PT_LOAD, elf::PF_R | elf::PF_X, 0, layout.record, PAGE),
            (elf::PT_LOAD, elf::PF_R | elf::PF_W, layout.record, data_size, PAGE),
            (elf::PT_GNU_EH_FRAME, elf::PF_R, self.index, self.index_size, 8),
            (elf::PT_GNU_STACK, elf::PF_R | elf::PF_W, 0, 0, 16),
        ];
        for (p_type, p_flags, offset, size, p_align) in headers {
            let address = base + offset;
            let p_filesz = size;
            writer.write_program_header(&ProgramHeader {
                p_type,
                p_flags,
                p_offset: offset,
                p_vaddr: address,
                p_paddr: address,
                p_filesz,
                p_memsz: size,
                p_align,
            });
        }
        let start = writer.len();
        match loaded {
            Some(loaded) => writer.write(&loaded[start as usize..]),
            None => writer.pad_until(self.loaded_end),
        }
        writer.write_null_symbol();
        for (name, offset, size, kind, section) in symbols {
            let st_name = writer.string_offset(Some(name));
            writer.write_symbol(&Sym {
                st_name,
                section: Some(section.0),
                st_info: elf::SymbolInfo::new(elf::STB_GLOBAL, kind),
                st_other: Default::default(),
                st_shndx: Default::default(),
                st_value: base + offset,
                st_size: size,
            });
        }
        writer.write_strtab();
        writer.write_shstrtab();
        writer.write_null_section_header();
        let code = elf::SHF_ALLOC | elf::SHF_EXECINSTR;
        let constant = elf::SHF_ALLOC;
        let data = elf::SHF_ALLOC | elf::SHF_WRITE;
        let ranges = [
            (code, layout.stubs, layout.text_end),
            (constant, layout.text_end, layout.rodata_end),
            (constant, self.eh_frame, self.eh_frame + self.eh_frame_size),
            (constant, self.index, self.index + self.index_size),
            (data, layout.record, layout.end),
        ];
        for (name, (sh_flags, from, to)) in section_names.into_iter().zip(ranges) {
            let sh_name = writer.section_name_offset(Some(name));
            writer.write_section_header(&SectionHeader {
                sh_name,
                sh_type: elf::SHT_PROGBITS,
                sh_flags,
                sh_addr: base + from,
                sh_offset: from,
                sh_size: to - from,
                sh_link: 0,
                sh_info: 0,
                sh_addralign: 1,
                sh_entsize: 0,
            });
        }
        writer.write_symtab_section_header(1);
        writer.write_strtab_section_header();
        writer.write_shstrtab_section_header();
        Ok(bytes)
    }
}

fn table_records(layout: &Layout, base: u64, sleeps: bool) -> Result<Vec<u8>, ImageError> {
    let gate = gate(base + layout.gate, base + layout.end, sleeps)?;
    unwind_table::table_records(layout, base, &gate).map_err(|error| ImageError::Write(error.to_string()))
}

/// Offsets of the functions that the program runs once.
fn initializers(patch: &Patch, layout: &Layout) -> Result<Vec<u64>, ImageError> {
    let place = |index: &usize| {
        let symbol = layout.symbol(patch, *index);
        let text = |(offset, _): &(u64, u64)| (layout.continuations..layout.text_end).contains(offset);
        symbol.filter(text).map(|(offset, _)| offset)
    };
    let all = patch.meta.initializers.iter().map(place).collect::<Option<Vec<u64>>>();
    all.ok_or_else(|| ImageError::Write("an initializer of the patch is no new code".into()))
}

fn eh_frame_section(patch: &Patch) -> Option<&liveline_patch::Section> {
    patch.sections.iter().find(|section| section.kind == SectionKind::EhFrame)
}

/// First bytes of the hash of a record's description.
pub(crate) fn description_check(description: &[u8]) -> u64 {
    let hash = blake3::hash(description);
    u64::from_le_bytes(std::array::from_fn(|index| hash.as_bytes()[index]))
}

/// Symbols of the image: name, offset, size, type.
fn symbol_names(patch: &Patch, layout: &Layout) -> Vec<(String, u64, u64, elf::SymbolType)> {
    let mut names = Vec::new();
    for (index, symbol) in patch.symbols.iter().enumerate() {
        if let (Place::Here { function, .. }, false) = (&symbol.place, symbol.name.is_empty())
            && let Some((offset, size)) = layout.symbol(patch, index)
        {
            let kind = if *function { elf::STT_FUNC } else { elf::STT_OBJECT };
            names.push((symbol.name.clone(), offset, size, kind));
        }
    }
    names.push(("liveline.gate".to_owned(), layout.gate, GATE_SIZE, elf::STT_FUNC));
    if layout.starter_size != 0 {
        names.push(("liveline.start".to_owned(), layout.starter, layout.starter_size, elf::STT_FUNC));
    }
    for (index, function) in patch.meta.functions.iter().enumerate() {
        let name = &function.name;
        names.push((format!("liveline.stub.{name}"), layout.stub(index), STUB_SIZE, elf::STT_FUNC));
        names.push((format!("liveline.thunk.{name}"), layout.thunk(index), THUNK_SIZE, elf::STT_FUNC));
    }
    names
}
