//! From resolved references to the five relocations a patch may hold.

use std::collections::{BTreeMap, BTreeSet};

use liveline_patch::{Place, Relocation, RelocationKind, Section, SectionKind};
use object::elf::{self, RelocationType};

use crate::close::{Where, World};
use crate::place::{Key, Maker};
use crate::prove::is_got;
use crate::unit::{Kind, Piece, Reloc, To};
use crate::{far, names, tail, tls};

type PieceKey = (usize, usize);

/// Gathers pieces and fills in their references.
pub(crate) struct Emitter<'w, 'd> {
    pub(crate) world: &'w World<'d>,
    pub(crate) maker: Maker,
    /// Where each piece that comes along lies: section and offset.
    pub(crate) placed: BTreeMap<PieceKey, (usize, u64)>,
    queue: Vec<PieceKey>,
    pub(crate) notes: BTreeSet<String>,
    used: BTreeSet<String>,
}

/// Why a piece cannot come along.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The piece whose reference is the trouble.
    pub(crate) piece: PieceKey,
    pub(crate) reason: String,
}

impl<'w, 'd> Emitter<'w, 'd> {
    pub(crate) fn new(world: &'w World<'d>) -> Self {
        Self {
            world,
            maker: Maker::default(),
            placed: BTreeMap::new(),
            queue: Vec::new(),
            notes: BTreeSet::new(),
            used: BTreeSet::new(),
        }
    }

    /// Brings a piece along, and everything it needs. Returns its symbol.
    pub(crate) fn include(&mut self, key: PieceKey) -> Result<usize, Refusal> {
        let symbol = self.place(key)?;
        while let Some(next) = self.queue.pop() {
            self.fill(next)?;
        }
        Ok(symbol)
    }

    /// Forgets what is still to be filled in, after a refusal.
    pub(crate) fn abandon(&mut self) {
        self.queue.clear();
    }

    /// Gives a piece its section and symbol; its references are filled in later.
    fn place(&mut self, key: PieceKey) -> Result<usize, Refusal> {
        if let Some(symbol) = self.maker.known(&Key::Here(key.0, key.1)) {
            return Ok(symbol);
        }
        let world = self.world;
        let refuse = |reason: &str| Refusal { piece: key, reason: reason.into() };
        let piece = world.piece(key).ok_or_else(|| refuse("no such piece"))?;
        let run = self.run(key, piece);
        let mut offset = 0;
        let section = self.maker.sections.len();
        let kind = match piece.kind {
            Kind::Code => SectionKind::Text,
            Kind::Const => SectionKind::Rodata,
            Kind::Data => SectionKind::Data,
            Kind::Bss => SectionKind::Bss,
            Kind::Tls => return Err(refuse("a thread-local cannot come along")),
        };
        let first = run.first().and_then(|&first| world.piece((key.0, first))).unwrap_or(piece);
        let mut bytes = Vec::new();
        for &index in &run {
            let own = (key.0, index);
            let Some(piece) = world.piece(own) else { continue };
            self.placed.insert(own, (section, offset));
            let name = if piece.is_named() { piece.label() } else { piece.section };
            let place = Place::Here { section, offset, size: piece.size, function: piece.kind == Kind::Code };
            self.maker.symbol(Key::Here(own.0, own.1), name, || place);
            self.queue.push(own);
            bytes.extend_from_slice(piece.bytes);
            offset += piece.size;
        }
        let size = offset;
        if kind != SectionKind::Bss && bytes.len() as u64 != size {
            return Err(refuse("its contents are cut short"));
        }
        let name = self.section_name(piece, kind);
        self.maker.sections.push(Section {
            name,
            kind,
            align: first.align,
            bytes,
            size,
            relocations: Vec::new(),
        });
        if piece.kind == Kind::Code {
            for part in world.parts_of(key) {
                self.place(part)?;
            }
        }
        self.maker.known(&Key::Here(key.0, key.1)).ok_or_else(|| refuse("it has no symbol"))
    }

