//! Running other programs.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{DebianError, Result, Tried};
use crate::keeper::{self, Kept};

/// A command whose output goes to a log, shown only if it fails.
#[derive(Debug)]
pub struct Quiet {
    command: Command,
    line: String,
    log: PathBuf,
    /// By a keeper: all that it starts ends with this program.
    kept: bool,
}

impl Quiet {
    /// `line`, split at spaces, to be run in `folder`.
    pub fn new(folder: &Path, line: &str) -> Self {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null());
        Quiet::with(command, folder, line)
    }

    /// As [`Self::new`], and what it starts ends when this program does.
    pub(super) fn kept(folder: &Path, line: &str) -> Result<Self> {
        let mut command = keeper::command().tried("find this program")?;
        command.args(line.split(' '));
        Ok(Quiet { kept: true, ..Quiet::with(command, folder, line) })
    }

    fn with(mut command: Command, folder: &Path, line: &str) -> Self {
        command.current_dir(folder).env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
        Quiet { command, line: line.to_string(), log: folder.join("last-command.log"), kept: false }
    }

    /// With one more argument, which may hold spaces.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        let argument = argument.as_ref();
        self.line = format!("{} {}", self.line, argument.to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// With one more argument that says nothing to a person who reads the command.
    pub(super) fn unsaid(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// With more words, split at spaces.
    pub fn words(self, line: &str) -> Self {
        line.split(' ').filter(|word| !word.is_empty()).fold(self, Self::argument)
    }

    /// With a variable of the environment set.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it and gives its standard output.
    pub fn output(mut self) -> Result<String> {
        let output = if self.kept { Kept::output(&mut self.command) } else { self.command.output() };
        let output = output.tried(format!("run `{}`", self.line))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
            return Err(DebianError::Command { line: self.line, status: output.status.to_string(), said });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it; a failure carries the end of what it said.
    pub fn run(mut self) -> Result<()> {
        let log = File::create(&self.log).tried(format!("write {}", self.log.display()))?;
        let copy = log.try_clone().tried("copy a file handle")?;
        let command = self.command.stdout(log).stderr(copy);
        let status =
            if self.kept { Kept::spawn(command).and_then(|kept| kept.wait(|| ())) } else { command.status() };
        let status = status.tried(format!("run `{}`", self.line))?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<_> = said.lines().collect();
        let said = lines[lines.len().saturating_sub(25)..].join("\n");
        let status = format!("{status}; the end of {}", self.log.display());
        Err(DebianError::Command { line: self.line, status, said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_command_and_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let command = Quiet::new(folder.path(), "sh -c").argument("echo two words >&2; exit 3");
        let error = command.run().unwrap_err().to_string();
        let log = folder.path().join("last-command.log");
        let wanted = format!(
            "`sh -c echo two words >&2; exit 3` ended with exit status: 3; the end of {}:\ntwo words",
            log.display()
        );
        assert_eq!(error, wanted);
        let said = Quiet::new(folder.path(), "printf %s").argument("a b").output().unwrap();
        assert_eq!(said, "a b");
    }
}
