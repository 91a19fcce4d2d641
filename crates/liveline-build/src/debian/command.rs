//! Running other programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// The result of a task.
pub type Result<T> = std::result::Result<T, Failure>;

/// A [`Failure`] from anything that says why, with what was tried in front.
pub trait Tried<T> {
    /// This, or a failure that begins with `what`.
    ///
    /// # Errors
    /// If this is an error.
    fn tried(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: std::fmt::Display> Tried<T> for std::result::Result<T, E> {
    /// This, or a failure that begins with `what`.
    ///
    /// # Errors
    /// If this is an error.
    fn tried(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {error}", what.into())))
    }
}

/// A command whose output goes to a log, shown only if it fails.
pub struct Quiet {
    command: Command,
    line: String,
    log: PathBuf,
}

impl Quiet {
    /// `line`, split at spaces, to be run in `folder`.
    pub fn new(folder: &Path, line: &str) -> Self {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(folder).stdin(Stdio::null());
        command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
        Quiet { command, line: line.to_string(), log: folder.join("last-command.log") }
    }

    /// With one more argument, which may have spaces in it.
    pub fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self.line += &format!(" '{argument}'");
        self
    }

    /// With a variable of the environment set.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it and gives its standard output.
    pub fn output(mut self) -> Result<String> {
        let output = self.command.output().tried(format!("run `{}`", self.line))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
            return Err(Failure(format!("`{}` ended with {}:\n{said}", self.line, output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it; a failure carries the end of what it said.
    pub fn run(mut self) -> Result<()> {
        let log = File::create(&self.log).tried(format!("write {}", self.log.display()))?;
        let copy = log.try_clone().tried("copy a file handle")?;
        let status = self.command.stdout(log).stderr(copy).status().tried(format!("run `{}`", self.line))?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<_> = said.lines().collect();
        let end = lines[lines.len().saturating_sub(25)..].join("\n");
        Err(Failure(format!("`{}` ended with {status}:\n{end}", self.line)))
    }
}

/// The standard output of a command that must succeed.
pub fn output_of(line: &str) -> Result<String> {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap_or_default())
        .args(words)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .tried(format!("run `{line}`"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Failure(format!("`{line}`: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }
}
