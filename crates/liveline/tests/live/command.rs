//! Runs the `liveline` binary and reads what it says.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Outcome;

/// Ends a hang; no test waits for it otherwise.
const DEADLINE: Duration = Duration::from_secs(600);

/// The exit codes that callers rely on.
pub(crate) mod exit {
    /// Failed: no permission, no such process, a file that cannot be read.
    pub(crate) const FAILED: i32 = 1;
    /// Done, or already so.
    pub(crate) const DONE: i32 = 0;
    /// There is nothing to patch.
    pub(crate) const NOTHING: i32 = 3;
    /// Refused, with the reason.
    pub(crate) const REFUSED: i32 = 4;
    /// A thread did not leave the patched functions in time.
    pub(crate) const TIMEOUT: i32 = 5;
}

/// One finished run of the binary.
#[derive(Debug)]
pub(crate) struct Run {
    /// The command line, for messages.
    pub(crate) line: String,
    /// Exit code; 128 + N where signal N ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Run {
    /// This run if it ended with `code`, else everything it said.
    pub(crate) fn expect(self, code: i32) -> Outcome<Run> {
        if self.code == code { Ok(self) } else { Err(self.complain(&format!("expected exit {code}"))) }
    }

    /// Everything said, under a heading.
    pub(crate) fn complain(&self, why: &str) -> String {
        format!(
            "{why}\n$ {}\nexit {}\n--- stdout\n{}--- stderr\n{}",
            self.line, self.code, self.out, self.err
        )
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Outcome<Value> {
        serde_json::from_str(&self.out).map_err(|e| self.complain(&format!("not JSON: {e}")))
    }

    /// Fails unless one of the alternatives in `wanted` (split at `|`) is in the output, in any case.
    pub(crate) fn says(&self, wanted: &str) -> Outcome {
        let said = format!("{}\n{}", self.out, self.err).to_lowercase();
        if wanted.to_lowercase().split('|').any(|words| said.contains(words.trim())) {
            return Ok(());
        }
        Err(self.complain(&format!("expected one of these words: {wanted}")))
    }

    /// The field of the first process in a JSON list, as text.
    pub(crate) fn field(&self, name: &str) -> Outcome<String> {
        let json = self.json()?;
        let entry = json.as_array().and_then(|list| list.first()).unwrap_or(&json);
        match entry.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Ok(other.to_string()),
            None => Err(self.complain(&format!("no field {name}"))),
        }
    }
}

/// Path of the binary under test.
pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_liveline")
}

/// Runs `liveline WORDS…` to its end.
pub(crate) fn liveline(words: &[&str]) -> Outcome<Run> {
    run_command(Command::new(binary()).args(words))
}

/// Starts `liveline WORDS…` and leaves it running.
pub(crate) fn start_liveline(words: &[&str]) -> Outcome<Running> {
    start_command(Command::new(binary()).args(words))
}

/// Runs any command to its end, or kills it after a minute and a half.
pub(crate) fn run_command(command: &mut Command) -> Outcome<Run> {
    start_command(command)?.finish()
}

/// Starts any command with its output caught.
pub(crate) fn start_command(command: &mut Command) -> Outcome<Running> {
    let line = format!("{command:?}");
    let [out, err] = [tempfile::tempfile(), tempfile::tempfile()].map(|file| file.map_err(|e| e.to_string()));
    let (out, err) = (out?, err?);
    let child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(|e| e.to_string())?)
        .stderr(err.try_clone().map_err(|e| e.to_string())?)
        .spawn()
        .map_err(|e| format!("{line}: {e}"))?;
    Ok(Running { line, child, out, err, started: Instant::now() })
}

/// A command that runs; killed when dropped.
pub(crate) struct Running {
    line: String,
    child: Child,
    out: File,
    err: File,
    started: Instant,
}

impl Running {
    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Outcome<Run> {
        use std::os::unix::process::ExitStatusExt;
        let status = loop {
            match self.child.try_wait().map_err(|e| e.to_string())? {
                Some(status) => break status,
                None if self.started.elapsed() > DEADLINE => {
                    return Err(format!(
                        "still running after {DEADLINE:?}: {}\n{}",
                        self.line,
                        tail(&mut self.err)
                    ));
                }
                None => std::thread::sleep(Duration::from_micros(500)),
            }
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let run = Run { line: self.line.clone(), code, out: tail(&mut self.out), err: tail(&mut self.err) };
        if code == 101 { Err(run.complain("it panicked")) } else { Ok(run) }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn tail(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) => format!("(unreadable: {e})"),
    }
}

/// `path` as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or("a path that is not UTF-8")
}

/// Applies `patch` to a process and returns the run, whatever came of it.
pub(crate) fn apply(patch: &Path, pid: u32, more: &[&str]) -> Outcome<Run> {
    let pid = pid.to_string();
    let mut words = vec!["apply", text(patch), "--pid", &pid, "--json"];
    words.extend(more);
    liveline(&words)
}

/// Takes `name` back and returns the run, whatever came of it.
pub(crate) fn revert(name: &str, pid: u32, more: &[&str]) -> Outcome<Run> {
    let pid = pid.to_string();
    let mut words = vec!["revert", name, "--pid", &pid, "--json"];
    words.extend(more);
    liveline(&words)
}

/// Applies, and fails unless the state is `applied`.
pub(crate) fn apply_now(patch: &Path, pid: u32) -> Outcome<Run> {
    let run = apply(patch, pid, &[])?.expect(exit::DONE)?;
    match run.field("state")?.as_str() {
        "applied" => Ok(run),
        other => Err(run.complain(&format!("expected state applied, not {other}"))),
    }
}

/// Takes back, and fails unless that worked.
pub(crate) fn revert_now(name: &str, pid: u32) -> Outcome<Run> {
    revert(name, pid, &[])?.expect(exit::DONE)
}

/// What `status --json` says of a process.
pub(crate) fn status(pid: u32) -> Outcome<Run> {
    liveline(&["status", "--pid", &pid.to_string(), "--json"])?.expect(exit::DONE)
}

/// Fails unless `status` names the patch as installed (`there`) or does not name it.
pub(crate) fn check_status(pid: u32, name: &str, there: bool) -> Outcome {
    let run = status(pid)?;
    run.json()?;
    if run.out.contains(&format!("\"{name}\"")) == there {
        return Ok(());
    }
    Err(run
        .complain(&format!("expected {name} to be {} in the status", if there { "named" } else { "absent" })))
}

/// Makes a patch; `more` are further words of the command line.
pub(crate) fn diff(old: &Path, new: &Path, target: &Path, out: &Path, more: &[&str]) -> Outcome<Run> {
    let mut words = vec!["diff", "--old", text(old), "--new", text(new), "--target", text(target)];
    words.extend(["-o", text(out), "--json"]);
    words.extend(more);
    liveline(&words)
}
