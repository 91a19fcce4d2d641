//! The demo, step by step.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::{Checker, Expired, Probe};
use crate::load::{Client, Fault, Load};
use crate::picture::{Band, Figure, Mark, svg};
use crate::server::{BUG, FIX, Server, ServerError, build};
use crate::tool::{DiffRequest, Made, Outcome, Tool, ToolError, VerdictLine};
use crate::{Words, page};

const THREADS: usize = 8;
const CONNECTIONS: usize = 64;
/// Time from one request of a connection to its next: some 8,000 requests a second in all.
const PACE: Duration = Duration::from_millis(8);
const BUCKET_MS: f64 = 40.0;
const NAME: &str = "expiry-fix";
/// The code the server goes through.
const CODES: [&str; 4] = ["with the bug", "fixed", "with the bug again (reverted)", "fixed again"];

/// How to run the demo.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Length of the load in seconds; at least 2.
    pub seconds: f64,
    /// Folder for the picture and the page; made if it is not there.
    pub output: PathBuf,
    /// Standard output is for JSON: progress goes to standard error.
    pub json: bool,
    /// The `liveline` program; `None` for the one that runs.
    pub liveline: Option<PathBuf>,
}

/// What the demo did.
#[derive(Clone, Debug, Serialize)]
pub struct DemoReport {
    /// Requests answered rightly.
    pub requests: u64,
    /// Requests that failed or were answered wrongly.
    pub failed: usize,
    /// Connections of the load.
    pub connections: usize,
    /// Worker threads of the server.
    pub threads: usize,
    /// What `liveline diff` said.
    pub verdicts: Vec<VerdictLine>,
    /// The updates, in order.
    pub updates: Vec<UpdateReport>,
    /// The stretches between them.
    pub phases: Vec<PhaseReport>,
    /// The picture.
    pub svg: PathBuf,
    /// The page.
    pub html: PathBuf,
}

/// One update.
#[derive(Clone, Debug, Serialize)]
pub struct UpdateReport {
    /// `apply` or `revert`.
    pub what: String,
    /// When the command began, in ms since the load began.
    pub at_ms: f64,
    /// The longest that any thread was held, in µs.
    pub longest_stop_us: Option<f64>,
    /// How long the work on the process took, in ms.
    pub apply_ms: Option<f64>,
    /// How long the whole command took, in ms.
    pub command_ms: f64,
}

/// One stretch between two updates.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseReport {
    /// The code that ran.
    pub code: String,
    /// Expired keys that were served: the bug.
    pub served_stale: usize,
    /// Expired keys that were gone: right.
    pub gone: usize,
    /// Requests answered.
    pub requests: u64,
    /// Median latency in µs.
    pub p50_us: f64,
    /// 99th percentile in µs.
    pub p99_us: f64,
    /// Slowest request in µs.
    pub max_us: f64,
}

/// Why the demo did not go through.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The server could not be built or started.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A `liveline` command failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// An update was not made.
    #[error("{what} was not done: {why}")]
    Update {
        /// `apply` or `revert`.
        what: String,
        /// State and reason.
        why: String,
    },
    /// The two builds were found to do the same.
    #[error("no difference was found between the two builds")]
    NoChange,
    /// No patch could be made.
    #[error("no patch was made: {0}")]
    Refused(String),
    /// The behaviour is not that of the code that should run.
    #[error("the server {got} although its code is {code}")]
    Behaviour {
        /// What should run.
        code: String,
        /// What it did.
        got: String,
    },
    /// Requests failed.
    #[error("{count} requests failed or were answered wrongly; the first: {first}")]
    Requests {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// The server ended.
    #[error("the server died: {0}")]
    Died(String),
    /// A file could not be written, or the like.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// The system's reason.
        error: std::io::Error,
    },
}

impl DemoError {
    fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> DemoError {
        let what = what.into();
        move |error| DemoError::System { what, error }
    }
}

