//! Where the pieces of an old object lie in the target.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use liveline_elf::module::SymbolKind;
use object::elf;

use super::{Proof, Seen, prove};
use crate::names;
use crate::program::{Found, Program};
use crate::unit::{Kind, Piece, To, Unit};

/// Where a piece lies, as the target's symbol table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// Link-time address; for thread-locals, the offset in the image.
    pub(crate) address: u64,
    /// Size by the symbol table.
    pub(crate) size: u64,
    /// Resolver of an IFUNC.
    pub(crate) indirect: bool,
}

/// Why a function is not proved that may be any of several.
const SEVERAL: &str = "several functions of the target look like it";

/// Where the pieces of one old object lie.
#[derive(Debug)]
pub(crate) struct Identities {
    candidates: Vec<Vec<Identity>>,
    proofs: HashMap<usize, Result<Proof, String>>,
    settled: Vec<Option<Identity>>,
}

impl Identities {
    /// Looks all named pieces up.
    pub(crate) fn new(unit: &Unit, program: &Program) -> Self {
        let candidates: Vec<Vec<Identity>> =
            unit.pieces.iter().map(|piece| candidates(piece, program)).collect();
        let settled = candidates
            .iter()
            .map(|candidates| match &**candidates {
                [only] => Some(*only),
                _ => None,
            })
            .collect();
        Self { candidates, proofs: HashMap::new(), settled }
    }

    /// Of no object.
    pub(crate) fn none() -> Self {
        Self { candidates: Vec::new(), proofs: HashMap::new(), settled: Vec::new() }
    }

    /// Where a piece lies, if that is certain.
    pub(crate) fn of(&self, piece: usize) -> Option<Identity> {
        *self.settled.get(piece)?
    }

    /// Whether the target has any symbol that may be the piece.
    pub(crate) fn possible(&self, piece: usize) -> bool {
        self.candidates.get(piece).is_some_and(|candidates| !candidates.is_empty())
    }

    /// Whether the piece's name stands for several places that could not be told apart.
    pub(crate) fn ambiguous(&self, piece: usize) -> bool {
        self.settled.get(piece).is_none_or(Option::is_none) && self.possible(piece)
    }

    /// The proof of a function that was asked for in [`Self::settle`].
    pub(crate) fn proof(&self, piece: usize) -> Result<&Proof, &str> {
        match self.proofs.get(&piece) {
            Some(Ok(proof)) => Ok(proof),
            Some(Err(reason)) => Err(reason),
            None => Err("it was not looked for"),
        }
    }

    /// Whether a function that was asked for in [`Self::settle`] is another one in the target.
    pub(crate) fn differs(&self, piece: usize) -> bool {
        matches!(self.proofs.get(&piece), Some(Err(reason)) if reason != SEVERAL)
    }

    /// Proves the wanted functions, and tells places of the same name apart.
    pub(crate) fn settle(&mut self, unit: &Unit, program: &Program, wanted: &BTreeSet<usize>) {
        let mut wanted = wanted.clone();
        let open: BTreeSet<usize> =
            (0..unit.pieces.len()).filter(|&piece| self.candidates[piece].len() > 1).collect();
        // What has several candidates is told apart by the code that refers to it.
        if !open.is_empty() {
            wanted.extend(open.iter().copied().filter(|&piece| unit.pieces[piece].kind == Kind::Code));
            for (index, piece) in unit.pieces.iter().enumerate() {
                let refers = |to| matches!(to, To::Piece(target) if open.contains(&target));
                if piece.kind == Kind::Code && piece.relocs.iter().any(|reloc| refers(reloc.to)) {
                    wanted.insert(index);
                }
            }
        }
        for _ in 0..4 {
            let mut progress = false;
            for &piece in &wanted {
                if unit.pieces[piece].kind == Kind::Code && !matches!(self.proofs.get(&piece), Some(Ok(_))) {
                    progress |= self.try_prove(unit, program, piece);
                }
            }
            if !progress {
                break;
            }
        }
    }