    /// The pieces that are carried together: unnamed constants of a function's own section may be indexed from
    /// outside their bounds, so their neighbours come along.
    fn run(&self, key: PieceKey, piece: &Piece) -> Vec<usize> {
        let shared = !piece.section.starts_with(".rodata.");
        let merged = piece.section.contains(".str") || piece.section.contains(".cst");
        let alone = vec![key.1];
        if piece.is_named() || piece.kind != Kind::Const || shared || merged {
            return alone;
        }
        let Some(unit) = self.world.new_unit(key.0) else { return alone };
        let Some(layout) = unit.layout.get(piece.section_index) else { return alone };
        let Some(at) = layout.iter().position(|(_, _, index)| *index == key.1) else { return alone };
        let joins = |a: usize, b: usize| {
            layout[a].1 == layout[b].0
                && !unit.pieces[layout[a].2].is_named()
                && !unit.pieces[layout[b].2].is_named()
        };
        let (mut low, mut high) = (at, at);
        while low > 0 && joins(low - 1, low) {
            low -= 1;
        }
        while high + 1 < layout.len() && joins(high, high + 1) {
            high += 1;
        }
        layout[low..=high].iter().map(|(_, _, index)| *index).collect()
    }

    fn section_name(&mut self, piece: &Piece, kind: SectionKind) -> String {
        let prefix = match kind {
            SectionKind::Text => ".text",
            SectionKind::Rodata => ".rodata",
            SectionKind::Data => ".data",
            _ => ".bss",
        };
        let base =
            if piece.is_named() { format!("{prefix}.{}", piece.label()) } else { piece.section.to_owned() };
        let mut name = base.clone();
        let mut number = 2;
        while !self.used.insert(name.clone()) {
            name = format!("{base}.{number}");
            number += 1;
        }
        name
    }

    fn fill(&mut self, key: PieceKey) -> Result<(), Refusal> {
        let world = self.world;
        let Some(piece) = world.piece(key) else { return Ok(()) };
        let refuse = |reason| Refusal { piece: key, reason };
        let mut skip = BTreeSet::new();
        for (index, reloc) in piece.relocs.iter().enumerate() {
            if skip.contains(&index) || reloc.kind == elf::R_X86_64_NONE.0 {
                continue;
            }
            if reloc.offset.checked_add(reloc.width()).is_none_or(|end| end > piece.size) {
                return Err(refuse(format!("its relocation at {:#x} reaches behind its end", reloc.offset)));
            }
            if tls::is_thread(reloc.kind) {
                let done = tls::rewrite(self, key, piece, index).map_err(refuse)?;
                skip.extend(done);
                continue;
            }
            self.reference(key, piece, reloc)?;
        }
        if piece.kind == Kind::Code && world.replaced.contains_key(&key) {
            self.own_address(key, piece);
        }
        Ok(())
    }

    /// One plain reference.
    fn reference(&mut self, key: PieceKey, piece: &Piece, reloc: &Reloc) -> Result<(), Refusal> {
        let refuse = |reason| Refusal { piece: key, reason };
        let place = self.world.resolve(key, reloc).map_err(refuse)?;
        let branch = piece.kind == Kind::Code && is_branch(piece, reloc);
        if is_got(reloc.kind) {
            return self.through_word(key, piece, reloc, place);
        }
        let mut addend = reloc.addend;
        let kind = match RelocationType(reloc.kind) {
            elf::R_X86_64_64 => RelocationKind::Abs64,
            elf::R_X86_64_32 => RelocationKind::Abs32,
            elf::R_X86_64_32S => RelocationKind::Abs32S,
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => RelocationKind::Pc32,
            elf::R_X86_64_PC64 => RelocationKind::Pc64,
            elf::R_X86_64_PC8 | elf::R_X86_64_PC16 => {
                let (kind, near) = tail::lengthen(self, key, piece, reloc).ok_or_else(|| {
                    refuse(format!(
                        "a short jump leaves it for {}; compile with -ffunction-sections",
                        self.target_name(key, reloc)
                    ))
                })?;
                addend = near;
                kind
            }
            other => {
                return Err(refuse(format!(
                    "relocation type {} (large code model?) is not supported; build with the default -mcmodel",
                    other.0
                )));
            }
        };
        let symbol = match place {
            Where::Here(pair, index) => self.place((pair, index))?,
            Where::At { address, name, open } => {
                let slots = self.world.program.slots(&name);
                match slots.jump.or(slots.data) {
                    Some(slot) if branch && open => self.stub_through(slot, &name),
                    _ => self.maker.target(address, &name),
                }
            }
            Where::Chosen { slot, name, .. } => self.stub_through(slot, &name),
            Where::Import { name, version, weak } => {
                return self.import(key, piece, reloc, kind, branch, (&name, version, weak));
            }
            Where::Null(name) => self.maker.symbol(Key::Absolute(0), &name, || Place::Absolute { value: 0 }),
            Where::Thread { name, .. } => {
                return Err(refuse(format!("{name} is a thread-local and is used as if it were not")));
            }
        };
        self.add(key, reloc.offset, kind, symbol, addend);
        Ok(())
    }

