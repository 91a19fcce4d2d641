//! Decoding the code of an object just far enough to know where instructions end and what the assembler
//! resolved by itself.

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};

/// A reference without relocation, from an instruction to an offset in the same section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner {
    /// Where the field lies in the section.
    pub(crate) field: u64,
    /// Bytes of the field: 1 or 4.
    pub(crate) width: u64,
    /// From the field to the end of the instruction.
    pub(crate) tail: u64,
    /// Offset in the section that is meant.
    pub(crate) target: u64,
    /// A branch, rather than a memory operand.
    pub(crate) branch: bool,
}

/// Calls `visit` with each instruction of the bytes at section offset `start`, until one is invalid.
pub(crate) fn instructions(bytes: &[u8], start: u64, mut visit: impl FnMut(&Decoder, &Instruction)) {
    let mut decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        visit(&decoder, &instruction);
    }
}

/// The PC-relative field of an instruction, if it has one.
pub(crate) fn inner(decoder: &Decoder, instruction: &Instruction) -> Option<Inner> {
    let offsets = decoder.get_constant_offsets(instruction);
    let length = instruction.len() as u64;
    if is_near_branch(instruction) {
        let width = offsets.immediate_size() as u64;
        let at = offsets.immediate_offset() as u64;
        return offsets.has_immediate().then(|| Inner {
            field: instruction.ip() + at,
            width,
            tail: length - at,
            target: instruction.near_branch_target(),
            branch: true,
        });
    }
    if instruction.is_ip_rel_memory_operand() && offsets.has_displacement() {
        let at = offsets.displacement_offset() as u64;
        return Some(Inner {
            field: instruction.ip() + at,
            width: offsets.displacement_size() as u64,
            tail: length - at,
            target: instruction.ip_rel_memory_address(),
            branch: false,
        });
    }
    None
}

/// A direct near jump or call (`jmp`, `jcc`, `call`, `loop`, `jrcxz`, `xbegin`).
pub(crate) fn is_near_branch(instruction: &Instruction) -> bool {
    instruction.op_count() > 0
        && matches!(
            instruction.op0_kind(),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
        )
}
