//! The ptrace requests, each through [`kill_point`]. Safe wrappers: a request acts on another process and
//! writes only into the buffer it is given.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kill_point;
use crate::registers::Registers;
use crate::task;

pub(crate) const EVENT_STOP: i32 = 128;
const PEEKSIGINFO_SHARED: u32 = 1;
const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;

#[repr(C)]
struct PeekSigInfo {
    off: u64,
    flags: u32,
    nr: i32,
}

fn request(what: libc::c_uint, tid: i32, addr: usize, data: usize) -> io::Result<i64> {
    kill_point::pass();
    // SAFETY: the callers below pass as `data` either plain numbers or a pointer to a buffer that is alive
    // for the call and as large as the request writes or reads.
    let result = unsafe { libc::ptrace(what, tid, addr, data) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// PTRACE_SEIZE - becomes the tracer without stopping the thread.
pub(crate) fn seize(tid: i32, options: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, options as usize).map(drop)
}

/// PTRACE_INTERRUPT - asks a seized thread to stop.
pub(crate) fn interrupt(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0).map(drop)
}

/// PTRACE_DETACH - lets a stopped thread go, with `signal` delivered if it is not 0.
pub(crate) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, 0, signal as usize).map(drop)
}

/// PTRACE_CONT - resumes a stopped thread, still traced, with `signal` delivered if it is not 0.
pub(crate) fn cont(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT, tid, 0, signal as usize).map(drop)
}

/// PTRACE_LISTEN - leaves a thread in its group stop but lets it see SIGCONT.
pub(crate) fn listen(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, tid, 0, 0).map(drop)
}

/// PTRACE_SYSCALL - resumes a stopped thread up to its next system call entry or exit.
pub(crate) fn cont_to_syscall(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, 0, signal as usize).map(drop)
}

/// PTRACE_GETREGS - reads the general registers.
pub(crate) fn registers(tid: i32) -> io::Result<Registers> {
    // SAFETY: user_regs_struct is plain integers, for which all zeroes is a value.
    let mut regs: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETREGS, tid, 0, &raw mut regs as usize)?;
    Ok(Registers::from_kernel(&regs))
}

/// PTRACE_SETREGS - writes the general registers.
pub(crate) fn set_registers(tid: i32, regs: &Registers) -> io::Result<()> {
    let regs = regs.to_kernel();
    request(libc::PTRACE_SETREGS, tid, 0, &raw const regs as usize).map(drop)
}

/// PTRACE_POKEUSER - writes rax alone.
pub(crate) fn set_rax(tid: i32, value: u64) -> io::Result<()> {
    let offset = std::mem::offset_of!(libc::user_regs_struct, rax);
    request(libc::PTRACE_POKEUSER, tid, offset, value as usize).map(drop)
}

/// PTRACE_GETREGSET with NT_X86_XSTATE - reads the whole vector and floating-point state, uncompacted.
pub(crate) fn xstate(tid: i32) -> io::Result<Vec<u8>> {
    const NT_X86_XSTATE: usize = 0x202;
    let mut image = vec![0u8; 32 * 1024];
    let mut vector = libc::iovec { iov_base: image.as_mut_ptr().cast(), iov_len: image.len() };
    request(libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, &raw mut vector as usize)?;
    image.truncate(vector.iov_len);
    Ok(image)
}

/// PTRACE_GETSIGMASK - reads the blocked signals (the saved mask where a call replaced it for its duration).
pub(crate) fn signal_mask(tid: i32) -> io::Result<u64> {
    let mut mask = 0u64;
    request(libc::PTRACE_GETSIGMASK, tid, 8, &raw mut mask as usize)?;
    Ok(mask)
}

/// PTRACE_SETSIGMASK - replaces the blocked signals.
pub(crate) fn set_signal_mask(tid: i32, mask: u64) -> io::Result<()> {
    request(libc::PTRACE_SETSIGMASK, tid, 8, &raw const mask as usize).map(drop)
}

/// PTRACE_PEEKSIGINFO - whether a signal outside `mask` waits for this thread, own or shared with the process.
pub(crate) fn signal_pending(tid: i32, mask: u64) -> io::Result<bool> {
    const MANY: usize = 32;
    for flags in [0, PEEKSIGINFO_SHARED] {
        let mut off = 0;
        loop {
            let args = PeekSigInfo { off, flags, nr: MANY as i32 };
            // SAFETY: siginfo_t is plain data, for which all zeroes is a value.
            let mut infos: [libc::siginfo_t; MANY] = unsafe { std::mem::zeroed() };
            let n = request(
                libc::PTRACE_PEEKSIGINFO,
                tid,
                &raw const args as usize,
                infos.as_mut_ptr() as usize,
            )? as usize;
            let open =
                |i: &libc::siginfo_t| (1..=64).contains(&i.si_signo) && mask & (1 << (i.si_signo - 1)) == 0;
            if infos.iter().take(n).any(open) {
                return Ok(true);
            }
            if n < MANY {
                break;
            }
            off += n as u64;
        }
    }
    Ok(false)
}

