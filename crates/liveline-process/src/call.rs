//! Calls into the target: one of its own threads makes them, as if a signal handler did.
//!
//! A forged signal frame below the thread's stack makes the thread do everything by itself once it is handed
//! over by one PTRACE_SETREGS: it makes the calls and returns by rt_sigreturn to where it was. Whoever watches
//! may die at any moment.

use std::time::{Duration, Instant};

use crate::frame::{BEHIND_SYSCALL, CODE, Frame, LOOP, RT_SIGRETURN};
use crate::haste::Haste;
use crate::mapping::Mapping;
use crate::process::{MemoryError, Process};
use crate::registers::Registers;
use crate::restart::{self, RESTART_SYSCALL};
use crate::seccomp::{self, Action};
use crate::stack::{self, Place};
use crate::stop::{StopError, mend_for_signal};
use crate::task::{self, Stat};
use crate::trace::{self, Halt};

/// One argument of a [`SystemCall`].
#[derive(Clone, Debug)]
pub enum Arg {
    /// A number.
    Value(u64),
    /// A pointer to these bytes, which are placed with the frame and are gone afterwards.
    Bytes(Vec<u8>),
}

impl Arg {
    pub(crate) fn room(&self) -> u64 {
        match self {
            Self::Value(_) => 0,
            Self::Bytes(bytes) => (bytes.len() as u64).next_multiple_of(16),
        }
    }
}

/// A system call for the target to make.
#[derive(Clone, Debug)]
pub struct SystemCall {
    /// Its number.
    pub number: u64,
    /// Its arguments.
    pub args: [Arg; 6],
}

impl SystemCall {
    /// A call with numbers as arguments, the rest 0.
    pub fn new(number: i64, args: &[u64]) -> Self {
        let arg = |n: usize| Arg::Value(args.get(n).copied().unwrap_or(0));
        Self { number: number as u64, args: std::array::from_fn(arg) }
    }
}

/// What calls came to.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// What each returned, in order: -errno where it failed.
    pub results: Vec<i64>,
    /// The thread that made them.
    pub tid: i32,
    /// How long that thread was kept from its own work.
    pub longest_stop: Duration,
}

/// Why calls were not made, or not seen to their end.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A filter would not let the call pass as it is. Nothing was touched.
    #[error("the process's seccomp filter answers system call {number} with {action:?}")]
    Seccomp {
        /// The system call.
        number: u64,
        /// What the filter answers.
        action: Action,
    },
    /// The filters could not be read. Nothing was touched.
    #[error("the process's seccomp filters can't be read ({0}); CAP_SYS_ADMIN is needed")]
    SeccompUnreadable(std::io::Error),
    /// A filter does what can't be foreseen, or is in strict mode. Nothing was touched.
    #[error("the process's seccomp filters can't be judged: {0}")]
    SeccompUnjudged(&'static str),
    /// The code to be borrowed is not mapped executable and private.
    #[error("no code to borrow at {0:#x}")]
    NoCode(u64),
    /// No thread could make the calls before the deadline. Nothing was changed.
    #[error("no thread can make the calls: {}", list(.0))]
    NoThread(Vec<(i32, String)>),
    /// The thread could not be taken hold of.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// The target's memory could not be read or written.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A ptrace request failed.
    #[error("{what}: {error}")]
    Failed {
        /// The request.
        what: &'static str,
        /// The kernel's answer.
        error: std::io::Error,
    },
    /// The thread has begun and did not come to an end before the deadline (a signal handler or a stop keeps it);
    /// it will finish by itself. The borrowed code stays in place.
    #[error("thread {tid} had not finished the calls by the deadline")]
    Unfinished {
        /// The thread.
        tid: i32,
        /// The results seen so far.
        results: Vec<i64>,
    },
    /// The thread, or the whole process, ended while it made the calls.
    #[error("thread {tid} ended during the calls")]
    Ended {
        /// The thread.
        tid: i32,
    },
    /// The thread came back elsewhere than it should. (Never seen.)
    #[error("thread {tid} did not come back to where it was")]
    Lost {
        /// The thread.
        tid: i32,
    },
}

