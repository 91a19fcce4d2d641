//! What a person sees while it runs.

use std::io::Write;

/// Where progress goes: standard output for a person, standard error when the output is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    to_stderr: bool,
}

impl Words {
    /// Progress for a run whose standard output is JSON (`json`) or for people.
    pub fn new(json: bool) -> Self {
        Words { to_stderr: json }
    }

    /// Opens a step: its heading on a line.
    pub fn step(&self, text: &str) {
        self.write(&format!("\n{text}\n"));
    }

    /// One line within a step.
    pub fn line(&self, text: &str) {
        self.write(&format!("  {text}\n"));
    }

    /// A multi-line text within a step, indented once more.
    pub fn block(&self, text: &str) {
        for line in text.lines() {
            self.write(&format!("    {line}\n"));
        }
    }

    fn write(&self, text: &str) {
        // A closed pipe must not stop a run half-way through an update.
        let _ = if self.to_stderr {
            std::io::stderr().write_all(text.as_bytes())
        } else {
            let mut out = std::io::stdout();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
    }
}
