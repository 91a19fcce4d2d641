//! What else goes on in a process while it is patched: threads, signals, children, its file, its walls.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::command::{apply, apply_now, check_status, exit, revert_now, text};
use crate::patch::{Patch, server, server_and_patch};
use crate::process::Process;
use crate::toolchain::{build_target, run};
use crate::{Outcome, trial};

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("process::life::thread_storm", || rounds(&["storm"], 15)),
        trial("process::life::spawn_children", || rounds(&["spawn", "busy=1"], 15)),
        trial("process::life::signals", || rounds(&["signals", "busy=1"], 15)),
        trial("process::life::storm_signals_spawn", || {
            rounds(&["storm", "spawn", "signals", "sleepers=8"], 10)
        }),
        trial("process::life::busy_8", || rounds(&["busy=8"], 15)),
        trial("process::life::busy_64", || rounds(&["busy=64"], 5)),
        trial("process::life::deny_write_execute", || rounds(&["mdwe", "busy=2"], 3)),
        trial("process::life::systemd_filter", || rounds(&["systemd", "busy=2"], 3)),
        trial("process::life::systemd_filter_asleep", || rounds(&["systemd"], 3)),
        trial("process::life::systemd_filter_and_prctl", || rounds(&["mdwe", "systemd", "sleepers=4"], 3)),
        trial("process::life::fork_afterwards", fork_afterwards),
        trial("process::life::file_deleted", || file_gone(false)),
        trial("process::life::file_replaced", || file_gone(true)),
        trial("process::life::other_namespaces", other_namespaces),
        trial("process::life::stripped", stripped),
        trial("process::life::stopped_by_a_signal", stopped_by_a_signal),
        trial("process::life::unlimited_stack", unlimited_stack),
    ]
}

const CLEAN: &str = "wrong 0 disordered 0 lost 0 stuck 0";

/// Applies and reverts while the server does what `words` say.
fn rounds(words: &[&str], count: u32) -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, words)?;
    play(&mut process, &patch, count)
}

fn play(process: &mut Process, patch: &Patch, count: u32) -> Outcome {
    let pid = process.pid();
    process.expect("check", CLEAN, "before any patch")?;
    for _ in 0..count {
        apply_now(&patch.path, pid)?;
        process.expect("ask", "value 2 other 1 hold 10", "with the patch")?;
        revert_now(&patch.name, pid)?;
        process.expect("ask", "value 1 other 1 hold 10", "after the revert")?;
    }
    process.expect("check", CLEAN, "after all rounds")
}

fn fork_afterwards() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=2"])?;
    let pid = process.pid();
    apply_now(&patch.path, pid)?;
    let child: u32 = process.ask("fork")?.parse().map_err(|_| "no child")?;
    process.expect("child", "2", "a child of a patched process")?;
    check_status(child, &patch.name, true)?;
    revert_now(&patch.name, pid)?;
    process.expect("ask", "value 1 other 1 hold 10", "the parent, reverted")?;
    process.expect("child", "2", "the child of a parent that was reverted")?;
    check_status(pid, &patch.name, false)?;
    check_status(child, &patch.name, true)?;
    revert_now(&patch.name, child)?;
    process.expect("child", "1", "the child, reverted itself")?;
    apply_now(&patch.path, child)?;
    process.expect("child", "2", "the child, patched itself")?;
    process.expect("ask", "value 1 other 1 hold 10", "the parent")?;
    process.expect("check", CLEAN, "at the end")
}

/// The program's file is deleted, or another put in its place, while it runs.
fn file_gone(replaced: bool) -> Outcome {
    let (build, patch) = server_and_patch()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let copy = folder.path().join("server");
    std::fs::copy(&build.program, &copy).map_err(|e| e.to_string())?;
    let mut process = Process::start(&copy, &["busy=2"])?;
    std::fs::remove_file(&copy).map_err(|e| e.to_string())?;
    if replaced {
        let other = build_target("sleepers.c", 2, "", "")?;
        std::fs::copy(&other.program, &copy).map_err(|e| e.to_string())?;
    }
    play(&mut process, &patch, 3)
}

/// Pid and mount namespaces of its own, and a program file that nobody outside can see.
fn other_namespaces() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (place, program) = (text(folder.path()), text(&build.program));
    let script =
        format!("mount -t tmpfs none {place} && cp {program} {place}/server && exec {place}/server busy=2");
    let mut command = Command::new("unshare");
    command.args(["-m", "-p", "-f", "--kill-child", "sh", "-c", &script]);
    let mut process = Process::start_command(&mut command)?;
    process.use_child()?;
    play(&mut process, &patch, 3)
}

fn stripped() -> Outcome {
    let build = server()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    std::fs::copy(&build.program, folder.path().join("server")).map_err(|e| e.to_string())?;
    run(folder.path(), "strip server")?;
    let program = folder.path().join("server");
    let patch = Patch::make_for(&build, &program, "value", &["--debug", text(&build.program)])?;
    let mut process = Process::start(&program, &["busy=2"])?;
    play(&mut process, &patch, 3)
}

/// A process stopped by SIGSTOP stays stopped, and goes on patched if the patch was accepted.
fn stopped_by_a_signal() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["sleepers=3"])?;
    let pid = process.pid();
    let signal = |name: &str| run(Path::new("/"), &format!("kill -{name} {pid}"));
    signal("STOP")?;
    wait_for_state(pid, 'T')?;
    let done = apply(&patch.path, pid, &["--timeout", "2s"])?;
    wait_for_state(pid, 'T')?;
    signal("CONT")?;
    let expected = match done.code {
        exit::DONE => "value 2 other 1 hold 10",
        exit::REFUSED | exit::TIMEOUT => "value 1 other 1 hold 10",
        _ => return Err(done.complain("expected an answer, yes or no")),
    };
    process.expect("ask", expected, "after SIGCONT")?;
    process.expect("check", CLEAN, "after SIGCONT")
}

fn wait_for_state(pid: u32, state: char) -> Outcome {
    let path = format!("/proc/{pid}/stat");
    let mut stat = String::new();
    for _ in 0..400 {
        stat = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(state)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!("expected the target to be in state {state}: {stat}"))
}

/// With an unlimited stack the kernel lays mappings out bottom-up.
fn unlimited_stack() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -s unlimited && exec {} busy=2", text(&build.program))]);
    let mut process = Process::start_command(&mut command)?;
    play(&mut process, &patch, 3)
}
