//! The old continuation: the instructions a detour displaces, made to run elsewhere, and a jump behind them.

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, IcedError, Instruction,
    InstructionBlock, MemoryOperand, Register,
};
use thiserror::Error;

use crate::table::DETOUR_SIZE;

/// Room that is kept for one continuation, in bytes: at most 19 displaced bytes, each instruction of which can
/// grow to a long form, and a jump.
pub(crate) const CONTINUATION_SIZE: u64 = 96;

/// Why the first instructions of a function cannot be displaced.
#[derive(Debug, Error)]
pub(crate) enum DisplaceError {
    #[error("no valid instruction at its byte {0}")]
    Invalid(u64),
    #[error("only {0} bytes may be overwritten, a detour needs 5")]
    NoRoom(u64),
    #[error("it jumps to its own byte {0}, inside the detour")]
    BranchInside(u64),
    #[error("its first instructions do not fit elsewhere: {0}")]
    Encode(#[from] IcedError),
    #[error("its first instructions grow too long elsewhere")]
    TooLong,
    #[error("the detour would cross a page boundary, so a killed patcher could leave half of it")]
    CrossesPage,
}

/// Relocated first instructions of a function.
#[derive(Debug)]
pub(crate) struct Continuation {
    /// Code for the address it was made for.
    pub(crate) code: Vec<u8>,
}

/// Moves the instructions under a detour at `at` to `to`. `body` is the function from the detour on, then
/// `room - body.len()` bytes of padding that may be overwritten, too.
pub(crate) fn displace(body: &[u8], room: u64, at: u64, to: u64) -> Result<Continuation, DisplaceError> {
    if room < DETOUR_SIZE {
        return Err(DisplaceError::NoRoom(room));
    }
    if at / 4096 != (at + DETOUR_SIZE - 1) / 4096 {
        return Err(DisplaceError::CrossesPage);
    }
    let mut displaced = Vec::new();
    let mut length = 0;
    let mut decoder = Decoder::with_ip(64, body, at, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            // What lies behind the part that is moved may be data (a jump table); it is not ours to judge.
            if length < DETOUR_SIZE {
                return Err(DisplaceError::Invalid(instruction.ip() - at));
            }
            continue;
        }
        if let Some(target) = near_target(&instruction)
            && target > at
            && target < at + DETOUR_SIZE
        {
            return Err(DisplaceError::BranchInside(target - at));
        }
        if length < DETOUR_SIZE {
            length += instruction.len() as u64;
            displaced.push(instruction);
        }
    }
    return_to_the_function(&mut displaced, at + length)?;
    if ends(displaced.last()) {
        // Nothing falls through.
    } else {
        displaced.push(Instruction::with_branch(Code::Jmp_rel32_64, at + length)?);
    }
    let block = InstructionBlock::new(&displaced, to);
    let code = BlockEncoder::encode(64, block, BlockEncoderOptions::NONE)?.code_buffer;
    if code.len() as u64 > CONTINUATION_SIZE {
        return Err(DisplaceError::TooLong);
    }
    Ok(Continuation { code })
}

/// A call at the end of the displaced instructions returns into the function itself, behind the detour at `behind`:
/// there unwind tables are right, should an exception come back instead.
fn return_to_the_function(displaced: &mut Vec<Instruction>, behind: u64) -> Result<(), IcedError> {
    let Some(call) = displaced.last().copied() else { return Ok(()) };
    let jump = match call.code() {
        Code::Call_rel32_64 => Instruction::with_branch(Code::Jmp_rel32_64, call.near_branch_target())?,
        Code::Call_rm64 => {
            let mut jump = call;
            jump.set_code(Code::Jmp_rm64);
            if jump.memory_base() == Register::RSP {
                jump.set_memory_displacement64(jump.memory_displacement64().wrapping_add(8));
                jump.set_memory_displ_size(1);
            }
            jump
        }
        _ => return Ok(()),
    };
    displaced.pop();
    displaced.push(Instruction::with1(Code::Pushq_imm32, behind as i32)?);
    let upper = MemoryOperand::with_base_displ(Register::RSP, 4);
    displaced.push(Instruction::with2(Code::Mov_rm32_imm32, upper, (behind >> 32) as u32)?);
    displaced.push(jump);
    Ok(())
}

