//! A target process that answers lines, and dies with the test.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::Outcome;

/// Ends a hang; far beyond anything a loaded machine needs.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A running target. It dies when this is dropped, and, by its own `PR_SET_PDEATHSIG`, with the test.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    inner_pid: Option<u32>,
}

impl Process {
    /// Starts `program` and waits until it says `ready`.
    pub(crate) fn start(program: &Path, words: &[&str]) -> Outcome<Process> {
        Process::start_command(Command::new(program).args(words))
    }

    /// As [`Process::start`], for a command prepared by the caller.
    pub(crate) fn start_command(command: &mut Command) -> Outcome<Process> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{name}: {e}"))?;
        let (sender, lines) = channel();
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let mut process = Process { child, input, lines, inner_pid: None };
        match process.next_line()?.as_str() {
            "ready" => Ok(process),
            other => Err(format!("{name}: expected `ready`, got `{other}`")),
        }
    }

    /// The process id that patches are applied to.
    pub(crate) fn pid(&self) -> u32 {
        self.inner_pid.unwrap_or_else(|| self.child.id())
    }

    /// Says that the program of interest is the child of what was started (`unshare`, `setpriv`).
    pub(crate) fn use_child(&mut self) -> Outcome {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        let child = text.split_whitespace().next().ok_or("it has no child")?;
        self.inner_pid = Some(child.parse().map_err(|_| format!("{path}: {text}"))?);
        Ok(())
    }

    /// Sends a line without waiting for an answer.
    pub(crate) fn tell(&mut self, line: &str) -> Outcome {
        let input = self.input.as_mut().ok_or("no input")?;
        input.write_all(format!("{line}\n").as_bytes()).map_err(|e| self.gone(&e.to_string()))
    }

    /// Sends a line and returns the line that comes back.
    pub(crate) fn ask(&mut self, line: &str) -> Outcome<String> {
        self.tell(line)?;
        self.next_line()
    }

    /// Sends a line; fails unless the answer is `expected`.
    pub(crate) fn expect(&mut self, line: &str, expected: &str, when: &str) -> Outcome {
        let got = self.ask(line)?;
        if got == expected {
            return Ok(());
        }
        Err(format!("{when}: expected `{expected}`, got `{got}`"))
    }

    /// The next line it writes.
    pub(crate) fn next_line(&mut self) -> Outcome<String> {
        match self.lines.recv_timeout(ANSWER_DEADLINE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(format!("process {} does not answer", self.pid())),
            Err(RecvTimeoutError::Disconnected) => Err(self.gone("end of output")),
        }
    }

    /// Fails if the process has ended.
    pub(crate) fn check_alive(&mut self) -> Outcome {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the target died: {status}")),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Kills it and leaves the zombie unreaped.
    pub(crate) fn make_zombie(&mut self) -> Outcome {
        self.child.kill().map_err(|e| e.to_string())?;
        let stat = format!("/proc/{}/stat", self.child.id());
        for _ in 0..2000 {
            let text = std::fs::read_to_string(&stat).map_err(|e| e.to_string())?;
            if text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("it does not die".into())
    }

    fn gone(&mut self, what: &str) -> String {
        // The exit status may come a moment after the end of the output.
        for _ in 0..200 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return format!("the target died: {status}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        what.to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
