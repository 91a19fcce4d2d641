//! The starter: code of an image that one thread of the program runs once, before the new code is switched on.
//!
//! It makes the image's unwind records known to the program's unwinders, for the image is mapped by hand and no
//! dynamic linker knows it, and runs the constructors of new objects. The start word of the record lets in one
//! thread only, however often it is called, and tells how far it is.

use iced_x86::code_asm::{CodeAssembler, dword_ptr, eax, ecx, r12, r12d, rax, rbp, rbx, rcx, rsp};
use iced_x86::{Code, IcedError, Instruction, MemoryOperand, Register};

use crate::record::Start;

/// Bytes kept for what one unwinder remembers of us: `struct object` of libgcc has 48, older ones had 64.
pub(crate) const OBJECT_SIZE: u64 = 128;

/// Offsets for the unwind table: behind `push rbp`; behind `mov rbp, rsp`; behind the other pushes.
pub(crate) const STARTER_PUSHED: u32 = 1;
pub(crate) const STARTER_FRAMED: u32 = 4;
pub(crate) const STARTER_SAVED: u32 = 7;
/// Length of the final `ret`.
pub(crate) const STARTER_RETURN: u32 = 1;

/// What a program begins with: all exceptions masked, to nearest.
const MXCSR: i32 = 0x1f80;

/// What has to be done in one process.
#[derive(Clone, Debug)]
pub(crate) struct Starter {
    /// `__register_frame_info` of each unwinder.
    pub(crate) registrars: Vec<u64>,
    /// `__errno_location`, where there is one: an initializer must not change the errno of its thread.
    pub(crate) errno: Option<u64>,
}

/// Places in the finished image.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) state: u64,
    pub(crate) eh_frame: u64,
    pub(crate) objects: u64,
    pub(crate) initializers: Vec<u64>,
}

fn word(address: u64) -> MemoryOperand {
    MemoryOperand::with_base_displ(Register::RIP, address as i64)
}

impl Starter {
    /// Bytes of its code.
    pub(crate) fn size(&self, initializers: usize) -> u64 {
        const SAVE_BOTH_WAYS: u64 = 64;
        const EACH_REGISTRAR: u64 = 40;
        const EACH_INITIALIZER: u64 = 8;
        SAVE_BOTH_WAYS * 2
            + EACH_REGISTRAR * self.registrars.len() as u64
            + EACH_INITIALIZER * initializers as u64
    }

    /// The code, for address `at`: an ordinary function without arguments. The last byte is its `ret`.
    pub(crate) fn code(&self, at: u64, job: &Job) -> Result<Vec<u8>, IcedError> {
        let mut code = CodeAssembler::new(64)?;
        let mut out = code.create_label();
        code.push(rbp)?;
        code.mov(rbp, rsp)?;
        code.push(rbx)?;
        code.push(r12)?;
        code.mov(eax, Start::Handed.word() as u32)?;
        code.mov(ecx, Start::Running.word() as u32)?;
        let mut enter = Instruction::with2(Code::Cmpxchg_rm32_r32, word(job.state), Register::ECX)?;
        enter.set_has_lock_prefix(true);
        code.add_instruction(enter)?;
        code.jne(out)?;
        // As the kernel does for a handler. All of it comes back with the frame.
        code.fninit()?;
        code.push(MXCSR)?;
        code.ldmxcsr(dword_ptr(rsp))?;
        code.pop(rcx)?;
        let far = |code: &mut CodeAssembler, register, value: u64| {
            code.add_instruction(Instruction::with2(Code::Mov_r64_imm64, register, value)?)
        };
        if let Some(errno) = self.errno {
            far(&mut code, Register::RAX, errno)?;
            code.call(rax)?;
            code.mov(rbx, rax)?;
            code.mov(r12d, dword_ptr(rbx))?;
        }
        for (object, registrar) in (job.objects..).step_by(OBJECT_SIZE as usize).zip(&self.registrars) {
            far(&mut code, Register::RDI, job.eh_frame)?;
            far(&mut code, Register::RSI, object)?;
            far(&mut code, Register::RAX, *registrar)?;
            code.call(rax)?;
        }
        for initializer in &job.initializers {
            code.call(*initializer)?;
        }
        if self.errno.is_some() {
            code.mov(dword_ptr(rbx), r12d)?;
        }
        let done = Start::Done.word() as u32;
        code.add_instruction(Instruction::with2(Code::Mov_rm32_imm32, word(job.state), done)?)?;
        code.set_label(&mut out)?;
        code.pop(r12)?;
        code.pop(rbx)?;
        code.pop(rbp)?;
        code.ret()?;
        code.assemble(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, Mnemonic};

    #[test]
    fn offsets_are_as_the_unwind_table_says_and_it_fits() {
        let at = 0x5555_0000_1000;
        let job = Job {
            state: at + 0x3000,
            eh_frame: at + 0x2000,
            objects: at + 0x4000,
            initializers: vec![at + 0x100; 3],
        };
        for (errno, registrars) in [(Some(0x7fff_0000_0000), vec![0x7fff_1000_0000; 2]), (None, vec![])] {
            let starter = Starter { registrars, errno };
            let code = starter.code(at, &job).unwrap();
            let all: Vec<(u32, Mnemonic)> = Decoder::with_ip(64, &code, at, DecoderOptions::NONE)
                .iter()
                .map(|instruction| ((instruction.ip() - at) as u32, instruction.mnemonic()))
                .collect();
            assert_eq!(all[1], (STARTER_PUSHED, Mnemonic::Mov));
            assert_eq!(all[2], (STARTER_FRAMED, Mnemonic::Push));
            assert_eq!(all[4], (STARTER_SAVED, Mnemonic::Mov));
            assert_eq!(all.last(), Some(&(code.len() as u32 - STARTER_RETURN, Mnemonic::Ret)));
            assert!(code.len() as u64 <= starter.size(3));
        }
    }
}
