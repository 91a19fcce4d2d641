//! Damaged files, full disks, targets without memory or descriptors, targets that end meanwhile: a clear error,
//! nothing changed, nothing left behind.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::command::{
    Run, apply, apply_now, binary, check_status, exit, liveline, revert_now, run_command, start_liveline,
    text,
};
use crate::patch::server_and_patch;
use crate::process::Process;
use crate::{Outcome, trial};

/// The trials of this file.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("process::bad::damaged_patches", damaged_patches),
        trial("process::bad::damaged_objects", damaged_objects),
        trial("process::bad::full_disk_for_the_patch", full_disk_for_the_patch),
        trial("process::bad::full_disk_for_images", full_disk_for_images),
        trial("process::bad::folder_that_cannot_be_written", folder_that_cannot_be_written),
        trial("process::bad::no_address_space", no_address_space),
        trial("process::bad::no_descriptors", no_descriptors),
        trial("process::bad::memory_limit", memory_limit),
        trial("process::bad::ends_meanwhile", ends_meanwhile),
    ]
}

const OLD: &str = "value 1 other 1 hold 10";
const CLEAN: &str = "wrong 0 disordered 0 lost 0 stuck 0";
/// What Rust ends with on a panic.
const PANIC: i32 = 101;

fn no_panic(run: &Run) -> Outcome {
    if run.code == PANIC || run.code > 128 || run.err.contains("panicked") {
        return Err(run.complain("it panicked or was killed"));
    }
    Ok(())
}

fn images(pid: u32) -> PathBuf {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let start =
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19)).unwrap_or("?").to_owned();
    Path::new("/var/lib/liveline").join(format!("{pid}-{start}"))
}

/// Unharmed, with nothing of ours in it.
fn untouched(process: &mut Process) -> Outcome {
    process.check_alive()?;
    process.expect("ask", OLD, "after the failure")?;
    process.expect("check", CLEAN, "after the failure")?;
    let pid = process.pid();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|e| e.to_string())?;
    if maps.contains(".liveline") {
        return Err(format!("an image is left:\n{maps}"));
    }
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_err(|e| e.to_string())?;
    for file in files.flatten() {
        let link = std::fs::read_link(file.path()).unwrap_or_default();
        if link.to_string_lossy().contains(".liveline") {
            return Err(format!("a descriptor is left open: {}", link.display()));
        }
    }
    if images(pid).exists() {
        return Err(format!("{} is left", images(pid).display()));
    }
    Ok(())
}

fn damaged_patches() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    let whole = std::fs::read(&patch.path).map_err(|e| e.to_string())?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = folder.path().join("damaged.llp");
    let try_bytes = |bytes: &[u8]| -> Outcome {
        std::fs::write(&file, bytes).map_err(|e| e.to_string())?;
        no_panic(&liveline(&["inspect", text(&file)])?)?;
        let run = apply(&file, process.pid(), &[])?;
        no_panic(&run)?;
        if run.code == exit::DONE {
            return Err(run.complain("a damaged patch was applied"));
        }
        Ok(())
    };
    for length in [0, 1, 63, 64, 200, whole.len() / 2, whole.len() - 1] {
        try_bytes(&whole[..length])?;
    }
    for place in (0..whole.len()).step_by(whole.len() / 150) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x41;
        try_bytes(&damaged)?;
    }
    try_bytes(b"#!/bin/sh\n")?;
    try_bytes(&std::fs::read(&build.program).map_err(|e| e.to_string())?)?;
    untouched(&mut process)
}

fn damaged_objects() -> Outcome {
    let (build, _) = server_and_patch()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let whole = std::fs::read(&build.new).map_err(|e| e.to_string())?;
    let damaged = folder.path().join("new.o");
    let out = folder.path().join("x.llp");
    for part in 0..40 {
        std::fs::write(&damaged, &whole[..whole.len() * part / 40]).map_err(|e| e.to_string())?;
        let words = ["diff", "--old", text(&build.old), "--new", text(&damaged)];
        let run = liveline(&[&words[..], &["--target", text(&build.program), "-o", text(&out)]].concat())?;
        no_panic(&run)?;
        if out.exists() {
            return Err(run.complain("a patch was made from half an object"));
        }
    }
    Ok(())
}

/// Runs a shell line in a mount namespace of its own.
fn unshared(line: &str) -> Outcome<Run> {
    run_command(Command::new("unshare").args(["-m", "sh", "-c", line]))
}

fn full_disk_for_the_patch() -> Outcome {
    let (build, _) = server_and_patch()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let place = text(folder.path());
    let run = unshared(&format!(
        "mount -t tmpfs -o size=4k none {place} && head -c 4096 /dev/zero > {place}/full && {} diff --old {} --new {} --target {} -o {place}/x.llp; \
         code=$?; ls -A {place}; exit $code",
        binary(),
        text(&build.old),
        text(&build.new),
        text(&build.program)
    ))?
    .expect(exit::FAILED)?;
    run.says("no space left")?;
    // The listing shows what was there before, and nothing else.
    if run.out.trim() == "full" { Ok(()) } else { Err(run.complain("something is left")) }
}

