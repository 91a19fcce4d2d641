//! Proof that the old objects are the running program: old code against the bytes of the target.

mod identity;
mod relaxed;

pub(crate) use identity::{Identities, Identity};

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use object::elf;

use crate::unit::{Piece, Reloc};

/// What the target's bytes say a relocation became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The symbol's value is this address.
    Address(u64),
    /// The code goes through the word at this address.
    Slot(u64),
    /// The symbol lies at this offset from the thread pointer.
    Thread(i64),
}

/// Old code found in the target.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Index of the relocation in the old piece, and what it became.
    pub(crate) seen: Vec<(usize, Seen)>,
    /// Old offset of each instruction → its address in the target.
    pub(crate) places: HashMap<u64, u64>,
    /// Addresses in the target that branches of the function itself go to.
    pub(crate) branches: Vec<u64>,
}

/// One side of the comparison: instructions without nops.
struct Side<'d> {
    decoder: Decoder<'d>,
    bytes: &'d [u8],
    base: u64,
    /// Start of each instruction, nops included → ordinal among real instructions.
    ordinals: HashMap<u64, usize>,
    count: usize,
}

impl<'d> Side<'d> {
    fn new(bytes: &'d [u8], base: u64) -> Self {
        let decoder = Decoder::with_ip(64, bytes, base, DecoderOptions::NONE);
        Self { decoder, bytes, base, ordinals: HashMap::new(), count: 0 }
    }

    /// The next instruction that is not a nop.
    fn next(&mut self) -> Option<Instruction> {
        while self.decoder.can_decode() {
            let instruction = self.decoder.decode();
            self.ordinals.insert(instruction.ip(), self.count);
            if instruction.mnemonic() != Mnemonic::Nop {
                self.count += 1;
                return Some(instruction);
            }
        }
        self.ordinals.insert(self.decoder.ip(), self.count);
        None
    }

    fn raw(&self, instruction: &Instruction) -> &'d [u8] {
        let start = (instruction.ip() - self.base) as usize;
        self.bytes.get(start..start + instruction.len()).unwrap_or_default()
    }
}

/// Compares the code of an old function with the target's bytes at an address.
///
/// Nops are skipped on both sides and short and long branches are the same, because the target was built
/// without sections of its own for each function.
pub(crate) fn prove(piece: &Piece, code: &[u8], address: u64) -> Result<Proof, String> {
    let mut left = Side::new(piece.bytes, 0);
    let mut right = Side::new(code, address);
    let mut proof = Proof { seen: Vec::new(), places: HashMap::new(), branches: Vec::new() };
    let mut next_reloc = 0;
    let mut pairs: Vec<(u64, u64)> = Vec::new();
    loop {
        let (x, y) = match (left.next(), right.next()) {
            (Some(x), Some(y)) => (x, y),
            (None, None) => break,
            // `int3` behind the function, or a call that the linker turned into a nop.
            (None, Some(y)) if y.mnemonic() == Mnemonic::Int3 => break,
            _ => return Err("their lengths differ".into()),
        };
        let mut relocs: Vec<(usize, &Reloc)> = Vec::new();
        while let Some(reloc) = piece.relocs.get(next_reloc)
            && reloc.offset < x.next_ip()
        {
            if reloc.offset >= x.ip() {
                relocs.push((next_reloc, reloc));
            }
            next_reloc += 1;
        }
        proof.places.insert(x.ip(), y.ip());
        let differ = || format!("their code differs at +{:#x}", x.ip());
        if relocs.is_empty() {
            same_plain(&left, &right, &x, &y, &mut pairs).ok_or_else(differ)?;
        } else {
            let mut step = relaxed::Step {
                left: &mut left,
                right: &mut right,
                x,
                y,
                piece,
                next_reloc: &mut next_reloc,
                seen: &mut proof.seen,
            };
            step.relocated(&relocs).ok_or_else(differ)?;
        }
        if crate::unit::is_near_branch(&y) {
            let target = y.near_branch_target();
            if target.wrapping_sub(address) < code.len() as u64 {
                proof.branches.push(target);
            }
        }
    }
    for (from, to) in pairs {
        if left.ordinals.get(&from) != right.ordinals.get(&to) || !left.ordinals.contains_key(&from) {
            return Err(format!("a branch to +{from:#x} goes elsewhere"));
        }
    }
    Ok(proof)
}

/// Two instructions without relocations; notes branches for a check once all is known.
fn same_plain(
    left: &Side,
    right: &Side,
    x: &Instruction,
    y: &Instruction,
    pairs: &mut Vec<(u64, u64)>,
) -> Option<()> {
    if crate::unit::is_near_branch(x) {
        let same = crate::unit::is_near_branch(y) && x.code().as_near_branch() == y.code().as_near_branch();
        pairs.push((x.near_branch_target(), y.near_branch_target()));
        return same.then_some(());
    }
    if x.is_ip_rel_memory_operand() && y.is_ip_rel_memory_operand() {
        pairs.push((x.ip_rel_memory_address(), y.ip_rel_memory_address()));
        let offsets = left.decoder.get_constant_offsets(x);
        let field =
            offsets.displacement_offset()..offsets.displacement_offset() + offsets.displacement_size();
        return same_but(left.raw(x), right.raw(y), &[field]).then_some(());
    }
    (left.raw(x) == right.raw(y) && !x.is_invalid()).then_some(())
}

/// Whether bytes are the same outside some fields.
fn same_but(a: &[u8], b: &[u8], fields: &[std::ops::Range<usize>]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .enumerate()
            .all(|(index, (a, b))| a == b || fields.iter().any(|field| field.contains(&index)))
}

/// Whether a relocation goes through a GOT word that the linker may have relaxed away.
pub(crate) fn is_got(kind: u32) -> bool {
    matches!(
        elf::RelocationType(kind),
        elf::R_X86_64_GOTPCREL
            | elf::R_X86_64_GOTPCRELX
            | elf::R_X86_64_REX_GOTPCRELX
            | elf::R_X86_64_CODE_4_GOTPCRELX
    )
}
