//! The picture and the page: docs/bench/cache.svg and cache.md.

use std::fs;

use comfy_table::{Table, presets};
use liveline_demo::load::{Recording, Sample};
use liveline_demo::picture::{Figure, Mark, svg};
use serde::Serialize;

use super::Report;
use super::phases::Class;
use crate::bench::page::machine;
use crate::shell::{Result, Tried, workspace};

/// One update or revert.
#[derive(Serialize)]
pub(super) struct Span {
    pub(super) class: Class,
    pub(super) updates: bool,
    /// When the command began and ended, in ms since the load began.
    pub(super) from_ms: f64,
    pub(super) to_ms: f64,
    /// Objects replaced.
    pub(super) converted: u64,
    /// What the update took inside the service.
    pub(super) took_us: f64,
}

/// Latencies, in µs.
#[derive(Serialize)]
pub(super) struct Latency {
    what: String,
    requests: usize,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    slowest_us: f64,
    changes: usize,
    objects: u64,
    /// The middle of how long the changes took.
    took_us: f64,
}

/// Latencies of the requests under way during a change, by class, and of all others.
pub(super) fn latencies(recording: &Recording, changes: &[Span]) -> Vec<Latency> {
    let met = |sample: &Sample, span: &Span| {
        let end = f64::from(sample.at_us) / 1e3;
        end - f64::from(sample.took_ns) / 1e6 <= span.to_ms && end >= span.from_ms
    };
    let mut rows = Vec::new();
    for class in Class::ALL {
        let spans: Vec<_> = changes.iter().filter(|s| s.class == class).collect();
        let samples = recording.samples.iter().filter(|s| spans.iter().any(|span| met(s, span)));
        rows.push(row(format!("while the {} is replaced", class.name()), samples, &spans));
    }
    let others = recording.samples.iter().filter(|s| !changes.iter().any(|span| met(s, span)));
    rows.push(row("at all other times".into(), others, &[]));
    rows
}

fn row<'a>(what: String, samples: impl Iterator<Item = &'a Sample>, spans: &[&Span]) -> Latency {
    let mut took: Vec<f64> = samples.map(|s| f64::from(s.took_ns) / 1e3).collect();
    took.sort_by(f64::total_cmp);
    let rank = |q: f64| {
        let rank = (took.len() as f64 * q).ceil() as usize;
        took.get(rank.clamp(1, took.len().max(1)) - 1).copied().unwrap_or(0.0)
    };
    let mut spent: Vec<f64> = spans.iter().map(|s| s.took_us).collect();
    spent.sort_by(f64::total_cmp);
    Latency {
        what,
        requests: took.len(),
        p50_us: rank(0.5),
        p99_us: rank(0.99),
        p999_us: rank(0.999),
        slowest_us: rank(1.0),
        changes: spans.len(),
        objects: spans.iter().map(|s| s.converted).max().unwrap_or(0),
        took_us: spent.get(spent.len() / 2).copied().unwrap_or(0.0),
    }
}

const HEAD: [&str; 8] = [
    "requests under way",
    "requests",
    "median",
    "99 %",
    "99.9 %",
    "slowest",
    "objects replaced, each time",
    "an update or revert takes, median",
];

/// Prints the table, draws the first round, writes the page.
pub(super) fn publish(
    report: &Report,
    recording: &Recording,
    shown_ms: f64,
    quiet: &str,
    json: bool,
) -> Result<()> {
    let rows: Vec<_> = report.latencies.iter().map(cells).collect();
    let sums = format!(
        "{} rounds, {} updates and reverts, {} requests, {} failed or wrong.",
        report.rounds,
        report.changes.len(),
        report.requests,
        report.faults.len()
    );
    if !json {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header(HEAD);
        rows.iter().for_each(|row| {
            table.add_row(row);
        });
        println!("\n{table}\n{sums}");
    }
    let folder = workspace().join("docs/bench");
    fs::create_dir_all(&folder).tried("make docs/bench")?;
    fs::write(folder.join("cache.svg"), picture(report, recording, shown_ms)).tried("write cache.svg")?;
    let mut page = format!(
        "# A cache service, updated under load\n\n{METHOD}\n\n{} {quiet}\n\n![Requests per second and latency]\
         (cache.svg)\n\n| {} |\n|{}\n",
        machine(),
        HEAD.join(" | "),
        "---|".repeat(HEAD.len())
    );
    for row in &rows {
        page += &format!("| {} |\n", row.join(" | "));
    }
    page += &format!("\n{sums}\n\nMade by `cargo xtask real cache --times {}`.\n", report.rounds);
    fs::write(folder.join("cache.md"), page).tried("write cache.md")
}

const METHOD: &str = "`crates/liveline-cache` serves a key-value cache over tokio and hyper. Another process makes \
    requests over eight kept connections, as fast as they are answered; each connection has a namespace of its own and \
    a model of it, so it knows every answer before it comes: the value, the entity tag, the key that must leave for \
    a new one, and which versions may answer at that moment. Each round replaces three classes and takes them back: \
    the eviction policy (first in first out → least recently used, the order kept), the storage (a table of values → \
    rows with tags: the layout changes), the request handler (conditional requests, answered with 304). A probe sees the old \
    behaviour before and the new one after, every time. The picture is the first round.";

fn picture(report: &Report, recording: &Recording, shown_ms: f64) -> String {
    let until = (shown_ms * 1e3) as u32;
    let samples = recording.samples.iter().filter(|s| s.at_us < until).copied().collect();
    let shown = Recording { samples, faults: Vec::new() };
    let changes = report.changes.iter().filter(|span| span.to_ms < shown_ms);
    let marks: Vec<_> = changes
        .map(|span| {
            let word = if span.updates { "update" } else { "revert" };
            let label = format!("{word} {}", span.class.name());
            Mark { from_ms: span.from_ms, to_ms: span.to_ms, label }
        })
        .collect();
    svg(&Figure {
        title: "A cache service, updated under load",
        subtitle: "eviction policy, storage layout and request handler replaced and taken back, every answer checked",
        recording: &shown,
        bucket_ms: 50.0,
        marks: &marks,
        probe: None,
    })
}

fn cells(row: &Latency) -> Vec<String> {
    let changes = |text: String| if row.changes == 0 { "–".to_string() } else { text };
    vec![
        row.what.clone(),
        row.requests.to_string(),
        format!("{:.0} µs", row.p50_us),
        format!("{:.1} ms", row.p99_us / 1e3),
        format!("{:.1} ms", row.p999_us / 1e3),
        format!("{:.1} ms", row.slowest_us / 1e3),
        changes(row.objects.to_string()),
        changes(format!("{:.2} ms", row.took_us / 1e3)),
    ]
}
