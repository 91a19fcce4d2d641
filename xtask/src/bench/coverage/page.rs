//! The rows as a table: on the screen, and as docs/bench/coverage.md.

use std::collections::BTreeMap;

use super::row::{Outcome, Row};
use crate::bench::page::Page;
use crate::shell::{Failure, Result, Tried};

/// The goal, in percent of the commits that change code.
const GOAL: f64 = 90.0;

/// What a page says beside its rows.
pub(super) struct Sheet {
    pub(super) name: &'static str,
    pub(super) command: &'static str,
    pub(super) title: String,
    pub(super) method: &'static str,
    /// What a row is, in the plural.
    pub(super) things: &'static str,
    /// What others reach.
    pub(super) others: &'static str,
}

impl Sheet {
    /// Prints the table and writes the page; `apart` are rows that do not count.
    pub(super) fn publish(&self, rows: &[Row], apart: &[Row], listed: usize, json: bool) -> Result<()> {
        if json {
            let all: Vec<_> = rows.iter().chain(apart).collect();
            println!("{}", serde_json::to_string_pretty(&all).tried("write JSON")?);
        }
        Page {
            quiet: String::new(),
            name: self.name,
            command: self.command,
            title: &self.title,
            method: self.method,
            head: vec!["of", "subject", "result", "functions", "kept", "tests", "longest stop", "why"],
            rows: rows.iter().chain(apart).map(cells).collect(),
            verdict: Sums::of(rows).words(self, listed) + &refusals(rows),
        }
        .publish(json)?;
        let bad: Vec<_> =
            rows.iter().chain(apart).filter(|row| row.outcome.is_bad()).map(Row::line).collect();
        if bad.is_empty() { Ok(()) } else { Err(Failure(bad.join("\n"))) }
    }
}

/// The rows counted.
struct Sums {
    rows: usize,
    by_outcome: BTreeMap<Outcome, usize>,
    requests: usize,
    kept: usize,
    layout: usize,
    tested: usize,
    tests: usize,
    tests_before: usize,
}

impl Sums {
    fn of(rows: &[Row]) -> Self {
        let mut by_outcome = BTreeMap::new();
        for row in rows {
            *by_outcome.entry(row.outcome).or_insert(0) += 1;
        }
        let tests = || rows.iter().filter_map(|row| row.tests.as_ref());
        Sums {
            rows: rows.len(),
            by_outcome,
            requests: rows.iter().map(|row| row.requests).sum(),
            kept: rows.iter().filter(|row| row.outcome == Outcome::Applied && !row.kept.is_empty()).count(),
            layout: rows.iter().filter(|row| row.is_layout()).count(),
            tested: tests().count(),
            tests: tests().map(|tests| tests.ran.len()).sum(),
            tests_before: tests().map(|tests| tests.failed_before.len()).sum(),
        }
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.by_outcome.get(&outcome).copied().unwrap_or(0)
    }

    /// Commits that change code of the program.
    fn code(&self) -> usize {
        let code = [Outcome::Applied, Outcome::InPart, Outcome::Refused, Outcome::Crash, Outcome::Wrong];
        code.into_iter().map(|outcome| self.count(outcome)).sum()
    }

    fn words(&self, sheet: &Sheet, listed: usize) -> String {
        let Sheet { things, others, .. } = sheet;
        let (applied, code) = (self.count(Outcome::Applied), self.code());
        let percent = |of: usize| 100.0 * applied as f64 / of.max(1) as f64;
        let bad = self.count(Outcome::Crash) + self.count(Outcome::Wrong);
        let met = percent(code) >= GOAL && bad == 0 && self.rows == listed;
        let each: Vec<_> =
            self.by_outcome.iter().map(|(outcome, n)| format!("{n} {}", outcome.words())).collect();
        let mut text = format!("{} of {listed} {things} were run: {}. ", self.rows, each.join(", "));
        text += &format!("{} requests of the load, all answers checked", self.requests);
        if self.tested > 0 {
            text += &format!(
                "; {} tests of {} {things} run in patched programs, {} of them fail without the patch",
                self.tests, self.tested, self.tests_before
            );
        }
        text += &format!(
            ".\n\n**Applied with no hand-written line: {applied} of {code} {things} that change code, {:.1} %**",
            percent(code)
        );
        if self.kept > 0 {
            let kept = self.kept;
            text +=
                &format!(" (in {kept} of them data keep first values that the new sources give another way)");
        }
        text += &format!(
            ". Without the {} refused because live data, or parameters that old code may pass, are laid out in another way: \
             {applied} of {}, {:.1} %. Goal: {GOAL} %, no crash, no wrong result; {}. {others}\n",
            self.layout,
            code - self.layout,
            percent(code - self.layout),
            if met { "met" } else { "not met" },
        );
        text
    }
}

