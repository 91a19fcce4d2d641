//! Running other programs, and the folder where what they make is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use liveline_build::debian::{self, Archive, DebianError};
use liveline_demo::Words;
use liveline_demo::tool::Tool;

/// What went wrong, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl From<DebianError> for Failure {
    fn from(error: DebianError) -> Self {
        let hint = error.hint().map(|hint| format!("\nhint: {hint}"));
        Failure(format!("{error}{}", hint.unwrap_or_default()))
    }
}

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
pub(crate) struct Quiet(debian::Quiet);

impl Quiet {
    /// `line`, split at spaces, to be run in `folder`.
    pub(crate) fn new(folder: &Path, line: &str) -> Self {
        Quiet(debian::Quiet::new(folder, line))
    }

    /// With one more argument, which may have spaces in it.
    pub(crate) fn argument(self, argument: &str) -> Self {
        Quiet(self.0.argument(argument))
    }

    /// With a variable of the environment set.
    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        Quiet(self.0.env(name, value))
    }

    /// Runs it and gives its standard output.
    pub(crate) fn output(self) -> Result<String> {
        Ok(self.0.output()?)
    }

    /// Runs it; a failure carries the end of what it said.
    pub(crate) fn run(self) -> Result<()> {
        Ok(self.0.run()?)
    }
}

/// The standard output of a command that must succeed.
pub(crate) fn output_of(line: &str) -> Result<String> {
    Quiet::new(Path::new("."), line).output()
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

/// Debian's archive, with our cache.
pub(crate) fn archive(words: Words) -> Result<Archive> {
    Ok(Archive::open(cache("")?, move |line| words.line(line))?)
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
    release("liveline", words).map(Tool::new)
}

/// Builds the program of a package of this workspace, as it is released, and gives it.
pub(crate) fn release(package: &str, words: Words) -> Result<PathBuf> {
    words.line(&format!("building {package}"));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", package, "--message-format=json-render-diagnostics"])
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .tried("run cargo build")?;
    if !output.status.success() {
        return Err(Failure(format!("{package} does not build")));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Failure(format!("cargo did not say where {package} is")))
}