fn list(reasons: &[(i32, String)]) -> String {
    let words: Vec<String> = reasons.iter().map(|(tid, why)| format!("thread {tid} {why}")).collect();
    if words.is_empty() { "none is there".to_owned() } else { words.join(", ") }
}

fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> CallError {
    move |error| CallError::Failed { what, error }
}

/// Room left free below the frame for the thread's own signal handlers, and for a called function (bytes).
const ROOM_BELOW: u64 = 16 << 10;
/// The same for a function that may do anything.
const ROOM_FOR_ANYTHING: u64 = 64 << 10;
/// Signals for faults, which must not be blocked: the kernel kills who faults with its signal blocked.
const FAULTS: u64 = bit(libc::SIGSEGV)
    | bit(libc::SIGBUS)
    | bit(libc::SIGILL)
    | bit(libc::SIGFPE)
    | bit(libc::SIGTRAP)
    | bit(libc::SIGSYS);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// How long one candidate may take to stop.
const PATIENCE: Duration = Duration::from_millis(100);

impl Process {
    /// Has one of the target's threads make system calls, in order, and return to where it was.
    ///
    /// `entry` is the address of 19 bytes of code that never runs again (`_start`); they are borrowed and put
    /// back. The calls are made even if the patcher dies after the hand-over. A call that the thread slept in is
    /// issued again with its own arguments; threads in endless waits are preferred, since a relative time-out
    /// begins anew.
    pub fn call(
        &self,
        calls: &[SystemCall],
        entry: u64,
        deadline: Duration,
    ) -> Result<CallReport, CallError> {
        let work = Work { calls, function: None, entry, suits: None };
        let (results, _, tid, longest_stop) = self.run(work, deadline)?;
        Ok(CallReport { results, tid, longest_stop })
    }

    /// Has one of the target's threads call a function with up to six integer arguments (an IFUNC resolver, say)
    /// and return to where it was; the function's rax.
    ///
    /// It runs in the middle of whatever the thread did, like a signal handler: it must not take locks. Its own
    /// system calls are not checked against seccomp filters.
    pub fn call_function(
        &self,
        function: u64,
        args: &[u64],
        entry: u64,
        deadline: Duration,
    ) -> Result<u64, CallError> {
        let arg = |n: usize| args.get(n).copied().unwrap_or(0);
        let function = Some((function, std::array::from_fn(arg)));
        self.run(Work { calls: &[], function, entry, suits: None }, deadline).map(|(_, value, ..)| value)
    }

    /// As [`Process::call_function`], for a function without arguments that takes locks: only a thread that
    /// `suits` does it. It is asked while the thread is held, and says why not otherwise. How long that thread
    /// was kept from its own work.
    pub fn call_function_where(
        &self,
        function: u64,
        entry: u64,
        deadline: Duration,
        suits: Suits<'_>,
    ) -> Result<Duration, CallError> {
        let work = Work { calls: &[], function: Some((function, [0; 6])), entry, suits: Some(suits) };
        self.run(work, deadline).map(|(.., longest_stop)| longest_stop)
    }

    fn run(&self, work: Work<'_>, deadline: Duration) -> Result<(Vec<i64>, u64, i32, Duration), CallError> {
        let deadline = Instant::now() + deadline;
        self.begin(&work, deadline)?.finish(&work, deadline)
    }

