//! Patches on top of each other, beside each other, and threads that stand in their way.

use libtest_mimic::Trial;

use crate::command::{
    Run, apply, apply_now, check_status, exit, liveline, revert, revert_now, start_liveline, status, text,
};
use crate::patch::{server, server_and_patch, server_patch};
use crate::process::Process;
use crate::{Outcome, trial};

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("process::stack::three_generations", three_generations),
        trial("process::stack::two_functions", two_functions),
        trial("process::stack::requires", requires),
        trial("process::stack::parked_then_timeout", parked_then_timeout),
        trial("process::stack::parked_then_leaves", parked_then_leaves),
        trial("process::stack::parked_in_new_code", parked_in_new_code),
        trial("process::stack::two_patchers", two_patchers),
        trial("process::stack::by_program", by_program),
        trial("process::stack::dry_run", dry_run),
        trial("process::stack::recover_clean", recover_clean),
        trial("process::stack::nothing_left_open", nothing_left_open),
    ]
}

fn expect_value(process: &mut Process, value: u32, when: &str) -> Outcome {
    process.expect("ask", &format!("value {value} other 1 hold 10"), when)
}

/// Three patches of one function, taken back in each of the six orders.
fn three_generations() -> Outcome {
    let mut patches = Vec::new();
    for (version, name) in [(2, "second"), (3, "third"), (4, "fourth")] {
        patches.push((version, server_patch(version, name, &[])?));
    }
    let mut process = Process::start(&server()?.program, &["busy=2"])?;
    let pid = process.pid();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for (version, patch) in &patches {
            apply_now(&patch.path, pid)?;
            expect_value(&mut process, *version, "on top")?;
        }
        let mut there = vec![0, 1, 2];
        for gone in order {
            revert_now(&patches[gone].1.name, pid)?;
            there.retain(|index| *index != gone);
            let expected = there.last().map_or(1, |index| patches[*index].0);
            expect_value(&mut process, expected, &format!("order {order:?}, after {gone} was taken back"))?;
            for (index, (_, patch)) in patches.iter().enumerate() {
                check_status(pid, &patch.name, there.contains(&index))?;
            }
        }
    }
    process.expect("check", "wrong 0 disordered 0 lost 0 stuck 0", "at the end")
}

fn two_functions() -> Outcome {
    let (one, two) = (server_patch(2, "one", &[])?, server_patch(11, "two", &[])?);
    let mut process = Process::start(&server()?.program, &["busy=2"])?;
    let pid = process.pid();
    apply_now(&one.path, pid)?;
    apply_now(&two.path, pid)?;
    process.expect("ask", "value 2 other 2 hold 10", "with both")?;
    revert_now(&one.name, pid)?;
    process.expect("ask", "value 1 other 2 hold 10", "with the second")?;
    apply_now(&one.path, pid)?;
    revert_now(&two.name, pid)?;
    process.expect("ask", "value 2 other 1 hold 10", "with the first")?;
    revert_now(&one.name, pid)?;
    process.expect("ask", "value 1 other 1 hold 10", "with none")
}

fn requires() -> Outcome {
    let base = server_patch(2, "base", &["--version", "1.5"])?;
    let upper = server_patch(11, "upper", &["--requires", "base@1.5"])?;
    let newer = server_patch(11, "newer", &["--requires", "base@1.6"])?;
    let mut process = Process::start(&server()?.program, &["busy=1"])?;
    let pid = process.pid();
    apply(&upper.path, pid, &[])?.expect(exit::REFUSED)?.says("base")?;
    process.expect("ask", "value 1 other 1 hold 10", "refused")?;
    apply_now(&base.path, pid)?;
    apply(&newer.path, pid, &[])?.expect(exit::REFUSED)?.says("1.6")?;
    apply_now(&upper.path, pid)?;
    process.expect("ask", "value 2 other 2 hold 10", "with both")?;
    revert(&base.name, pid, &[])?.expect(exit::REFUSED)?.says("upper")?;
    process.expect("ask", "value 2 other 2 hold 10", "with both still")?;
    revert_now(&upper.name, pid)?;
    revert_now(&base.name, pid)?;
    process.expect("ask", "value 1 other 1 hold 10", "with none")
}

