//! Calls that are handed over and not watched: the shortest hold there is.

use std::time::{Duration, Instant};

use crate::call::{CallError, SystemCall, Work};
use crate::frame::CODE;
use crate::process::{MemoryError, Process};
use crate::stop::{Held, Stop};
use crate::trace;

/// Code of the target that is lent to threads which make calls.
#[derive(Debug)]
pub(crate) struct Borrowed {
    entry: u64,
    old: [u8; CODE.len()],
    /// Who uses it, and where its frame ends.
    users: Vec<(i32, u64)>,
}

/// Calls handed over.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The thread that makes them.
    pub tid: i32,
    /// How long it was held for it.
    pub longest_stop: Duration,
}

impl Process {
    /// As [`Process::call`], but lets the thread go with the calls still before it: it is held no longer than it
    /// takes to hand them over, and its results are not seen; look for their effect. The borrowed code stays
    /// until [`Process::return_code`].
    pub fn send(&self, calls: &[SystemCall], entry: u64, deadline: Duration) -> Result<Sent, CallError> {
        let work = Work { calls, function: None, entry, suits: None };
        let session = self.begin(&work, Instant::now() + deadline)?;
        let tid = session.tid;
        let frame_end = session.frame.address + session.frame.bytes.len() as u64;
        let mut borrowed = self.borrowed();
        match (&mut *borrowed, session.borrowed) {
            (Some(borrowed), _) => borrowed.users.push((tid, frame_end)),
            (none, Some(old)) => *none = Some(Borrowed { entry, old, users: vec![(tid, frame_end)] }),
            // By one who died: what was there is not known.
            (None, None) => {}
        }
        drop(borrowed);
        let gone = trace::detach(tid, 0).is_err();
        let longest_stop = session.since.elapsed();
        if gone { Err(CallError::Ended { tid }) } else { Ok(Sent { tid, longest_stop }) }
    }

    /// Puts back the code that [`Process::send`] borrowed, if it is certain that no thread needs it any more.
    /// All threads are held.
    pub fn return_code(&self, stop: &Stop<'_>) -> Result<(), MemoryError> {
        let mut borrowed = self.borrowed();
        let Some(Borrowed { entry, old, users }) = &*borrowed else { return Ok(()) };
        // While it makes the calls, or a handler runs on top of them, its stack pointer is below the frame's end.
        let in_need = |thread: &Held| {
            users.iter().any(|(tid, frame_end)| thread.tid == *tid && thread.regs.rsp < *frame_end)
        };
        if !stop.threads().iter().any(in_need) {
            self.write(*entry, old)?;
            *borrowed = None;
        }
        Ok(())
    }
}