    /// Finds a thread and holds it, with the calls before it.
    pub(crate) fn begin(&self, work: &Work<'_>, deadline: Instant) -> Result<Box<Session<'_>>, CallError> {
        let mut refused;
        let mut all = false;
        loop {
            let mappings = self.mappings().map_err(failed("read /proc/PID/maps"))?;
            let end = work.entry.saturating_add(CODE.len() as u64);
            let fits = |m: &&Mapping| m.contains(work.entry) && m.end >= end && m.exec && !m.shared;
            mappings.iter().find(fits).ok_or(CallError::NoCode(work.entry))?;
            refused = Vec::new();
            for tid in self.candidates(all, &mut refused).map_err(failed("list the threads"))? {
                match Session::begin(self, tid, &mappings, work, deadline)? {
                    Begun::Refused(why) => refused.push((tid, why)),
                    Begun::Session(session) => return Ok(session),
                }
            }
            if Instant::now() >= deadline || !self.is_alive() {
                return Err(CallError::NoThread(refused));
            }
            // The one taken at first sight may never do.
            if all {
                std::thread::sleep(Duration::from_millis(2));
            }
            all = true;
        }
    }
}

/// Whether a held thread with these registers may do something; a reason if not.
pub type Suits<'s> = &'s dyn Fn(&Registers) -> Result<(), String>;

pub(crate) struct Work<'w> {
    pub(crate) calls: &'w [SystemCall],
    pub(crate) function: Option<(u64, [u64; 6])>,
    pub(crate) entry: u64,
    /// Who may do it; none: anybody.
    pub(crate) suits: Option<Suits<'w>>,
}

enum Begun<'p> {
    /// Nothing was changed, the thread goes on.
    Refused(String),
    /// The thread is on its way.
    Session(Box<Session<'p>>),
}

/// One thread that makes calls for us, traced.
pub(crate) struct Session<'p> {
    process: &'p Process,
    pub(crate) tid: i32,
    pub(crate) since: Instant,
    haste: Haste,
    pub(crate) frame: Frame,
    /// The signals that the thread blocks itself.
    mask: u64,
    /// What the thread comes back to.
    saved: Registers,
    /// What it comes back to if a handler interrupts first the call that it slept in.
    interrupted: Option<Registers>,
    /// The borrowed bytes; None if they were borrowed before by one who died.
    pub(crate) borrowed: Option<[u8; CODE.len()]>,
}

impl<'p> Session<'p> {
    /// Holds the thread, checks all that there is to check, writes the frame, and hands over.
    fn begin(
        process: &'p Process,
        tid: i32,
        mappings: &[Mapping],
        work: &Work<'_>,
        deadline: Instant,
    ) -> Result<Begun<'p>, CallError> {
        // Formatting this file takes longer than all that is asked of the thread while it is held.
        let status = match task::status(&process.task_path(tid)) {
            Ok(status) => status,
            Err(_) => return Ok(Begun::Refused("has ended".to_owned())),
        };
        if task::status_field(&status, "x86_Thread_features").is_some_and(|f| f.contains("shstk")) {
            return Ok(Begun::Refused("has a shadow stack".to_owned()));
        }
        if !process.seize(tid, libc::PTRACE_O_TRACESYSGOOD)? {
            return Ok(Begun::Refused("has ended".to_owned()));
        }
        let haste = Haste::new();
        let since = Instant::now();
        let regs = match hold(process, tid, deadline)? {
            Ok(regs) => regs,
            Err(why) => return Ok(Begun::Refused(why)),
        };
        let guard = LetGo { tid };
        if let Some(Err(why)) = work.suits.map(|suits| suits(&regs)) {
            return Ok(Begun::Refused(why));
        }
        restart::mend(tid, &regs).map_err(failed("PTRACE_POKEUSER"))?;
        let (saved, interrupted) = match return_point(process, tid, &regs, work.entry)? {
            Ok(point) => point,
            Err(why) => return Ok(Begun::Refused(why)),
        };
        let mask = trace::signal_mask(tid).map_err(failed("PTRACE_GETSIGMASK"))?;
        let xstate = trace::xstate(tid).map_err(failed("PTRACE_GETREGSET"))?;
        let Some(frame) = Frame::build(&saved, mask, &xstate, work.calls) else {
            return Ok(Begun::Refused("has a vector state of an unknown kind".to_owned()));
        };
        let room = mappings.iter().find(|m| m.contains(saved.rsp));
        let room_below = if work.suits.is_some() { ROOM_FOR_ANYTHING } else { ROOM_BELOW };
        let has_room = room.is_some_and(|m| m.start.saturating_add(room_below) <= frame.address);
        if stack::place(&saved, mappings) == Place::Foreign {
            return Ok(Begun::Refused("is not on its own stack".to_owned()));
        } else if !has_room {
            return Ok(Begun::Refused("has no room on its stack".to_owned()));
        }
        if !check_seccomp(tid, &status, &frame, work.entry)? {
            return Ok(Begun::Refused("has just been put into a sandbox".to_owned()));
        }