/// The thread that stands in the way is named with all that a person needs to find it.
fn expect_blocker(run: &Run) -> Outcome {
    let json = run.json()?;
    let blocker =
        json.pointer("/0/blockers/0").ok_or_else(|| run.complain("no blocker is named"))?.to_string();
    for word in ["parked-one", "hold", "wait_for_gate", "\"tid\""] {
        if !blocker.contains(word) {
            return Err(run.complain(&format!("the blocker does not name {word}")));
        }
    }
    Ok(())
}

fn parked_then_timeout() -> Outcome {
    let patch = server_patch(21, "hold", &[])?;
    let mut process = Process::start(&server()?.program, &["busy=2"])?;
    let pid = process.pid();
    process.expect("park", "parked", "before the patch")?;
    let run = apply(&patch.path, pid, &["--timeout", "500ms"])?.expect(exit::TIMEOUT)?;
    if run.field("state")? != "timeout" {
        return Err(run.complain("expected state timeout"));
    }
    expect_blocker(&run)?;
    check_status(pid, &patch.name, false)?;
    process.expect("ask", "value 1 other 1 hold 10", "after the timeout")?;
    process.expect("leave", "left 11", "leaving the old code")?;
    apply_now(&patch.path, pid)?;
    process.expect("ask", "value 1 other 1 hold 20", "with the patch")?;
    process.expect("check", "wrong 0 disordered 0 lost 0 stuck 0", "at the end")
}

fn parked_then_leaves() -> Outcome {
    let patch = server_patch(21, "hold", &[])?;
    let mut process = Process::start(&server()?.program, &["busy=2"])?;
    let pid = process.pid();
    process.expect("park", "parked", "before the patch")?;
    let pid_word = pid.to_string();
    let words = ["apply", text(&patch.path), "--pid", &pid_word, "--timeout", "60s", "--json"];
    let mut waiting = start_liveline(&words)?;
    std::thread::sleep(std::time::Duration::from_millis(700));
    if waiting.is_over() {
        return Err(waiting.finish()?.complain("it did not wait for the thread"));
    }
    process.expect("ask", "value 1 other 1 hold 10", "while it waits")?;
    process.expect("leave", "left 11", "leaving the old code")?;
    let run = waiting.finish()?.expect(exit::DONE)?;
    if run.field("state")? != "applied" {
        return Err(run.complain("expected state applied"));
    }
    process.expect("ask", "value 1 other 1 hold 20", "with the patch")
}

/// A thread sleeps in the new code when it is taken back.
fn parked_in_new_code() -> Outcome {
    let patch = server_patch(21, "hold", &[])?;
    let mut process = Process::start(&server()?.program, &["busy=2"])?;
    let pid = process.pid();
    apply_now(&patch.path, pid)?;
    process.expect("park", "parked", "in the new code")?;
    let first = revert(&patch.name, pid, &["--timeout", "500ms"])?.expect(exit::TIMEOUT)?;
    expect_blocker(&first)?;
    check_status(pid, &patch.name, true)?;
    process.expect("leave", "left 21", "leaving the new code")?;
    revert_now(&patch.name, pid)?;
    process.expect("ask", "value 1 other 1 hold 10", "after the revert")?;
    process.expect("check", "wrong 0 disordered 0 lost 0 stuck 0", "at the end")
}

