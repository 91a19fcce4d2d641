//! Drives the `liveline` program as a user's script would: a subprocess, `--json`, exit codes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The `liveline` program.
#[derive(Clone, Debug)]
pub struct Tool {
    program: PathBuf,
}

/// Exit code of `liveline diff` when the two builds do the same.
const NO_CHANGE: i32 = 3;
/// Exit code of `liveline diff` when a change cannot be carried by a patch.
const REFUSED: i32 = 4;

/// Why a `liveline` command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The program could not be started.
    #[error("cannot run {program}: {error}")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        error: std::io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` ended with {status}\n{words}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it said, standard error and output.
        words: String,
    },
    /// Its JSON is not what the contract says.
    #[error("`{command}` gave JSON that was not expected: {why}\n{text}")]
    Json {
        /// The command line.
        command: String,
        /// What is wrong with it.
        why: String,
        /// The output.
        text: String,
    },
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct DiffRequest<'a> {
    /// Objects of the running build: a file or a folder.
    pub old: &'a Path,
    /// Objects of the new build.
    pub new: &'a Path,
    /// The program as it runs.
    pub target: &'a Path,
    /// Its unstripped twin.
    pub debug: Option<&'a Path>,
    /// Name of the patch.
    pub name: &'a str,
    /// Types taken as compatible on the asker's word.
    pub assume: &'a [&'a str],
    /// Where to write the patch.
    pub output: &'a Path,
}

/// What to build a patch from.
#[derive(Clone, Debug)]
pub struct BuildRequest<'a> {
    /// Sources of the running program.
    pub source: &'a Path,
    /// The fix, a patch file for these sources.
    pub fix: &'a Path,
    /// The program as it runs.
    pub running: &'a Path,
    /// Name of the patch.
    pub name: &'a str,
    /// Where to write the patch.
    pub output: &'a Path,
    /// The command that builds, for the shell.
    pub command: &'a str,
}

/// What `liveline diff` said.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// What came of it.
    pub made: Made,
    /// One line a function that is not simply unchanged.
    pub verdicts: Vec<VerdictLine>,
    /// How long the command took, in ms.
    pub command_ms: f64,
}

/// A Debian package and its update.
#[derive(Clone, Copy, Debug)]
pub struct PackageRequest<'a> {
    /// Source package.
    pub source: &'a str,
    /// The version that runs.
    pub old: &'a str,
    /// The newer version.
    pub new: &'a str,
    /// Only this program or library.
    pub program: Option<&'a Path>,
    /// The folder for the patches.
    pub output: &'a Path,
}

/// What came of a Debian package.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Programs and libraries that changed.
    pub programs: Vec<PackageProgram>,
    /// Patches of the source package that only the newer version has.
    pub patches: Vec<String>,
    /// What was said meanwhile.
    #[serde(skip)]
    pub said: String,
}

/// A program or library of a package, and its patch.
#[derive(Clone, Debug, Deserialize)]
pub struct PackageProgram {
    /// Where it lies.
    pub path: PathBuf,
    /// Name of the patch.
    pub name: String,
    /// The patch, if there is one.
    #[serde(default)]
    pub patch: Option<PathBuf>,
    /// Functions that it replaces.
    #[serde(default)]
    pub functions: Vec<String>,
    /// How the rebuilt program was proved to be the stock one.
    pub proof: Option<PackageProof>,
}

/// By what a rebuilt program is known to be the stock one.
#[derive(Clone, Debug, Deserialize)]
pub struct PackageProof {
    /// It has the same build-id.
    pub same_build_id: bool,
}

/// Which processes a command works on.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// These.
    Pids(&'a [u32]),
    /// All that run this program or have this library mapped.
    Exe(&'a Path),
}

impl Selection<'_> {
    fn arguments(self) -> Vec<OsString> {
        match self {
            Selection::Pids(pids) => {
                pids.iter().flat_map(|pid| ["--pid".into(), pid.to_string().into()]).collect()
            }
            Selection::Exe(path) => vec!["--exe".into(), path.into()],
        }
    }
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// The patch was written.
    Patch,
    /// There is nothing to change.
    Nothing,
    /// Some change cannot be carried by a patch, and none was written; the verdicts say why.
    Refused,
}

/// A verdict.
#[derive(Clone, Debug, Serialize)]
pub struct VerdictLine {
    /// Function or data object.
    pub symbol: String,
    /// The verdict, one word.
    pub verdict: String,
    /// Why.
    pub reason: String,
}

