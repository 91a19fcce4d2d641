//! All threads of a process held, for as short as can be.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use crate::haste::Haste;
use crate::process::{MemoryError, Process};
use crate::registers::Registers;
use crate::restart;
use crate::task::{self, Stat};
use crate::trace::{self, Halt};

/// Why a process was not stopped; whatever had been stopped was let go again.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// A thread did not stop before the deadline: it sleeps uninterruptibly or waits for its vfork child.
    #[error("thread {tid} ({name}) can't be stopped: state {state}, in {wchan}")]
    Unstoppable {
        /// The thread.
        tid: i32,
        /// Its name.
        name: String,
        /// Its state letter, as in proc_pid_stat(5).
        state: char,
        /// The kernel function it sleeps in, "?" where the kernel doesn't say.
        wchan: String,
    },
    /// Threads were born faster than they could be stopped until the deadline.
    #[error("new threads appeared faster than they could be stopped")]
    Restless,
    /// A debugger or another tracer holds a thread.
    #[error("thread {tid} is traced by {tracer_name} ({tracer_pid})")]
    AlreadyTraced {
        /// The thread.
        tid: i32,
        /// The tracer.
        tracer_pid: i32,
        /// The tracer's name.
        tracer_name: String,
    },
    /// The kernel doesn't let us trace it.
    #[error("no permission to trace thread {tid}: CAP_SYS_PTRACE is needed")]
    PermissionDenied {
        /// The thread.
        tid: i32,
    },
    /// The process has ended.
    #[error("the process has ended")]
    Ended,
    /// Something else went wrong.
    #[error("{what}: {error}")]
    Failed {
        /// What failed.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
}

/// A thread that is held.
#[derive(Clone)]
pub struct Held {
    /// Its id.
    pub tid: i32,
    /// Its registers as they were when it stopped.
    pub regs: Registers,
    process: i32,
    halt: Halt,
    woken: bool,
}

impl Held {
    /// /proc/PID/task/TID/comm - its name.
    pub fn name(&self) -> String {
        thread_name(self.process, self.tid)
    }

    /// The process has been stopped by a signal (group stop), and stays so when it is released.
    pub fn is_in_group_stop(&self) -> bool {
        self.halt == Halt::Group
    }