    fn stub_through(&mut self, slot: u64, name: &str) -> usize {
        let word = self.maker.target(slot, &format!("{name}@got"));
        self.maker.stub(Key::Target(slot), name, word, 0)
    }

    /// A reference to another module that does not go through a word of its own.
    fn import(
        &mut self,
        key: PieceKey,
        piece: &Piece,
        reloc: &Reloc,
        kind: RelocationKind,
        branch: bool,
        (name, version, weak): (&str, Option<String>, bool),
    ) -> Result<(), Refusal> {
        let program = &self.world.program;
        let slots = program.slots(name);
        let place = Place::Import { version, weak };
        if branch {
            let stub = match slots.jump.or(slots.data) {
                Some(slot) => self.stub_through(slot, name),
                None => self.import_stub(name, place),
            };
            self.add(key, reloc.offset, kind, stub, reloc.addend);
            return Ok(());
        }
        if let Some(address) = program.canonical(name) {
            let symbol = self.maker.target(address, &format!("{name}@plt"));
            self.add(key, reloc.offset, kind, symbol, reloc.addend);
            return Ok(());
        }
        if kind == RelocationKind::Abs64 {
            let symbol = self.maker.symbol(Key::Import(name.into()), name, || place);
            self.add(key, reloc.offset, kind, symbol, reloc.addend);
            return Ok(());
        }
        // `lea f(%rip), %r` has the length of `mov word(%rip), %r`.
        let at = usize::try_from(reloc.offset).unwrap_or(usize::MAX);
        let lea = kind == RelocationKind::Pc32
            && reloc.addend == -4
            && reloc.tail == 4
            && at >= 2
            && piece.bytes.get(at - 2) == Some(&0x8d)
            && piece.bytes.get(at - 1).is_some_and(|modrm| modrm & 0xc7 == 5);
        if lea {
            self.put(key, reloc.offset - 2, &[0x8b]);
            let (symbol, addend) = self.import_word(name, place);
            self.add(key, reloc.offset, kind, symbol, addend - 4);
            return Ok(());
        }
        let word = self.import_word(name, place.clone());
        let moved = far::detach(self, key, piece, reloc, name, word);
        match moved {
            Ok(()) => Ok(()),
            Err(_)
                if reloc.addend == 0
                    && matches!(kind, RelocationKind::Abs32 | RelocationKind::Abs32S)
                    && self.world.program.imports_function(name) =>
            {
                self.notes.insert(format!(
                    "the address of {name} in new code is that of a stub: calling it works, comparing it with an \
                     address taken elsewhere does not"
                ));
                let stub = self.import_stub(name, place);
                self.add(key, reloc.offset, kind, stub, 0);
                Ok(())
            }
            Err(reason) => Err(Refusal { piece: key, reason }),
        }
    }

    /// The symbol of a piece that comes along.
    pub(crate) fn here(&self, key: PieceKey) -> Option<usize> {
        self.maker.known(&Key::Here(key.0, key.1))
    }

