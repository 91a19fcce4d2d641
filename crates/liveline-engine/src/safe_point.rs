//! The safe point: is any thread inside code that is about to be switched, or will it return there?
//!
//! First a scan, then, only where the scan hits, an exact walk. The scan is sound without unwind tables: what a
//! thread will return to is a word on its stack, so a stack without a word inside the forbidden code has no
//! frame there. That holds for the stack the thread was made with, as long as no signal handler runs; a handler's
//! frame shows by the address of the trampoline it returns to, which therefore counts as a hit.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use liveline_process::stack::{Place, StackWords};
use liveline_process::unwind::{End, Unwinder, Walk};
use liveline_process::{Held, Mapping, Process, Stop};

/// Stacks deeper than this are walked, not scanned: 1 MiB.
const SCAN_LIMIT: usize = 1 << 20;
/// Deeper recursion than this is not judged.
const FRAME_LIMIT: usize = 100_000;
/// `mov $15, %rax; syscall`: rt_sigreturn, as glibc, musl and others write it (some as `mov $15, %eax`).
const TRAMPOLINES: [&[u8]; 2] =
    [&[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05], &[0xb8, 15, 0, 0, 0, 0x0f, 0x05]];

/// Code that no thread may be inside of, with a name for each piece.
#[derive(Debug, Default)]
pub(crate) struct Forbidden {
    /// First forbidden instruction pointer, end, name; sorted. A range begins one behind a function's entry:
    /// a thread that stands at the entry has not begun.
    ranges: Vec<(u64, u64, String)>,
    /// Return addresses in there at which a thread may stay all the same.
    remainders: BTreeSet<u64>,
    /// Addresses of signal trampolines.
    trampolines: Vec<u64>,
    /// Everything lies in here: the scan's first look.
    hull: (u64, u64),
}

impl Forbidden {
    /// Adds a function; its entry itself is allowed.
    pub(crate) fn function(&mut self, start: u64, end: u64, name: &str) {
        self.piece(start + 1, end, name);
    }

    /// Adds code in which every address is forbidden.
    pub(crate) fn piece(&mut self, start: u64, end: u64, name: &str) {
        if start < end {
            self.ranges.push((start, end, name.to_owned()));
        }
    }

    /// Allows a thread to stay where it will return to this address: from there on old and new code do the same.
    pub(crate) fn remainder(&mut self, address: u64) {
        self.remainders.insert(address);
    }

    /// Finds the signal trampolines of a process and makes the look-ups fast; call once, at the end.
    pub(crate) fn prepare(&mut self, process: &Process, mappings: &[Mapping]) {
        self.trampolines = trampolines(process, mappings);
        self.ranges.sort();
        self.ranges.dedup();
        let low = self.ranges.iter().map(|range| range.0).chain(self.trampolines.iter().copied()).min();
        // A return address may be the end of a function that ends in a call.
        let high =
            self.ranges.iter().map(|range| range.1 + 1).chain(self.trampolines.iter().map(|at| at + 1)).max();
        self.hull = (low.unwrap_or(0), high.unwrap_or(0));
    }

    /// The name of the forbidden piece that this instruction pointer is inside of.
    fn at(&self, pc: u64) -> Option<&str> {
        let around = self.ranges.iter().filter(|(start, end, _)| (*start..*end).contains(&pc));
        // A function has a better name than the patch it is part of.
        around.min_by_key(|(start, end, _)| end - start).map(|(_, _, name)| &**name)
    }

    /// The name of the forbidden piece in which a suspended stack that holds this return address would go on.
    ///
    /// The end of a piece is not in it. A function that ends in a call calls what does not return (`__stack_chk_fail`),
    /// so nobody goes on there; and the same word is the entry of the next function, of which tables of pointers are
    /// full.
    pub(crate) fn goes_on_in(&self, word: u64) -> Option<&str> {
        if word.wrapping_sub(self.hull.0) >= self.hull.1 - self.hull.0 || self.remainders.contains(&word) {
            return None;
        }
        self.at(word)
    }

    fn suspicious(&self, word: u64) -> bool {
        // Nearly every word fails this first comparison.
        if word.wrapping_sub(self.hull.0) >= self.hull.1 - self.hull.0 || self.remainders.contains(&word) {
            return false;
        }
        self.trampolines.contains(&word)
            || self.ranges.iter().any(|(start, end, _)| (*start..=*end).contains(&word))
    }
}

