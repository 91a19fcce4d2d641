//! The stack memory of held threads.

use std::ops::Range;

use crate::mapping::Mapping;
use crate::process::Process;
use crate::registers::Registers;
use crate::stop::Stop;

/// Where a thread's stack pointer lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the stack the thread was made with; everything it will return to lies in this range (the end of its
    /// mapping).
    Own(Range<u64>),
    /// Elsewhere: an alternate signal stack or a coroutine's, which hides another stack.
    Foreign,
}

/// Says whether a thread is on the stack it was made with: the mapping `[stack]` for the first thread; for the
/// others the mapping that also holds the thread's control block above the stack pointer, where glibc puts it.
pub fn place(regs: &Registers, mappings: &[Mapping]) -> Place {
    let index = mappings.partition_point(|m| m.end <= regs.rsp);
    match mappings.get(index).filter(|m| m.contains(regs.rsp) && m.read && m.write) {
        Some(m) if m.path.as_deref() == Some("[stack]") => Place::Own(regs.rsp..m.end),
        Some(m) if regs.fs_base > regs.rsp && m.contains(regs.fs_base) => Place::Own(regs.rsp..m.end),
        _ => Place::Foreign,
    }
}

/// The words of one thread's stack.
#[derive(Clone, Debug)]
pub struct StackWords {
    /// The thread.
    pub tid: i32,
    /// Where its stack pointer lies.
    pub place: Place,
    /// Address of the first word: the stack pointer, rounded down to a word. The red zone is not included.
    pub start: u64,
    /// The words up to the end of the stack, or to the cap; none for a foreign stack.
    pub words: Vec<u64>,
    /// The cap, or memory that could not be read, cut it short: words are missing at the end.
    pub truncated: bool,
}

impl Stop<'_> {
    /// process_vm_readv(2) - reads the stack of every held thread, from its stack pointer to the end of its
    /// mapping but at most `cap` bytes (1 MiB is plenty), all with few calls.
    ///
    /// `mappings` may be a little older than the stop: a thread that is not found on a stack of its own there is
    /// reported as [`Place::Foreign`].
    pub fn read_stacks(&self, mappings: &[Mapping], cap: usize) -> std::io::Result<Vec<StackWords>> {
        let mut stacks = Vec::with_capacity(self.threads().len());
        let mut ranges = Vec::with_capacity(self.threads().len());
        for thread in self.threads() {
            let place = place(&thread.regs, mappings);
            let start = thread.regs.rsp & !7;
            let (length, truncated) = match &place {
                Place::Own(range) => {
                    let whole = (range.end - start) as usize;
                    (whole.min(cap) & !7, whole > cap)
                }
                Place::Foreign => (0, false),
            };
            ranges.push((start, length));
            stacks.push(StackWords { tid: thread.tid, place, start, words: Vec::new(), truncated });
        }
        read_each(self.process(), &ranges, &mut stacks)?;
        Ok(stacks)
    }
}

fn read_each(process: &Process, ranges: &[(u64, usize)], stacks: &mut [StackWords]) -> std::io::Result<()> {
    let mut buffer = vec![0u8; ranges.iter().map(|r| r.1).sum()];
    let mut next = 0;
    let mut at = 0;
    while next < ranges.len() {
        let got = match process.read_ranges(&ranges[next..], &mut buffer[at..]) {
            Ok(got) => got,
            // Not even the first byte could be read.
            Err(e) if e.raw_os_error() == Some(libc::EFAULT) => 0,
            Err(e) => return Err(e),
        };
        let mut left = got;
        while next < ranges.len() && left >= ranges[next].1 {
            take(&mut stacks[next], &buffer[at..at + ranges[next].1]);
            left -= ranges[next].1;
            at += ranges[next].1;
            next += 1;
        }
        if next < ranges.len() {
            take(&mut stacks[next], &buffer[at..at + (left & !7)]);
            stacks[next].truncated = true;
            at += ranges[next].1;
            next += 1;
        }
    }
    Ok(())
}

fn take(stack: &mut StackWords, bytes: &[u8]) {
    let (words, _) = bytes.as_chunks::<8>();
    stack.words = words.iter().map(|w| u64::from_le_bytes(*w)).collect();
}