fn full_disk_for_images() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    std::fs::create_dir_all("/var/lib/liveline").map_err(|e| e.to_string())?;
    // The new code comes from a memfd then.
    unshared(&format!(
        "mount -t tmpfs -o size=4k none /var/lib/liveline && {} apply {} --pid {}",
        binary(),
        text(&patch.path),
        process.pid()
    ))?
    .expect(exit::DONE)?;
    check_status(process.pid(), &patch.name, true)?;
    process.expect("check", CLEAN, "patched from a memfd")?;
    revert_now(&patch.name, process.pid())?;
    process.expect("ask", OLD, "after the revert")
}

fn folder_that_cannot_be_written() -> Outcome {
    let (build, _) = server_and_patch()?;
    let words =
        ["diff", "--old", text(&build.old), "--new", text(&build.new), "--target", text(&build.program)];
    let run = liveline(&[&words[..], &["-o", "/proc/x.llp"]].concat())?.expect(exit::FAILED)?;
    run.says("/proc/x.llp")
}

fn prlimit(pid: u32, what: &str) -> Outcome<Run> {
    run_command(Command::new("prlimit").args(["--pid", &pid.to_string(), what]))?.expect(0)
}

fn no_address_space() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    prlimit(process.pid(), "--as=1048576:")?;
    let run = apply(&patch.path, process.pid(), &[])?.expect(exit::FAILED)?;
    run.says("cannot allocate memory")?;
    untouched(&mut process)?;
    prlimit(process.pid(), "--as=unlimited:")?;
    apply_now(&patch.path, process.pid()).map(drop)
}

fn no_descriptors() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    prlimit(process.pid(), "--nofile=3:")?;
    let run = apply(&patch.path, process.pid(), &[])?.expect(exit::FAILED)?;
    run.says("too many open files")?;
    untouched(&mut process)?;
    prlimit(process.pid(), "--nofile=1024:")?;
    apply_now(&patch.path, process.pid()).map(drop)
}

/// A memory cgroup, removed when dropped.
struct Group(PathBuf);

impl Group {
    /// None where there is no memory controller to be had, as in most containers.
    fn new(pid: u32) -> Option<(Group, &'static str)> {
        [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
            .into_iter()
            .find_map(|(mount, limit)| {
                let group = Group(Path::new(mount).join(format!("liveline-test-{pid}")));
                std::fs::create_dir(&group.0).ok()?;
                let there = group.0.join(limit).exists();
                let in_it = std::fs::write(group.0.join("cgroup.procs"), pid.to_string()).is_ok();
                (there && in_it).then_some((group, limit))
            })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(&self.0));
    }
}

fn memory_limit() -> Outcome {
    let (build, patch) = server_and_patch()?;
    // The group is dropped, and so removed, after the process.
    let group;
    let mut process = Process::start(&build.program, &["busy=1"])?;
    let Some((made, limit)) = Group::new(process.pid()) else {
        println!("no memory cgroup to be had here");
        return Ok(());
    };
    group = made;
    // Pages from before belong to where they were made: what counts is what comes now.
    std::fs::write(group.0.join(limit), "65536").map_err(|e| e.to_string())?;
    let run = apply(&patch.path, process.pid(), &[])?.expect(exit::FAILED)?;
    run.says("memory limit")?;
    untouched(&mut process)?;
    std::fs::write(group.0.join(limit), "67108864").map_err(|e| e.to_string())?;
    apply_now(&patch.path, process.pid())?;
    process.check_alive()?;
    drop(process);
    Ok(())
}

fn ends_meanwhile() -> Outcome {
    let (build, patch) = server_and_patch()?;
    let other = Process::start(&build.program, &["busy=1"])?;
    for round in 0..40u64 {
        let process = Process::start(&build.program, &["busy=2"])?;
        let pid = process.pid();
        let folder = images(pid);
        let running = start_liveline(&["apply", text(&patch.path), "--pid", &pid.to_string(), "--json"])?;
        std::thread::sleep(Duration::from_micros(round * 400));
        drop(process);
        let run = running.finish()?;
        no_panic(&run)?;
        if ![exit::DONE, exit::FAILED, exit::REFUSED].contains(&run.code) {
            return Err(run.complain("an odd exit code"));
        }
        // One that ended after it was patched leaves its file to the next command.
        liveline(&["recover", "--pid", &other.pid().to_string()])?.expect(exit::DONE)?;
        if folder.exists() {
            return Err(format!("{} is left", folder.display()));
        }
    }
    Ok(())
}