    fn import_word(&mut self, name: &str, place: Place) -> (usize, i64) {
        let symbol = self.maker.symbol(Key::Import(name.into()), name, || place);
        let word = self.maker.word(Key::Import(name.into()), symbol, 0);
        (self.maker.got(), word as i64)
    }

    fn import_stub(&mut self, name: &str, place: Place) -> usize {
        let (got, word) = self.import_word(name, place);
        self.maker.stub(Key::Import(name.into()), name, got, word)
    }

    /// `…@GOTPCREL(%rip)`.
    fn through_word(
        &mut self,
        key: PieceKey,
        piece: &Piece,
        reloc: &Reloc,
        place: Where,
    ) -> Result<(), Refusal> {
        let program = &self.world.program;
        let at = usize::try_from(reloc.offset).unwrap_or(usize::MAX);
        // `call *word(%rip)` and `jmp *word(%rip)` do not care for a binder's address in the word.
        let goes = at >= 2
            && piece.bytes.get(at - 2) == Some(&0xff)
            && matches!(piece.bytes.get(at - 1), Some(0x15 | 0x25));
        let (symbol, offset) = match place {
            Where::Here(pair, index) => {
                let symbol = self.place((pair, index))?;
                let word = self.maker.word(Key::Here(pair, index), symbol, addend_of(reloc));
                (self.maker.got(), word as i64)
            }
            Where::At { address, name, open } => {
                let slots = program.slots(&name);
                match slots.data.filter(|_| open) {
                    Some(slot) => (self.maker.target(slot, &format!("{name}@got")), 0),
                    None => {
                        let symbol = self.maker.target(address, &name);
                        let word = self.maker.word(Key::Target(address), symbol, addend_of(reloc));
                        (self.maker.got(), word as i64)
                    }
                }
            }
            Where::Chosen { slot, name, lazy } if lazy && !goes => {
                let stub = self.stub_through(slot, &name);
                let word = self.maker.word(Key::Target(slot), stub, 0);
                (self.maker.got(), word as i64)
            }
            Where::Chosen { slot, name, .. } => (self.maker.target(slot, &format!("{name}@got")), 0),
            Where::Import { name, version, weak } => {
                let slots = program.slots(&name);
                match slots.data.or(slots.jump.filter(|_| goes)) {
                    Some(slot) => (self.maker.target(slot, &format!("{name}@got")), 0),
                    None => self.import_word(&name, Place::Import { version, weak }),
                }
            }
            Where::Null(name) => {
                let symbol = self.maker.symbol(Key::Absolute(0), &name, || Place::Absolute { value: 0 });
                let word = self.maker.word(Key::Absolute(0), symbol, 0);
                (self.maker.got(), word as i64)
            }
            Where::Thread { name, .. } => {
                let reason = format!("{name} is a thread-local and is used as if it were not");
                return Err(Refusal { piece: key, reason });
            }
        };
        self.add(key, reloc.offset, RelocationKind::Pc32, symbol, offset - reloc.tail);
        Ok(())
    }

    /// `lea f(%rip), %r` in `f` itself needs no relocation in the object, but its address must stay the old one.
    fn own_address(&mut self, key: PieceKey, piece: &Piece) {
        let Some(old) = self.world.replaced.get(&key) else { return };
        let Some(identity) = self.world.pairs[key.0].places.of(*old) else { return };
        let fields = crate::unit::self_references(piece);
        for (offset, tail) in fields {
            if piece.relocs.iter().any(|reloc| reloc.offset == offset) {
                continue;
            }
            let symbol = self.maker.target(identity.address, piece.label());
            self.add(key, offset, RelocationKind::Pc32, symbol, -tail);
        }
    }

