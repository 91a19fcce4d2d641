//! The update table's machine code: a stub and a thunk for each replaced function, and one gate.
//!
//! The detour in an old function jumps to its *stub*, `jmp *slot(%rip)`: the steady state, one indirect jump.
//! The *thunk* is where a slot points while a patch is being switched: it looks at the patch's one selector
//! word and goes to the old or the new code. So however many functions a patch has, and wherever their slots
//! lie, one store switches all of them, and whoever is killed around that store leaves a whole program.
//! While the selector says *closed*, new calls wait in the *gate*, so that threads inside can drain; the gate
//! opens by itself after about a millisecond, whether or not the patcher still lives.
//!
//! None of this may change a register or a flag: with `-fipa-ra` gcc lets a caller keep values in registers
//! that the callee it knows does not touch, even caller-saved ones.

use iced_x86::code_asm::{
    CodeAssembler, CodeLabel, dword_ptr, eax, ecx, edx, esi, r11, rax, rcx, rdi, rdx, rsi, rsp,
};
use iced_x86::{Code, Encoder, IcedError, Instruction, MemoryOperand, Register};

/// Bytes from one stub to the next.
pub(crate) const STUB_SIZE: u64 = 8;
/// Bytes from one thunk to the next.
pub(crate) const THUNK_SIZE: u64 = 40;
/// Bytes kept for the gate.
pub(crate) const GATE_SIZE: u64 = 128;
/// Bytes of a detour.
pub(crate) const DETOUR_SIZE: u64 = 5;

/// Offsets in a thunk, for its unwind table and the safe point: behind `pushfq`; behind the comparison; the old
/// side's jump; the new side and its jump; the waiting side, its return from the gate, its jump back.
pub(crate) const THUNK_PUSHED: u32 = 1;
pub(crate) const THUNK_DECIDED: u32 = 8;
pub(crate) const THUNK_OLD_JUMP: u32 = 13;
pub(crate) const THUNK_NEW: u32 = 19;
pub(crate) const THUNK_NEW_JUMP: u32 = 20;
pub(crate) const THUNK_WAIT: u32 = 26;
pub(crate) const THUNK_AGAIN: u32 = 32;

/// Selector: calls go to the old code.
pub(crate) const OLD: u64 = 0;
/// Selector: calls go to the new code.
pub(crate) const NEW: u64 = 1;
/// Added to the selector: calls wait in the gate, then go where the rest of it says.
pub(crate) const CLOSED: u64 = 2;

/// Rounds that a call waits in the gate, 50 µs each.
const ROUNDS: u32 = 20;
const ROUND_NS: i32 = 50_000;
/// `pause` instructions that take about as long, for programs whose sandbox may not know nanosleep.
const ROUND_SPINS: u32 = 1500;

/// The word at an address, as a `%rip`-relative operand.
fn word(address: u64) -> MemoryOperand {
    MemoryOperand::with_base_displ(Register::RIP, address as i64)
}

fn jump_through(address: u64) -> Result<Instruction, IcedError> {
    Instruction::with1(Code::Jmp_rm64, word(address))
}

/// `jmp *slot(%rip)`, for address `at`.
pub(crate) fn stub(at: u64, slot: u64) -> Result<Vec<u8>, IcedError> {
    let mut code = CodeAssembler::new(64)?;
    code.add_instruction(jump_through(slot)?)?;
    code.assemble(at)
}

/// Goes to `*old` or `*new` as the selector says, or through the gate and asks again; for address `at`.
pub(crate) fn thunk(at: u64, selector: u64, old: u64, new: u64, gate: u64) -> Result<Vec<u8>, IcedError> {
    let mut code = CodeAssembler::new(64)?;
    let (mut start, mut to_new, mut wait) = (code.create_label(), code.create_label(), code.create_label());
    code.set_label(&mut start)?;
    code.pushfq()?;
    code.add_instruction(Instruction::with2(Code::Cmp_rm32_imm8, word(selector), NEW as i32)?)?;
    code.je(to_new)?;
    code.ja(wait)?;
    code.popfq()?;
    code.add_instruction(jump_through(old)?)?;
    code.set_label(&mut to_new)?;
    code.popfq()?;
    code.add_instruction(jump_through(new)?)?;
    code.set_label(&mut wait)?;
    code.call(gate)?;
    code.popfq()?;
    code.jmp(start)?;
    code.assemble(at)
}