/// What `apply` or `revert` did to one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// `applied`, `already`, `refused`, `timeout`, `failed`, `reverted`, …
    pub state: String,
    /// Why, if it was not done.
    #[serde(default)]
    pub reason: Option<String>,
    /// How often the safe point was tried.
    #[serde(default)]
    pub attempts: Option<u64>,
    /// How long the work on the process took, in ms.
    #[serde(default)]
    pub apply_ms: Option<f64>,
    /// The longest that any thread was held, in µs.
    #[serde(default)]
    pub longest_stop_us: Option<f64>,
    /// How long the whole command took, in ms, seen from outside.
    #[serde(default)]
    pub command_ms: f64,
}

impl Tool {
    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The program at `program`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Tool { program: program.into() }
    }

    /// Makes a patch from two builds.
    ///
    /// # Errors
    /// [`ToolError`] if the command fails; that there is no change, or a refusal with verdicts, is no failure.
    pub fn diff(&self, request: &DiffRequest<'_>) -> Result<Diff, ToolError> {
        let mut arguments: Vec<OsString> = vec!["diff".into()];
        let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        option("--old", request.old.into());
        option("--new", request.new.into());
        option("--target", request.target.into());
        if let Some(debug) = request.debug {
            option("--debug", debug.into());
        }
        option("--name", request.name.into());
        for name in request.assume {
            option("--assume", name.into());
        }
        option("-o", request.output.into());
        arguments.push("--json".into());
        self.made(&arguments)
    }

    /// Makes a patch from sources and a fix.
    ///
    /// # Errors
    /// As [`Tool::diff`].
    pub fn build(&self, request: &BuildRequest<'_>) -> Result<Diff, ToolError> {
        let mut arguments: Vec<OsString> = vec!["build".into()];
        let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        option("--source", request.source.into());
        option("--fix", request.fix.into());
        option("--running", request.running.into());
        option("--name", request.name.into());
        option("-o", request.output.into());
        arguments.extend(["--json".into(), "--".into(), "sh".into(), "-c".into(), request.command.into()]);
        self.made(&arguments)
    }

    fn made(&self, arguments: &[OsString]) -> Result<Diff, ToolError> {
        let ran = self.run(arguments)?;
        let made = match ran.code {
            Some(0) => Made::Patch,
            Some(NO_CHANGE) => Made::Nothing,
            // A refusal before there are verdicts (wrong build, unreadable file) is a failure in words.
            Some(REFUSED) if ran.json().is_ok() => Made::Refused,
            _ => return Err(ran.failed()),
        };
        let value = ran.json()?;
        let verdicts = value.get("verdicts").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Diff { made, verdicts: verdicts.iter().map(verdict_line).collect(), command_ms: ran.took_ms })
    }

    /// Makes the patches of a Debian package's update.
    ///
    /// # Errors
    /// [`ToolError`] if the command fails; that no program changed, or one was refused, is no failure.
    pub fn package(&self, request: &PackageRequest<'_>) -> Result<(Made, Package), ToolError> {
        let mut arguments: Vec<OsString> = vec!["build".into(), "--debian".into()];
        arguments.extend([request.source, request.old, request.new].map(OsString::from));
        if let Some(program) = request.program {
            arguments.extend(["--program".into(), program.into()]);
        }
        arguments.extend(["-o".into(), request.output.into(), "--json".into()]);
        let ran = self.run(&arguments)?;
        let made = match ran.code {
            Some(0) => Made::Patch,
            Some(NO_CHANGE) => Made::Nothing,
            Some(REFUSED) if ran.json().is_ok() => Made::Refused,
            _ => return Err(ran.failed()),
        };
        let package: Package =
            serde_json::from_value(ran.json()?).map_err(|error| ran.unexpected(&error.to_string()))?;
        Ok((made, Package { said: ran.err, ..package }))
    }

    /// Installs a patch in one process.
    ///
    /// # Errors
    /// As [`Tool::apply_to`].
    pub fn apply(&self, patch: &Path, pid: u32) -> Result<Outcome, ToolError> {
        only(self.apply_to(patch, Selection::Pids(&[pid]))?)
    }

    /// Takes a patch out of one process.
    ///
    /// # Errors
    /// As [`Tool::apply_to`].
    pub fn revert(&self, name: &str, pid: u32) -> Result<Outcome, ToolError> {
        only(self.revert_from(name, Selection::Pids(&[pid]))?)
    }

    /// Installs a patch in processes.
    ///
    /// # Errors
    /// [`ToolError`] if the command could not run or says nothing of any process. What became of the
    /// patch is in [`Outcome::state`].
    pub fn apply_to(&self, patch: &Path, selection: Selection<'_>) -> Result<Vec<Outcome>, ToolError> {
        self.outcomes(&["apply".into(), patch.into()], selection)
    }

    /// Takes a patch out of processes.
    ///
    /// # Errors
    /// As [`Tool::apply_to`].
    pub fn revert_from(&self, name: &str, selection: Selection<'_>) -> Result<Vec<Outcome>, ToolError> {
        self.outcomes(&["revert".into(), name.into()], selection)
    }

    fn outcomes(&self, command: &[OsString], selection: Selection<'_>) -> Result<Vec<Outcome>, ToolError> {
        let mut arguments = command.to_vec();
        arguments.extend(selection.arguments());
        arguments.push("--json".into());
        let ran = self.run(&arguments)?;
        let value = match ran.json() {
            Ok(value) => value,
            Err(_) if ran.code != Some(0) => return Err(ran.failed()),
            Err(error) => return Err(error),
        };
        let mut outcomes: Vec<Outcome> =
            serde_json::from_value(value).map_err(|e| ran.unexpected(&e.to_string()))?;
        if outcomes.is_empty() {
            return Err(ran.unexpected("a list with a process was expected"));
        }
        for outcome in &mut outcomes {
            outcome.command_ms = ran.took_ms;
        }
        Ok(outcomes)
    }

    fn run(&self, arguments: &[OsString]) -> Result<Ran, ToolError> {
        let began = Instant::now();
        let output = Command::new(&self.program)
            .args(arguments)
            .output()
            .map_err(|error| ToolError::Start { program: self.program.display().to_string(), error })?;
        let words: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
        Ok(Ran {
            command: format!("liveline {}", words.join(" ")),
            code: output.status.code(),
            status: output.status.to_string(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            took_ms: began.elapsed().as_secs_f64() * 1000.0,
        })
    }
}