    /// Adds a relocation to a piece that comes along.
    pub(crate) fn add(
        &mut self,
        key: PieceKey,
        offset: u64,
        kind: RelocationKind,
        symbol: usize,
        addend: i64,
    ) {
        let Some(&(section, base)) = self.placed.get(&key) else { return };
        let section = &mut self.maker.sections[section];
        let offset = base + offset;
        // What the assembler had filled in is taken out, so that the field is the relocation's alone.
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(kind.width()).unwrap_or(0));
        if let Some(field) = section.bytes.get_mut(start..end) {
            field.fill(0);
        }
        section.relocations.push(Relocation { offset, kind, symbol, addend });
    }

    /// Overwrites bytes of a piece that comes along.
    pub(crate) fn put(&mut self, key: PieceKey, offset: u64, bytes: &[u8]) {
        let Some(&(section, base)) = self.placed.get(&key) else { return };
        let start = usize::try_from(base + offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        if let Some(field) = self.maker.sections[section].bytes.get_mut(start..end) {
            field.copy_from_slice(bytes);
        }
    }

    /// Name of what a relocation refers to, for reasons.
    pub(crate) fn target_name(&self, key: PieceKey, reloc: &Reloc) -> String {
        let name = self.world.new_unit(key.0).map_or("?", |unit| match reloc.to {
            To::Nowhere => "an unknown place",
            _ => unit.target_name(reloc),
        });
        names::versioned(name).0.to_owned()
    }
}

/// What is added to the symbol in a GOT word: the addend of `…@GOTPCREL` is the place in the instruction, and
/// only the symbol's offset in its piece is left.
fn addend_of(reloc: &Reloc) -> i64 {
    reloc.addend.wrapping_add(reloc.tail)
}

/// Whether the relocated field is the target of a direct jump or call.
fn is_branch(piece: &Piece, reloc: &Reloc) -> bool {
    let at = usize::try_from(reloc.offset).unwrap_or(usize::MAX);
    let byte = |back: usize| at.checked_sub(back).and_then(|at| piece.bytes.get(at)).copied();
    let relative = matches!(RelocationType(reloc.kind), elf::R_X86_64_PLT32 | elf::R_X86_64_PC32);
    let plain = matches!(byte(1), Some(0xe8 | 0xe9));
    let conditional = byte(2) == Some(0x0f) && byte(1).is_some_and(|code| code & 0xf0 == 0x80);
    // A ModRM byte that looks like an opcode has a displacement before an immediate, or `lea`: only `PLT32` is sure.
    relative && reloc.tail == 4 && (reloc.kind == elf::R_X86_64_PLT32.0 || plain || conditional)
}

impl Emitter<'_, '_> {
    /// Brings along what an unwind record refers to (a function, its exception table, a personality word).
    pub(crate) fn include_for_unwind(&mut self, key: PieceKey) -> Result<usize, String> {
        let reason = |refusal: Refusal| refusal.reason;
        if self.placed.contains_key(&key) {
            return self.include(key).map_err(reason);
        }
        let whole = Reloc {
            offset: 0,
            kind: elf::R_X86_64_64.0,
            addend: 0,
            tail: 0,
            to: To::Piece(key.1),
            made: false,
        };
        match self.world.resolve(key, &whole)? {
            Where::Here(pair, piece) => self.include((pair, piece)).map_err(reason),
            Where::At { address, name, .. } => Ok(self.maker.target(address, &name)),
            _ => Err("an unwind record refers to another module directly".into()),
        }
    }

    /// A symbol for a name in an unwind record (a personality routine).
    pub(crate) fn extern_for_unwind(&mut self, pair: usize, index: usize) -> Result<usize, String> {
        let symbol =
            self.world.new_unit(pair).and_then(|unit| unit.externs.get(index)).ok_or("no such symbol")?;
        match self.world.outer(symbol.name, symbol.weak, symbol.hidden)? {
            Where::Here(pair, piece) => self.include((pair, piece)).map_err(|refusal| refusal.reason),
            Where::At { address, name, .. } => Ok(self.maker.target(address, &name)),
            Where::Chosen { slot, name, .. } => Ok(self.stub_through(slot, &name)),
            Where::Import { name, version, weak } => {
                Ok(self.import_stub(&name, Place::Import { version, weak }))
            }
            Where::Thread { name, .. } | Where::Null(name) => {
                Err(format!("an unwind record refers to {name}"))
            }
        }
    }
}
