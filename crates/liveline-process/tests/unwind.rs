//! The stack walker beside gdb.
mod support;

use std::process::Command;
use std::time::Duration;

use liveline_process::stack::{Place, place};
use liveline_process::unwind::{End, Unwinder};
use support::Target;

/// The number of frames in gdb's backtrace of the first thread. Without debug information: with it, gdb also shows
/// functions that were inlined, which have no frame.
fn gdb_frames(pid: i32) -> usize {
    let output = Command::new("gdb")
        .args([
            "-nx",
            "-batch",
            "-iex",
            "set debuginfod enabled off",
            "-iex",
            "set debug-file-directory /nowhere",
            "-p",
            &pid.to_string(),
        ])
        .args(["-ex", "set backtrace past-main on", "-ex", "set backtrace past-entry on", "-ex", "bt"])
        .output()
        .expect("gdb runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let frames = text.lines().filter(|l| l.starts_with('#')).count();
    assert!(frames > 0, "{text}");
    frames
}

#[test]
fn stacks_with_signal_frames_agree_with_gdb() {
    for flags in [&["-O2"][..], &["-O0"], &["-O2", "-static"], &["-O2", "-fno-omit-frame-pointer"]] {
        for mode in ["0", "1", "2", "3"] {
            let mut target = Target::start_with("frames", flags, &[mode]);
            while target.counter(0) == 0 {
                assert!(target.child.try_wait().expect("a child").is_none());
            }
            std::thread::sleep(Duration::from_millis(20));
            let expected = gdb_frames(target.pid());
            let process = target.open();
            let mappings = process.mappings().expect("maps");
            let unwinder = Unwinder::of_process(&process, &mappings);
            let stop = process.stop(Duration::from_secs(5)).expect("stops");
            let regs = stop.threads()[0].regs;
            let walk = unwinder.walk(&regs, &|at| process.read_word(at).ok(), 100);
            stop.release();
            assert_eq!(walk.end, End::Complete, "{flags:?} mode {mode}: {:x?}", walk.frames);
            assert_eq!(walk.frames.len(), expected, "{flags:?} mode {mode}: {:x?}", walk.frames);
            assert_eq!(walk.frames.iter().any(|f| f.is_signal_frame), mode != "3");
            assert_eq!(place(&regs, &mappings) == Place::Foreign, mode == "1");
        }
    }
}

#[test]
fn every_thread_of_a_busy_process_is_walked_to_its_root() {
    let mut target = Target::start("waits", &["all"]);
    // A thread just born stands in a few instructions of glibc's clone3 that have no unwind information on
    // purpose: there the right answer is that it is not known.
    for kind in 16..34 {
        target.await_progress(kind, 1);
    }
    let process = target.open();
    let mappings = process.mappings().expect("maps");
    let unwinder = Unwinder::of_process(&process, &mappings);
    for _ in 0..20 {
        let stop = process.stop(Duration::from_secs(5)).expect("stops");
        let stacks = stop.read_stacks(&mappings, 1 << 20).expect("stacks");
        for (thread, stack) in stop.threads().iter().zip(&stacks) {
            assert_eq!(thread.tid, stack.tid);
            let read = |at: u64| {
                let index = at.checked_sub(stack.start)? / 8;
                at.is_multiple_of(8).then(|| stack.words.get(index as usize).copied())?
            };
            let walk = unwinder.walk(&thread.regs, &read, 100);
            assert_eq!(walk.end, End::Complete, "{thread:?} {:x?}", walk.frames);
        }
        stop.release();
    }
}

#[test]
fn what_is_not_known_is_said() {
    let target = Target::start("frames", &["0"]);
    let process = target.open();
    let stop = process.stop(Duration::from_secs(5)).expect("stops");
    let walk = Unwinder::new(Vec::new()).walk(&stop.threads()[0].regs, &|_| None, 100);
    assert!(matches!(walk.end, End::Unknown { .. }));
    assert_eq!(walk.frames.len(), 1);
}