        let mut old = [0; CODE.len()];
        process.read(work.entry, &mut old)?;
        process.write(frame.address, &frame.bytes)?;
        let borrowed = (old != CODE).then_some(old);
        if borrowed.is_some() {
            process.write(work.entry, &CODE)?;
        }
        let mut start = Registers {
            rip: work.entry + LOOP,
            rsp: frame.address,
            orig_rax: u64::MAX,
            eflags: 0x202,
            ..saved
        };
        if let Some((function, [rdi, rsi, rdx, rcx, r8, r9])) = work.function {
            start = Registers { rip: work.entry, rbx: function, rax: 0, rdi, rsi, rdx, rcx, r8, r9, ..start };
        }
        // From here on the thread finishes by itself.
        trace::set_registers(tid, &start).map_err(failed("PTRACE_SETREGS"))?;
        std::mem::forget(guard);
        // Handlers wait until the frame brings the real mask back: under a storm of signals a traced thread would
        // never come to its calls. Only now, since the frame alone undoes it should we die.
        let masked = trace::set_signal_mask(tid, !FAULTS);
        let session = Session { process, tid, since, haste, frame, mask, saved, interrupted, borrowed };
        if let Err(error) = masked {
            session.leave();
            return Err(failed("PTRACE_SETSIGMASK")(error));
        }
        Ok(Begun::Session(Box::new(session)))
    }

    /// Watches until rt_sigreturn has brought everything back, collecting results; then puts the code back.
    fn finish(
        mut self,
        work: &Work<'_>,
        deadline: Instant,
    ) -> Result<(Vec<i64>, u64, i32, Duration), CallError> {
        let mut results = Vec::new();
        let mut value = 0;
        let watched = self.watch(work, deadline, &mut results, &mut value);
        match &watched {
            Ok(()) | Err(CallError::Lost { .. }) => drop(trace::detach(self.tid, 0)),
            Err(CallError::Unfinished { .. }) => self.leave(),
            Err(CallError::Ended { .. }) => {}
            Err(_) => self.leave(),
        }
        let longest_stop = self.since.elapsed();
        drop(self.haste);
        watched?;
        if let Some(old) = self.borrowed {
            self.process.write(work.entry, &old)?;
        }
        Ok((results, value, self.tid, longest_stop))
    }

    fn watch(
        &mut self,
        work: &Work<'_>,
        deadline: Instant,
        results: &mut Vec<i64>,
        value: &mut u64,
    ) -> Result<(), CallError> {
        let tid = self.tid;
        let behind = work.entry + BEHIND_SYSCALL;
        let unfinished = |results: &Vec<i64>| CallError::Unfinished { tid, results: results.clone() };
        let mut signal = 0;
        // Every system call stops twice; whose it is shows at its entry only.
        let mut entry = false;
        let mut ours = false;
        loop {
            match trace::cont_to_syscall(tid, signal) {
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Err(CallError::Ended { tid }),
                other => other.map_err(failed("PTRACE_SYSCALL"))?,
            }
            signal = 0;
            let halt = trace::wait(tid, deadline).map_err(failed("waitid"))?;
            match halt.ok_or_else(|| unfinished(results))? {
                Halt::Gone => return Err(CallError::Ended { tid }),
                Halt::Group => return Err(unfinished(results)),
                Halt::Signal(number) => {
                    signal = number;
                    continue;
                }
                Halt::Interrupted | Halt::Other => continue,
                Halt::SystemCall => trace::consume(tid),
            }
            let regs = trace::registers(tid).map_err(failed("PTRACE_GETREGS"))?;
            entry = !entry;
            if entry {
                // A signal handler that runs on top makes calls of its own.
                ours = regs.rip == behind && self.on_frame(&regs);
                *value = regs.rbx;
                if ours && regs.system_call() == Some(RT_SIGRETURN) {
                    self.interrupt_slept_in_call()?;
                }
            } else if ours && results.len() + 1 == self.frame.records.len() {
                let whole = Registers { orig_rax: regs.orig_rax, ..self.saved };
                return if same(&whole, &regs) { Ok(()) } else { Err(CallError::Lost { tid }) };
            } else if ours {
                results.push(regs.rax as i64);
            }
        }
    }

    fn on_frame(&self, regs: &Registers) -> bool {
        (self.frame.address..self.frame.address + self.frame.bytes.len() as u64).contains(&regs.rsp)
    }

    /// A handler waits to run while the thread is borrowed from a call that any handler ends with EINTR: so it
    /// comes back with that, as it would have.
    fn interrupt_slept_in_call(&mut self) -> Result<(), CallError> {
        let Some(interrupted) = self.interrupted else { return Ok(()) };
        let status = task::status(&self.process.path()).unwrap_or_default();
        let caught = task::status_field(&status, "SigCgt").and_then(|m| u64::from_str_radix(m, 16).ok());
        let without_handler = !caught.unwrap_or(0);
        let waits = trace::signal_pending(self.tid, self.mask | without_handler);
        if !waits.map_err(failed("PTRACE_PEEKSIGINFO"))? {
            return Ok(());
        }
        let (address, bytes) = self.frame.amended(&interrupted);
        self.process.write(address, &bytes)?;
        self.saved = interrupted;
        self.interrupted = None;
        Ok(())
    }

    /// Lets a thread that has not finished go on by itself.
    fn leave(&self) {
        drop(trace::interrupt(self.tid));
        if let Ok(Some(halt)) = trace::wait(self.tid, Instant::now() + PATIENCE) {
            let signal = if let Halt::Signal(signal) = halt { signal } else { 0 };
            drop(trace::detach(self.tid, signal));
        }
    }
}