impl Diff {
    /// The changes that no patch can carry, a line each.
    pub fn refused(&self) -> Vec<String> {
        let refused = self.verdicts.iter().filter(|v| v.verdict == "refused");
        refused.map(|v| format!("{}: {}", v.symbol, v.reason)).collect()
    }
}

impl Outcome {
    /// The state as a short line for people, with its times.
    pub fn line(&self) -> String {
        let mut line = self.state.clone();
        if let Some(reason) = self.reason.as_deref().filter(|r| !r.is_empty()) {
            line += &format!(": {reason}");
        }
        if let Some(stop) = self.longest_stop_us {
            line += &format!(", longest stop of a thread {stop:.0} µs");
        }
        if let Some(ms) = self.apply_ms {
            line += &format!(", {ms:.1} ms in all");
        }
        line
    }
}

/// The outcome of a command for one process.
fn only(outcomes: Vec<Outcome>) -> Result<Outcome, ToolError> {
    let count = outcomes.len();
    let mut outcomes = outcomes.into_iter();
    match (outcomes.next(), count) {
        (Some(outcome), 1) => Ok(outcome),
        _ => Err(ToolError::Json {
            command: "liveline".into(),
            why: format!("one process was asked for, {count} answered"),
            text: String::new(),
        }),
    }
}

fn verdict_line(value: &Value) -> VerdictLine {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    VerdictLine { symbol: text("symbol"), verdict: text("verdict"), reason: text("reason") }
}

struct Ran {
    command: String,
    code: Option<i32>,
    status: String,
    out: String,
    err: String,
    took_ms: f64,
}

impl Ran {
    fn failed(&self) -> ToolError {
        ToolError::Failed {
            command: self.command.clone(),
            status: self.status.clone(),
            words: self.error().unwrap_or_else(|| format!("{}{}", self.err, self.out).trim().to_string()),
        }
    }

    /// What it says of a failure, in the place of a result.
    fn error(&self) -> Option<String> {
        let value: Value = serde_json::from_str(&self.out).ok()?;
        let text = |name: &str| value.get("error")?.get(name)?.as_str();
        let hint = text("hint").map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        Some(format!("{}{hint}", text("message")?))
    }

    /// Its result.
    fn json(&self) -> Result<Value, ToolError> {
        if self.error().is_some() {
            return Err(self.failed());
        }
        serde_json::from_str(&self.out).map_err(|e| self.unexpected(&e.to_string()))
    }

    fn unexpected(&self, why: &str) -> ToolError {
        ToolError::Json { command: self.command.clone(), why: why.to_string(), text: self.out.clone() }
    }
}
