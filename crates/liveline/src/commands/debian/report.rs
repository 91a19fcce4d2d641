//! What came of an update of a package, for a person who has to sign it.

use std::path::PathBuf;

use liveline_build::debian::{Beyond, Proof};
use liveline_patch::VerdictKind;
use serde_json::json;

use super::Outcome;
use crate::commands::diff;
use crate::failure::Code;
use crate::print;

/// How many files of one kind are named one by one.
const NAMED: usize = 12;

/// The result of one program as JSON.
pub(super) fn value(outcome: &Outcome) -> serde_json::Value {
    let mut value = outcome.delivered.value.clone();
    let program = &outcome.program;
    let more = json!({
        "package": program.package,
        "path": program.path,
        "links": program.links,
        "proof": program.proof,
    });
    if let (Some(value), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

/// All programs in one table, then each with its proof and its verdicts.
pub(super) fn show(results: &[Outcome]) {
    if results.is_empty() {
        print::line("nothing to do: the programs and libraries load the same bytes in both versions");
        return;
    }
    let mut table = print::table(&["program", "rebuilt", "replaced", "new", "refused", "patch"]);
    for outcome in results {
        let of = |kinds: &[VerdictKind]| {
            let report = outcome.program.report.as_ref();
            let verdicts = report.map_or(&[][..], |report| &report.verdicts);
            verdicts.iter().filter(|verdict| kinds.contains(&verdict.verdict)).count().to_string()
        };
        let patch = match outcome.delivered.code {
            Code::Done => outcome.output.display().to_string(),
            Code::Nothing => "none needed".into(),
            _ => "REFUSED".into(),
        };
        table.add_row([
            outcome.program.path.display().to_string(),
            in_short(outcome.program.proof.as_ref()).into(),
            of(&[VerdictKind::Changed, VerdictKind::PulledIn]),
            of(&[VerdictKind::New, VerdictKind::NewData]),
            of(&[VerdictKind::Refused]),
            patch,
        ]);
    }
    print::line(&table.trim_fmt());
    for outcome in results {
        print::line("");
        one(outcome);
    }
}

fn in_short(proof: Option<&Proof>) -> &'static str {
    match proof {
        None => "not found in the build",
        Some(proof) if !proof.holds() => "not the stock file",
        Some(proof) if proof.same_build_id => "same build-id",
        Some(_) => "same bytes",
    }
}

fn one(outcome: &Outcome) {
    let program = &outcome.program;
    print::line(&format!("{} (package {}{})", program.path.display(), program.package, also(&program.links)));
    let failed = match &program.proof {
        Some(proof) if proof.holds() => {
            print::line(&format!("proof: the rebuilt file is the stock one: {}", proof.words()));
            None
        }
        other => other.as_ref(),
    };
    match (&program.report, failed) {
        (Ok(report), _) => diff::show(report, &outcome.output),
        (Err(_), Some(proof)) => {
            print::line(
                "proof: none, for these loaded sections of the rebuilt file are not the stock file's:",
            );
            print::line(&sections(proof).trim_fmt());
            print::line(
                "refused: without the proof no patch is made; the archive built it at another path, or with other versions \
                 of compiler or build-dependencies, which the notes below name where they are unknown",
            );
        }
        (Err(why), None) => print::line(&format!("refused: {why}; no patch was written")),
    }
}

fn also(links: &[PathBuf]) -> String {
    if links.is_empty() {
        return String::new();
    }
    let links: Vec<String> = links.iter().map(|link| link.display().to_string()).collect();
    format!(", also {}", links.join(", "))
}

/// The loaded sections that are not the same.
fn sections(proof: &Proof) -> comfy_table::Table {
    let mut table = print::table(&["section", "bytes that differ", "first at", "verdict"]);
    for section in &proof.differ {
        table.add_row([
            section.section.clone(),
            section.bytes.to_string(),
            section.first.map_or("another place or size".into(), |at| format!("{at:#x}")),
            section.harmless.map_or("NOT the stock program".into(), |why| format!("harmless: {why}")),
        ]);
    }
    table
}

/// What a live patch does not carry, the source's own patches, and notes.
pub(super) fn rest(beyond: &[Beyond], patches: &[String], notes: &[String]) {
    print::line("");
    if !patches.is_empty() {
        print::line(&format!("patches of the update: {}", patches.join(", ")));
    }
    if !beyond.is_empty() {
        print::line("not carried by a live patch; install the package for it:");
        let mut table = print::table(&["change", "file", "kind", "package"]);
        let named = first_of_each_kind(beyond);
        for beyond in &named {
            table.add_row([
                beyond.change.to_owned(),
                beyond.path.display().to_string(),
                beyond.kind.to_owned(),
                beyond.package.clone(),
            ]);
        }
        print::line(&table.trim_fmt());
        let left = beyond.len() - named.len();
        if left > 0 {
            print::line(&format!("and {} (all of them with --json)", print::count(left, "file")));
        }
    }
    for note in notes {
        print::line(&format!("note: {note}"));
    }
}

/// Those that fit on a screen.
fn first_of_each_kind(all: &[Beyond]) -> Vec<&Beyond> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let mut fits = |beyond: &&Beyond| {
        let count = counts.entry(beyond.kind).or_default();
        *count += 1;
        *count <= NAMED
    };
    all.iter().filter(|beyond| fits(beyond)).collect()
}
