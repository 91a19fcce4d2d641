//! The target as it runs, with the symbols of its unstripped twin: who lies where, and through which words it
//! reaches other modules.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};
use liveline_elf::module::{Module, ModuleKind, Symbol, SymbolKind};
use liveline_patch::Place;
use object::elf;

use crate::{DiffError, names, rust};

/// Words of the target that the dynamic linker fills for one symbol.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slots {
    /// `R_X86_64_GLOB_DAT`: holds the address from the start.
    pub(crate) data: Option<u64>,
    /// `R_X86_64_JUMP_SLOT`: may hold the address of a binder until the first call.
    pub(crate) jump: Option<u64>,
    /// `R_X86_64_TPOFF64` with addend 0.
    pub(crate) tpoff: Option<u64>,
    /// `R_X86_64_DTPMOD64`, followed by `DTPOFF64`.
    pub(crate) module: Option<u64>,
    /// `R_X86_64_TLSDESC`.
    pub(crate) descriptor: Option<u64>,
}

/// The target.
#[derive(Debug)]
pub(crate) struct Program<'d> {
    pub(crate) data: &'d [u8],
    pub(crate) module: Module,
    /// Symbols of the twin (or the target's own).
    symbols: Vec<Symbol>,
    globals: HashMap<String, usize>,
    locals: HashMap<String, Vec<usize>>,
    /// All starts of symbols in code, sorted.
    starts: Vec<u64>,
    slots: HashMap<String, Slots>,
    /// Slot address → symbol name.
    slot_names: HashMap<u64, String>,
    /// IFUNC resolver → slot of an `R_X86_64_IRELATIVE`.
    indirect: HashMap<u64, u64>,
    /// Slot → resolver.
    indirect_slots: HashMap<u64, u64>,
    /// Slot → address it holds from the start (`R_X86_64_RELATIVE`).
    relative: HashMap<u64, u64>,
    /// Imported symbols: name → (version, weak).
    imports: BTreeMap<String, (Option<String>, bool)>,
    /// Canonical PLT entries: name → address.
    canonical: HashMap<String, u64>,
    /// Exported symbols that another module may interpose.
    exported: HashSet<String>,
    thread_words: ThreadWords,
}

/// GOT words of a shared library for its own thread-locals.
#[derive(Debug, Default)]
pub(crate) struct ThreadWords {
    /// Offset in the TLS image → `TPOFF64` word.
    offsets: BTreeMap<i64, u64>,
    /// Offset in the TLS image → TLS descriptor.
    descriptors: BTreeMap<i64, u64>,
    module: Option<u64>,
    /// The same for an exported thread-local, with its name: right unless the program interposes that.
    lent: Option<(u64, String)>,
    lent_offset: Option<(i64, u64, String)>,
}

impl ThreadWords {
    /// The word with the thread-pointer offset of a thread-local.
    pub(crate) fn offset_of(&self, value: i64) -> Option<u64> {
        self.offsets.get(&value).copied()
    }

    /// Some word with a thread-pointer offset, and whose that is.
    pub(crate) fn any_offset(&self) -> Option<(i64, Place)> {
        let own = self.offsets.iter().next().map(|(value, slot)| (*value, word(*slot, None)));
        own.or_else(|| self.lent_offset.as_ref().map(|(value, slot, name)| (*value, word(*slot, Some(name)))))
    }

    /// The descriptor of a thread-local.
    pub(crate) fn descriptor_of(&self, value: i64) -> Option<u64> {
        self.descriptors.get(&value).copied()
    }

    /// A word with the module's number.
    pub(crate) fn module(&self) -> Option<Place> {
        let own = self.module.map(|slot| word(slot, None));
        own.or_else(|| self.lent.as_ref().map(|(slot, name)| word(*slot, Some(name))))
    }
}

fn word(address: u64, unless_interposed: Option<&String>) -> Place {
    Place::TargetWord { address, unless_interposed: unless_interposed.cloned() }
}

/// A thread-local of the target.
pub(crate) type Found<'p> = &'p Symbol;

