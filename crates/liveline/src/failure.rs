//! Exit codes, and errors with what a person can do next.

use std::ffi::OsStr;
use std::fmt;

use liveline_elf::demangle;
use serde_json::json;

use crate::print;

/// What the exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Done.
    Done = 0,
    /// Failed; the target is unchanged.
    Failed = 1,
    /// The command line asks for what cannot be: nothing was begun.
    Usage = 2,
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
    hint: Option<String>,
    /// clap's own words, coloured on a terminal.
    line: Option<Box<clap::Error>>,
}

impl Failure {
    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure::new(Code::Failed, message)
    }

    pub(crate) fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None, line: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// A wrong command line, in clap's words.
    pub(crate) fn usage(error: clap::Error) -> Failure {
        let words = error.render().to_string();
        let words = words.strip_prefix("error: ").unwrap_or(&words);
        let (message, hint) = words.split_once("\n\n").unwrap_or((words, ""));
        let hint = Some(hint.trim_end().to_owned()).filter(|hint| !hint.is_empty());
        Failure { code: Code::Usage, message: message.trim_end().to_owned(), hint, line: Some(error.into()) }
    }

    /// Says it: on standard error, or as JSON where results come as JSON.
    pub(crate) fn tell(&self, as_json: bool) {
        let message = demangle::text(&self.message);
        if as_json {
            let error = json!({ "message": message, "hint": self.hint, "exit": self.code as u8 });
            let said = print::json(&json!({ "error": error })).and_then(|()| print::finish());
            if said.is_ok() {
                return;
            }
        }
        match &self.line {
            Some(line) => drop(line.print()),
            None => {
                eprintln!("error: {message}");
                if let Some(hint) = &self.hint {
                    eprintln!("hint: {hint}");
                }
            }
        }
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

/// Whether a command line asks for JSON, be it a right one or not. What stands behind `--` is another program's.
pub(crate) fn wants_json(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> bool {
    words.into_iter().take_while(|word| word.as_ref() != "--").any(|word| word.as_ref() == "--json")
}

/// The result of a command: what its exit code is to be, or why it failed.
pub(crate) type Result = std::result::Result<Code, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_build_ask_for_nothing() {
        assert!(wants_json(["liveline", "diff", "--json"]));
        assert!(!wants_json(["liveline", "build", "--", "make", "--json"]));
    }
}
