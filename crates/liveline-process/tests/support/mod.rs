//! Small C programs to work on: compiled once, killed when dropped, their counters in a shared file.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use liveline_process::Process;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Compiles `tests/targets/NAME.c`; the path of the program.
pub(crate) fn compile(name: &str, flags: &[&str]) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let out = dir.join(format!("{name}-{}-{number}", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets").join(format!("{name}.c"));
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-pthread"])
        .args(flags)
        .arg("-o")
        .arg(&out)
        .arg(&source)
        .status()
        .expect("cc runs");
    assert!(status.success(), "{} compiles", source.display());
    out
}

/// A running target; it is killed, and its files removed, when dropped.
pub(crate) struct Target {
    pub(crate) child: Child,
    out: BufReader<ChildStdout>,
    counters: File,
    counters_path: PathBuf,
    program: PathBuf,
}

impl Target {
    /// Compiles and starts a target, and waits until it prints "ready".
    pub(crate) fn start(name: &str, args: &[&str]) -> Self {
        Self::start_with(name, &[], args)
    }

    pub(crate) fn start_with(name: &str, flags: &[&str], args: &[&str]) -> Self {
        let program = compile(name, flags);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let counters_path =
            PathBuf::from(format!("/dev/shm/liveline-{name}-{}-{number}", std::process::id()));
        let counters = File::create_new(&counters_path).expect("a file for counters");
        counters.set_len(4096).expect("room for counters");
        let counters = File::open(&counters_path).expect("the file for counters");
        let mut child = Command::new(&program)
            .arg(&counters_path)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the target starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut target = Self { child, out, counters, counters_path, program };
        let mut line = String::new();
        target.out.read_line(&mut line).expect("the target speaks");
        assert_eq!(line.trim(), "ready");
        target
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn open(&self) -> Process {
        Process::open(self.pid()).expect("the target opens")
    }

    /// The counter with this number.
    pub(crate) fn counter(&self, n: usize) -> u64 {
        let mut word = [0; 8];
        self.counters.read_exact_at(&mut word, n as u64 * 8).expect("a counter");
        u64::from_le_bytes(word)
    }

    /// Waits until a counter has gone up by `more`: the target lives and works.
    pub(crate) fn await_progress(&mut self, n: usize, more: u64) {
        let from = self.counter(n);
        let end = Instant::now() + Duration::from_secs(30);
        while self.counter(n) < from + more {
            assert!(Instant::now() < end, "no progress on counter {n}");
            assert!(self.child.try_wait().expect("a child").is_none(), "the target has ended");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// SIGTERM, then whatever else it prints.
    pub(crate) fn finish(mut self) -> String {
        // SAFETY: kill takes two integers; the child has not been waited for, so the pid is still its own.
        unsafe { libc::kill(self.pid(), libc::SIGTERM) };
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("the target ends");
        rest
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.counters_path));
        drop(std::fs::remove_file(&self.program));
    }
}

/// The helper program (`tests/support/probe.rs`).
pub(crate) fn probe() -> Command {
    Command::new(env!("CARGO_BIN_EXE_liveline-probe"))
}

/// Pauses of changing length, the same in each run, below `most` microseconds.
pub(crate) fn pause(turn: u64, most: u64) {
    let mixed = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    std::thread::sleep(Duration::from_micros(mixed % most));
}
