//! What became of each commit, kept in a file so that a run can end and go on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use liveline_demo::tool::{Diff, Made};
use serde::{Deserialize, Serialize};

use super::suite::Tests;
use crate::shell::{Result, Tried};

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// Applied under load, reverted, every answer right.
    Applied,
    /// Applied and reverted so, but the commit also changes first values of live data, which are reported and not applied,
    /// and without them its own tests do not pass.
    InPart,
    /// No patch was made, or it was not taken.
    Refused,
    /// No code of the program changes, but values that its data begins with, which a running program keeps.
    DataOnly,
    /// Nothing of the program changes.
    Nothing,
    /// The program died.
    Crash,
    /// An answer was wrong, or the revert was not done.
    Wrong,
    /// A side does not build here.
    Unbuilt,
}

impl Outcome {
    /// Whether it must never come to this.
    pub(super) fn is_bad(self) -> bool {
        matches!(self, Outcome::Crash | Outcome::Wrong)
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::InPart => "in part",
            Outcome::Refused => "refused",
            Outcome::DataOnly => "initial values",
            Outcome::Nothing => "nothing to do",
            Outcome::Crash => "CRASH",
            Outcome::Wrong => "WRONG",
            Outcome::Unbuilt => "does not build",
        }
    }
}

/// Reasons shown on the screen.
const SHOWN: usize = 3;

/// A commit's row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) commit: String,
    pub(super) subject: String,
    pub(super) outcome: Outcome,
    /// Why, if it was not applied.
    pub(super) reasons: Vec<String>,
    /// Data whose initial value the commit changes: the running program keeps what it has.
    #[serde(default)]
    pub(super) kept: Vec<String>,
    /// The commit's own tests, in the patched program.
    #[serde(default)]
    pub(super) tests: Option<Tests>,
    /// Functions that the patch replaces or brings.
    pub(super) changed: usize,
    pub(super) diff_ms: f64,
    pub(super) apply_ms: f64,
    pub(super) longest_stop_us: f64,
    /// Requests of the load, all with the right answer unless the outcome says otherwise.
    pub(super) requests: usize,
}

impl Row {
    pub(super) fn new(commit: &str, subject: &str) -> Self {
        Row {
            commit: commit.into(),
            subject: subject.into(),
            outcome: Outcome::Nothing,
            reasons: Vec::new(),
            kept: Vec::new(),
            tests: None,
            changed: 0,
            diff_ms: 0.0,
            apply_ms: 0.0,
            longest_stop_us: 0.0,
            requests: 0,
        }
    }

    /// With what the comparison said.
    pub(super) fn compared(mut self, diff: &Diff) -> Self {
        let of = |kinds: &[&str]| -> Vec<String> {
            let verdicts = diff.verdicts.iter().filter(|v| kinds.contains(&v.verdict.as_str()));
            verdicts.map(|v| v.symbol.clone()).collect()
        };
        self.kept = of(&["data-value"]);
        self.changed = of(&["changed", "pulled-in", "new"]).len();
        self.diff_ms = diff.command_ms;
        match diff.made {
            Made::Nothing if self.kept.is_empty() => self.with(Outcome::Nothing, Vec::new()),
            Made::Nothing => self.with(Outcome::DataOnly, Vec::new()),
            Made::Refused => self.with(Outcome::Refused, diff.refused()),
            Made::Patch => self,
        }
    }

    pub(super) fn with(mut self, outcome: Outcome, reasons: Vec<String>) -> Self {
        self.outcome = outcome;
        self.reasons = reasons;
        self
    }

    /// With what the commit's own tests said, if any of them can run here. A test that the commit's own build passes
    /// and the patched program does not is a wrong result, unless the parent does not pass it either and the patch said
    /// that it leaves values of live data as they are.
    pub(super) fn tested(mut self, tests: Tests) -> Self {
        if !tests.failed.is_empty() {
            let as_before = tests.failed.iter().all(|name| tests.failed_before.contains(name));
            let said = as_before && !self.kept.is_empty();
            self.outcome = if said { Outcome::InPart } else { Outcome::Wrong };
            self.reasons = tests.failed.iter().map(|name| format!("the test fails: {name}")).collect();
        }
        self.tests = (!tests.ran.is_empty()).then_some(tests);
        self
    }