fn near_target(instruction: &Instruction) -> Option<u64> {
    let target = instruction.near_branch_target();
    (target != 0).then_some(target)
}

fn ends(last: Option<&Instruction>) -> bool {
    let flow = last.map(Instruction::flow_control);
    matches!(flow, Some(FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(code: &[u8], at: u64) -> Vec<String> {
        Decoder::with_ip(64, code, at, DecoderOptions::NONE)
            .iter()
            .map(|instruction| instruction.to_string())
            .collect()
    }

    #[test]
    fn rip_relative_operands_and_branches_keep_their_targets() {
        // push rbp; cmp dword [rip+0x100], 0; je +0x20; ret
        let body = [0x55, 0x83, 0x3d, 0, 1, 0, 0, 0, 0x74, 0x20, 0xc3];
        let moved = displace(&body, 11, 0x40_0000, 0x30_0000).unwrap();
        let code = text(&moved.code, 0x30_0000);
        assert_eq!(code[0], "push rbp");
        assert!(code[1].contains("400108h"), "{code:?}");
        assert!(code[2].contains("400008h"), "{code:?}");
    }

    #[test]
    fn a_short_function_ends_in_padding() {
        // xor eax, eax; ret; nop...
        let moved = displace(&[0x31, 0xc0, 0xc3], 16, 0x40_0000, 0x30_0000).unwrap();
        assert_eq!(text(&moved.code, 0x30_0000), ["xor eax,eax", "ret"]);
        assert!(matches!(displace(&[0xc3], 1, 0x40_0000, 0x30_0000), Err(DisplaceError::NoRoom(1))));
    }

    #[test]
    fn branches_into_the_detour_are_refused() {
        // 0: xor eax,eax  2: inc eax  4: cmp eax,edi  6: jne 2  8: ret
        let body = [0x31, 0xc0, 0xff, 0xc0, 0x39, 0xf8, 0x75, 0xfa, 0xc3];
        assert!(matches!(displace(&body, 9, 0x40_0000, 0x30_0000), Err(DisplaceError::BranchInside(2))));
        assert!(matches!(displace(&body, 9, 0x40_0ffd, 0x30_0000), Err(DisplaceError::CrossesPage)));
    }

    #[test]
    fn a_displaced_call_returns_into_the_function() {
        // sub rsp, 8; call rsi; nop
        let moved = displace(&[0x48, 0x83, 0xec, 8, 0xff, 0xd6, 0x90], 7, 0x5555_0040_0000, 0x5555_0030_0000);
        let code = text(&moved.unwrap().code, 0x5555_0030_0000);
        assert_eq!(code, ["sub rsp,8", "push 400006h", "mov dword ptr [rsp+4],5555h", "jmp rsi"]);
        // call [rsp+8]; nop
        let moved = displace(&[0x90, 0xff, 0x54, 0x24, 8, 0x90], 6, 0x5555_0040_0000, 0x5555_0030_0000);
        let code = text(&moved.unwrap().code, 0x5555_0030_0000);
        assert_eq!(code[3], "jmp qword ptr [rsp+10h]");
        // call +0x100
        let moved = displace(&[0xe8, 0, 1, 0, 0], 5, 0x5555_0040_0000, 0x5555_0030_0000);
        let code = text(&moved.unwrap().code, 0x5555_0030_0000);
        assert!(
            code[0].contains("400005h") && code[2].starts_with("jmp") && code[2].contains("400105h"),
            "{code:?}"
        );
    }

    #[test]
    fn a_short_branch_grows() {
        // test edi,edi; je +0x10; ...
        let body = [0x85, 0xff, 0x74, 0x10, 0x90, 0x90, 0xc3];
        let moved = displace(&body, 7, 0x40_0000, 0x30_0000).unwrap();
        let code = text(&moved.code, 0x30_0000);
        assert!(code[1].starts_with("je") && code[1].contains("400014h"), "{code:?}");
    }
}
