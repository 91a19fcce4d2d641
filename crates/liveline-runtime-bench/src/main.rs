//! Measures liveline-runtime beside its peers. Each subcommand prints rows as JSON; `cargo xtask bench runtime`
//! runs them all and writes docs/bench/runtime.md.

mod calls;
mod class;
mod memory;
mod soak;
mod subjects;
mod swap;

use serde::Serialize;

/// A figure.
#[derive(Serialize)]
struct Row {
    /// What was measured.
    what: String,
    /// On what.
    subject: String,
    value: f64,
    unit: &'static str,
}

impl Row {
    fn new(what: impl Into<String>, subject: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), subject: subject.into(), value, unit }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let rows = match words[..] {
        ["calls"] => calls::one_thread(),
        ["cores"] => calls::all_cores(),
        ["swap", "threads"] => swap::threads(),
        ["swap", "tasks"] => swap::tasks(),
        ["class"] => class::updates(),
        ["memory", subject] => memory::of(subject),
        ["soak"] => soak::swaps(100_000),
        _ => {
            eprintln!(
                "usage: liveline-runtime-bench calls | cores | swap threads | swap tasks | class | memory SUBJECT | soak"
            );
            std::process::exit(2);
        }
    };
    println!("{}", serde_json::to_string(&rows).expect("rows are plain"));
}

/// What this process holds in memory, in bytes: proc_pid_statm(5).
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = text.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// The value below which this share of the sorted values lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