    /// Whether it was refused because objects, variables or parameters are laid out in another way.
    pub(super) fn is_layout(&self) -> bool {
        const LAYOUT: [&str; 4] = [
            "its layout changed",
            "the layout of live data changed",
            "the type of live data changed",
            "its signature changed",
        ];
        self.outcome == Outcome::Refused && self.reasons.iter().any(|r| LAYOUT.iter().any(|l| r.contains(l)))
    }

    /// What it is of, no longer than it must be.
    pub(super) fn short(&self) -> &str {
        let hash = self.commit.len() == 40 && self.commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hash { &self.commit[..9] } else { &self.commit }
    }

    /// For the screen.
    pub(super) fn line(&self) -> String {
        let mut line = format!("{} {:<14} {}", self.short(), self.outcome.words(), self.subject);
        if let Some(tests) = &self.tests {
            line += &format!("\n      tests: {}", tests.words());
        }
        for reason in self.reasons.iter().take(SHOWN) {
            line += &format!("\n      {}", reason.lines().next().unwrap_or_default());
        }
        if self.reasons.len() > SHOWN {
            line += &format!("\n      and {} more", self.reasons.len() - SHOWN);
        }
        line
    }
}

/// All rows so far.
pub(super) struct Rows {
    file: File,
    rows: Vec<Row>,
}

impl Rows {
    /// The rows of a file, if they are to be kept.
    pub(super) fn open(path: &Path, keep: bool) -> Result<Self> {
        let text = if keep { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
        // A line that was cut off by the end of a run is no row.
        let rows: Vec<Row> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(path)
            .tried(format!("write {}", path.display()))?;
        for row in &rows {
            write(&mut file, row)?;
        }
        Ok(Rows { file, rows })
    }

    pub(super) fn has(&self, commit: &str) -> bool {
        self.rows.iter().any(|row| row.commit == commit)
    }

    pub(super) fn add(&mut self, row: Row) -> Result<()> {
        write(&mut self.file, &row)?;
        self.rows.push(row);
        Ok(())
    }

    /// The rows of these commits, in their order.
    pub(super) fn of(&self, commits: &[String]) -> Vec<Row> {
        commits
            .iter()
            .filter_map(|commit| self.rows.iter().find(|row| row.commit == *commit))
            .cloned()
            .collect()
    }
}

fn write(file: &mut File, row: &Row) -> Result<()> {
    let line = serde_json::to_string(row).tried("write a row")?;
    writeln!(file, "{line}").tried("write a row")
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Row, Rows, Tests};
    use std::io::Write;

    #[test]
    fn a_test_that_fails_is_a_wrong_result_unless_the_patch_said_so() {
        let judged = |kept: &[&str], before: &[&str]| {
            let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
            let mut row = Row::new("c", "s").with(Outcome::Applied, vec![]);
            row.kept = names(kept);
            let tests =
                Tests { ran: names(&["t", "u"]), failed: names(&["t"]), failed_before: names(before) };
            row.tested(tests).outcome
        };
        assert_eq!(judged(&[], &["t"]), Outcome::Wrong);
        assert_eq!(judged(&["table"], &["u"]), Outcome::Wrong, "the patch broke it");
        assert_eq!(judged(&["table"], &["t"]), Outcome::InPart);
    }

    #[test]
    fn a_run_goes_on_behind_a_row_that_was_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows");
        let mut rows = Rows::open(&path, true).expect("opened");
        rows.add(Row::new("a", "one").with(Outcome::Applied, vec![])).expect("added");
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("opened");
        write!(file, "{{\"commit\":\"b\",").expect("written");
        let mut rows = Rows::open(&path, true).expect("opened");
        assert!(rows.has("a") && !rows.has("b"));
        rows.add(Row::new("b", "two").with(Outcome::Refused, vec!["why".into()])).expect("added");
        let rows = Rows::open(&path, true).expect("opened").of(&["b".into(), "a".into()]);
        assert_eq!(rows.iter().map(|r| r.outcome).collect::<Vec<_>>(), [Outcome::Refused, Outcome::Applied]);
        assert!(!Rows::open(&path, false).expect("opened").has("a"));
    }
}
