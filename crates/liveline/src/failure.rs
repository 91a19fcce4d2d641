//! Exit codes, and errors with what a person can do next.

use std::fmt;

/// What the exit code means. 2, a wrong command line, is clap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Done.
    Done = 0,
    /// Failed; the target is unchanged.
    Failed = 1,
    /// There was nothing to do.
    Nothing = 3,
    /// Refused, with the reason.
    Refused = 4,
    /// No safe point came in time; the target is unchanged.
    NoSafePoint = 5,
}

/// The end of a command that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure { code: Code::Failed, message: message.into(), hint: None }
    }

    pub(crate) fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(path: &std::path::Path, error: impl fmt::Display) -> Failure {
        Failure::failed(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// The result of a command: what its exit code is to be, or why it failed.
pub(crate) type Result = std::result::Result<Code, Failure>;
