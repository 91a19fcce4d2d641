//! What a patched call costs, beside an unpatched one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use liveline_demo::Words;
use liveline_demo::tool::DiffRequest;
use serde::Serialize;

use super::page::Page;
use super::{gcc, median};
use crate::shell::{Failure, Result, Tried, liveline};

const NAME: &str = "bench-call";
/// The goal: how much dearer a patched call may be, ns.
const GOAL_NS: f64 = 1.5;

/// Medians in one state of the program.
#[derive(Serialize)]
struct Row {
    state: &'static str,
    /// ns for a call of the function beside.
    beside_ns: f64,
    /// ns for a call of the function that is patched.
    patched_ns: f64,
    /// Median of the differences, round by round, ns.
    dearer_ns: f64,
}

/// Measures, prints and writes docs/bench/call.md.
pub(crate) fn run(words: Words, json: bool) -> Result<()> {
    words.step("bench call: a patched call beside an unpatched one");
    let tool = liveline(words)?;
    let folder = tempfile::tempdir().tried("make a temporary folder")?;
    let at = folder.path();
    gcc(at, "-O2 -g", "target", &["call_target.c", "call_work_old.c"])?;
    for (side, source) in [("old", "call_work_old.c"), ("new", "call_work_new.c")] {
        fs::create_dir_all(at.join(side)).tried("make a folder")?;
        let flags = "-O2 -g -ffunction-sections -fdata-sections -c";
        gcc(at, flags, &format!("{side}/work.o"), &[source])?;
    }
    let patch = at.join("work.llp");
    let (old, new, program) = (at.join("old"), at.join("new"), at.join("target"));
    tool.diff(&DiffRequest {
        assume: &[],
        old: &old,
        new: &new,
        target: &program,
        debug: None,
        name: NAME,
        output: &patch,
    })
    .tried("liveline diff")?;
    let quiet = super::quiet::wait(words);
    let mut target = Target::start(&program)?;
    let pid = target.child.id();
    let mut rows = Vec::new();
    words.line("before the patch");
    rows.push(target.measure("not patched", 1)?);
    let applied = tool.apply(&patch, pid).tried("liveline apply")?;
    if applied.state != "applied" {
        return Err(Failure(applied.line()));
    }
    words.line("patched");
    rows.push(target.measure("patched", 2)?);
    let reverted = tool.revert(NAME, pid).tried("liveline revert")?;
    if reverted.state != "reverted" {
        return Err(Failure(reverted.line()));
    }
    words.line("taken back");
    rows.push(target.measure("taken back", 1)?);
    if json {
        println!("{}", serde_json::to_string_pretty(&rows).tried("write JSON")?);
    }
    // What the two functions differ by without a patch is no cost of the patch.
    let dearer = rows[1].dearer_ns - rows[0].dearer_ns;
    Page {
        quiet,
        name: "call",
        command: "call",
        title: "What a patched call costs",
        method: "A C program calls two functions alike, 10^8 times each by turns, 11 rounds, and measures itself; \
                 one of the two is then patched, and taken back. Medians in ns a call.",
        head: vec!["state", "function beside", "patched function", "difference"],
        rows: rows
            .iter()
            .map(|r| {
                let ns = |v: f64| format!("{v:.2} ns");
                vec![r.state.to_string(), ns(r.beside_ns), ns(r.patched_ns), format!("{:+.2} ns", r.dearer_ns)]
            })
            .collect(),
        verdict: format!(
            "Goal: a patched call at most {GOAL_NS} ns dearer. Here: {dearer:+.2} ns; {}.",
            if dearer <= GOAL_NS { "met" } else { "not met" }
        ),
    }
    .publish(json)
}

/// The running target. Dropping it ends it.
struct Target {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Target {
    fn start(program: &Path) -> Result<Target> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .tried("start the target")?;
        let (Some(ask), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure("the target has no pipes".into()));
        };
        let mut target = Target { child, ask, answer: BufReader::new(out) };
        target.line()?;
        Ok(target)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answer.read_line(&mut line).tried("read from the target")? == 0 {
            let status = self.child.wait().tried("look at the target")?;
            return Err(Failure(format!("the target died: {status}")));
        }
        Ok(line.trim_end().to_string())
    }

    fn measure(&mut self, state: &'static str, result: u64) -> Result<Row> {
        self.ask.write_all(b"go\n").tried("write to the target")?;
        let (mut beside, mut patched, mut dearer) = (vec![], vec![], vec![]);
        loop {
            let line = self.line()?;
            if let Some(given) = line.strip_prefix("result ") {
                if given != result.to_string() {
                    return Err(Failure(format!("{state}: the function gives {given}, not {result}")));
                }
                break;
            }
            let mut numbers = line.split(' ').map(|n| n.parse::<f64>());
            let (Some(Ok(a)), Some(Ok(b))) = (numbers.next(), numbers.next()) else {
                return Err(Failure(format!("the target said {line:?}")));
            };
            beside.push(a);
            patched.push(b);
            dearer.push(b - a);
        }
        Ok(Row {
            state,
            beside_ns: median(&beside),
            patched_ns: median(&patched),
            dearer_ns: median(&dearer),
        })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
