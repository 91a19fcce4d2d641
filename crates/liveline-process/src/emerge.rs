//! Waiting for a sleeping thread to come out of its system call, without holding it meanwhile.

use std::io;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::stop::{StopError, mend_for_signal};
use crate::trace::{self, Halt};

/// How long an interrupted thread may take to stop before it is left alone.
const PATIENCE: Duration = Duration::from_millis(200);

/// A thread held at the end of a system call; let go when dropped.
#[derive(Debug)]
pub struct Emerged {
    tid: i32,
}

impl Drop for Emerged {
    fn drop(&mut self) {
        if trace::detach(self.tid, 0).is_err() {
            trace::reap(self.tid);
        }
    }
}

impl Process {
    /// PTRACE_SYSCALL - waits until this thread next comes out of a system call, and holds it there; None if it
    /// does not before the deadline, or has ended.
    ///
    /// If the patcher dies meanwhile the kernel clears the trace and the thread goes on.
    pub fn await_call_end(&self, tid: i32, deadline: Instant) -> Result<Option<Emerged>, StopError> {
        if !self.seize(tid, libc::PTRACE_O_TRACESYSGOOD)? {
            return Ok(None);
        }
        let watched = watch(tid, deadline);
        match watched {
            Ok(Watched::Emerged) => Ok(Some(Emerged { tid })),
            Ok(Watched::Ended) => Ok(None),
            Ok(Watched::Late) => {
                leave(tid);
                Ok(None)
            }
            Err(error) => {
                leave(tid);
                Err(StopError::Failed { what: "PTRACE_SYSCALL", error })
            }
        }
    }
}

enum Watched {
    Emerged,
    Ended,
    Late,
}

fn watch(tid: i32, deadline: Instant) -> io::Result<Watched> {
    let ended = |done: io::Result<()>| match done {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(true),
        other => other.map(|()| false),
    };
    if ended(trace::interrupt(tid))? {
        return Ok(Watched::Ended);
    }
    // The interrupt takes it out of its call; the kernel issues that again, so that the next stop is an entry.
    let mut entry = false;
    let mut seen_interrupt = false;
    loop {
        let limit = if seen_interrupt { deadline } else { deadline.max(Instant::now() + PATIENCE) };
        let Some(halt) = trace::wait(tid, limit)? else { return Ok(Watched::Late) };
        let signal = match halt {
            Halt::Gone => return Ok(Watched::Ended),
            Halt::Group => return Ok(Watched::Late),
            Halt::Signal(signal) => {
                mend_for_signal(tid);
                signal
            }
            Halt::Interrupted | Halt::Other => {
                seen_interrupt = true;
                mend_for_signal(tid);
                0
            }
            Halt::SystemCall => {
                entry = !entry;
                if !entry {
                    return Ok(Watched::Emerged);
                }
                trace::reap(tid);
                0
            }
        };
        if ended(trace::cont_to_syscall(tid, signal))? {
            return Ok(Watched::Ended);
        }
    }
}

/// Lets a thread go that is still traced, whatever it does.
fn leave(tid: i32) {
    drop(trace::interrupt(tid));
    if let Ok(Some(halt)) = trace::wait(tid, Instant::now() + PATIENCE) {
        mend_for_signal(tid);
        let signal = if let Halt::Signal(signal) = halt { signal } else { 0 };
        drop(trace::detach(tid, signal));
    }
}
