//! A forged signal frame: what the kernel would have pushed, had it called a handler.
//!
//! Below the thread's red zone lie, upwards: a table of records, each the seven words that [`CODE`] pops before
//! it makes one system call; the record of rt_sigreturn; `struct ucontext` with all registers and the signal
//! mask; the vector state; the bytes that arguments point to. (arch/x86/include/asm/sigframe.h,
//! arch/x86/include/uapi/asm/sigcontext.h.)

use std::arch::x86_64::__cpuid_count;

use crate::call::{Arg, SystemCall};
use crate::registers::Registers;

/// What is written over the dead code:
/// `call rbx; mov rbx, rax; 1: pop rax; pop rdi; pop rsi; pop rdx; pop r10; pop r8; pop r9; syscall; jmp 1b`.
pub(crate) const CODE: [u8; 19] = [
    0xff, 0xd3, 0x48, 0x89, 0xc3, 0x58, 0x5f, 0x5e, 0x5a, 0x41, 0x5a, 0x41, 0x58, 0x41, 0x59, 0x0f, 0x05,
    0xeb, 0xf2,
];
/// Where the loop of system calls begins in [`CODE`].
pub(crate) const LOOP: u64 = 5;
/// Behind the `syscall` instruction of [`CODE`].
pub(crate) const BEHIND_SYSCALL: u64 = 17;

pub(crate) const RT_SIGRETURN: u64 = 15;
const RED_ZONE: u64 = 128;
const RECORD: u64 = 7 * 8;
const UCONTEXT: usize = 304;
const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;
/// No mode of sigaltstack(2): the kernel checks the stack in the frame, finds it invalid, and leaves the real
/// one alone (restore_altstack squashes all errors but EFAULT).
const NO_ALTERNATE_STACK: u32 = 0x7fff;
/// Where in the frame rax, rcx, rsp and rip lie side by side: behind uc_flags, uc_link, uc_stack and 13 words.
const RAX_TO_RIP: u64 = 40 + 13 * 8;

const FXSAVE_SIZE: usize = 512;
const XSTATE_HEADER_END: usize = 576;
const SW_RESERVED: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// AMX tile data: a thread has room for it in its frames only once it asked for it.
const XFEATURE_TILE_DATA: u64 = 1 << 18;

/// A frame ready to be written.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Where it lies: the stack pointer to begin with.
    pub(crate) address: u64,
    pub(crate) bytes: Vec<u8>,
    /// The calls with the addresses of their bytes filled in, rt_sigreturn last.
    pub(crate) records: Vec<[u64; 7]>,
    ucontext: u64,
}

impl Frame {
    /// Lays out a frame below the stack pointer of `saved`, the registers to come back to. `xstate` is what
    /// PTRACE_GETREGSET gave.
    pub(crate) fn build(saved: &Registers, mask: u64, xstate: &[u8], calls: &[SystemCall]) -> Option<Self> {
        let image = signal_image(xstate)?;
        let end = saved.rsp.checked_sub(RED_ZONE)? & !15;
        let data: u64 = calls.iter().flat_map(|c| &c.args).map(Arg::room).sum();
        let data_at = end.checked_sub(data)? & !63;
        let image_at = data_at.checked_sub(image.len() as u64)? & !63;
        let table = (calls.len() as u64 + 1) * RECORD;
        // The table is 16-aligned so that `call rbx` finds the stack as the ABI wants it.
        let address = image_at.checked_sub(UCONTEXT as u64 + table)? & !15;
        let ucontext = address + table;

        let mut bytes = vec![0u8; (end - address) as usize];
        let mut put = |at: u64, part: &[u8]| {
            let at = (at - address) as usize;
            bytes[at..at + part.len()].copy_from_slice(part);
        };
        let mut records = Vec::with_capacity(calls.len() + 1);
        let mut free = data_at;
        for call in calls {
            let mut record = [call.number, 0, 0, 0, 0, 0, 0];
            for (arg, word) in call.args.iter().zip(&mut record[1..]) {
                *word = match arg {
                    Arg::Value(value) => *value,
                    Arg::Bytes(content) => {
                        put(free, content);
                        free += arg.room();
                        free - arg.room()
                    }
                };
            }
            records.push(record);
        }
        records.push([RT_SIGRETURN, 0, 0, 0, 0, 0, 0]);
        for (n, word) in records.iter().flatten().enumerate() {
            put(address + n as u64 * 8, &word.to_le_bytes());
        }
        put(ucontext, &ucontext_bytes(saved, mask, image_at));
        put(image_at, &image);
        Some(Self { address, bytes, records, ucontext })
    }