fn trampolines(process: &Process, mappings: &[Mapping]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    for mapping in mappings.iter().filter(|mapping| mapping.exec && mapping.read) {
        let mut at = mapping.start;
        while at < mapping.end {
            let length = chunk.len().min((mapping.end - at) as usize);
            let bytes = &mut chunk[..length];
            if process.read(at, bytes).is_ok() {
                for pattern in TRAMPOLINES {
                    found.extend(memchr::memmem::find_iter(bytes, pattern).map(|offset| at + offset as u64));
                }
            }
            if at + length as u64 >= mapping.end {
                break;
            }
            // A pattern may lie across two chunks.
            at += length as u64 - 16;
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A thread in the way.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    pub(crate) tid: i32,
    /// The forbidden function it is inside, if that is certain.
    pub(crate) function: Option<String>,
    /// The forbidden function that it came into first, from outside; where only one frame is known, that one.
    pub(crate) root: Option<String>,
    /// Why its stack cannot be judged, otherwise.
    pub(crate) why: Option<String>,
    /// It sleeps in a system call, so letting it run on would not move it.
    pub(crate) asleep: bool,
    /// Instruction pointer and return addresses, innermost first, as far as they could be followed.
    pub(crate) frames: Vec<u64>,
}

/// Looks at held threads.
pub(crate) struct Inspector<'a> {
    pub(crate) process: &'a Process,
    pub(crate) mappings: &'a [Mapping],
    pub(crate) forbidden: &'a Forbidden,
    /// Reading all unwind tables takes milliseconds: done when first needed, and never while threads are held.
    pub(crate) unwinder: Option<&'a Unwinder>,
}

impl Inspector<'_> {
    /// Threads in the way of a switch, `ControlFlow::Break` if unwind tables must be read first.
    pub(crate) fn look(&self, stop: &Stop<'_>) -> ControlFlow<(), Vec<Obstacle>> {
        let Ok(stacks) = stop.read_stacks(self.mappings, SCAN_LIMIT) else { return ControlFlow::Break(()) };
        let mut obstacles = Vec::new();
        for (thread, stack) in stop.threads().iter().zip(&stacks) {
            if let Some(function) = self.forbidden.at(thread.regs.rip)
                && self.unwinder.is_none()
            {
                let function = Some(function.to_owned());
                obstacles.push(Obstacle {
                    tid: thread.tid,
                    root: function.clone(),
                    function,
                    why: None,
                    asleep: thread.regs.system_call().is_some(),
                    frames: vec![thread.regs.rip],
                });
            } else if !self.clear_by_scan(thread, stack) {
                match self.unwinder {
                    None => return ControlFlow::Break(()),
                    Some(unwinder) => obstacles.extend(self.walk(unwinder, thread, stack)),
                }
            }
        }
        ControlFlow::Continue(obstacles)
    }

    fn clear_by_scan(&self, thread: &Held, stack: &StackWords) -> bool {
        let own = matches!(stack.place, Place::Own(_));
        own && !stack.truncated
            && self.forbidden.at(thread.regs.rip).is_none()
            && !stack.words.iter().any(|word| self.forbidden.suspicious(*word))
    }

    fn walk(&self, unwinder: &Unwinder, thread: &Held, stack: &StackWords) -> Option<Obstacle> {
        let read = |address: u64| {
            let index =
                address.checked_sub(stack.start).filter(|offset| offset % 8 == 0).map(|offset| offset / 8);
            match index.and_then(|index| stack.words.get(usize::try_from(index).ok()?)) {
                Some(word) => Some(*word),
                None => self.process.read_word(address).ok(),
            }
        };
        let Walk { frames, end } = unwinder.walk(&thread.regs, &read, FRAME_LIMIT);
        let mut inside = None;
        let mut root = None;
        let mut exact = true;
        for frame in &frames {
            let pc = if exact { frame.pc } else { frame.pc.wrapping_sub(1) };
            let stays = !exact && self.forbidden.remainders.contains(&frame.pc);
            exact = frame.is_signal_frame;
            if stays {
                continue;
            }
            if let Some(name) = self.forbidden.at(pc) {
                inside.get_or_insert_with(|| name.to_owned());
                root = Some(name.to_owned());
            }
        }
        let why = match end {
            // A coroutine's stack ends somewhere, too, but hides the stack its scheduler stands on.
            End::Complete if stack.place == Place::Foreign && !frames.iter().any(|frame| frame.is_signal_frame) => {
                Some("it runs on a stack that is not its own (a coroutine?), which hides the frames of its own stack".to_owned())
            }
            End::Complete => None,
            End::Unknown { why } => Some(format!("its stack cannot be read: {why}")),
        };
        if inside.is_none() && why.is_none() {
            return None;
        }
        let frames = frames.iter().map(|frame| frame.pc).collect();
        Some(Obstacle {
            tid: thread.tid,
            function: inside.clone(),
            root,
            why: why.filter(|_| inside.is_none()),
            asleep: thread.regs.system_call().is_some(),
            frames,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_outside_and_the_end_of_a_noreturn_call_is_inside() {
        let mut forbidden = Forbidden::default();
        forbidden.function(0x1000, 0x1020, "f");
        forbidden.piece(0x2000, 0x2008, "thunk");
        forbidden.hull = (0x1001, 0x2009);
        assert_eq!(forbidden.at(0x1000), None);
        assert_eq!(forbidden.at(0x1001), Some("f"));
        assert_eq!(forbidden.at(0x1020), None);
        assert_eq!(forbidden.at(0x2000), Some("thunk"));
        assert!(!forbidden.suspicious(0x1000), "a pointer to the function is no return address");
        assert!(forbidden.suspicious(0x1020) && !forbidden.suspicious(0x1021));
    }

    #[test]
    fn who_returns_to_a_remainder_may_stay() {
        let mut forbidden = Forbidden::default();
        forbidden.function(0x1000, 0x1020, "main");
        forbidden.remainder(0x1010);
        forbidden.hull = (0x1001, 0x1021);
        assert!(!forbidden.suspicious(0x1010) && forbidden.goes_on_in(0x1010).is_none());
        assert!(forbidden.suspicious(0x1011) && forbidden.suspicious(0x100f));
        assert_eq!(forbidden.at(0x1010), Some("main"), "an instruction pointer there is no return address");
    }

    // OpenSSL's table of ciphers names aes_siv_get_ctx_params, right behind a call of __stack_chk_fail.
    #[test]
    fn the_entry_of_the_next_function_is_no_suspended_stack() {
        let mut forbidden = Forbidden::default();
        forbidden.function(0x1000, 0x1020, "ends in a call that does not return");
        forbidden.function(0x1030, 0x1040, "f");
        forbidden.hull = (0x1001, 0x1041);
        assert_eq!(forbidden.goes_on_in(0x1020), None);
        assert!(forbidden.goes_on_in(0x101f).is_some());
        assert_eq!(forbidden.goes_on_in(0x1030), None);
        assert_eq!(forbidden.goes_on_in(0x1031), Some("f"));
    }
}