    fn signal(&self) -> i32 {
        if let Halt::Signal(signal) = self.halt { signal } else { 0 }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held {{ tid: {}, rip: {:#x}, rsp: {:#x} }}", self.tid, self.regs.rip, self.regs.rsp)
    }
}

fn thread_name(process: i32, tid: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{process}/task/{tid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// What a stop came to.
#[derive(Clone, Copy, Debug)]
pub struct Released {
    /// From the first interrupted thread to the last released one: no thread was held longer.
    pub longest_stop: Duration,
    /// Threads held.
    pub threads: usize,
}

/// A thread that was seized, and perhaps runs on until it is interrupted.
struct Seized {
    tid: i32,
    running: bool,
}

/// Every thread of a process held; dropping it lets them all go.
///
/// It belongs to the operating-system thread that made it, since the kernel knows the tracer by thread.
#[derive(Debug)]
pub struct Stop<'p> {
    process: &'p Process,
    held: Vec<Held>,
    /// Threads that never run user code, or are dead: seen and left alone.
    skipped: Vec<i32>,
    workers: usize,
    first: Option<Instant>,
    haste: Option<Haste>,
    deadline: Instant,
    not_send: PhantomData<*const ()>,
}

impl Process {
    /// PTRACE_SEIZE of every thread, then PTRACE_INTERRUPT and waitid(2) - holds the whole process.
    ///
    /// Sleepers are stopped before threads that run, which are let go first. `deadline` bounds both the wait
    /// for threads in uninterruptible sleep before anything is touched, and the time until the last is held.
    /// A thread that falls into such a sleep in between stays seized until the calling thread ends: see
    /// [`on_own_thread`].
    pub fn stop(&self, deadline: Duration) -> Result<Stop<'_>, StopError> {
        let deadline = Instant::now() + deadline;
        self.await_stoppable(deadline)?;
        let mut stop = Stop {
            process: self,
            held: Vec::new(),
            skipped: Vec::new(),
            workers: 0,
            first: None,
            haste: None,
            deadline,
            not_send: PhantomData,
        };
        let mut seized = Vec::new();
        let result = stop.take_all(&mut seized);
        if let Err(error) = result {
            stop.give_up(seized);
            return Err(error);
        }
        if stop.held.is_empty() {
            return Err(StopError::Ended);
        }
        Ok(stop)
    }

    /// Waits while a thread stays in uninterruptible sleep, with nothing touched yet.
    fn await_stoppable(&self, deadline: Instant) -> Result<(), StopError> {
        let asleep = |tid: i32| Stat::read(&self.task_path(tid)).is_ok_and(|s| s.state == 'D');
        let mut stuck = self.threads().map_err(listing)?;
        loop {
            // Only one that is there each time we look is stuck; disk reads come and go.
            stuck.retain(|&tid| asleep(tid));
            match stuck.first() {
                None => return Ok(()),
                Some(&tid) if Instant::now() >= deadline => return Err(self.unstoppable(tid)),
                Some(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    pub(crate) fn unstoppable(&self, tid: i32) -> StopError {
        let dir = self.task_path(tid);
        let state = Stat::read(&dir).map_or('?', |s| s.state);
        let wchan = std::fs::read_to_string(dir.join("wchan")).unwrap_or_default();
        let wchan = if wchan.is_empty() || wchan == "0" { "?".to_owned() } else { wchan };
        StopError::Unstoppable { tid, name: thread_name(self.pid(), tid), state, wchan }
    }

    /// Becomes the tracer of one thread; false if it has ended meanwhile. One that could not be let go before, because it would
    /// not stop in time, is ours still.
    pub(crate) fn seize(&self, tid: i32, options: i32) -> Result<bool, StopError> {
        let Err(error) = trace::seize(tid, options) else { return Ok(true) };
        if error.raw_os_error() == Some(libc::ESRCH) {
            return Ok(false);
        }
        let dir = self.task_path(tid);
        match Stat::read(&dir) {
            Ok(stat) if !stat.is_dead() => {}
            _ => return Ok(false),
        }
        let tracer_pid = task::status(&dir).map_or(0, |s| task::tracer(&s));
        if options == 0 && tracer_pid == own_tid() {
            return Ok(true);
        }
        if tracer_pid != 0 {
            return Err(StopError::AlreadyTraced { tid, tracer_pid, tracer_name: task::name_of(tracer_pid) });
        }
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Err(StopError::PermissionDenied { tid }),
            _ => Err(StopError::Failed { what: "PTRACE_SEIZE", error }),
        }
    }
}

/// This thread, as `/proc` numbers it; 0 if it does not say.
fn own_tid() -> i32 {
    let link = std::fs::read_link("/proc/thread-self").ok();
    link.and_then(|link| link.file_name()?.to_str()?.parse().ok()).unwrap_or(0)
}

fn listing(error: io::Error) -> StopError {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => StopError::Ended,
        _ => StopError::Failed { what: "list the threads", error },
    }
}

/// Runs `work` on a thread made for it. When that thread ends, the kernel detaches it from everything it still
/// traces: nothing that `work` could not let go stays held.
pub fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

impl<'p> Stop<'p> {
    fn take_all(&mut self, seized: &mut Vec<Seized>) -> Result<(), StopError> {
        while self.seize_new(seized)? {
            self.check_deadline()?;
        }
        // Room for all, so that nothing is allocated while they are held.
        self.held.reserve(seized.len() + 16);
        loop {
            seized.sort_by_key(|s| s.running);
            let sleepers = seized.partition_point(|s| !s.running);
            let runners = seized.split_off(sleepers);
            self.hold(seized)?;
            *seized = runners;
            self.hold(seized)?;
            if self.is_complete()? {
                return Ok(());
            }
            self.check_deadline()?;
            self.seize_new(seized)?;
        }
    }

    fn check_deadline(&self) -> Result<(), StopError> {
        if Instant::now() >= self.deadline { Err(StopError::Restless) } else { Ok(()) }
    }

    /// Whether no thread has been born since the last listing. Births and deaths both need a thread that runs:
    /// while all known ones are held, the count alone tells, unless workers of the kernel come and go.
    fn is_complete(&self) -> Result<bool, StopError> {
        if self.workers > 0 {
            let known = |tid: &i32| self.skipped.contains(tid) || self.held.iter().any(|h| h.tid == *tid);
            return Ok(self.process.threads().map_err(listing)?.iter().all(known));
        }
        Ok(self.process.thread_count().map_err(listing)? == self.held.len() + self.skipped.len())
    }

    /// Seizes every thread not seen before; whether there were any.
    fn seize_new(&mut self, seized: &mut Vec<Seized>) -> Result<bool, StopError> {
        let mut known: Vec<i32> = seized.iter().map(|s| s.tid).collect();
        known.extend(self.held.iter().map(|h| h.tid));
        known.extend(&self.skipped);
        known.sort_unstable();
        let listed = self.process.threads().map_err(listing)?;
        // What is no longer listed has been collected; it must not be counted.
        self.skipped.retain(|tid| listed.contains(tid));
        let mut any = false;
        for tid in listed {
            if known.binary_search(&tid).is_ok() {
                continue;
            }
            let Ok(stat) = Stat::read(&self.process.task_path(tid)) else { continue };
            if stat.is_worker() || stat.is_dead() {
                self.workers += usize::from(stat.is_worker());
                self.skipped.push(tid);
                continue;
            }
            if self.process.seize(tid, 0)? {
                any = true;
                seized.push(Seized { tid, running: stat.state == 'R' });
            }
        }
        Ok(any)
    }

    /// Interrupts these threads and waits until each is held; those that die are dropped.
    fn hold(&mut self, seized: &mut Vec<Seized>) -> Result<(), StopError> {
        if seized.is_empty() {
            return Ok(());
        }
        self.haste.get_or_insert_with(Haste::new);
        self.first.get_or_insert_with(Instant::now);
        for thread in seized.iter() {
            interrupt(thread.tid)?;
        }
        // The waited-for are taken off the list from the front only when all went well: on an error the
        // caller lets the rest go.
        while let Some(thread) = seized.pop() {
            match self.wait_for(thread.tid) {
                Ok(Some(held)) => self.held.push(Held { woken: thread.running, ..held }),
                Ok(None) => {}
                Err(error) => {
                    seized.push(thread);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Waits until an interrupted thread stops; None if it has died.
    fn wait_for(&mut self, tid: i32) -> Result<Option<Held>, StopError> {
        let halt = loop {
            // In slices: a thread-group leader that ends while others live never reports to its tracer.
            let slice = (Instant::now() + Duration::from_millis(20)).min(self.deadline);
            match trace::wait(tid, slice).map_err(waiting)? {
                Some(halt) => break halt,
                None if Stat::read(&self.process.task_path(tid)).map_or(true, |s| s.is_dead()) => {
                    if self.process.task_path(tid).exists() {
                        self.skipped.push(tid);
                    }
                    return Ok(None);
                }
                None if Instant::now() >= self.deadline => return Err(self.process.unstoppable(tid)),
                None => {}
            }
        };
        if halt == Halt::Gone {
            return Ok(None);
        }
        let regs = match trace::registers(tid) {
            Ok(regs) => regs,
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(StopError::Failed { what: "PTRACE_GETREGS", error }),
        };
        restart::mend(tid, &regs).map_err(|error| StopError::Failed { what: "PTRACE_POKEUSER", error })?;
        Ok(Some(Held { tid, regs, process: self.process.pid(), halt, woken: false }))
    }

    /// The threads that are held.
    pub fn threads(&self) -> &[Held] {
        &self.held
    }

    /// The process.
    pub fn process(&self) -> &'p Process {
        self.process
    }

    /// How long the thread that was interrupted first has been held until now.
    pub fn longest(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |first| first.elapsed())
    }

    /// pread(2) of /proc/PID/mem, as [`Process::read`].
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.process.read(address, buffer)
    }

    /// PTRACE_CONT, and after `duration` PTRACE_INTERRUPT - lets these threads run for a moment while the others
    /// stay held. Signals that arrive are delivered, threads born meanwhile are held too, the dead are dropped.
    pub fn let_run(&mut self, tids: &[i32], duration: Duration) -> Result<(), StopError> {
        let (running, kept): (Vec<Held>, Vec<Held>) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|h| tids.contains(&h.tid) && !h.is_in_group_stop());
        self.held = kept;
        let mut seized = Vec::with_capacity(running.len());
        for thread in running {
            let went = trace::cont(thread.tid, thread.signal());
            // One that was killed is found out when it is waited for.
            unless_ended(went, "PTRACE_CONT")?;
            seized.push(Seized { tid: thread.tid, running: thread.woken });
        }
        let until = Instant::now() + duration;
        self.deadline = self.deadline.max(until + Duration::from_millis(100));
        let result = self.pass_signals_until(&mut seized, until).and_then(|()| {
            loop {
                self.hold(&mut seized)?;
                if self.is_complete()? {
                    return Ok(());
                }
                self.check_deadline()?;
                self.seize_new(&mut seized)?;
            }
        });
        if result.is_err() {
            self.abandon(seized);
        }
        result
    }

    fn pass_signals_until(&mut self, running: &mut Vec<Seized>, until: Instant) -> Result<(), StopError> {
        while Instant::now() < until {
            let mut failed = Ok(());
            running.retain(|thread| match trace::look(thread.tid) {
                Ok(None) => true,
                Ok(Some(Halt::Gone)) => false,
                Ok(Some(halt)) => {
                    let went = match halt {
                        Halt::Signal(signal) => {
                            mend_for_signal(thread.tid);
                            trace::cont(thread.tid, signal)
                        }
                        Halt::Group => trace::listen(thread.tid),
                        _ => trace::cont(thread.tid, 0),
                    };
                    if let Err(error) = unless_ended(went, "PTRACE_CONT") {
                        failed = Err(error);
                    }
                    true
                }
                Err(error) => {
                    failed = Err(waiting(error));
                    true
                }
            });
            failed?;
            std::thread::sleep(
                Duration::from_micros(50).min(until.saturating_duration_since(Instant::now())),
            );
        }
        Ok(())
    }

    /// PTRACE_DETACH of every thread - lets all go on, those that were running first.
    pub fn release(mut self) -> Released {
        let threads = self.held.len();
        self.let_go();
        Released { longest_stop: self.longest(), threads }
    }

    fn let_go(&mut self) {
        // Runners were held last and stand at the end.
        let mut killed = Vec::new();
        while let Some(thread) = self.held.pop() {
            if trace::detach(thread.tid, thread.signal()).is_err() {
                killed.push(thread.tid);
            }
        }
        self.haste = None;
        if !killed.is_empty() {
            trace::await_ends(killed, self.process.pid());
        }
    }

    fn give_up(mut self, seized: Vec<Seized>) {
        self.let_go();
        self.abandon(seized);
    }

    /// Detaches from threads that are seized but not held. The kernel detaches only from a stopped one, so they
    /// are stopped for it; one that won't is left to the end of this thread.
    fn abandon(&mut self, seized: Vec<Seized>) {
        let deadline = Instant::now() + Duration::from_millis(50);
        for thread in &seized {
            drop(trace::interrupt(thread.tid));
        }
        for thread in seized {
            if let Ok(Some(halt)) = trace::wait(thread.tid, deadline) {
                mend_for_signal(thread.tid);
                let signal = if let Halt::Signal(signal) = halt { signal } else { 0 };
                drop(trace::detach(thread.tid, signal));
            }
        }
    }
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn waiting(error: io::Error) -> StopError {
    StopError::Failed { what: "waitid", error }
}

fn interrupt(tid: i32) -> Result<(), StopError> {
    let done = trace::interrupt(tid);
    // One that has died is found out when it is waited for.
    unless_ended(done, "PTRACE_INTERRUPT")
}

fn unless_ended(done: io::Result<()>, what: &'static str) -> Result<(), StopError> {
    match done {
        Ok(()) => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        Err(error) => Err(StopError::Failed { what, error }),
    }
}

/// A call cut short by a stop for a signal must not show it either, in case the signal turns out to be ignored.
pub(crate) fn mend_for_signal(tid: i32) {
    if let Ok(regs) = trace::registers(tid) {
        drop(restart::mend(tid, &regs));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Process, on_own_thread};

    /// A busy machine may not let a thread stop in the time it has: it then stays seized, and is met again.
    #[test]
    fn a_thread_that_was_not_let_go_is_ours_still() {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep runs");
        let pid = child.id().cast_signed();
        let process = Process::open(pid).expect("open the process");
        let seized = on_own_thread(|| (process.seize(pid, 0), process.seize(pid, 0)));
        child.kill().expect("end it");
        child.wait().expect("wait for it");
        assert!(matches!(seized, (Ok(true), Ok(true))), "{seized:?}");
    }
}