/// Detaches from a thread that is held by an interrupt, when dropped.
struct LetGo {
    tid: i32,
}

impl Drop for LetGo {
    fn drop(&mut self) {
        if trace::detach(self.tid, 0).is_err() {
            drop(trace::wait(self.tid, Instant::now() + PATIENCE));
        }
    }
}

/// Interrupts a seized thread until it stands in the interrupt's own stop, signals passed on before; or lets it
/// go and says why.
fn hold(process: &Process, tid: i32, deadline: Instant) -> Result<Result<Registers, String>, CallError> {
    trace::interrupt(tid).or_else(ended_is_fine).map_err(failed("PTRACE_INTERRUPT"))?;
    let mut patience = (Instant::now() + PATIENCE).min(deadline.max(Instant::now() + PATIENCE / 10));
    loop {
        let Some(halt) = trace::wait(tid, patience).map_err(failed("waitid"))? else {
            match Stat::read(&process.task_path(tid)) {
                Ok(stat) if stat.is_dead() => return Ok(Err("has ended".to_owned())),
                // It only waits for a processor, on which it will stop at once.
                Ok(stat) if stat.state == 'R' && Instant::now() < deadline => {
                    patience = (Instant::now() + PATIENCE).min(deadline);
                    continue;
                }
                Ok(_) => return Err(process.unstoppable(tid).into()),
                Err(_) => return Ok(Err("has ended".to_owned())),
            }
        };
        match halt {
            Halt::Interrupted => return Ok(trace::registers(tid).map_err(|_| "has ended".to_owned())),
            Halt::Gone => return Ok(Err("has ended".to_owned())),
            Halt::Group => {
                drop(trace::detach(tid, 0));
                return Ok(Err("is stopped".to_owned()));
            }
            Halt::Signal(signal) => {
                mend_for_signal(tid);
                trace::cont(tid, signal).or_else(ended_is_fine).map_err(failed("PTRACE_CONT"))?;
            }
            Halt::SystemCall | Halt::Other => {
                trace::cont(tid, 0).or_else(ended_is_fine).map_err(failed("PTRACE_CONT"))?;
            }
        }
    }
}

fn ended_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}

type ReturnPoint = (Registers, Option<Registers>);

