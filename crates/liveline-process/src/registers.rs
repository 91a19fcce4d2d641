//! The registers of a held thread.

/// Every general register of a thread, as PTRACE_GETREGS gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the processor's own")]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub eflags: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    /// The number of the system call the thread is in, or -1 (all ones) in user code.
    pub orig_rax: u64,
    pub cs: u64,
    pub ss: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

macro_rules! same_fields {
    ($from:expr, $make:ident) => {
        $make {
            rax: $from.rax,
            rbx: $from.rbx,
            rcx: $from.rcx,
            rdx: $from.rdx,
            rsi: $from.rsi,
            rdi: $from.rdi,
            rbp: $from.rbp,
            rsp: $from.rsp,
            r8: $from.r8,
            r9: $from.r9,
            r10: $from.r10,
            r11: $from.r11,
            r12: $from.r12,
            r13: $from.r13,
            r14: $from.r14,
            r15: $from.r15,
            rip: $from.rip,
            eflags: $from.eflags,
            fs_base: $from.fs_base,
            gs_base: $from.gs_base,
            orig_rax: $from.orig_rax,
            cs: $from.cs,
            ss: $from.ss,
            ds: $from.ds,
            es: $from.es,
            fs: $from.fs,
            gs: $from.gs,
        }
    };
}

impl Registers {
    pub(crate) fn from_kernel(r: &libc::user_regs_struct) -> Self {
        same_fields!(r, Self)
    }

    pub(crate) fn to_kernel(self) -> libc::user_regs_struct {
        use libc::user_regs_struct;
        same_fields!(self, user_regs_struct)
    }

    /// A register by its DWARF number (System V ABI, x86-64 supplement, figure 3.36): 0-15 general, 16 rip.
    pub fn dwarf(&self, number: u16) -> Option<u64> {
        Some(match number {
            0 => self.rax,
            1 => self.rdx,
            2 => self.rcx,
            3 => self.rbx,
            4 => self.rsi,
            5 => self.rdi,
            6 => self.rbp,
            7 => self.rsp,
            8 => self.r8,
            9 => self.r9,
            10 => self.r10,
            11 => self.r11,
            12 => self.r12,
            13 => self.r13,
            14 => self.r14,
            15 => self.r15,
            16 => self.rip,
            _ => return None,
        })
    }

    /// The system call that the thread is in or has just come out of, if it entered the kernel by one.
    pub fn system_call(&self) -> Option<u64> {
        // The kernel itself looks at the low half only (syscall_get_nr), so -1 may be 0xffffffff here.
        ((self.orig_rax as i32) >= 0).then_some(self.orig_rax)
    }
}
