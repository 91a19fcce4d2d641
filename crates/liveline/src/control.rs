//! The control socket of a program with `liveline-runtime`, from outside.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use liveline_control::message::{Answer, Command, Request, VERSION};
use liveline_control::{frame, place};

use crate::failure::{Code, Failure};

/// Where a process's socket lies; none if it has none.
pub(crate) fn find(pid: i32) -> Option<PathBuf> {
    let user = user_of(format!("/proc/{pid}"))?;
    // Anyone can give a socket such a name; what cannot be looked at is the answer's to tell.
    listed(pid).into_iter().find(|path| user_of(path).is_none_or(|owner| owner == user))
}

/// The sockets that have the name of a process's.
fn listed(pid: i32) -> Vec<PathBuf> {
    let lists = [format!("/proc/{pid}/net/unix"), "/proc/net/unix".to_owned()];
    let list = lists.iter().find_map(|path| fs::read(path).ok()).unwrap_or_default();
    place::listed(&String::from_utf8_lossy(&list), pid.unsigned_abs())
}

fn user_of(path: impl AsRef<Path>) -> Option<u32> {
    fs::metadata(path).ok().map(|meta| meta.uid())
}

/// Whether the process is stopped, by SIGSTOP say: proc_pid_stat(5).
fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// Asks a program, and waits so long for its answer.
pub(crate) fn ask(pid: i32, command: Command, module: &[u8], patience: Duration) -> Result<Answer, Failure> {
    let path = find(pid).ok_or_else(|| absent(pid))?;
    if is_stopped(pid) {
        return Err(Failure::new(Code::Refused, format!("process {pid} is stopped, and answers nothing"))
            .hint(format!("kill -CONT {pid} lets it go on")));
    }
    let talk = || -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let is_change = matches!(command, Command::Apply(_) | Command::Revert { .. });
        let sent = frame::write(&mut stream, &Request { version: VERSION, command })
            .and_then(|()| stream.write_all(module));
        let mut read = || frame::read(&mut stream, frame::ANSWER);
        let answer = if sent.is_ok() && is_change { while_told(pid, read) } else { read() };
        match (sent, answer) {
            (_, Ok(answer)) => Ok(answer),
            // Where the program did not read to the end, its answer says why; there is none here.
            (Err(error), Err(_)) | (Ok(()), Err(error)) => Err(error),
        }
    };
    match talk() {
        Ok(Answer::Denied(why)) => Err(Failure::new(Code::Refused, format!("process {pid}: {why}"))),
        Ok(answer) => Ok(answer),
        Err(error) => Err(explain(pid, &path, &error)),
    }
}

/// Does it, and says after a while that it is still being done.
fn while_told<T>(pid: i32, work: impl FnOnce() -> T) -> T {
    const QUIET: Duration = Duration::from_secs(3);
    let (done, waits) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
                let why = if is_stopped(pid) { ", since it is stopped" } else { "" };
                eprintln!(
                    "process {pid}: not done yet{why}; what it was sent it goes on with, even if this is stopped"
                );
            }
        });
        let answer = work();
        drop(done);
        answer
    })
}

/// Whether we are the process's own user, or root.
pub(crate) fn may_ask(pid: i32) -> bool {
    let own = user_of("/proc/self");
    own == Some(0) || own == user_of(format!("/proc/{pid}"))
}

/// The process has no control socket.
pub(crate) fn absent(pid: i32) -> Failure {
    if !Path::new(&format!("/proc/{pid}")).exists() {
        return Failure::failed(format!("there is no process {pid}"));
    }
    let other = listed(pid).into_iter().find_map(|path| {
        let owner = user_of(&path)?;
        Some(format!("the control socket {} is of user {owner}", path.display()))
    });
    if let (Some(words), Some(user)) = (other, user_of(format!("/proc/{pid}"))) {
        return Failure::new(Code::Refused, format!("process {pid} runs as user {user}, and {words}"))
            .hint("a program that changes its user calls liveline_runtime::serve!() after that");
    }
    Failure::new(Code::Refused, format!("process {pid} has no control socket"))
        .hint("modules are for programs that call liveline_runtime::serve!()")
}

fn explain(pid: i32, path: &Path, error: &io::Error) -> Failure {
    let place = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => Failure::new(
            Code::Refused,
            format!("process {pid}: its control socket {place} is not yours to use"),
        )
        .hint("be the user the program runs as, or root"),
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
            Failure::failed(format!("process {pid}: nobody listens at {place}: the program is ending"))
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::failed(format!(
            "process {pid}: no answer in time; it may be done later: see liveline log --pid {pid}"
        )),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            Failure::failed(format!("process {pid}: it ended the conversation; see whether it runs"))
        }
        _ => Failure::failed(format!("process {pid}: {place}: {error}")),
    }
}