/// Runs the demo; words go to standard output (standard error with `json`).
///
/// # Errors
/// [`DemoError`] for the first thing that is not as it should be. Nothing is left running.
pub fn run(options: &DemoOptions) -> Result<DemoReport, DemoError> {
    let words = Words::new(options.json);
    let program = match &options.liveline {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(DemoError::system("find the liveline program"))?,
    };
    let tool = Tool::new(program);
    std::fs::create_dir_all(&options.output)
        .map_err(DemoError::system(format!("make {}", options.output.display())))?;
    let folder = tempfile::tempdir().map_err(DemoError::system("make a temporary folder"))?;

    words.step("1. Build a small key-value server in C");
    words.line("gcc -O2; nothing in it is prepared for an update, and it runs stripped.");
    words.line("It has a bug: keys that have expired are still served. The fix is one line:");
    words.block(&format!("- {}\n+ {}", BUG.trim_start(), FIX.trim_start()));
    let began = Instant::now();
    let built = build(folder.path())?;
    words.line(&format!("built in {:.1} s", began.elapsed().as_secs_f64()));

    words.step("2. Compare the two builds and make a patch (liveline diff)");
    let patch = folder.path().join("expiry-fix.llp");
    let diff = tool.diff(&DiffRequest {
        assume: &[],
        old: &built.old_objects,
        new: &built.new_objects,
        target: &built.program,
        debug: Some(&built.debug),
        name: NAME,
        output: &patch,
    })?;
    match diff.made {
        Made::Patch => {}
        Made::Nothing => return Err(DemoError::NoChange),
        Made::Refused => return Err(DemoError::Refused(diff.refused().join("; "))),
    }
    for verdict in &diff.verdicts {
        words.line(&format!("{:<14} {:<10} {}", verdict.symbol, verdict.verdict, verdict.reason));
    }
    words.line(&format!("made in {:.0} ms", diff.command_ms));

    words.step("3. Start the server and put load on it");
    let mut server = Server::start(&built.program, THREADS)?;
    words.line(&format!(
        "pid {}, {THREADS} worker threads, {CONNECTIONS} connections, every answer is checked",
        server.pid()
    ));
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for name in 0..CONNECTIONS {
        let client = Checker::new(name, server.port).map_err(DemoError::system("connect to the server"))?;
        clients.push(Box::new(client));
    }
    let probe = Probe::new(server.port).map_err(DemoError::system("connect to the server"))?;
    let mut stage = Stage {
        words,
        load: Load::start(clients, Some(PACE)),
        probe,
        ticks: Vec::new(),
        marks: Vec::new(),
        updates: Vec::new(),
        bounds: vec![0.0],
        phase: Duration::from_secs_f64(options.seconds.max(2.0) / CODES.len() as f64),
    };

    stage.watch(CODES[0], Expired::Served)?;
    words.step("4. Repair it while it serves (liveline apply)");
    stage.update("apply", "applied", || tool.apply(&patch, server.pid()))?;
    stage.watch(CODES[1], Expired::Gone)?;
    words.step("5. Take the repair back (liveline revert)");
    stage.update("revert", "reverted", || tool.revert(NAME, server.pid()))?;
    stage.watch(CODES[2], Expired::Served)?;
    words.step("6. Repair it again");
    stage.update("apply again", "applied", || tool.apply(&patch, server.pid()))?;
    stage.watch(CODES[3], Expired::Gone)?;

    let died = server.ended();
    let Stage { load, ticks, marks, updates, bounds, .. } = stage;
    let recording = load.finish();
    let phases = phases(&recording, &ticks, &bounds);
    if let Some(status) = died {
        return Err(DemoError::Died(status));
    }
    if let Some(first) = recording.faults.first() {
        return Err(DemoError::Requests { count: recording.faults.len(), first: first.clone() });
    }

    words.step("7. The picture");
    let requests = recording.samples.len() as u64;
    let title = "A server repaired while it serves";
    let subtitle = format!(
        "{requests} requests over {CONNECTIONS} connections to {THREADS} threads; 0 failed or wrong. \
         Points are {BUCKET_MS} ms wide."
    );
    let drawn = svg(&Figure {
        title,
        subtitle: &subtitle,
        recording: &recording,
        bucket_ms: BUCKET_MS,
        marks: &marks,
        probe: Some(Band {
            title: "Keys that have expired are",
            wrong: "still served (the bug)",
            right: "gone (right)",
            ticks: &ticks,
        }),
    });
    let report = DemoReport {
        requests,
        failed: recording.faults.len(),
        connections: CONNECTIONS,
        threads: THREADS,
        verdicts: diff.verdicts,
        updates,
        phases,
        svg: options.output.join("liveline-demo.svg"),
        html: options.output.join("liveline-demo.html"),
    };
    std::fs::write(&report.svg, &drawn)
        .map_err(DemoError::system(format!("write {}", report.svg.display())))?;
    std::fs::write(&report.html, page::html(&report, &drawn))
        .map_err(DemoError::system(format!("write {}", report.html.display())))?;
    words.line(&format!("{requests} requests, 0 failed or wrong"));
    words.line(&format!("{}\n  {}", report.html.display(), report.svg.display()));
    Ok(report)
}

