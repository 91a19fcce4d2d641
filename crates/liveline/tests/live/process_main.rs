//! A `main` that is inside one call for as long as the program runs.

use libtest_mimic::Trial;

use crate::command::{apply, apply_now, check_status, exit, revert_now};
use crate::patch::Patch;
use crate::process::Process;
use crate::toolchain::{Build, build_steps};
use crate::{Outcome, trial};

/// Flags by which a compiler makes a frame another way.
const FLAGS: [&str; 3] = ["", "-fstack-protector-all", "-fno-omit-frame-pointer"];

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("process::main::same_rest", same_rest),
        trial("process::main::other_rest", other_rest),
        trial("process::main::second_patch", second_patch),
    ]
}

fn build(version: u32, flags: &str) -> Outcome<Build> {
    build_steps("stays.c", 1, version, flags, "")
}

/// What is left of it is the same: it may stay where it is, and ends as it would have.
fn same_rest() -> Outcome {
    for flags in FLAGS {
        let build = build(2, flags)?;
        let patch = Patch::make(&build, "main", &[])?;
        let mut process = Process::start(&build.program, &[])?;
        let pid = process.pid();
        process.expect("ask", "value 1", "before")?;
        apply_now(&patch.path, pid)?;
        process.expect("ask", "value 2", "with the patch")?;
        revert_now(&patch.name, pid)?;
        process.expect("ask", "value 1", "taken back")?;
        apply_now(&patch.path, pid)?;
        process.expect("leave", "bye", "at its end, in the old code")?;
    }
    Ok(())
}

/// The new code would do something else there, with or without what was known before.
fn other_rest() -> Outcome {
    for version in [3, 4] {
        let build = build(version, "")?;
        let patch = Patch::make(&build, "main", &[])?;
        let mut process = Process::start(&build.program, &[])?;
        let pid = process.pid();
        let run = apply(&patch.path, pid, &["--timeout", "300ms"])?.expect(exit::TIMEOUT)?;
        run.says("main")?;
        check_status(pid, &patch.name, false)?;
        process.expect("ask", "value 1", "after the timeout")?;
        process.expect("leave", "bye", "at its end")?;
    }
    Ok(())
}

/// A second patch of it was compared with the first one's code, in which nobody is.
fn second_patch() -> Outcome {
    let build = build(2, "")?;
    let first = Patch::make(&build, "first", &[])?;
    let second = Patch::make(&build, "second", &[])?;
    let mut process = Process::start(&build.program, &[])?;
    let pid = process.pid();
    apply_now(&first.path, pid)?;
    apply(&second.path, pid, &["--timeout", "300ms"])?.expect(exit::TIMEOUT)?.says("main")?;
    process.expect("ask", "value 2", "after the timeout")?;
    revert_now(&first.name, pid)?;
    apply_now(&second.path, pid)?;
    process.expect("ask", "value 2", "with the second")?;
    process.expect("leave", "bye", "at its end")
}