    fn try_prove(&mut self, unit: &Unit, program: &Program, index: usize) -> bool {
        let piece = &unit.pieces[index];
        let mut good = Vec::new();
        let mut reason = "the target has no function of this name".to_owned();
        let candidates: Vec<Identity> = match self.settled[index] {
            Some(settled) => vec![settled],
            None => self.candidates[index].clone(),
        };
        for candidate in candidates {
            match self.prove_at(unit, program, piece, candidate) {
                Ok(proof) => good.push((candidate, proof)),
                Err(why) => reason = why,
            }
        }
        if good.len() > 1 {
            self.proofs.insert(index, Err(SEVERAL.into()));
            return false;
        }
        let Some((identity, proof)) = good.pop() else {
            self.proofs.insert(index, Err(reason));
            return false;
        };
        self.settled[index] = Some(identity);
        for (at, seen) in &proof.seen {
            let To::Piece(target) = piece.relocs[*at].to else { continue };
            if self.settled[target].is_some() {
                continue;
            }
            let found = self.candidates[target].iter().copied().find(|candidate| match seen {
                Seen::Address(address) => *address == candidate.address,
                Seen::Slot(slot) => program.word(*slot) == Some(candidate.address),
                Seen::Thread(offset) => program.thread_offset(candidate.address) == Some(*offset),
            });
            self.settled[target] = found;
        }
        self.proofs.insert(index, Ok(proof));
        true
    }

    fn prove_at(&self, unit: &Unit, program: &Program, piece: &Piece, at: Identity) -> Result<Proof, String> {
        let size = if at.size != 0 { at.size } else { piece.size };
        let code = program.bytes(at.address, size).ok_or("the target has no code there")?;
        let proof = prove(piece, code, at.address)?;
        for (index, seen) in &proof.seen {
            let reloc = &piece.relocs[*index];
            let fits = match reloc.to {
                To::Extern(symbol) => {
                    let symbol = &unit.externs[symbol];
                    extern_fits(program, symbol.name, symbol.weak, *seen)
                }
                To::Piece(target) if unit.pieces[target].is_named() => {
                    self.piece_fits(program, &unit.pieces[target], target, *seen)
                }
                To::Piece(target) => match seen {
                    Seen::Address(address) => constant_fits(unit, program, piece, &proof, target, *address),
                    _ => true,
                },
                To::Nowhere => true,
            };
            if !fits {
                let name = unit.target_name(reloc);
                return Err(format!("at +{:#x} the target does not refer to {name}", reloc.offset));
            }
        }
        Ok(proof)
    }

    fn piece_fits(&self, program: &Program, piece: &Piece, index: usize, seen: Seen) -> bool {
        let names = || piece.names.iter().filter(|name| name.offset == 0);
        let linked = |slot| {
            program
                .slot_name(slot)
                .is_some_and(|own| names().any(|name| names::versioned(name.name).0 == own))
        };
        let any = |test: &dyn Fn(&Identity) -> bool| match self.settled[index] {
            Some(settled) => test(&settled),
            None => self.candidates[index].iter().any(test),
        };
        match seen {
            Seen::Address(address) => {
                any(&|identity| identity.address == address)
                    || program.plt_slot(address).is_some_and(|slot| {
                        linked(slot) || any(&|identity| program.slot_resolver(slot) == Some(identity.address))
                    })
            }
            Seen::Slot(slot) => {
                linked(slot)
                    || piece.kind == Kind::Tls
                    || any(&|identity| {
                        program.word(slot) == Some(identity.address)
                            || program.slot_resolver(slot) == Some(identity.address)
                    })
            }
            Seen::Thread(offset) => any(&|identity| program.thread_offset(identity.address) == Some(offset)),
        }
    }
}