/// What the frame must bring back: the registers, with a call that the thread slept in about to be issued again;
/// and, where any handler ends that call with EINTR, the registers for that.
fn return_point(
    process: &Process,
    tid: i32,
    regs: &Registers,
    entry: u64,
) -> Result<Result<ReturnPoint, String>, CallError> {
    const USER_CODE_64: u64 = 0x33;
    let no = |why: &str| Ok(Err(why.to_owned()));
    if regs.cs != USER_CODE_64 {
        return no("is in 32-bit code");
    }
    if (entry..entry + CODE.len() as u64).contains(&regs.rip) {
        return no("is making another patcher's calls");
    }
    if restart::is_to_be_issued_again(regs) {
        let number = match regs.orig_rax {
            RESTART_SYSCALL => match restart::restarted_call(regs, &code_before(process, regs)) {
                Some(number) => number,
                None => return no("sleeps in a call that was restarted and can't be told"),
            },
            number => number,
        };
        let again = restart::issued_again(regs, number);
        return Ok(Ok((again, restart::ended_by_any_handler(regs))));
    }
    if regs.system_call().is_none() && in_restartable_sequence(process, tid, regs)? {
        return no("is in a restartable sequence");
    }
    Ok(Ok((Registers { orig_rax: u64::MAX, ..*regs }, None)))
}

/// The bytes before the `syscall` instruction, none if they can't be read.
fn code_before(process: &Process, regs: &Registers) -> Vec<u8> {
    let mut code = [0; 5];
    match process.read(regs.rip.wrapping_sub(2 + 5), &mut code) {
        Ok(()) => code.to_vec(),
        Err(_) => Vec::new(),
    }
}

/// Whether the thread stands inside an rseq(2) critical section: only the kernel may interrupt that, by sending
/// it to its abort handler, which it does not do for a frame that it doesn't know.
fn in_restartable_sequence(process: &Process, tid: i32, regs: &Registers) -> Result<bool, CallError> {
    let area = match trace::rseq_area(tid) {
        Ok(0) => return Ok(false),
        Ok(area) => area,
        // Kernels before 5.13 don't tell, and without CONFIG_RSEQ there is nothing to tell.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EIO | libc::EINVAL)) => return Ok(false),
        Err(e) => return Err(failed("PTRACE_GET_RSEQ_CONFIGURATION")(e)),
    };
    let section = process.read_word(area + 8)?;
    if section == 0 {
        return Ok(false);
    }
    let Ok(start) = process.read_word(section + 8) else { return Ok(true) };
    let Ok(length) = process.read_word(section + 16) else { return Ok(true) };
    Ok(regs.rip.wrapping_sub(start) < length)
}

/// Whether the thread's filters let the calls through; false if they are newer than `status`.
fn check_seccomp(tid: i32, status: &str, frame: &Frame, entry: u64) -> Result<bool, CallError> {
    match task::status_field(status, "Seccomp") {
        // Without CAP_SYS_ADMIN the kernel does not say; what was read a moment ago has to do.
        None | Some("0") => return Ok(!matches!(trace::seccomp_filter(tid, 0), Ok(Some(_)))),
        Some("2") => {}
        Some(_) => return Err(CallError::SeccompUnjudged("strict mode")),
    }
    let mut filters = Vec::new();
    while let Some(filter) =
        trace::seccomp_filter(tid, filters.len()).map_err(CallError::SeccompUnreadable)?
    {
        filters.push(filter);
    }
    for record in &frame.records {
        let [number, args @ ..] = *record;
        let call = seccomp::Call { number: number as u32, instruction_pointer: entry + BEHIND_SYSCALL, args };
        match seccomp::judge(&filters, &call) {
            Some(action) if action.lets_pass() => {}
            Some(action) => return Err(CallError::Seccomp { number, action }),
            None => return Err(CallError::SeccompUnjudged("an instruction that is not known")),
        }
    }
    Ok(true)
}

/// Whether a thread came back whole; of the flags, those that a program can see and keep.
fn same(expected: &Registers, found: &Registers) -> bool {
    const FLAGS: u64 = 0xcd5;
    let masked = |r: &Registers| Registers { eflags: r.eflags & FLAGS, ..*r };
    masked(expected) == masked(found)
}
