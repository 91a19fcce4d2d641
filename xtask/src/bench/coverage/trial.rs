//! The parent's program under load, with the patch put in and taken out.

use std::path::Path;
use std::time::{Duration, Instant};

use liveline_demo::load::Load;
use liveline_demo::tool::Tool;

use super::recipe::Recipe;
use super::row::{Outcome, Row};
use crate::shell::Result;
use crate::trial::Daemon;

/// Requests that are awaited before the update, with it, and after it.
const REQUESTS: u64 = 1500;
/// How long they may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Applies and reverts, and completes the row.
pub(super) fn run(
    tool: &Tool,
    recipe: &Recipe,
    program: &Path,
    patch: &Path,
    folder: &Path,
    row: Row,
) -> Result<Row> {
    let (mut daemon, port) = (recipe.start)(program, folder)?;
    let load = Load::start((recipe.connect)(port)?, None);
    let mut row = update(tool, &mut daemon, &load, patch, row);
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

fn update(tool: &Tool, daemon: &mut Daemon, load: &Load, patch: &Path, mut row: Row) -> Row {
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
fn more(daemon: &mut Daemon, load: &Load) -> Result<()> {
    let (goal, began) = (load.done() + REQUESTS, Instant::now());
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
