//! How long an update holds up the busiest thread, beside the floor.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use liveline_demo::Words;
use liveline_demo::tool::{DiffRequest, Outcome, Tool};
use serde::Serialize;

use super::page::Page;
use super::{gcc, median};
use crate::shell::{Failure, Result, Tried, liveline, output_of};

const THREADS: [usize; 4] = [1, 50, 200, 500];
const ROUNDS: usize = 15;
const NAME: &str = "bench-pause";
/// The goal: longest gap of an update, in gaps of the floor.
const GOAL: f64 = 2.0;

/// Medians at one number of threads.
#[derive(Serialize)]
struct Row {
    threads: usize,
    /// From the floor's first stop to its last release: about as long as it holds a thread, µs.
    floor_hold_us: f64,
    /// Longest gap while nothing is done for as long as an apply takes, µs.
    idle_gap_us: f64,
    floor_gap_us: f64,
    apply_gap_us: f64,
    revert_gap_us: f64,
    apply_ratio: f64,
    revert_ratio: f64,
    floor_command_ms: f64,
    apply_command_ms: f64,
    revert_command_ms: f64,
    apply_ms: f64,
    longest_stop_us: f64,
}

/// Measures, prints and writes docs/bench/pause.md.
pub(crate) fn run(words: Words, json: bool) -> Result<()> {
    words.step("bench pause: the longest gap of a busy thread through apply and revert");
    let tool = liveline(words)?;
    let folder = tempfile::tempdir().tried("make a temporary folder")?;
    let at = folder.path();
    gcc(at, "-O2 -g -pthread", "target", &["pause_target.c", "pause_work_old.c"])?;
    gcc(at, "-O2", "floor", &["floor.c"])?;
    let sections = "-O2 -g -ffunction-sections -fdata-sections -c";
    for (side, source) in [("old", "pause_work_old.c"), ("new", "pause_work_new.c")] {
        fs::create_dir_all(at.join(side)).tried("make a folder")?;
        gcc(at, sections, &format!("{side}/work.o"), &[source])?;
    }
    let patch = at.join("work.llp");
    let (old, new, target) = (at.join("old"), at.join("new"), at.join("target"));
    tool.diff(&DiffRequest {
        assume: &[],
        old: &old,
        new: &new,
        target: &target,
        debug: None,
        name: NAME,
        output: &patch,
    })
    .tried("liveline diff")?;
    let quiet = super::quiet::wait(words);
    let mut rows = Vec::new();
    for threads in THREADS {
        words.line(&format!("{threads} threads, {ROUNDS} rounds of floor, apply, revert"));
        rows.push(measure(&tool, at, &patch, threads)?);
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows).tried("write JSON")?);
    }
    let worst = rows.iter().map(|r| r.apply_ratio.max(r.revert_ratio)).fold(0.0, f64::max);
    Page {
        quiet,
        name: "pause",
        command: "pause",
        title: "The longest gap an update makes",
        method: "A C program calls one function from every thread: one thread never sleeps and keeps the longest \
                 gap between two looks at the clock, the others call it every 10 ms. The floor stops every thread, \
                 reads 16 KiB of each stack, writes 8 bytes and lets all go on: the least that a patcher costs \
                 which stops all. Floor, apply and revert take turns in one run; the figures are medians. *Hold* is what the patchers say \
                 themselves: the longest that any thread was held (the floor: from its first stop to its last \
                 release), which at many threads is more than the busy one sees. *Idle* is \
                 the longest gap when nothing is done for as long.",
        head: vec![
            "threads",
            "idle gap",
            "floor gap",
            "apply gap",
            "revert gap",
            "apply / floor",
            "revert / floor",
            "longest hold of any thread: floor / apply",
            "apply_ms",
            "command: floor / apply / revert",
        ],
        rows: rows.iter().map(cells).collect(),
        verdict: format!(
            "Goal: at most {GOAL} times the floor. Worst here: {worst:.2}; {}.",
            if worst <= GOAL { "met" } else { "not met" }
        ),
    }
    .publish(json)
}

fn cells(r: &Row) -> Vec<String> {
    let us = |v: f64| format!("{v:.0} µs");
    vec![
        r.threads.to_string(),
        us(r.idle_gap_us),
        us(r.floor_gap_us),
        us(r.apply_gap_us),
        us(r.revert_gap_us),
        format!("{:.2}", r.apply_ratio),
        format!("{:.2}", r.revert_ratio),
        format!("{:.0} / {:.0} µs", r.floor_hold_us, r.longest_stop_us),
        format!("{:.1} ms", r.apply_ms),
        format!("{:.1} / {:.1} / {:.1} ms", r.floor_command_ms, r.apply_command_ms, r.revert_command_ms),
    ]
}

