//! The update table's machine code: a stub and a thunk for each replaced function.
//!
//! The detour in an old function jumps to its *stub*, `jmp *slot(%rip)`: the steady state, one indirect jump.
//! The *thunk* is where a slot points while a patch is being switched: it looks at the patch's one selector
//! word and goes to the old or the new code. So however many functions a patch has, and wherever their slots
//! lie, one store switches all of them, and whoever is killed around that store leaves a whole program.
//!
//! Neither may change a register or a flag: with `-fipa-ra` gcc lets a caller keep values in registers that
//! the callee it knows does not touch, even caller-saved ones.

use iced_x86::{Code, Encoder, IcedError, Instruction, MemoryOperand, Register};

/// Bytes from one stub to the next.
pub(crate) const STUB_SIZE: u64 = 8;
/// Bytes from one thunk to the next.
pub(crate) const THUNK_SIZE: u64 = 24;
/// Bytes of a detour.
pub(crate) const DETOUR_SIZE: u64 = 5;

/// Where the pieces of a thunk begin, for its unwind table: behind `pushfq`, the old side's jump, the new
/// side, the new side's jump.
pub(crate) const THUNK_PUSHED: u32 = 1;
pub(crate) const THUNK_OLD_JUMP: u32 = 11;
pub(crate) const THUNK_NEW: u32 = 17;
pub(crate) const THUNK_NEW_JUMP: u32 = 18;

fn assemble(at: u64, code: &[Instruction]) -> Result<Vec<u8>, IcedError> {
    let mut encoder = Encoder::new(64);
    let mut ip = at;
    for instruction in code {
        ip += encoder.encode(instruction, ip)? as u64;
    }
    Ok(encoder.take_buffer())
}

fn jump_through(word: u64) -> Result<Instruction, IcedError> {
    Instruction::with1(Code::Jmp_rm64, MemoryOperand::with_base_displ(Register::RIP, word as i64))
}

/// `jmp *slot(%rip)`, for address `at`.
pub(crate) fn stub(at: u64, slot: u64) -> Result<Vec<u8>, IcedError> {
    assemble(at, &[jump_through(slot)?])
}

/// `if *selector == 0 { jmp *old } else { jmp *new }`, for address `at`; leaves flags and registers alone.
pub(crate) fn thunk(at: u64, selector: u64, old: u64, new: u64) -> Result<Vec<u8>, IcedError> {
    let selector = MemoryOperand::with_base_displ(Register::RIP, selector as i64);
    let code = assemble(
        at,
        &[
            Instruction::with(Code::Pushfq),
            Instruction::with2(Code::Cmp_rm32_imm8, selector, 0i32)?,
            Instruction::with_branch(Code::Jne_rel8_64, at + u64::from(THUNK_NEW))?,
            Instruction::with(Code::Popfq),
            jump_through(old)?,
            Instruction::with(Code::Popfq),
            jump_through(new)?,
        ],
    )?;
    debug_assert_eq!(code.len() as u64, THUNK_SIZE);
    Ok(code)
}

/// `jmp to`, for address `at`: the detour. Fails where `to` is farther than 2 GiB.
pub(crate) fn detour(at: u64, to: u64) -> Result<Vec<u8>, IcedError> {
    assemble(at, &[Instruction::with_branch(Code::Jmp_rel32_64, to)?])
}

/// Where a detour at `at` with these bytes leads, if it is a `jmp rel32`.
pub(crate) fn detour_target(at: u64, bytes: &[u8]) -> Option<u64> {
    match bytes {
        [0xe9, rest @ ..] if rest.len() >= 4 => {
            let relative = i32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
            Some((at + DETOUR_SIZE).wrapping_add_signed(relative.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_offsets_are_as_the_unwind_table_says() {
        let code = thunk(0x1000, 0x5000, 0x5010, 0x5020).unwrap();
        assert_eq!(code.len() as u64, THUNK_SIZE);
        assert_eq!((code[0], code[10], code[17]), (0x9c, 0x9d, 0x9d));
        assert_eq!(&code[8..10], [0x75, 7]);
        assert_eq!(&code[11..13], [0xff, 0x25]);
        assert!(stub(0x1000, 0x5000).unwrap().len() as u64 <= STUB_SIZE);
        assert_eq!(THUNK_OLD_JUMP, 11);
    }

    #[test]
    fn a_detour_is_read_back() {
        let bytes = detour(0x40_1000, 0x3f_0000).unwrap();
        assert_eq!(bytes.len() as u64, DETOUR_SIZE);
        assert_eq!(detour_target(0x40_1000, &bytes), Some(0x3f_0000));
        assert!(detour(0x40_1000, 0x7f00_0000_0000).is_err());
    }
}