impl<'d> Program<'d> {
    /// Reads the target, and its unstripped twin if there is one.
    pub(crate) fn read(
        path: &Path,
        data: &'d [u8],
        debug: Option<(&Path, &'d [u8])>,
    ) -> Result<Self, DiffError> {
        let failed = |path: &Path, source| DiffError::Target { path: path.into(), source };
        let module = Module::parse(data).map_err(|source| failed(path, source))?;
        let symbols = match debug {
            Some((debug_path, debug_data)) => {
                let twin = Module::parse(debug_data).map_err(|source| failed(debug_path, source))?;
                check_twin(&module, data, &twin, debug_data)
                    .map_err(|reason| DiffError::NotTwin { path: debug_path.into(), reason })?;
                twin.symbols
            }
            None => module.symbols.clone(),
        };
        if symbols.is_empty() {
            return Err(DiffError::NoSymbols { path: path.into() });
        }
        let mut program = Self {
            data,
            symbols,
            globals: HashMap::new(),
            locals: HashMap::new(),
            starts: Vec::new(),
            slots: HashMap::new(),
            slot_names: HashMap::new(),
            indirect: HashMap::new(),
            indirect_slots: HashMap::new(),
            relative: HashMap::new(),
            imports: BTreeMap::new(),
            canonical: HashMap::new(),
            exported: HashSet::new(),
            thread_words: ThreadWords::default(),
            module,
        };
        program.index_symbols();
        program.index_slots();
        Ok(program)
    }

    fn index_symbols(&mut self) {
        for (index, symbol) in self.symbols.iter().enumerate() {
            let code = self.module.load_at(symbol.address).is_some_and(|load| load.execute);
            if code && symbol.kind != SymbolKind::Tls {
                self.starts.push(symbol.address);
            }
            if symbol.local {
                self.locals.entry(symbol.name.clone()).or_default().push(index);
                // A hidden global becomes local when linked.
            } else {
                let (name, _) = names::versioned(&symbol.name);
                self.globals.entry(name.to_owned()).or_insert(index);
            }
        }
        self.starts.sort_unstable();
        self.starts.dedup();
    }

    fn index_slots(&mut self) {
        for symbol in &self.module.dynamic_symbols {
            if symbol.name.is_empty() {
                continue;
            }
            if symbol.defined {
                if !symbol.protected {
                    self.exported.insert(symbol.name.clone());
                }
            } else {
                let entry = (symbol.version.clone(), symbol.weak);
                self.imports.insert(symbol.name.clone(), entry);
                if symbol.address != 0 {
                    self.canonical.insert(symbol.name.clone(), symbol.address);
                }
            }
        }
        for relocation in &self.module.relocations {
            let own = relocation.symbol.map(|index| &self.module.dynamic_symbols[index]);
            if own.is_none_or(|symbol| symbol.defined) {
                let value = own.map_or(0, |symbol| symbol.address as i64).wrapping_add(relocation.addend);
                // A symbol that others may interpose may be another module's in the end: the last choice.
                let lent = own.filter(|symbol| !symbol.protected).map(|symbol| symbol.name.clone());
                let words = &mut self.thread_words;
                match elf::RelocationType(relocation.kind) {
                    elf::R_X86_64_TPOFF64 if lent.is_none() => {
                        _ = words.offsets.insert(value, relocation.address)
                    }
                    elf::R_X86_64_TLSDESC if lent.is_none() => {
                        _ = words.descriptors.insert(value, relocation.address)
                    }
                    elf::R_X86_64_DTPMOD64 if lent.is_none() => {
                        words.module = words.module.or(Some(relocation.address))
                    }
                    elf::R_X86_64_DTPMOD64 if words.lent.is_none() => {
                        words.lent = lent.map(|name| (relocation.address, name));
                    }
                    elf::R_X86_64_TPOFF64 if words.lent_offset.is_none() => {
                        words.lent_offset = lent.map(|name| (value, relocation.address, name));
                    }
                    _ => {}
                }
            }
            let name = relocation.symbol.map(|index| self.module.dynamic_symbols[index].name.clone());
            let address = relocation.address;
            match (elf::RelocationType(relocation.kind), name) {
                (elf::R_X86_64_IRELATIVE, _) => {
                    self.indirect.entry(relocation.addend as u64).or_insert(address);
                    self.indirect_slots.insert(address, relocation.addend as u64);
                }
                (elf::R_X86_64_RELATIVE, _) => {
                    self.relative.insert(address, relocation.addend as u64);
                }
                (kind, Some(name)) => {
                    let slots = self.slots.entry(name.clone()).or_default();
                    let plain = relocation.addend == 0;
                    match kind {
                        elf::R_X86_64_GLOB_DAT => slots.data = slots.data.or(Some(address)),
                        elf::R_X86_64_JUMP_SLOT => slots.jump = slots.jump.or(Some(address)),
                        elf::R_X86_64_TPOFF64 if plain => slots.tpoff = slots.tpoff.or(Some(address)),
                        elf::R_X86_64_DTPMOD64 => slots.module = slots.module.or(Some(address)),
                        elf::R_X86_64_TLSDESC if plain => {
                            slots.descriptor = slots.descriptor.or(Some(address));
                        }
                        _ => continue,
                    }
                    self.slot_names.insert(address, name);
                }
                _ => {}
            }
        }
    }

    /// Whether the target is a shared library.
    pub(crate) fn is_library(&self) -> bool {
        self.module.kind == ModuleKind::Library
    }

    /// Whether it has no dynamic linker.
    pub(crate) fn is_static(&self) -> bool {
        self.module.needed.is_empty() && !self.is_library()
    }

    /// The global symbol of this name.
    pub(crate) fn global(&self, name: &str) -> Option<Found<'_>> {
        let (name, _) = names::versioned(name);
        self.globals.get(name).map(|index| &self.symbols[*index])
    }

