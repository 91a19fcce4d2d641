//! Processes that are not to be touched, and what we say then.
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use liveline_process::{LockError, OpenError, Process};
use support::Target;

#[test]
fn nobody_and_ourselves() {
    assert!(matches!(Process::open(0x3fff_fff0), Err(OpenError::NoSuchProcess { .. })));
    assert!(matches!(Process::open(-1), Err(OpenError::NoSuchProcess { .. })));
    assert!(matches!(Process::open(std::process::id() as i32), Err(OpenError::Itself { .. })));
}

#[test]
fn a_thread_is_not_a_process() {
    let target = Target::start("threads", &["sleep", "2"]);
    let tids = target.open().threads().expect("threads");
    let tid = tids.into_iter().find(|t| *t != target.pid()).expect("a second thread");
    assert!(matches!(Process::open(tid), Err(OpenError::Thread { process, .. }) if process == target.pid()));
}

#[test]
fn a_zombie() {
    let mut child = Command::new("true").spawn().expect("true runs");
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match Process::open(child.id() as i32) {
            Err(OpenError::Zombie { .. }) => break,
            other => assert!(Instant::now() < end, "{other:?}"),
        }
    }
    child.wait().expect("collected");
}

#[test]
fn a_kernel_thread() {
    // kthreadd is always 2, unless this is a pid namespace of its own.
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|n| n == "kthreadd\n") {
        assert!(matches!(Process::open(2), Err(OpenError::KernelThread { .. })));
    }
}

#[test]
fn one_that_is_stopped() {
    let mut target = Target::start("threads", &["sleep", "2"]);
    // SAFETY: kill takes two integers; the child is ours and alive.
    let signal = |s| unsafe { libc::kill(target.child.id() as i32, s) };
    signal(libc::SIGSTOP);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match Process::open(target.pid()) {
            Err(OpenError::Stopped { .. }) => break,
            other => assert!(Instant::now() < end, "{other:?}"),
        }
    }
    // To look at it is fine, and leaves it stopped.
    let process = Process::open_to_read(target.pid()).expect("opens to read");
    let stop = process.stop(Duration::from_secs(5)).expect("stops");
    assert!(stop.threads().iter().all(|t| t.is_in_group_stop()));
    stop.release();
    let before = target.counter(0);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(target.counter(0), before);
    signal(libc::SIGCONT);
    target.await_progress(0, 10);
}

#[test]
fn one_that_is_traced() {
    let target = Target::start("threads", &["sleep", "2"]);
    let mut holder = support::probe()
        .args(["hold", &target.pid().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the probe starts");
    let mut line = String::new();
    let out = holder.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("the probe speaks");
    let result = Process::open(target.pid());
    holder.kill().expect("killed");
    holder.wait().expect("collected");
    let Err(OpenError::AlreadyTraced { tracer_pid, tracer_name, .. }) = result else { panic!("{result:?}") };
    assert_eq!((tracer_pid, tracer_name.as_str()), (holder.id() as i32, "liveline-probe"));
}

#[test]
fn a_32_bit_program() {
    let program = format!("{}/thirty-two-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/targets/thirty_two.S");
    let made = Command::new("cc").args(["-m32", "-nostdlib", "-static", "-o", &program, source]).status();
    assert!(made.is_ok_and(|s| s.success()), "a 32-bit program is made");
    let mut child = Command::new(&program).spawn().expect("the kernel runs 32-bit programs");
    let result = Process::open(child.id() as i32);
    child.kill().expect("killed");
    child.wait().expect("collected");
    std::fs::remove_file(&program).expect("removed");
    assert!(matches!(result, Err(OpenError::ThirtyTwoBit { .. })), "{result:?}");
}

#[test]
fn two_patchers() {
    let target = Target::start("threads", &["sleep", "1"]);
    let (one, two) = (target.open(), target.open());
    let lock = one.lock().expect("locks");
    let Err(LockError::Held { pid, .. }) = two.lock() else { panic!("locked twice") };
    assert_eq!(pid, Some(std::process::id() as i32));
    let output = support::probe().args(["call", &target.pid().to_string()]).output().expect("the probe runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Held"), "{output:?}");
    drop(lock);
    two.lock().expect("locks once it is free");
}

#[test]
fn it_ends_while_we_hold_it() {
    let mut target = Target::start("threads", &["sleep", "8"]);
    let process = target.open();
    let stop = process.stop(Duration::from_secs(5)).expect("stops");
    target.child.kill().expect("killed");
    stop.release();
    target.child.wait().expect("collected");
    assert!(!process.is_alive());
    assert!(process.stop(Duration::from_secs(1)).is_err());
    let mut byte = [0];
    process.read(process_start(), &mut byte).expect_err("no memory");
}

fn process_start() -> u64 {
    0x40_0000
}

#[test]
fn memory_and_files_of_a_deleted_program() {
    let target = Target::start("threads", &["sleep", "1"]);
    let process = target.open();
    let path = process.exe_path().expect("a path");
    let original = std::fs::read(&path).expect("the program");
    std::fs::remove_file(&path).expect("deleted");
    std::fs::write(&path, b"something else").expect("replaced");
    let mappings = process.mappings().expect("maps");
    let code = mappings.iter().find(|m| m.exec && m.path.as_deref() == path.to_str()).expect("its code");
    assert!(code.deleted);
    let mut behind = Vec::new();
    std::io::Read::read_to_end(&mut process.module_file(code).expect("the file"), &mut behind)
        .expect("reads");
    assert!(behind == original, "the file as it was mapped");
    // Read-only private pages can be written.
    let mut bytes = [0; 4];
    process.read(code.start, &mut bytes).expect("reads");
    process.write(code.start, &bytes).expect("writes");
    process.read(1, &mut bytes).expect_err("page 0");
}