/// Two patchers at once: each one works or says that the other is at it, and both get there.
fn two_patchers() -> Outcome {
    let (one, two) = (server_patch(2, "one", &[])?, server_patch(11, "two", &[])?);
    let mut process = Process::start(&server()?.program, &["busy=4", "sleepers=20"])?;
    let pid = process.pid().to_string();
    for _ in 0..10 {
        let mut running = Vec::new();
        for patch in [&one, &two] {
            running.push(start_liveline(&["apply", text(&patch.path), "--pid", &pid, "--json"])?);
        }
        // Both are over before one that was refused is asked again, or it could meet the other once more.
        let mut over = Vec::new();
        for done in running {
            over.push(done.finish()?);
        }
        for (patch, run) in [&one, &two].into_iter().zip(over) {
            match run.code {
                exit::DONE => {}
                exit::REFUSED => {
                    run.says("another|traced|lock")?;
                    apply_now(&patch.path, process.pid())?;
                }
                _ => return Err(run.complain("expected success, or the other patcher named")),
            }
        }
        process.expect("ask", "value 2 other 2 hold 10", "with both")?;
        revert_now(&one.name, process.pid())?;
        revert_now(&two.name, process.pid())?;
    }
    process.expect("check", "wrong 0 disordered 0 lost 0 stuck 0", "at the end")
}

/// `--exe` means every process that runs the program.
fn by_program() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let copy = folder.path().join("server");
    std::fs::copy(&build.program, &copy).map_err(|e| e.to_string())?;
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Process::start(&copy, &["busy=1"])?);
    }
    let exe = text(&copy);
    let run = liveline(&["apply", text(&patch.path), "--exe", exe, "--json"])?.expect(exit::DONE)?;
    let listed = run.json()?.as_array().map_or(0, Vec::len);
    if listed != 3 {
        return Err(run.complain(&format!("expected 3 processes, got {listed}")));
    }
    for process in &mut processes {
        expect_value(process, 2, "with the patch")?;
    }
    let seen = liveline(&["status", "--exe", exe, "--json"])?.expect(exit::DONE)?;
    for process in &processes {
        seen.says(&process.pid().to_string())?;
    }
    liveline(&["revert", &patch.name, "--exe", exe, "--json"])?.expect(exit::DONE)?;
    processes.iter_mut().try_for_each(|process| expect_value(process, 1, "after the revert"))
}

fn dry_run() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    let pid = process.pid();
    let maps = || std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|e| e.to_string());
    let before = maps()?;
    apply(&patch.path, pid, &["--dry-run"])?.expect(exit::DONE)?;
    if maps()? != before {
        return Err("a dry run changed the target's mappings".into());
    }
    check_status(pid, &patch.name, false)?;
    expect_value(&mut process, 1, "after a dry run")?;
    apply_now(&patch.path, pid)?;
    expect_value(&mut process, 2, "with the patch")
}

fn recover_clean() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    let pid = process.pid();
    let recover = || liveline(&["recover", "--pid", &pid.to_string()])?.expect(exit::DONE);
    recover()?;
    expect_value(&mut process, 1, "after recover on a clean process")?;
    apply_now(&patch.path, pid)?;
    recover()?;
    expect_value(&mut process, 2, "after recover on a patched process")?;
    check_status(pid, &patch.name, true)?;
    revert_now(&patch.name, pid)?;
    expect_value(&mut process, 1, "after the revert")
}

/// No descriptor, tracer or stopped thread is left in the target, and mappings do not pile up.
fn nothing_left_open() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1", "sleepers=2"])?;
    let pid = process.pid();
    let count = |what: &str| -> Outcome<usize> {
        let path = format!("/proc/{pid}/{what}");
        match what {
            "fd" => Ok(std::fs::read_dir(&path).map_err(|e| format!("{path}: {e}"))?.count()),
            _ => Ok(std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?.lines().count()),
        }
    };
    let files = count("fd")?;
    let mut mappings = 0;
    for round in 0..30 {
        apply_now(&patch.path, pid)?;
        revert_now(&patch.name, pid)?;
        if round == 9 {
            mappings = count("maps")?;
        }
    }
    if count("fd")? != files {
        return Err(format!("descriptors in the target: {} after, {files} before", count("fd")?));
    }
    if count("maps")? > mappings + 20 {
        return Err(format!(
            "mappings in the target: {} after 30 rounds, {mappings} after 10",
            count("maps")?
        ));
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| e.to_string())?;
    if !stat.contains("TracerPid:\t0\n") {
        return Err(format!("still traced:\n{stat}"));
    }
    status(pid)?;
    process.expect("check", "wrong 0 disordered 0 lost 0 stuck 0", "at the end")
}