fn measure(tool: &Tool, at: &Path, patch: &Path, threads: usize) -> Result<Row> {
    let mut target = Target::start(at, threads)?;
    let work = target.address_of("work", at)?;
    let (mut idle, mut floor, mut apply, mut revert) = (vec![], vec![], vec![], vec![]);
    let (mut floor_ms, mut apply_ms, mut revert_ms) = (vec![], vec![], vec![]);
    let (mut own_ms, mut own_stop, mut floor_hold) = (vec![], vec![], vec![]);
    // The first round warms up files and page tables, and counts for nothing.
    for round in 0..=ROUNDS {
        let (gap, ms, held) = target.gap_of(|pid| floor_once(at, pid, work))?;
        let (apply_gap, apply_took, applied) =
            target.gap_of(|pid| done(tool.apply(patch, pid).tried("liveline apply")?, "applied"))?;
        target.must_give(2)?;
        let (revert_gap, revert_took, _) =
            target.gap_of(|pid| done(tool.revert(NAME, pid).tried("liveline revert")?, "reverted"))?;
        target.must_give(1)?;
        let (idle_gap, _, ()) = target.gap_of(|_| {
            std::thread::sleep(Duration::from_secs_f64(apply_took / 1000.0));
            Ok(())
        })?;
        if round == 0 {
            continue;
        }
        idle.push(idle_gap);
        floor.push(gap);
        floor_hold.push(held);
        floor_ms.push(ms);
        apply.push(apply_gap);
        apply_ms.push(apply_took);
        revert.push(revert_gap);
        revert_ms.push(revert_took);
        own_ms.extend(applied.apply_ms);
        own_stop.extend(applied.longest_stop_us);
    }
    let floor_gap = median(&floor);
    Ok(Row {
        threads,
        floor_hold_us: median(&floor_hold),
        idle_gap_us: median(&idle),
        floor_gap_us: floor_gap,
        apply_gap_us: median(&apply),
        revert_gap_us: median(&revert),
        apply_ratio: median(&apply) / floor_gap,
        revert_ratio: median(&revert) / floor_gap,
        floor_command_ms: median(&floor_ms),
        apply_command_ms: median(&apply_ms),
        revert_command_ms: median(&revert_ms),
        apply_ms: median(&own_ms),
        longest_stop_us: median(&own_stop),
    })
}

/// Runs the floor; gives the time (µs) from its first stop to its last release.
fn floor_once(at: &Path, pid: u32, address: u64) -> Result<f64> {
    let said = output_of(&format!("{} {pid} {address:x}", at.join("floor").display()))?;
    said.trim().parse().tried("read what the floor said")
}

fn done(outcome: Outcome, state: &str) -> Result<Outcome> {
    if outcome.state == state { Ok(outcome) } else { Err(Failure(outcome.line())) }
}

/// The running target. Dropping it ends it.
struct Target {
    child: Child,
    board: File,
}

/// Places on the board, in bytes: see targets/pause_target.c.
const READY: u64 = 0;
const RESET: u64 = 8;
const LONGEST: u64 = 16;
const RESULT: u64 = 24;

impl Target {
    fn start(at: &Path, threads: usize) -> Result<Target> {
        let path = at.join(format!("board-{threads}"));
        fs::write(&path, [0; 4096]).tried("write the board")?;
        let board = OpenOptions::new().read(true).write(true).open(&path).tried("open the board")?;
        let child = Command::new(at.join("target"))
            .arg(threads.to_string())
            .arg(&path)
            .stdin(Stdio::null())
            .spawn()
            .tried("start the target")?;
        let target = Target { child, board };
        target.wait_for(READY, 1)?;
        // The sleepers spread out over their 10 ms.
        std::thread::sleep(Duration::from_millis(100));
        Ok(target)
    }

    fn read(&self, place: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.board.read_exact_at(&mut bytes, place).tried("read the board")?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn wait_for(&self, place: u64, value: u64) -> Result<()> {
        let began = Instant::now();
        while self.read(place)? != value {
            if began.elapsed() > Duration::from_secs(10) {
                return Err(Failure(format!("the target's board does not show {value} at {place}")));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn must_give(&self, result: u64) -> Result<()> {
        self.wait_for(RESULT, result)
    }

    /// The longest gap (µs) while `work` runs, how long that took (ms), and what it gave.
    fn gap_of<T>(&mut self, work: impl FnOnce(u32) -> Result<T>) -> Result<(f64, f64, T)> {
        if let Some(status) = self.child.try_wait().tried("look at the target")? {
            return Err(Failure(format!("the target died: {status}")));
        }
        self.board.write_all_at(&1u64.to_le_bytes(), RESET).tried("write the board")?;
        self.wait_for(RESET, 0)?;
        let began = Instant::now();
        let given = work(self.child.id())?;
        let took_ms = began.elapsed().as_secs_f64() * 1000.0;
        std::thread::sleep(Duration::from_millis(2));
        Ok((self.read(LONGEST)? as f64 / 1000.0, took_ms, given))
    }

    /// Where a symbol of the target lies in the running process.
    fn address_of(&self, symbol: &str, at: &Path) -> Result<u64> {
        let program = at.join("target");
        let names = output_of(&format!("nm {}", program.display()))?;
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).tried("read maps")?;
        let base = maps.lines().find(|l| l.ends_with("/target")).and_then(|l| l.split('-').next());
        let value = names.lines().find_map(|l| l.strip_suffix(&format!(" T {symbol}")));
        let hex = |text: Option<&str>| text.and_then(|t| u64::from_str_radix(t, 16).ok());
        match (hex(base), hex(value)) {
            (Some(base), Some(value)) => Ok(base + value),
            _ => Err(Failure(format!("{symbol} was not found in the target"))),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
