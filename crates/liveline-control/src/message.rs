//! The messages.

use serde::{Deserialize, Serialize};

/// The version of this protocol. Both sides must have the same.
pub const VERSION: u32 = 1;

/// The largest module file.
pub const LARGEST: u64 = 2 << 30;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is to be done.
    pub command: Command,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Tell modules and classes. Answered by a [`Status`].
    Status,
    /// Tell what was done. Answered by a list of [`Entry`].
    Log,
    /// Load a module. Its bytes follow the request. Answered by an [`Outcome`].
    Apply(Apply),
    /// Go back to the code before a module. Answered by an [`Outcome`].
    Revert {
        /// The module.
        name: String,
        /// Only say whether it could be done.
        dry_run: bool,
        /// How long to wait for calls to leave an object.
        timeout_ms: u64,
    },
}

/// How a module is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apply {
    /// How many bytes follow.
    pub size: u64,
    /// Only say whether it could be done: nothing of the module runs.
    pub dry_run: bool,
    /// Classes get the next version numbers, whatever the module's sources say.
    pub renumber: bool,
    /// How long to wait for calls to leave an object.
    pub timeout_ms: u64,
}

/// The answer to every request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Command::Status`].
    Status(Status),
    /// To [`Command::Log`].
    Log(Vec<Entry>),
    /// To [`Command::Apply`] and [`Command::Revert`].
    Outcome(Outcome),
    /// The request was not understood, or is not allowed.
    Denied(String),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The module is in.
    Applied,
    /// It is out.
    Reverted,
    /// It was in.
    Already,
    /// It could be done.
    Possible,
    /// Nothing was to be done.
    Clean,
    /// It may not be done.
    Refused,
    /// Calls did not leave an object in time, or other changes were not done.
    Timeout,
    /// Something else failed.
    Failed,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub state: State,
    /// The module, where it said its name.
    pub module: String,
    /// Why it was not done, each reason by itself.
    pub reasons: Vec<String>,
    /// What became of the classes.
    pub classes: Vec<Updated>,
    /// Crates of the module that the program has from an earlier one, with other contents under one name: built under
    /// another, they would fit.
    #[serde(default)]
    pub clashes: Vec<String>,
    /// How long it took.
    pub microseconds: u64,
}

/// What became of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// The class.
    pub name: String,
    /// Its version now.
    pub version: u32,
    /// How many instances were replaced.
    pub converted: usize,
    /// Whether it is new.
    pub new: bool,
}

/// What is in a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its modules, in the order in which they came.
    pub modules: Vec<Module>,
    /// Its classes, by name.
    pub classes: Vec<Class>,
}

/// A module in a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// `loading`; `active`; `reverting`; `reverted`; `replaced`: newer modules brought all its classes; `failed`: its
    /// code is loaded, but nothing came of it.
    pub state: String,
    /// Its classes, as they came.
    pub classes: Vec<Updated>,
}

/// A class of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Its version.
    pub version: u32,
    /// How many instances it has.
    pub instances: usize,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it began, in milliseconds since 1970.
    pub time_ms: u64,
    /// `apply` or `revert`.
    pub action: String,
    /// The user that asked.
    pub user: u32,
    /// The process that asked.
    pub process: i32,
    /// What became of it.
    pub outcome: Outcome,
}