/// Waits while the selector says closed, at most about a millisecond, then opens; for address `at`. Called by
/// thunks. `sleeps`: waits in nanosleep rather than in a loop.
pub(crate) fn gate(at: u64, selector: u64, sleeps: bool) -> Result<Vec<u8>, IcedError> {
    let mut code = CodeAssembler::new(64)?;
    let (mut again, mut out) = (code.create_label(), code.create_label());
    for register in [rax, rcx, rdx, rsi, rdi, r11] {
        code.push(register)?;
    }
    // A timespec, on the stack.
    code.push(ROUND_NS)?;
    code.push(0)?;
    code.mov(edx, ROUNDS)?;
    code.set_label(&mut again)?;
    leave_if_open(&mut code, selector, out)?;
    if sleeps {
        code.mov(eax, libc::SYS_nanosleep as u32)?;
        code.mov(rdi, rsp)?;
        code.xor(esi, esi)?;
        code.syscall()?;
    } else {
        let mut spin = code.create_label();
        code.mov(ecx, ROUND_SPINS)?;
        code.set_label(&mut spin)?;
        code.pause()?;
        code.dec(ecx)?;
        code.jne(spin)?;
    }
    code.dec(edx)?;
    code.jne(again)?;
    leave_if_open(&mut code, selector, out)?;
    code.lea(ecx, dword_ptr(rax - CLOSED as i32))?;
    let mut swap = Instruction::with2(Code::Cmpxchg_rm32_r32, word(selector), Register::ECX)?;
    swap.set_has_lock_prefix(true);
    code.add_instruction(swap)?;
    code.set_label(&mut out)?;
    code.pop(rax)?;
    code.pop(rax)?;
    for register in [r11, rdi, rsi, rdx, rcx, rax] {
        code.pop(register)?;
    }
    code.ret()?;
    code.assemble(at)
}

fn leave_if_open(code: &mut CodeAssembler, selector: u64, out: CodeLabel) -> Result<(), IcedError> {
    code.add_instruction(Instruction::with2(Code::Mov_r32_rm32, Register::EAX, word(selector))?)?;
    code.cmp(eax, CLOSED as i32)?;
    code.jb(out)
}

/// `jmp to`, for address `at`: the detour. Fails where `to` is farther than 2 GiB.
pub(crate) fn detour(at: u64, to: u64) -> Result<Vec<u8>, IcedError> {
    let mut encoder = Encoder::new(64);
    encoder.encode(&Instruction::with_branch(Code::Jmp_rel32_64, to)?, at)?;
    Ok(encoder.take_buffer())
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
    use iced_x86::{Decoder, DecoderOptions, Mnemonic};

    #[test]
    fn lengths_and_offsets_are_as_the_unwind_table_says() {
        let at = 0x5555_0000_1000;
        let code = thunk(at, at + 0x4000, at + 0x4010, at + 0x4020, at + 0x100).unwrap();
        let starts: Vec<(u32, Mnemonic)> = Decoder::with_ip(64, &code, at, DecoderOptions::NONE)
            .iter()
            .map(|instruction| ((instruction.ip() - at) as u32, instruction.mnemonic()))
            .collect();
        let expected = [
            (0, Mnemonic::Pushfq),
            (THUNK_PUSHED, Mnemonic::Cmp),
            (THUNK_DECIDED, Mnemonic::Je),
            (10, Mnemonic::Ja),
            (12, Mnemonic::Popfq),
            (THUNK_OLD_JUMP, Mnemonic::Jmp),
            (THUNK_NEW, Mnemonic::Popfq),
            (THUNK_NEW_JUMP, Mnemonic::Jmp),
            (THUNK_WAIT, Mnemonic::Call),
            (THUNK_WAIT + 5, Mnemonic::Popfq),
            (THUNK_AGAIN, Mnemonic::Jmp),
        ];
        assert_eq!(starts, expected);
        assert!(code.len() as u64 <= THUNK_SIZE);
        assert!(stub(at, at + 0x4000).unwrap().len() as u64 <= STUB_SIZE);
        for sleeps in [false, true] {
            assert!(gate(at, at + 0x4000, sleeps).unwrap().len() as u64 <= GATE_SIZE);
        }
    }

    #[test]
    fn a_detour_is_read_back() {
        let bytes = detour(0x40_1000, 0x3f_0000).unwrap();
        assert_eq!(bytes.len() as u64, DETOUR_SIZE);
        assert_eq!(detour_target(0x40_1000, &bytes), Some(0x3f_0000));
        assert!(detour(0x40_1000, 0x7f00_0000_0000).is_err());
    }
}
