//! Processes that must be refused, unharmed and with the reason.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;

use crate::command::{Run, apply, binary, exit, liveline, run_command, text};
use crate::patch::{Patch, server, server_and_patch};
use crate::process::Process;
use crate::toolchain::{build_target, cached, run, target_source, write};
use crate::{Outcome, trial};

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("process::refusals::deadly_filter", deadly_filter),
        trial("process::refusals::already_traced", already_traced),
        trial("process::refusals::thirty_two_bit", thirty_two_bit),
        trial("process::refusals::other_user", other_user),
        trial("process::refusals::no_capability", no_capability),
        trial("process::refusals::zombie", zombie),
        trial("process::refusals::vanished", vanished),
        trial("process::refusals::other_program", other_program),
        trial("process::refusals::other_build", other_build),
        trial("process::refusals::damaged_file", damaged_file),
        trial("process::refusals::unknown_name", unknown_name),
    ]
}

const OLD: &str = "value 1 other 1 hold 10";
const CLEAN: &str = "wrong 0 disordered 0 lost 0 stuck 0";

fn expect_unharmed(process: &mut Process) -> Outcome {
    process.check_alive()?;
    process.expect("ask", OLD, "after the refusal")?;
    process.expect("check", CLEAN, "after the refusal")
}

fn deadly_filter() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1", "sandbox"])?;
    let run = apply(&patch.path, process.pid(), &[])?.expect(exit::REFUSED)?;
    run.says("seccomp")?;
    expect_unharmed(&mut process)
}

fn already_traced() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    let tracer = build_target("tracer.c", 2, "", "")?;
    let tracer = Process::start(&tracer.program, &[&process.pid().to_string()])?;
    let run = apply(&patch.path, process.pid(), &[])?.expect(exit::REFUSED)?;
    run.says("traced")?;
    run.says(&tracer.pid().to_string())?;
    expect_unharmed(&mut process)
}

fn thirty_two_bit() -> Outcome {
    let source = target_source("small32.c")?;
    let folder = cached(&[&source, "32"], |folder| {
        write(folder, "small.c", &source)?;
        run(folder, "gcc -m32 -O1 -nostdlib -static -ffreestanding -fno-pie -no-pie -o small small.c")
    })?;
    let (_, patch) = server_and_patch()?;
    let mut process = Process::start(&folder.join("small"), &[])?;
    let run = apply(&patch.path, process.pid(), &[])?.expect(exit::REFUSED)?;
    run.says("32-bit")?;
    process.check_alive()
}

/// Copies binary and patch to where anyone may read them, and runs `apply` behind `setpriv WORDS…`.
fn apply_with_privileges(words: &[&str], patch: &Patch, process: &Process) -> Outcome<Run> {
    let folder = tempfile::Builder::new().tempdir_in("/tmp").map_err(|e| e.to_string())?;
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())
    };
    open(folder.path())?;
    let (program, file) = (folder.path().join("liveline"), folder.path().join("patch.llp"));
    for (from, to) in [(Path::new(binary()), &program), (&patch.path, &file)] {
        std::fs::copy(from, to).map_err(|e| e.to_string())?;
        open(to)?;
    }
    let mut command = Command::new("setpriv");
    command.args(words).arg(&program).args([
        "apply",
        text(&file),
        "--pid",
        &process.pid().to_string(),
        "--json",
    ]);
    run_command(&mut command)
}

fn expect_refused(run: Run) -> Outcome<Run> {
    if run.code == exit::REFUSED || run.code == exit::FAILED {
        return Ok(run);
    }
    Err(run.complain("expected a refusal"))
}

fn other_user() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let run = expect_refused(apply_with_privileges(&words, &patch, &process)?)?;
    run.says("CAP_SYS_PTRACE")?;
    expect_unharmed(&mut process)
}

fn no_capability() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    let words = ["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    let run = expect_refused(apply_with_privileges(&words, &patch, &process)?)?;
    run.says("CAP_SYS_PTRACE")?;
    expect_unharmed(&mut process)
}

fn zombie() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &[])?;
    process.make_zombie()?;
    expect_refused(apply(&patch.path, process.pid(), &[])?)?.says("zombie|has ended|has exited")
}

fn vanished() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let process = Process::start(&build.program, &[])?;
    let pid = process.pid();
    drop(process);
    expect_refused(apply(&patch.path, pid, &[])?)?
        .says("no process|no such process|does not exist|not running")
}

fn other_program() -> Outcome {
    let other = build_target("sleepers.c", 2, "", "")?;
    let patch = Patch::make(&other, "sleepers", &[])?;
    let mut process = Process::start(&server()?.program, &["busy=1"])?;
    apply(&patch.path, process.pid(), &[])?.expect(exit::REFUSED)?;
    expect_unharmed(&mut process)
}

/// The same source, built with other options: same names, other code.
fn other_build() -> Outcome {
    let (_, patch) = server_and_patch()?;
    let other = build_target("server.c", 2, "-O1", "")?;
    let mut process = Process::start(&other.program, &["busy=1"])?;
    apply(&patch.path, process.pid(), &[])?.expect(exit::REFUSED)?.says("build")?;
    expect_unharmed(&mut process)
}

fn damaged_file() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    let whole = std::fs::read(&patch.path).map_err(|e| e.to_string())?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let damaged = folder.path().join("damaged.llp");
    for length in [0, 1, 63, 64, whole.len() / 4, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&damaged, &whole[..length]).map_err(|e| e.to_string())?;
        expect_refused(apply(&damaged, process.pid(), &[])?)?;
    }
    expect_unharmed(&mut process)
}

fn unknown_name() -> Outcome {
    let mut process = Process::start(&server()?.program, &["busy=1"])?;
    let run = liveline(&["revert", "no-such-patch", "--pid", &process.pid().to_string()])?;
    if run.code == exit::DONE {
        return Err(run.complain("a patch that is not there cannot be taken back"));
    }
    run.says("no-such-patch")?;
    expect_unharmed(&mut process)
}