/// The running load, and what was seen of it so far.
struct Stage {
    words: Words,
    load: Load,
    probe: Probe,
    ticks: Vec<(f64, bool)>,
    marks: Vec<Mark>,
    updates: Vec<UpdateReport>,
    /// Ends of the phases, in ms since the load began.
    bounds: Vec<f64>,
    phase: Duration,
}

impl Stage {
    /// Probes the behaviour for one phase; every probe must show `expected`.
    fn watch(&mut self, code: &str, expected: Expired) -> Result<(), DemoError> {
        let began = Instant::now();
        let (done, mut probes) = (self.load.done(), 0);
        while began.elapsed() < self.phase || probes == 0 {
            let seen =
                self.probe.expired().map_err(|Fault(first)| DemoError::Requests { count: 1, first })?;
            self.ticks.push((self.load.now_ms(), seen == Expired::Gone));
            probes += 1;
            if seen != expected {
                let got = match seen {
                    Expired::Served => "still serves expired keys",
                    Expired::Gone => "no longer serves expired keys",
                };
                return Err(DemoError::Behaviour { code: code.into(), got: got.into() });
            }
        }
        let rate = (self.load.done() - done) as f64 / began.elapsed().as_secs_f64();
        let seen = if expected == Expired::Served { "still served (the bug)" } else { "gone (right)" };
        self.words.line(&format!("{probes} expired keys asked for: all {seen}"));
        self.words.line(&format!("{rate:.0} requests/s, {} failed or wrong so far", self.load.failed()));
        self.bounds.push(self.load.now_ms());
        Ok(())
    }

    fn update(
        &mut self,
        what: &str,
        wanted: &str,
        command: impl FnOnce() -> Result<Outcome, ToolError>,
    ) -> Result<(), DemoError> {
        let from_ms = self.load.now_ms();
        let outcome = command()?;
        let to_ms = self.load.now_ms();
        self.words.line(&outcome.line());
        if outcome.state != wanted {
            return Err(DemoError::Update { what: what.into(), why: outcome.line() });
        }
        self.marks.push(Mark { from_ms, to_ms, label: what.into() });
        self.updates.push(UpdateReport {
            what: what.into(),
            at_ms: from_ms,
            longest_stop_us: outcome.longest_stop_us,
            apply_ms: outcome.apply_ms,
            command_ms: outcome.command_ms,
        });
        Ok(())
    }
}

fn phases(recording: &crate::load::Recording, ticks: &[(f64, bool)], bounds: &[f64]) -> Vec<PhaseReport> {
    bounds
        .windows(2)
        .zip(CODES)
        .map(|(bound, code)| {
            let all = recording.between(bound[0], bound[1]);
            let count = |gone: bool| {
                ticks.iter().filter(|(at, g)| (bound[0]..=bound[1]).contains(at) && *g == gone).count()
            };
            PhaseReport {
                code: code.into(),
                served_stale: count(false),
                gone: count(true),
                requests: all.requests,
                p50_us: all.p50_us,
                p99_us: all.p99_us,
                max_us: all.max_us,
            }
        })
        .collect()
}
