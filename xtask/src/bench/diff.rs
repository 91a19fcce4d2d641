//! How long `liveline diff` takes on redis, beside reading the same objects with objdump.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use liveline_demo::Words;
use liveline_demo::tool::{DiffRequest, Made};
use serde::Serialize;

use super::median;
use super::page::Page;
use crate::redis;
use crate::shell::{Failure, Result, Tried, liveline};

const ROUNDS: usize = 5;
/// The goal, in ms.
const GOAL_MS: f64 = 2000.0;

#[derive(Serialize)]
struct Report {
    objects: usize,
    megabytes: f64,
    diff_ms: f64,
    objdump_ms: f64,
    functions_changed: usize,
    /// Changes that no patch can carry; if there is one, no patch was written.
    refused: Vec<String>,
    patches: Vec<String>,
}

/// Measures, prints and writes docs/bench/diff.md.
pub(crate) fn run(words: Words, json: bool) -> Result<()> {
    words.step("bench diff: all objects of redis 7.0.15");
    let tool = liveline(words)?;
    let redis = redis::build(words)?;
    let side = &redis.sides[0];
    let (old, new) = (objects(&side.old)?, objects(&side.new)?);
    let both: Vec<_> = old.iter().chain(&new).collect();
    let bytes: u64 = both.iter().filter_map(|p| fs::metadata(p).ok()).map(|m| m.len()).sum();
    let folder = tempfile::tempdir().tried("make a temporary folder")?;
    let patch = folder.path().join("redis.llp");
    let request = DiffRequest {
        old: &side.old,
        new: &side.new,
        target: &side.running,
        debug: Some(&side.twin),
        name: "redis-security",
        assume: &[],
        output: &patch,
    };
    words.line(&format!("{} objects a side, {ROUNDS} rounds of liveline diff and objdump -dr", old.len()));
    let quiet = super::quiet::wait(words);
    let (mut ours, mut theirs, mut changed, mut refused) = (vec![], vec![], 0, vec![]);
    for _ in 0..ROUNDS {
        let diff = tool.diff(&request).tried("liveline diff")?;
        match diff.made {
            Made::Nothing => {
                return Err(Failure("liveline diff saw no change in redis's security fixes".into()));
            }
            Made::Patch if !patch.is_file() => return Err(Failure("liveline diff wrote no patch".into())),
            Made::Patch | Made::Refused => refused = diff.refused(),
        }
        ours.push(diff.command_ms);
        changed = diff.verdicts.iter().filter(|v| v.verdict == "changed").count();
        theirs.push(objdump(&both)?);
    }
    let report = Report {
        objects: old.len(),
        megabytes: bytes as f64 / 1e6,
        diff_ms: median(&ours),
        objdump_ms: median(&theirs),
        functions_changed: changed,
        refused,
        patches: redis.patches,
    };
    let result = if report.refused.is_empty() {
        "The patch was written.".to_string()
    } else {
        format!(
            "No patch was written: the comparison ran to its end and refused {}. The time is without writing one.",
            report.refused.join("; ")
        )
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&report).tried("write JSON")?);
    }
    Page {
        quiet,
        name: "diff",
        command: "diff",
        title: "Comparing two builds of redis",
        method: &format!(
            "All objects of the server of Debian's redis 7.0.15, built as Debian does and with function sections: without \
             its {} newest security patches ({}) and with them. `liveline diff` compares all and makes the patch; `objdump -dr` only reads the \
             same objects. Whole commands, medians of {ROUNDS} by turns.",
            report.patches.len(),
            report.patches.join(", ")
        ),
        head: vec!["objects a side", "bytes in all", "functions changed", "liveline diff", "objdump -dr", "ratio"],
        rows: vec![vec![
            report.objects.to_string(),
            format!("{:.1} MB", report.megabytes),
            report.functions_changed.to_string(),
            format!("{:.2} s", report.diff_ms / 1000.0),
            format!("{:.2} s", report.objdump_ms / 1000.0),
            format!("{:.2}", report.diff_ms / report.objdump_ms),
        ]],
        verdict: format!(
            "{result}\n\nGoal: within {:.0} s. Here: {:.2} s; {}.",
            GOAL_MS / 1000.0,
            report.diff_ms / 1000.0,
            if report.diff_ms <= GOAL_MS { "met" } else { "not met" }
        ),
    }
    .publish(json)
}

fn objects(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).tried(format!("read {}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(objects(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

/// Reads the objects with objdump; gives the time in ms.
fn objdump(objects: &[&PathBuf]) -> Result<f64> {
    let began = Instant::now();
    let status = Command::new("objdump")
        .arg("-dr")
        .args(objects)
        .stdout(Stdio::null())
        .status()
        .tried("run objdump")?;
    if !status.success() {
        return Err(Failure(format!("objdump ended with {status}")));
    }
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}
