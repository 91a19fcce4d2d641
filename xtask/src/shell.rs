//! Running other programs, and the folder where what they make is kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use liveline_demo::Words;
use liveline_demo::tool::Tool;

/// What went wrong, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

/// The result of a task.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A [`Failure`] from anything that says why, with what was tried in front.
pub(crate) trait Tried<T> {
    fn tried(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: std::fmt::Display> Tried<T> for std::result::Result<T, E> {
    fn tried(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {error}", what.into())))
    }
}

/// A command whose output goes to a log, shown only if it fails.
pub(crate) struct Quiet {
    command: Command,
    line: String,
    log: PathBuf,
}

impl Quiet {
    /// `line`, split at spaces, to be run in `folder`.
    pub(crate) fn new(folder: &Path, line: &str) -> Self {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(folder).stdin(Stdio::null());
        command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
        Quiet { command, line: line.to_string(), log: folder.join("last-command.log") }
    }

    /// With one more argument, which may have spaces in it.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self.line += &format!(" '{argument}'");
        self
    }

    /// With a variable of the environment set.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it and gives its standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.command.output().tried(format!("run `{}`", self.line))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
            return Err(Failure(format!("`{}` ended with {}:\n{said}", self.line, output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it; a failure carries the end of what it said.
    pub(crate) fn run(mut self) -> Result<()> {
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
pub(crate) fn output_of(line: &str) -> Result<String> {
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

/// The folder `name` of the cache: `$LIVELINE_CACHE`, or `liveline` in the user's cache folder.
pub(crate) fn cache(name: &str) -> Result<PathBuf> {
    let from = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    let root = from("LIVELINE_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|p| p.join("liveline")))
        .or_else(|| from("HOME").map(|p| p.join(".cache/liveline")))
        .ok_or_else(|| Failure("no cache folder: set LIVELINE_CACHE or HOME".into()))?;
    let folder = root.join(name);
    fs::create_dir_all(&folder).tried(format!("make {}", folder.display()))?;
    Ok(folder)
}

/// The workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Builds `liveline` (release) and gives it; `$LIVELINE` names another one.
pub(crate) fn liveline(words: Words) -> Result<Tool> {
    if let Some(program) = std::env::var_os("LIVELINE") {
        return Ok(Tool::new(PathBuf::from(program)));
    }
    words.line("building liveline");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "liveline", "--message-format=json-render-diagnostics"])
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .tried("run cargo build")?;
    if !output.status.success() {
        return Err(Failure("liveline does not build".into()));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "liveline")
        .find_map(|message| message["executable"].as_str().map(Tool::new))
        .ok_or_else(|| Failure("cargo did not say where liveline is".into()))
}
