//! The rows as a table: on the screen, and as docs/bench/coverage.md.

use std::collections::BTreeMap;

use super::recipe::Recipe;
use super::row::{Outcome, Row};
use crate::bench::page::Page;
use crate::shell::{Result, Tried};

/// The goal, in percent of the commits that change code.
const GOAL: f64 = 90.0;

/// Prints the table and writes the page.
pub(super) fn publish(recipe: &Recipe, rows: &[Row], listed: usize, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows).tried("write JSON")?);
    }
    let count = |outcome: Outcome| rows.iter().filter(|row| row.outcome == outcome).count();
    let mut totals = BTreeMap::new();
    for row in rows {
        *totals.entry(row.outcome).or_insert(0usize) += 1;
    }
    let totals: Vec<_> = totals.iter().map(|(outcome, n)| format!("{n} {}", outcome.words())).collect();
    let code = rows.len() - count(Outcome::Nothing) - count(Outcome::Unbuilt);
    let percent = 100.0 * count(Outcome::Applied) as f64 / code.max(1) as f64;
    let requests: usize = rows.iter().map(|row| row.requests).sum();
    let met = percent >= GOAL && count(Outcome::Crash) + count(Outcome::Wrong) == 0 && rows.len() == listed;
    let mut verdict = format!(
        "{} of {listed} commits were run: {}. {requests} requests of the load, with the answers checked.\n\n\
         Applied with no hand-written line: {} of {code} commits that change code, {percent:.0} %. Goal: {GOAL} % of all \
         listed commits, no crash, no wrong answer; {}.\n",
        rows.len(),
        totals.join(", "),
        count(Outcome::Applied),
        if met { "met" } else { "not met" }
    );
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.outcome == Outcome::Refused) {
        let mut kinds: Vec<_> = row.reasons.iter().map(|reason| kind(reason)).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            reasons.entry(kind).or_default().push(short(&row.commit));
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, commits)| std::cmp::Reverse(commits.len()));
    if !reasons.is_empty() {
        verdict += "\nRefusals by reason (a commit may have several):\n\n";
    }
    for (reason, commits) in &reasons {
        verdict += &format!("- {}: {reason} ({})\n", commits.len(), commits.join(", "));
    }
    Page {
        quiet: String::new(),
        name: "coverage",
        title: &format!("Coverage of {}'s history", recipe.name),
        method: "Each commit of the list and its parent are built (-O2 and what a patch needs), `liveline diff` makes a patch from the \
                 objects, the parent's program is started and loaded by clients that know each answer, the patch is applied, \
                 the load goes on, the patch is reverted, the load goes on. Nobody writes a line for any commit.",
        head: vec!["commit", "subject", "result", "functions", "longest stop", "why"],
        rows: rows.iter().map(cells).collect(),
        verdict,
    }
    .publish(json)
}

fn short(commit: &str) -> &str {
    &commit[..commit.len().min(9)]
}

fn cells(row: &Row) -> Vec<String> {
    let first = row.reasons.first().and_then(|reason| reason.lines().next()).unwrap_or_default();
    let mut why: String = first.chars().take(200).collect();
    if row.reasons.len() > 1 {
        why += &format!(" (and {} more)", row.reasons.len() - 1);
    }
    let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let stop =
        if row.longest_stop_us > 0.0 { format!("{:.0} µs", row.longest_stop_us) } else { String::new() };
    vec![
        short(&row.commit).to_string(),
        row.subject.replace('|', "\\|"),
        row.outcome.words().to_string(),
        number(row.changed),
        stop,
        why.replace('|', "\\|"),
    ]
}

/// A reason without the names in it.
fn kind(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    line.split_once(": ").map_or(line, |(_, rest)| rest).chars().take(90).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn reasons_are_grouped_without_the_name_in_front() {
        assert_eq!(
            super::kind("server: the size of a variable changed\nmore"),
            "the size of a variable changed"
        );
        assert_eq!(super::kind("no name"), "no name");
    }
}
