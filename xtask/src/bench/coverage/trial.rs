//! The parent's program under load, with the patch put in and taken out.

use std::path::Path;
use std::time::{Duration, Instant};

use liveline_demo::load::Load;
use liveline_demo::tool::Tool;

use super::recipe::Clients;
use super::row::{Outcome, Row};
use crate::shell::Result;
use crate::trial::Daemon;

/// Requests that are awaited before the update, with it, and after it.
const REQUESTS: u64 = 1500;
/// How long a program that checks itself is left alone each time.
const ALONE: Duration = Duration::from_millis(300);
/// How long they may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Applies and reverts, and completes the row. A program without clients checks itself, and ends where it is wrong.
pub(super) fn run(tool: &Tool, mut daemon: Daemon, clients: Clients, patch: &Path, row: Row) -> Result<Row> {
    let requests = if clients.is_empty() { 0 } else { REQUESTS };
    let load = Load::start(clients, None);
    let mut row = update(tool, &mut daemon, (&load, requests), patch, row);
    let died = daemon.alive().err();
    let recording = load.finish();
    row.requests = recording.samples.len();
    if let Some(failure) = died {
        return Ok(row.with(Outcome::Crash, vec![failure.0]));
    }
    if !recording.faults.is_empty() {
        return Ok(row.with(Outcome::Wrong, recording.faults));
    }
    Ok(row)
}

fn update(tool: &Tool, daemon: &mut Daemon, load: (&Load, u64), patch: &Path, mut row: Row) -> Row {
    if let Err(why) = more(daemon, load) {
        return row.with(Outcome::Wrong, vec![format!("before the update: {why}")]);
    }
    match tool.apply(patch, daemon.pid()) {
        Ok(outcome) if outcome.state == "applied" => {
            row.apply_ms = outcome.apply_ms.unwrap_or_default();
            row.longest_stop_us = outcome.longest_stop_us.unwrap_or_default();
        }
        Ok(outcome) => {
            let why = format!("apply: {}: {}", outcome.state, outcome.reason.unwrap_or_default());
            return row.with(Outcome::Refused, vec![why]);
        }
        Err(error) => return row.with(Outcome::Refused, vec![format!("apply: {error}")]),
    }
    if let Err(why) = more(daemon, load) {
        return row.with(Outcome::Wrong, vec![format!("with the update: {why}")]);
    }
    match tool.revert("coverage", daemon.pid()) {
        Ok(outcome) if outcome.state == "reverted" => {}
        Ok(outcome) => {
            let why = format!("revert: {}: {}", outcome.state, outcome.reason.unwrap_or_default());
            return row.with(Outcome::Wrong, vec![why]);
        }
        Err(error) => return row.with(Outcome::Wrong, vec![format!("revert: {error}")]),
    }
    match more(daemon, load) {
        Ok(()) => row.with(Outcome::Applied, Vec::new()),
        Err(why) => row.with(Outcome::Wrong, vec![format!("after the revert: {why}")]),
    }
}

/// Waits for more requests; an error if they do not come or are answered wrongly.
fn more(daemon: &mut Daemon, (load, requests): (&Load, u64)) -> Result<()> {
    if requests == 0 {
        std::thread::sleep(ALONE);
        return daemon.alive();
    }
    let (goal, began) = (load.done() + requests, Instant::now());
    while load.done() < goal {
        daemon.alive()?;
        if load.failed() > 0 || began.elapsed() > LIMIT {
            let (done, failed) = (load.done(), load.failed());
            return Err(crate::shell::Failure(format!("{done} requests answered, {failed} wrongly or not")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
