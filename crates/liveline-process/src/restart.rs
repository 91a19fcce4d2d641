//! System calls that a stop cut short.
//!
//! Most calls that are interrupted leave one of the kernel's own restart codes in rax, and the kernel issues
//! them again when the thread goes on. Some answer -EINTR at once instead (`epoll_wait`, `semtimedop`,
//! `io_getevents`, `rt_sigtimedwait`, sockets with a time-out): a stop would show in the program.

use std::io;

use crate::registers::Registers;
use crate::trace;

const EINTR: i64 = -4;
/// Restart, unless a handler runs: then -EINTR, whatever its SA_RESTART (kernel, include/linux/errno.h).
const ERESTARTNOHAND: i64 = -514;
const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
const ERESTART_RESTARTBLOCK: i64 = -516;

/// -EINTR from close(2) means that it is done: issued again it could close another file.
const CLOSE: u64 = 3;
/// restart_syscall(2): what the kernel turns a timed call into when it restarts it.
pub(crate) const RESTART_SYSCALL: u64 = 219;

/// Whether a stop made the call that this thread is in answer -EINTR.
pub(crate) fn is_cut_short(regs: &Registers) -> bool {
    regs.rax as i64 == EINTR && regs.system_call().is_some_and(|number| number != CLOSE)
}

/// PTRACE_POKEUSER - has the kernel itself issue a call again that answered -EINTR because of our stop.
///
/// The thread stands before the kernel's signal work (arch_do_signal_or_restart), which decides by the code in
/// rax: with -ERESTARTNOHAND the call is issued again, unless a handler runs first, and then it answers -EINTR
/// as it would have without us. So a signal that comes at any time until the thread goes on is right as well.
pub(crate) fn mend(tid: i32, regs: &Registers) -> io::Result<()> {
    if !is_cut_short(regs) {
        return Ok(());
    }
    match trace::set_rax(tid, ERESTARTNOHAND as u64) {
        Err(e) if e.raw_os_error() != Some(libc::ESRCH) => Err(e),
        _ => Ok(()),
    }
}

/// Whether the kernel would issue the call again, so that a forged frame must do so itself.
pub(crate) fn is_to_be_issued_again(regs: &Registers) -> bool {
    let code = regs.rax as i64;
    let restarts = [ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK].contains(&code);
    regs.system_call().is_some() && (restarts || is_cut_short(regs))
}

/// The registers with which the thread runs the `syscall` instruction again, for system call `number`.
pub(crate) fn issued_again(regs: &Registers, number: u64) -> Registers {
    const SYSCALL_LENGTH: u64 = 2;
    Registers { rip: regs.rip.wrapping_sub(SYSCALL_LENGTH), rax: number, orig_rax: u64::MAX, ..*regs }
}

/// The registers with which the call would come out if a handler ran now, where that does not depend on the
/// handler's SA_RESTART.
pub(crate) fn ended_by_any_handler(regs: &Registers) -> Option<Registers> {
    let code = regs.rax as i64;
    let ends = [ERESTARTNOHAND, ERESTART_RESTARTBLOCK].contains(&code) || is_cut_short(regs);
    ends.then_some(Registers { rax: EINTR as u64, orig_rax: u64::MAX, ..*regs })
}

/// Which call restart_syscall(2) goes on with: only these four use the kernel's restart block, and rt_sigreturn
/// voids it, so that a forged frame must issue the call itself. The argument registers are still its own. Where
/// they fit several, the instruction that loaded the number decides, if it is the one before `syscall`
/// (`code_before`: five bytes); None if that does not tell either.
pub(crate) fn restarted_call(regs: &Registers, code_before: &[u8]) -> Option<u64> {
    const POLL: u64 = libc::SYS_poll as u64;
    const NANOSLEEP: u64 = libc::SYS_nanosleep as u64;
    const FUTEX: u64 = libc::SYS_futex as u64;
    const CLOCK_NANOSLEEP: u64 = libc::SYS_clock_nanosleep as u64;
    let (a, b, c, d) = (regs.rdi, regs.rsi, regs.rdx, regs.r10);
    // The first 64 KiB are never mapped.
    let pointer = |x: u64| (0x1_0000..1 << 47).contains(&x);
    let clock = |x: u64| x < 16 || (x as i32) < 0;
    let wait = |op: u64| matches!(op as u32 & 0x7f, 0 | 9 | 11) && op as u32 & !0x1ff == 0;
    let timeout = |x: u64| (1..1 << 31).contains(&(x & 0xffff_ffff));
    let fits = [
        (POLL, (a == 0 || pointer(a)) && b <= 1 << 30 && c < 1 << 32 && timeout(c)),
        (NANOSLEEP, pointer(a) && (b == 0 || pointer(b))),
        (FUTEX, pointer(a) && a.is_multiple_of(4) && wait(b) && pointer(d)),
        (CLOCK_NANOSLEEP, clock(a) && b & 1 == 0 && pointer(c)),
    ];
    let mut fitting = fits.iter().filter(|f| f.1).map(|f| f.0);
    let loaded = match code_before {
        &[0xb8, n0, n1, n2, n3] => Some(u64::from(u32::from_le_bytes([n0, n1, n2, n3]))),
        _ => None,
    };
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => loaded.filter(|n| fits.contains(&(*n, true))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_call_is_told_by_its_arguments() {
        let call = |rdi, rsi, rdx, r10| Registers { rdi, rsi, rdx, r10, ..Registers::default() };
        let stack = 0x7ffd_0000_1000;
        assert_eq!(restarted_call(&call(stack, stack, 0, 0), &[]), Some(35), "nanosleep");
        assert_eq!(restarted_call(&call(0, 0, stack, stack), &[]), Some(230), "clock_nanosleep");
        assert_eq!(restarted_call(&call(stack, 3, 500, 0), &[]), Some(7), "poll");
        assert_eq!(restarted_call(&call(stack, 0x189, 0, stack), &[]), Some(202), "futex");
        let either = call(stack, 0x80, 2, stack);
        assert_eq!(restarted_call(&either, &[]), None, "poll of 128 or futex");
        assert_eq!(restarted_call(&either, &[0xb8, 202, 0, 0, 0]), Some(202));
        assert_eq!(restarted_call(&either, &[0xb8, 35, 0, 0, 0]), None);
    }

    fn regs(orig_rax: i64, rax: i64) -> Registers {
        Registers { orig_rax: orig_rax as u64, rax: rax as u64, rip: 0x1002, ..Registers::default() }
    }

    #[test]
    fn only_a_call_cut_short_is_mended() {
        assert!(is_cut_short(&regs(232, -4)), "epoll_wait");
        assert!(!is_cut_short(&regs(3, -4)), "close is done");
        assert!(!is_cut_short(&regs(-1, -4)), "user code that happens to hold -4");
        assert!(!is_cut_short(&regs(232, 1)));
    }

    #[test]
    fn the_kernels_own_restarts_are_issued_again() {
        for code in [-512, -513, -514, -516, -4] {
            assert!(is_to_be_issued_again(&regs(202, code)));
            assert!(!is_to_be_issued_again(&regs(-1, code)));
        }
        assert!(!is_to_be_issued_again(&regs(202, -515)));
        let again = issued_again(&regs(202, -516), 202);
        assert_eq!((again.rip, again.rax), (0x1000, 202));
    }
}