/// PTRACE_GET_RSEQ_CONFIGURATION - where the thread registered its restartable-sequence area, 0 if nowhere.
pub(crate) fn rseq_area(tid: i32) -> io::Result<u64> {
    #[repr(C)]
    struct Configuration {
        pointer: u64,
        size: u32,
        signature: u32,
        flags: u32,
        pad: u32,
    }
    const PTRACE_GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;
    let mut conf = Configuration { pointer: 0, size: 0, signature: 0, flags: 0, pad: 0 };
    let size = std::mem::size_of::<Configuration>();
    request(PTRACE_GET_RSEQ_CONFIGURATION, tid, size, &raw mut conf as usize)?;
    Ok(conf.pointer)
}

/// PTRACE_SECCOMP_GET_FILTER - the thread's `index`th filter as classic BPF; None past the last one.
pub(crate) fn seccomp_filter(tid: i32, index: usize) -> io::Result<Option<Vec<libc::sock_filter>>> {
    let length = match request(PTRACE_SECCOMP_GET_FILTER, tid, index, 0) {
        Ok(length) => length as usize,
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut program = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; length];
    request(PTRACE_SECCOMP_GET_FILTER, tid, index, program.as_mut_ptr() as usize)?;
    Ok(Some(program))
}

/// How a thread stopped, or that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// PTRACE_EVENT_STOP after PTRACE_INTERRUPT.
    Interrupted,
    /// PTRACE_EVENT_STOP with a stopping signal: the whole process is (being) stopped by it.
    Group,
    /// A real signal is about to be delivered; it must be passed on when the thread goes on.
    Signal(i32),
    /// Entry to or exit from a system call (with PTRACE_O_TRACESYSGOOD).
    SystemCall,
    /// Some other ptrace event (none is asked for).
    Other,
    /// The thread has ended.
    Gone,
}

/// waitid(P_PID, WSTOPPED|WEXITED|WNOHANG|WNOWAIT|__WALL) - looks whether the thread has stopped.
///
/// WNOWAIT leaves the stop unconsumed: a signal whose stop was consumed is lost if the tracer dies before it
/// passes the signal on, one whose stop was only looked at is delivered by the kernel.
pub(crate) fn look(tid: i32) -> io::Result<Option<Halt>> {
    // SAFETY: siginfo_t is plain data, for which all zeroes is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WSTOPPED | libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: `info` is alive for the call and is what the call fills.
    let result = unsafe { libc::waitid(libc::P_PID, tid as u32, &raw mut info, flags) };
    if result == -1 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            // No child of that number any more: it was reaped when the whole process ended.
            Some(libc::ECHILD) => Ok(Some(Halt::Gone)),
            Some(libc::EINTR) => Ok(None),
            _ => Err(error),
        };
    }
    // SAFETY: waitid filled the SIGCHLD members (zeroes if nothing has happened).
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some(match info.si_code {
        libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED => {
            reap(tid);
            Halt::Gone
        }
        _ => match (status >> 8, status & 0xff) {
            (EVENT_STOP, libc::SIGTRAP) => Halt::Interrupted,
            (EVENT_STOP, _) => Halt::Group,
            (0, s) if s == (libc::SIGTRAP | 0x80) => Halt::SystemCall,
            (0, s) => Halt::Signal(s),
            _ => Halt::Other,
        },
    }))
}

/// waitpid(WNOHANG|__WALL) - releases a dead thread that [`look`] saw. Until its tracer does so,
/// nobody else is told of the end of a thread; only a child of our own is left to whoever started it.
pub(crate) fn reap(tid: i32) {
    let status = task::status(Path::new(&format!("/proc/{tid}"))).unwrap_or_default();
    let number = |name| task::status_field(&status, name).and_then(|n| n.parse::<i32>().ok());
    let dead = task::status_field(&status, "State").is_some_and(|s| s.starts_with('Z'));
    if dead && number("Tgid") == Some(tid) && number("PPid") == Some(std::process::id() as i32) {
        return;
    }
    consume(tid);
}

/// waitpid(WNOHANG|__WALL) - consumes a stop that [`look`] saw.
pub(crate) fn consume(tid: i32) {
    let mut status = 0;
    // SAFETY: `status` is alive for the call.
    unsafe { libc::waitpid(tid, &raw mut status, libc::WNOHANG | libc::__WALL) };
}

/// Waits for the ends of threads that SIGKILL has hit while they were held, the thread-group leader last since
/// it is reported only after all others. Bounded: what is not over soon is left to the end of this thread.
pub(crate) fn await_ends(mut tids: Vec<i32>, leader: i32) {
    let deadline = Instant::now() + Duration::from_secs(1);
    tids.sort_unstable_by_key(|&tid| tid == leader);
    for tid in tids {
        drop(wait(tid, deadline));
    }
}

/// Waits until the thread has stopped or is gone; None when the deadline passes first.
///
/// There is no wait with a time-out, and a blocking one costs a wake-up a thread. Stops take microseconds: a short
/// look around first, then short naps, in which the target may have this processor too (yielding it instead gives
/// it to any busy stranger for a whole time slice), then longer ones.
pub(crate) fn wait(tid: i32, deadline: Instant) -> io::Result<Option<Halt>> {
    let mut turns = 0u32;
    loop {
        if let Some(halt) = look(tid)? {
            return Ok(Some(halt));
        }
        turns += 1;
        if turns < 100 {
            std::hint::spin_loop();
            continue;
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_micros(if turns < 1000 { 10 } else { 500 }));
    }
}
