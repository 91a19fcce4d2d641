//! What a thread's seccomp filters would do to a system call (seccomp(2), net/core/filter.c).

/// The kernel's name for this architecture in `seccomp_data`.
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const DATA_SIZE: u32 = 64;

/// What a filter answers, strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// SECCOMP_RET_KILL_PROCESS.
    KillProcess,
    /// SECCOMP_RET_KILL_THREAD.
    KillThread,
    /// SECCOMP_RET_TRAP: SIGSYS.
    Trap,
    /// SECCOMP_RET_ERRNO with the error number.
    Errno(u16),
    /// SECCOMP_RET_USER_NOTIF: a supervisor decides.
    Notify,
    /// SECCOMP_RET_TRACE: a tracer decides.
    Trace,
    /// SECCOMP_RET_LOG.
    Log,
    /// SECCOMP_RET_ALLOW.
    Allow,
}

impl Action {
    /// From a filter's return value; what the kernel doesn't know it treats as KILL_PROCESS.
    pub fn from_return(value: u32) -> Self {
        match value & 0xffff_0000 {
            0x0000_0000 => Self::KillThread,
            0x0003_0000 => Self::Trap,
            0x0005_0000 => Self::Errno(value as u16),
            0x7fc0_0000 => Self::Notify,
            0x7ff0_0000 => Self::Trace,
            0x7ffc_0000 => Self::Log,
            0x7fff_0000 => Self::Allow,
            _ => Self::KillProcess,
        }
    }

    /// The call is made as if there were no filter.
    pub fn lets_pass(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }
}

/// One system call as a filter sees it (`struct seccomp_data`).
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number.
    pub number: u32,
    /// Address behind the `syscall` instruction.
    pub instruction_pointer: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> Option<u32> {
        if offset >= DATA_SIZE || !offset.is_multiple_of(4) {
            return None;
        }
        let (index, high) = (offset / 8, offset % 8 == 4);
        let half = |v: u64| if high { (v >> 32) as u32 } else { v as u32 };
        Some(match index {
            0 if high => AUDIT_ARCH_X86_64,
            0 => self.number,
            1 => half(self.instruction_pointer),
            n => half(*self.args.get(n as usize - 2)?),
        })
    }
}

/// What all the filters of a thread together answer: the strictest action wins. None if one of them can't be
/// followed.
pub fn judge(filters: &[Vec<libc::sock_filter>], call: &Call) -> Option<Action> {
    let mut strictest = Action::Allow;
    for filter in filters {
        strictest = strictest.min(Action::from_return(run(filter, call)?));
    }
    Some(strictest)
}

/// Runs one classic BPF program; None for what the kernel would not have accepted. Jumps only lead forward, so
/// it ends.
fn run(program: &[libc::sock_filter], call: &Call) -> Option<u32> {
    let (mut a, mut x, mut scratch) = (0u32, 0u32, [0u32; 16]);
    let mut pc = 0usize;
    loop {
        let ins = program.get(pc)?;
        pc += 1;
        let k = ins.k;
        match ins.code & 7 {
            // Load into A (0) or X (1): of the seccomp data by word, an immediate, the length, scratch memory.
            class @ (0 | 1) => {
                let value = match ins.code & 0xe0 {
                    0x00 => k,
                    0x20 if class == 0 => call.word(k)?,
                    0x60 => *scratch.get(k as usize)?,
                    0x80 => DATA_SIZE,
                    _ => return None,
                };
                *(if class == 0 { &mut a } else { &mut x }) = value;
            }
            2 => *scratch.get_mut(k as usize)? = a,
            3 => *scratch.get_mut(k as usize)? = x,
            4 => {
                let operand = if ins.code & 8 == 0 { k } else { x };
                a = match ins.code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    // A division by zero ends the filter with 0: the kernel's bpf core does the same.
                    0x30 if operand == 0 => return Some(0),
                    0x30 => a / operand,
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => a.wrapping_shl(operand),
                    0x70 => a.wrapping_shr(operand),
                    0x80 => a.wrapping_neg(),
                    0xa0 => a ^ operand,
                    _ => return None,
                };
            }
            5 => {
                let operand = if ins.code & 8 == 0 { k } else { x };
                let taken = match ins.code & 0xf0 {
                    0x00 => {
                        pc += k as usize;
                        continue;
                    }
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand != 0,
                    _ => return None,
                };
                pc += usize::from(if taken { ins.jt } else { ins.jf });
            }
            6 => return Some(if ins.code & 0x18 == 0x10 { a } else { k }),
            _ if ins.code & 0xf8 == 0 => x = a,
            _ => a = x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ins(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code, jt, jf, k }
    }

    fn call(number: u32, args: [u64; 6]) -> Call {
        Call { number, instruction_pointer: 0x1234_5678_9abc, args }
    }

    #[test]
    fn a_deny_list_by_number_and_argument() {
        // ld nr; jeq 9, +0, +3; ld args[2] low; jset PROT_EXEC, +0, +1; ret KILL; ret ALLOW
        let filter = vec![
            ins(0x20, 0, 0, 0),
            ins(0x15, 0, 3, 9),
            ins(0x20, 0, 0, 32),
            ins(0x45, 0, 1, 4),
            ins(0x06, 0, 0, 0x8000_0000),
            ins(0x06, 0, 0, 0x7fff_0000),
        ];
        let filters = [filter];
        assert_eq!(judge(&filters, &call(9, [0, 0, 5, 0, 0, 0])), Some(Action::KillProcess));
        assert_eq!(judge(&filters, &call(9, [0, 0, 3, 0, 0, 0])), Some(Action::Allow));
        assert_eq!(judge(&filters, &call(1, [0, 0, 5, 0, 0, 0])), Some(Action::Allow));
    }

    #[test]
    fn the_strictest_of_several_wins() {
        let answers = |v: u32| vec![ins(0x06, 0, 0, v)];
        let filters = [answers(0x7fff_0000), answers(0x0005_0001), answers(0x7ffc_0000)];
        assert_eq!(judge(&filters, &call(1, [0; 6])), Some(Action::Errno(1)));
        assert!(Action::KillProcess < Action::KillThread && Action::KillThread < Action::Trap);
    }

    #[test]
    fn arithmetic_scratch_and_index() {
        // A = nr; M[3] = A; X = M[3]; A = 2; A = A + X; A = A << 1; ret A
        let filter = [
            ins(0x20, 0, 0, 0),
            ins(0x02, 0, 0, 3),
            ins(0x61, 0, 0, 3),
            ins(0x00, 0, 0, 2),
            ins(0x0c, 0, 0, 0),
            ins(0x64, 0, 0, 1),
            ins(0x16, 0, 0, 0),
        ];
        assert_eq!(run(&filter, &call(5, [0; 6])), Some(14));
    }

    #[test]
    fn a_program_that_runs_off_its_end_is_not_followed() {
        assert_eq!(run(&[ins(0x20, 0, 0, 0)], &call(1, [0; 6])), None);
        assert_eq!(run(&[ins(0x20, 0, 0, 66), ins(0x16, 0, 0, 0)], &call(1, [0; 6])), None);
    }
}
