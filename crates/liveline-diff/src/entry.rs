//! Whether an old function has room for a detour, and its record in the patch.

use std::collections::BTreeSet;

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use liveline_patch::{Function, Part};

use crate::program::Program;
use crate::prove::{Identity, Proof};
use crate::unit::{To, Unit};

/// Bytes of `jmp rel32`.
pub(crate) const DETOUR: u64 = 5;

/// The record of an old function, or why it cannot be detoured.
pub(crate) fn function(
    unit: &Unit,
    piece: usize,
    program: &Program,
    identity: Identity,
    proof: &Proof,
) -> Result<Function, String> {
    let old = &unit.pieces[piece];
    let address = identity.address;
    let size = if identity.size != 0 { identity.size } else { old.size };
    let code = program.bytes(address, size).ok_or("the target has no code there")?;
    let detour = behind_prologue(code, address);
    let room = (size - detour.min(size)) + padding(program, address, size);
    if room < DETOUR {
        return Err(format!(
            "no room for a detour: {room} bytes where 5 are needed; patch its callers instead (make it inline)"
        ));
    }
    let at = address + detour;
    if at & 0xfff > 0x1000 - DETOUR {
        return Err(
            "its first 5 bytes cross a page boundary: a killed patcher could leave half a jump".into()
        );
    }
    let entered: BTreeSet<u64> = inner_targets(unit, piece, proof).collect();
    if let Some(inside) = entered.range(at + 1..at + DETOUR).next() {
        return Err(format!(
            "a branch goes to its byte {:#x}, inside the 5 bytes a detour needs",
            inside - address
        ));
    }
    Ok(Function {
        name: old.label().to_owned(),
        file: old
            .names
            .first()
            .is_some_and(|name| name.local)
            .then(|| unit.source.map(str::to_owned))
            .flatten(),
        address,
        size,
        hash: blake3::hash(code).to_hex().to_string(),
        detour,
        room: room.min(4096),
        parts: Vec::new(),
        remainders: Vec::new(),
        new: 0,
    })
}

/// The record of a cold part.
pub(crate) fn part(unit: &Unit, piece: usize, program: &Program, identity: Identity) -> Result<Part, String> {
    let size = if identity.size != 0 { identity.size } else { unit.pieces[piece].size };
    let code = program.bytes(identity.address, size).ok_or("the target has no code there")?;
    Ok(Part {
        name: unit.pieces[piece].label().to_owned(),
        address: identity.address,
        size,
        hash: blake3::hash(code).to_hex().to_string(),
    })
}

/// Bytes of `endbr64` and patchable-entry nops.
fn behind_prologue(code: &[u8], address: u64) -> u64 {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut behind = 0;
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let front = instruction.mnemonic() == Mnemonic::Nop
            || (behind == 0 && instruction.mnemonic() == Mnemonic::Endbr64);
        if !front {
            break;
        }
        behind = instruction.next_ip() - address;
    }
    behind
}

/// Bytes of nops, `int3` or zeros between a function and the next symbol.
fn padding(program: &Program, address: u64, size: u64) -> u64 {
    let Some(end) = address.checked_add(size) else { return 0 };
    let Some(limit) = program.code_end(address) else { return 0 };
    let next = program.next_start(end.saturating_sub(1)).unwrap_or(limit).min(limit);
    let Some(bytes) = next.checked_sub(end).and_then(|length| program.bytes(end, length.min(64))) else {
        return 0;
    };
    let mut decoder = Decoder::with_ip(64, bytes, end, DecoderOptions::NONE);
    let mut behind = 0;
    while decoder.can_decode() {
        let instruction = decoder.decode();
        match instruction.mnemonic() {
            Mnemonic::Nop | Mnemonic::Int3 => behind = instruction.next_ip() - end,
            _ => break,
        }
    }
    let rest = &bytes[usize::try_from(behind).unwrap_or(0)..];
    if rest.iter().all(|byte| *byte == 0) { bytes.len() as u64 } else { behind }
}

/// Addresses inside the function that a branch, a jump table or a label address may go to.
fn inner_targets<'a>(unit: &'a Unit, piece: usize, proof: &'a Proof) -> impl Iterator<Item = u64> + 'a {
    let tables = unit.pieces.iter().enumerate().flat_map(move |(index, from)| {
        from.relocs.iter().filter_map(move |reloc| {
            if reloc.to != To::Piece(piece) {
                return None;
            }
            // Entries of a table are relative to the table, code and pointers to themselves.
            let data = from.kind != crate::unit::Kind::Code;
            let shift = if data && reloc.is_relative() { (reloc.offset as i64).wrapping_neg() } else { 0 };
            let label = reloc.effective().wrapping_add(shift);
            (label != 0 || index == piece).then_some(label as u64)
        })
    });
    let labels = tables.filter_map(|label| proof.places.get(&label).copied());
    proof.branches.iter().copied().chain(labels)
}
