//! What a build starts ends with it: a keeper stands between this program and each build.
//!
//! The keeper holds the reading end of a pipe whose other end this program has, and the kernel closes that end whatever
//! this program dies of. Then, or when the build's first process is done, the keeper kills all that the build started and
//! goes itself. A second keeper is the first process of a pid namespace, where there can be one: its end is that of all
//! others in it, so that even who kills keepers leaves nothing behind.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, setsid};

use crate::stop;

/// The name under which this program is a keeper.
pub(crate) const NAME: &str = "liveline-keeper";
/// The first word for a keeper whose command runs a keeper, too.
pub(crate) const PASS: &str = "--pass";

/// A command under a keeper. Dropped: it is killed, and all that it started.
#[derive(Debug)]
pub(crate) struct Kept {
    child: Child,
    /// What the keeper lives by.
    line: Option<ChildStdin>,
}

/// This program as a keeper; the words of what it is to run are yet to be added.
pub(crate) fn command() -> io::Result<Command> {
    let mut keeper = Command::new(std::env::current_exe()?);
    keeper.arg0(NAME);
    Ok(keeper)
}

impl Kept {
    /// Starts a command that runs a keeper.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let line = child.stdin.take();
        Ok(Self { child, line })
    }

    /// Waits for its end; `each` is called now and then.
    pub(crate) fn wait(mut self, mut each: impl FnMut()) -> io::Result<ExitStatus> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            stop::check()?;
            each();
            thread::sleep(pause);
            pause = Duration::from_millis(100).min(pause * 2);
        }
    }

    /// Runs a command to its end, and gives what it wrote.
    pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
        let mut kept = Self::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let (out, err) = (kept.child.stdout.take(), kept.child.stderr.take());
        let read = |from: Option<Box<dyn io::Read + Send>>| {
            thread::spawn(move || {
                let mut text = Vec::new();
                from.map_or(Ok(0), |mut from| from.read_to_end(&mut text)).map(|_| text)
            })
        };
        let out = read(out.map(|pipe| Box::new(pipe) as Box<dyn io::Read + Send>));
        let err = read(err.map(|pipe| Box::new(pipe) as Box<dyn io::Read + Send>));
        let status = kept.wait(|| ())?;
        let text = |reader: thread::JoinHandle<io::Result<Vec<u8>>>| {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        Ok(Output { status, stdout: text(out)?, stderr: text(err)? })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.line.take();
        let _ = self.child.wait();
    }
}

/// The keeper's own work: runs a command, and ends with all that it started.
pub(crate) fn keep(words: &[OsString]) -> ExitCode {
    // No key of the terminal reaches the build past us, and nothing in it waits for a terminal that is not its own.
    let _ = setsid();
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let (stdin, words) = match words {
        [first, rest @ ..] if first == PASS => (Stdio::inherit(), rest),
        all => (Stdio::null(), all),
    };
    let [program, rest @ ..] = words else { return ExitCode::from(127) };
    let child = match Command::new(program).args(rest).stdin(stdin).spawn() {
        Ok(child) => Pid::from_raw(child.id().cast_signed()),
        Err(error) => {
            eprintln!("liveline: cannot run {}: {error}", program.to_string_lossy());
            return ExitCode::from(127);
        }
    };
    // Held by who reaps: a process that is not reaped keeps its id, so that none is killed for another.
    let reaping = Arc::new(Mutex::new(()));
    let by_line = Arc::clone(&reaping);
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _reaping = by_line.lock().unwrap_or_else(PoisonError::into_inner);
        kill_children();
        std::process::exit(128 + Signal::SIGKILL as i32);
    });
    loop {
        let ended = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        let _reaping = reaping.lock().unwrap_or_else(PoisonError::into_inner);
        let code = match ended.and_then(|_| waitpid(None, Some(WaitPidFlag::WNOHANG))) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => 127,
        };
        kill_children();
        std::process::exit(code);
    }
}

/// Kills the children of this process until it has none: those of a killed one become its own.
fn kill_children() {
    let own = Pid::this();
    // The kernel kills all others of a pid namespace when the first goes.
    if own.as_raw() == 1 {
        return;
    }
    loop {
        for child in children(own) {
            let _ = kill(child, Signal::SIGKILL);
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(|pid| parent_of(*pid) == Some(parent.as_raw())).map(Pid::from_raw).collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold any byte.
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    String::from_utf8_lossy(&stat[after + 1..]).split_whitespace().nth(1)?.parse().ok()
}