/// The symbols of the target that may be this piece.
fn candidates(piece: &Piece, program: &Program) -> Vec<Identity> {
    let Some(name) = piece.names.first() else { return Vec::new() };
    let kind_fits = |symbol: &Found| match piece.kind {
        Kind::Code => symbol.kind != SymbolKind::Data && symbol.kind != SymbolKind::Tls,
        Kind::Tls => symbol.kind == SymbolKind::Tls,
        _ => !matches!(symbol.kind, SymbolKind::Function | SymbolKind::Tls),
    };
    let identity = |symbol: Found| Identity {
        address: symbol.address,
        size: symbol.size,
        indirect: symbol.kind == SymbolKind::IndirectFunction,
    };
    if !name.local
        && let Some(symbol) = program.global(name.name)
    {
        return if kind_fits(&symbol) { vec![identity(symbol)] } else { Vec::new() };
    }
    let mut exact = Vec::new();
    let mut loose = Vec::new();
    for symbol in program.locals(name.name).filter(kind_fits) {
        match (&symbol.file, name.source) {
            (Some(file), Some(source)) if **file == *source => exact.push(identity(symbol)),
            // Hidden globals lose their file when linked; assembly often has none.
            _ if !name.local || name.source.is_none() => loose.push(identity(symbol)),
            (None, _) => loose.push(identity(symbol)),
            _ => {}
        }
    }
    let mut found = if exact.is_empty() { loose } else { exact };
    found.sort_unstable();
    found.dedup();
    found
}

fn extern_fits(program: &Program, name: &str, weak: bool, seen: Seen) -> bool {
    let (name, _) = names::versioned(name);
    let known: Vec<u64> = program
        .global(name)
        .into_iter()
        .chain(program.locals(name))
        .map(|symbol| symbol.address)
        .chain(program.canonical(name))
        .chain(program.dynamic(name).map(|symbol| symbol.address))
        .collect();
    let through = |slot: u64| {
        program.slot_name(slot) == Some(name)
            || program.slot_resolver(slot).is_some_and(|resolver| known.contains(&resolver))
    };
    match seen {
        Seen::Address(address) => {
            known.contains(&address)
                || program.plt_slot(address).is_some_and(through)
                || (weak && known.is_empty())
                || name == "_GLOBAL_OFFSET_TABLE_"
        }
        Seen::Slot(slot) => {
            through(slot)
                || program.word(slot).is_some_and(|word| known.contains(&word))
                || (weak && known.is_empty())
                || program
                    .global(name)
                    .into_iter()
                    .chain(program.locals(name))
                    .any(|symbol| symbol.kind == SymbolKind::Tls)
        }
        Seen::Thread(offset) => known.iter().any(|value| program.thread_offset(*value) == Some(offset)),
    }
}

/// Whether a constant without a name is at this address: its bytes, and where it is a jump table of the
/// function, its entries.
fn constant_fits(
    unit: &Unit,
    program: &Program,
    function: &Piece,
    proof: &Proof,
    index: usize,
    address: u64,
) -> bool {
    let piece = &unit.pieces[index];
    if piece.kind != Kind::Const || piece.bytes.is_empty() {
        return true;
    }
    let Some(bytes) = program.bytes(address, piece.size) else { return false };
    let mut fields: BTreeMap<usize, usize> = BTreeMap::new();
    for reloc in &piece.relocs {
        let start = reloc.offset as usize;
        fields.insert(start, start + reloc.width() as usize);
        let To::Piece(target) = reloc.to else { continue };
        if !std::ptr::eq(&unit.pieces[target], function) || reloc.kind != elf::R_X86_64_PC32.0 {
            continue;
        }
        let Some(Ok(entry)) = bytes.get(start..start + 4).map(TryInto::<[u8; 4]>::try_into) else { continue };
        let label = reloc.addend.wrapping_sub(reloc.offset as i64) as u64;
        let meant = address.wrapping_add(i64::from(i32::from_le_bytes(entry)) as u64);
        if proof.places.get(&label).is_some_and(|place| *place != meant) {
            // Behind a nop the table of either side may name the nop or what follows it.
            let near = proof.places.get(&label).is_some_and(|place| place.abs_diff(meant) <= 15);
            if !near {
                return false;
            }
        }
    }
    let covered = |at: usize| fields.range(..=at).next_back().is_some_and(|(_, end)| at < *end);
    // Padding behind an unnamed constant belongs to nobody.
    let end = piece.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let strings = piece.bytes.iter().take(end).zip(bytes).enumerate();
    strings.into_iter().all(|(at, (a, b))| a == b || covered(at))
}