    /// The local symbols of this name.
    pub(crate) fn locals(&self, name: &str) -> impl Iterator<Item = Found<'_>> {
        self.locals.get(name).into_iter().flatten().map(|index| &self.symbols[*index])
    }

    /// Words that reach an imported or interposable symbol.
    pub(crate) fn slots(&self, name: &str) -> Slots {
        self.slots.get(name).copied().unwrap_or_default()
    }

    /// Version and weakness with which the target imports a symbol.
    pub(crate) fn import(&self, name: &str) -> Option<&(Option<String>, bool)> {
        self.imports.get(name)
    }

    /// Whether panics of Rust unwind the stack in the target.
    pub(crate) fn panics_unwind(&self) -> bool {
        self.imports_rust() || self.symbols.iter().any(|symbol| symbol.name.contains("panic_unwind"))
    }

    /// Whether the target takes functions of Rust from other modules.
    pub(crate) fn imports_rust(&self) -> bool {
        self.imports.keys().any(|name| rust::is_rust(name))
    }

    /// Whether the target imports this name as a function.
    pub(crate) fn imports_function(&self, name: &str) -> bool {
        let code = |kind| matches!(kind, SymbolKind::Function | SymbolKind::IndirectFunction);
        self.module.dynamic_symbols.iter().any(|symbol| symbol.name == name && code(symbol.kind))
    }

    /// The PLT entry that is the function's address for the whole process (non-PIE programs).
    pub(crate) fn canonical(&self, name: &str) -> Option<u64> {
        self.canonical.get(name).copied()
    }

    /// A symbol that the dynamic symbol table defines here: exported, or copied from a library.
    pub(crate) fn dynamic(&self, name: &str) -> Option<&liveline_elf::module::DynamicSymbol> {
        self.module.dynamic_symbols.iter().find(|symbol| symbol.defined && symbol.name == name)
    }

    /// Whether other modules may interpose the symbol.
    pub(crate) fn is_exported(&self, name: &str) -> bool {
        self.exported.contains(name)
    }

    /// The word that holds what this IFUNC resolver chose.
    pub(crate) fn indirect_slot(&self, resolver: u64) -> Option<u64> {
        self.indirect.get(&resolver).copied()
    }

    /// The name a GOT word is filled for.
    pub(crate) fn slot_name(&self, slot: u64) -> Option<&str> {
        self.slot_names.get(&slot).map(String::as_str)
    }

    /// The IFUNC resolver whose choice a word holds.
    pub(crate) fn slot_resolver(&self, slot: u64) -> Option<u64> {
        self.indirect_slots.get(&slot).copied()
    }

    /// The address of this module that a word holds from the start.
    pub(crate) fn word(&self, slot: u64) -> Option<u64> {
        if let Some(value) = self.relative.get(&slot) {
            return Some(*value);
        }
        let bytes = self.bytes(slot, 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// The slot that a PLT entry jumps through, if one lies at this address.
    pub(crate) fn plt_slot(&self, address: u64) -> Option<u64> {
        let load = self.module.load_at(address).filter(|load| load.execute)?;
        let left = (load.address + load.size).checked_sub(address)?.min(16);
        let bytes = self.bytes(address, left)?;
        let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
        let mut instruction = decoder.decode();
        if instruction.mnemonic() == Mnemonic::Endbr64 {
            instruction = decoder.decode();
        }
        let jump = instruction.mnemonic() == Mnemonic::Jmp && instruction.op0_kind() == OpKind::Memory;
        (jump && instruction.is_ip_rel_memory_operand()).then(|| instruction.ip_rel_memory_address())
    }

    /// File bytes at a link-time address.
    pub(crate) fn bytes(&self, address: u64, length: u64) -> Option<&'d [u8]> {
        self.module.bytes_at(self.data, address, length)
    }

    /// The first symbol in code above an address.
    pub(crate) fn next_start(&self, address: u64) -> Option<u64> {
        let at = self.starts.partition_point(|start| *start <= address);
        self.starts.get(at).copied()
    }

    /// End of the code section (or segment) an address lies in.
    pub(crate) fn code_end(&self, address: u64) -> Option<u64> {
        let inside = |start: u64, size: u64| address.checked_sub(start).is_some_and(|at| at < size);
        let section =
            self.module.sections.iter().find(|s| s.loaded && s.execute && inside(s.address, s.size));
        match section {
            Some(section) => section.address.checked_add(section.size),
            None => self.module.load_at(address).map(|load| load.address + load.file_size),
        }
    }

    /// GOT words for the library's own thread-locals.
    pub(crate) fn own_thread_words(&self) -> &ThreadWords {
        &self.thread_words
    }

    /// Offset from the thread pointer of a thread-local of an executable.
    pub(crate) fn thread_offset(&self, value: u64) -> Option<i64> {
        let tls = self.module.tls?;
        Some((value as i64).wrapping_sub(tls.aligned_size() as i64))
    }
}