/// The reasons of refusals, each with its commits.
fn refusals(rows: &[Row]) -> String {
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.outcome == Outcome::Refused) {
        let mut kinds: Vec<_> = row.reasons.iter().map(|reason| kind(reason)).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            reasons.entry(kind).or_default().push(row.short());
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, commits)| std::cmp::Reverse(commits.len()));
    let mut text = String::new();
    if !reasons.is_empty() {
        text += "\nRefusals by reason (there may be several):\n\n";
    }
    for (reason, commits) in &reasons {
        text += &format!("- {}: {reason} ({})\n", commits.len(), commits.join(", "));
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let first = row.reasons.first().and_then(|reason| reason.lines().next()).unwrap_or_default();
    let mut why: String = first.chars().take(200).collect();
    if row.reasons.len() > 1 {
        why += &format!(" (and {} more)", row.reasons.len() - 1);
    }
    let tests = row.tests.as_ref().map_or(String::new(), |t| {
        format!(
            "{} of {}, {} before",
            t.ran.len() - t.failed.len(),
            t.ran.len(),
            t.ran.len() - t.failed_before.len()
        )
    });
    let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let stop =
        if row.longest_stop_us > 0.0 { format!("{:.0} µs", row.longest_stop_us) } else { String::new() };
    vec![
        row.short().to_string(),
        row.subject.replace('|', "\\|"),
        row.outcome.words().to_string(),
        number(row.changed),
        number(row.kept.len()),
        tests,
        stop,
        why.replace('|', "\\|"),
    ]
}

/// A reason without the names in it.
fn kind(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    let rest = line.split_once(": ").map_or(line, |(_, rest)| rest);
    rest.split([':', ';']).next().unwrap_or(rest).chars().take(90).collect()
}

#[cfg(test)]
mod tests {
    use super::{Sheet, Sums};
    use crate::bench::coverage::row::{Outcome, Row};

    #[test]
    fn commits_that_change_no_code_do_not_count() {
        let row = |outcome, reason: &str| Row::new("c", "s").with(outcome, vec![reason.into()]);
        let rows = [
            row(Outcome::Applied, ""),
            row(Outcome::Refused, "struct s: its layout changed: n is new"),
            row(Outcome::Refused, "f: it is too short"),
            row(Outcome::Nothing, ""),
            row(Outcome::DataOnly, ""),
            row(Outcome::Unbuilt, ""),
            row(Outcome::Wrong, ""),
        ];
        let sums = Sums::of(&rows);
        assert_eq!((sums.code(), sums.layout), (4, 1));
        let sheet = Sheet {
            name: "n",
            command: "n",
            title: String::new(),
            method: "",
            things: "commits",
            others: "",
        };
        let words = sums.words(&sheet, 7);
        assert!(words.contains("1 of 4 commits that change code, 25.0 %"), "{words}");
        assert!(words.contains("1 of 3, 33.3 %") && words.contains("not met"), "{words}");
    }

    #[test]
    fn reasons_are_grouped_without_the_name_in_front() {
        assert_eq!(
            super::kind("server: the size of a variable changed: it was 3; keep it\nmore"),
            "the size of a variable changed"
        );
        assert_eq!(super::kind("no name"), "no name");
    }
}
