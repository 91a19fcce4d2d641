//! Threads in system calls while patches come and go: no EINTR, no short sleep, no lost wake-up.

use std::time::Duration;

use libtest_mimic::{Failed, Trial};

use crate::Outcome;
use crate::command::{apply_now, revert_now};
use crate::patch::Patch;
use crate::process::Process;
use crate::toolchain::build_target;

const KINDS: [&str; 9] = [
    "epoll_wait",
    "poll",
    "nanosleep",
    "clock_nanosleep",
    "futex",
    "accept",
    "read",
    "sigtimedwait",
    "receive",
];

/// One trial for each system call and number of threads.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in KINDS {
        for threads in [1, 64, 512] {
            let name = format!("process::sleep::{kind}::{threads}");
            trials.push(Trial::test(name, move || check(kind, threads).map_err(Failed::from)));
        }
    }
    trials
}

fn check(kind: &str, threads: u32) -> Outcome {
    let build = build_target("sleepers.c", 2, "", "")?;
    let patch = Patch::make(&build, "sleepers", &[])?;
    let mut process = Process::start(&build.program, &[kind, &threads.to_string()])?;
    let pid = process.pid();
    std::thread::sleep(Duration::from_millis(100));
    expect_clean(&mut process, "before any patch")?;
    let rounds = if threads > 100 { 3 } else { 6 };
    for round in 1..=rounds {
        apply_now(&patch.path, pid)?;
        process.expect("ask", "2", "with the patch")?;
        std::thread::sleep(Duration::from_millis(20));
        revert_now(&patch.name, pid)?;
        process.expect("ask", "1", "after the revert")?;
        if round == 1 {
            expect_clean(&mut process, "after the first round")?;
        }
    }
    std::thread::sleep(Duration::from_millis(250));
    expect_clean(&mut process, "after all rounds")
}

fn expect_clean(process: &mut Process, when: &str) -> Outcome {
    let line = process.ask("check")?;
    if line.starts_with("wrong 0 interrupted 0 early 0 lost 0 calls ") {
        return Ok(());
    }
    Err(format!("{when}: {line}"))
}