/// Whether `twin` is the unstripped form of `module`.
fn check_twin(module: &Module, data: &[u8], twin: &Module, twin_data: &[u8]) -> Result<(), String> {
    if module.build_id.is_some() && module.build_id == twin.build_id {
        return Ok(());
    }
    if module.kind != twin.kind {
        return Err("one is a program of another type".into());
    }
    let loaded = |module: &Module| {
        let sections =
            module.sections.iter().filter(|section| section.loaded && !section.name.starts_with(".note"));
        sections.map(|s| (s.name.clone(), s.address, s.size)).collect::<Vec<_>>()
    };
    let (ours, theirs) = (loaded(module), loaded(twin));
    if let Some((a, _)) = ours.iter().zip(&theirs).find(|(a, b)| a != b) {
        return Err(format!("build-ids differ, and section {} is not the same in both", a.0));
    }
    if ours.len() != theirs.len() {
        return Err("build-ids differ, and so do the loaded sections".into());
    }
    for section in twin.sections.iter().filter(|section| section.loaded && section.contents && !section.write)
    {
        if section.name.starts_with(".note") || section.name == ".gnu_debuglink" {
            continue;
        }
        let a = module.bytes_at(data, section.address, section.size);
        let b = twin.bytes_at(twin_data, section.address, section.size);
        if a != b {
            return Err(format!("build-ids differ, and so do the contents of {}", section.name));
        }
    }
    // A separate debug file has no code to compare: then only the build-id can prove it.
    if !twin.sections.iter().any(|section| section.execute && section.contents) {
        return Err("it holds no code to compare, and the build-ids differ or are missing".into());
    }
    Ok(())
}
