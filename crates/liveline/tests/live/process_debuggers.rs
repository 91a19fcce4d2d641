//! gdb and perf walk through detours and new code.

use std::process::Command;

use libtest_mimic::Trial;

use crate::command::{apply_now, exit, liveline, run_command, text};
use crate::patch::{server, server_and_patch, server_patch};
use crate::process::Process;
use crate::{Outcome, trial};

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("process::debuggers::gdb_backtrace", gdb_backtrace),
        trial("process::debuggers::perf_symbols", perf_symbols),
    ]
}

/// A thread sleeps in a function that new code called: gdb must show the new function and who called it.
fn gdb_backtrace() -> Outcome {
    let patch = server_patch(21, "hold", &[])?;
    let mut process = Process::start(&server()?.program, &["busy=1"])?;
    let pid = process.pid();
    apply_now(&patch.path, pid)?;
    process.expect("park", "parked", "in the new code")?;
    let pid_word = pid.to_string();
    let symbols = liveline(&["status", "--pid", &pid_word, "--gdb"])?.expect(exit::DONE)?;
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-p", &pid_word]);
    for line in symbols.out.lines() {
        gdb.args(["-ex", line]);
    }
    gdb.args(["-ex", "thread apply all backtrace"]);
    let run = run_command(&mut gdb)?.expect(0)?;
    let frames: Vec<_> = run.out.lines().filter(|line| line.starts_with('#')).collect();
    let position = |name: &str| frames.iter().position(|frame| frame.contains(name));
    let (Some(inner), Some(outer)) = (position("wait_for_gate"), position("parked (")) else {
        return Err(run.complain("gdb does not get from wait_for_gate to parked"));
    };
    if outer != inner + 2 || !frames[inner + 1].contains("hold") {
        return Err(run.complain("expected wait_for_gate, hold, parked"));
    }
    process.expect("leave", "left 21", "after gdb")?;
    process.expect("check", "wrong 0 disordered 0 lost 0 stuck 0", "after gdb")
}

fn perf_symbols() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=2"])?;
    let pid = process.pid();
    apply_now(&patch.path, pid)?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let data = folder.path().join("perf.data");
    let mut record = Command::new("perf");
    record.args(["record", "-q", "-e", "cpu-clock", "-F", "5000", "-g", "-p", &pid.to_string()]);
    run_command(record.args(["-o", text(&data), "--", "sleep", "1"]))?.expect(0)?;
    let mut script = Command::new("perf");
    let run = run_command(script.args(["script", "-i", text(&data), "-F", "ip,sym,dso"]))?.expect(0)?;
    // The new value() lies in the patch's own mapping, the old one in the program.
    let new_value =
        run.out.lines().any(|line| line.contains(" value") && !line.contains(text(&build.program)));
    if !new_value {
        let mut lines: Vec<_> = run.out.lines().map(str::trim).collect();
        lines.sort_unstable();
        lines.dedup_by(|a, b| a.split_once(' ').map(|x| x.1) == b.split_once(' ').map(|x| x.1));
        return Err(format!("perf does not name value in new code:\n{}", lines.join("\n")));
    }
    process.expect("check", "wrong 0 disordered 0 lost 0 stuck 0", "after perf")
}
