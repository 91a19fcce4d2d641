//! What came of an operation on one process, as `--json` shows it.

use serde::Serialize;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The patch is in.
    Applied,
    /// The patch was in already.
    Already,
    /// The patch is out.
    Reverted,
    /// What a killed patcher left was completed or taken back.
    Recovered,
    /// Nothing had to be done.
    Clean,
    /// It could be done: a dry run found no objection.
    Possible,
    /// Not done, for a reason that stays: nothing was changed.
    Refused,
    /// No safe point came in time: nothing was changed.
    Timeout,
    /// Something went wrong: nothing was changed.
    Failed,
}

/// The result for one process.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Process id.
    pub pid: i32,
    /// Name of the program.
    pub program: String,
    /// Name of the patch; empty for an operation on all of them.
    pub patch: String,
    /// How it ended.
    pub state: State,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// Functions replaced or given back.
    pub functions: Vec<String>,
    /// How often all threads were looked at for a safe point.
    pub attempts: u32,
    /// Milliseconds from the first look at the process to the end.
    pub apply_ms: f64,
    /// Microseconds: the longest that any thread was held, at a stretch.
    pub longest_stop_us: f64,
    /// Threads that stood in the way, last look.
    pub blockers: Vec<Blocker>,
}

/// A thread inside code that is to be switched, or one that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// Thread id.
    pub tid: i32,
    /// Its name.
    pub thread: String,
    /// The function it is inside, or what cannot be judged.
    pub function: String,
    /// Its stack, innermost frame first.
    pub backtrace: Vec<String>,
}

impl Outcome {
    pub(crate) fn new(pid: i32, program: String, patch: &str) -> Outcome {
        Outcome {
            pid,
            program,
            patch: patch.to_owned(),
            state: State::Failed,
            reason: None,
            functions: Vec::new(),
            attempts: 0,
            apply_ms: 0.0,
            longest_stop_us: 0.0,
            blockers: Vec::new(),
        }
    }
}

/// Why an operation on a process was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// A reason that stays.
    #[error("{0}")]
    Refused(String),
    /// Something went wrong.
    #[error("{0}")]
    Failed(String),
    /// No safe point in time.
    #[error("{0}")]
    Timeout(String),
}

impl Problem {
    pub(crate) fn state(&self) -> State {
        match self {
            Problem::Refused(_) => State::Refused,
            Problem::Failed(_) => State::Failed,
            Problem::Timeout(_) => State::Timeout,
        }
    }
}
