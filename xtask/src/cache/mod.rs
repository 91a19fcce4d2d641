//! A cache service made of classes: its eviction policy, its storage and its request handler are replaced under load.

mod client;
mod figures;
mod model;
mod phases;
mod service;

use std::time::Duration;

use liveline_demo::Words;
use liveline_demo::load::Load;
use serde::Serialize;

use self::figures::Span;
use self::service::Service;
use crate::bench::quiet;
use crate::shell::{Failure, Result, Tried, release};

/// How long to wait until other work has ended: the answers are checked in any case.
const QUIET: Duration = Duration::from_secs(20);

/// What the task found.
#[derive(Serialize)]
struct Report {
    rounds: usize,
    requests: usize,
    /// Lost connections, and what was wrong with each.
    faults: Vec<String>,
    /// Every update and revert.
    changes: Vec<Span>,
    /// Latencies of requests that an update met, by class, and of all others.
    latencies: Vec<figures::Latency>,
}

/// Updates every class under load and takes it back, `times` times.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let program = release("liveline-cache", words)?;
    let quiet = quiet::wait_for(words, QUIET);
    words.step("A cache service made of classes: policy, storage, handler");
    let (mut service, clients) = Service::start(&program, words)?;
    let load = Load::start(clients, None);
    let mut changes = Vec::new();
    let mut shown_ms = 0.0;
    let ended = (0..times).try_for_each(|round| {
        service.round(round, &load, &mut changes, words)?;
        if round == 0 {
            shown_ms = load.now_ms();
        }
        words.line(&format!("    {} requests, {} failed or wrong", load.done(), load.failed()));
        service.alive()
    });
    let recording = load.finish();
    recording.faults.iter().for_each(|fault| words.line(fault));
    ended?;
    words.line(&format!("{} entries that nobody asked for meanwhile are all there", service.check_idle()?));
    if !recording.faults.is_empty() {
        return Err(Failure(format!("{} requests failed or were wrong", recording.faults.len())));
    }
    let report = Report {
        rounds: times,
        requests: recording.samples.len(),
        latencies: figures::latencies(&recording, &changes),
        faults: recording.faults.clone(),
        changes,
    };
    figures::publish(&report, &recording, shown_ms, &quiet, json)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report).tried("write JSON")?);
    }
    Ok(())
}