    /// Where rax, rcx, rsp and rip are in the frame, and what to write there so that the thread comes back with
    /// this `rax` and `rip` instead: one write, so that it is whole whatever happens to the writer.
    pub(crate) fn amended(&self, to: &Registers) -> (u64, [u8; 32]) {
        let mut bytes = [0; 32];
        for (slot, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip([to.rax, to.rcx, to.rsp, to.rip]) {
            *slot = word.to_le_bytes();
        }
        (self.ucontext + RAX_TO_RIP, bytes)
    }
}

fn ucontext_bytes(r: &Registers, mask: u64, image_at: u64) -> Vec<u8> {
    let selectors = (r.cs & 0xffff) | (r.gs & 0xffff) << 16 | (r.fs & 0xffff) << 32 | (r.ss & 0xffff) << 48;
    let words: [u64; 38] = [
        UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        0,
        0,
        u64::from(NO_ALTERNATE_STACK),
        0,
        r.r8,
        r.r9,
        r.r10,
        r.r11,
        r.r12,
        r.r13,
        r.r14,
        r.r15,
        r.rdi,
        r.rsi,
        r.rbp,
        r.rbx,
        r.rdx,
        r.rax,
        r.rcx,
        r.rsp,
        r.rip,
        r.eflags,
        selectors,
        0,
        0,
        0,
        0,
        image_at,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        mask,
    ];
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// The vector state in the form of a signal frame: as PTRACE_GETREGSET gives it, cut to what the thread may use,
/// with the software bytes and the second magic number that have the kernel restore all of it.
fn signal_image(xstate: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u64::from_le_bytes(xstate.get(at..at + 8)?.try_into().ok()?));
    // The kernel leaves the features it manages for user space (XCR0) in the software bytes.
    let managed = word(SW_RESERVED)?;
    let in_use = word(FXSAVE_SIZE)?;
    if managed & 3 != 3 || in_use & !managed != 0 {
        return None;
    }
    let features = if in_use & XFEATURE_TILE_DATA == 0 { managed & !XFEATURE_TILE_DATA } else { managed };
    let size = (2..63).filter(|n| features & (1 << n) != 0).fold(XSTATE_HEADER_END, |size, n| {
        let leaf = __cpuid_count(0xd, n);
        size.max((leaf.ebx + leaf.eax) as usize)
    });
    let mut image = xstate.get(..size)?.to_vec();
    let mut put = |at: usize, part: &[u8]| image[at..at + part.len()].copy_from_slice(part);
    put(SW_RESERVED, &[0; FXSAVE_SIZE - SW_RESERVED]);
    put(SW_RESERVED, &MAGIC1.to_le_bytes());
    put(SW_RESERVED + 4, &(size as u32 + 4).to_le_bytes());
    put(SW_RESERVED + 8, &features.to_le_bytes());
    put(SW_RESERVED + 16, &(size as u32).to_le_bytes());
    image.extend(MAGIC2.to_le_bytes());
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xstate() -> Vec<u8> {
        let mut x = vec![0u8; 576];
        x[SW_RESERVED] = 3;
        x
    }

    #[test]
    fn the_table_ends_where_the_context_begins() {
        let saved = Registers { rsp: 0x7fff_0000_1238, rip: 0x40_1000, ..Registers::default() };
        let args = [
            Arg::Value(7),
            Arg::Bytes(b"name\0".to_vec()),
            Arg::Value(0),
            Arg::Value(0),
            Arg::Value(0),
            Arg::Value(0),
        ];
        let frame = Frame::build(&saved, 5, &xstate(), &[SystemCall { number: 319, args }]).expect("room");
        assert_eq!(frame.address % 16, 0);
        assert!(frame.address + frame.bytes.len() as u64 <= saved.rsp - RED_ZONE);
        assert_eq!(frame.ucontext, frame.address + 2 * RECORD);
        let word = |at: u64| {
            let at = (at - frame.address) as usize;
            u64::from_le_bytes(frame.bytes[at..at + 8].try_into().expect("eight"))
        };
        assert_eq!(word(frame.address), 319);
        assert_eq!(word(frame.address + RECORD), RT_SIGRETURN);
        let name = (word(frame.address + 16) - frame.address) as usize;
        assert_eq!(&frame.bytes[name..name + 5], b"name\0");
        assert_eq!(word(frame.ucontext + 40 + 16 * 8), saved.rip);
        assert_eq!(word(frame.ucontext + 40 + 15 * 8), saved.rsp);
        assert_eq!(word(frame.ucontext + 296), 5, "signal mask");
        let image = word(frame.ucontext + 40 + 23 * 8);
        assert_eq!(image % 64, 0);
        assert_eq!(word(image + SW_RESERVED as u64) as u32, MAGIC1);
    }

    #[test]
    fn a_state_without_features_is_refused() {
        assert!(signal_image(&[0; 576]).is_none());
        assert!(signal_image(&[0; 100]).is_none());
    }
}
