//! One program under load, updated and taken back.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use liveline_demo::Words;
use liveline_demo::load::{Client, Fault, Load};
use liveline_demo::tool::{DiffRequest, Made, Outcome, Tool};
use serde::Serialize;

use super::{binary, text};
use crate::shell::{Failure, Result, Tried};

const THREADS: &str = "6";
const CONNECTIONS: usize = 32;
/// Load between an update and the next.
const BETWEEN: Duration = Duration::from_millis(200);

/// What to try.
pub(super) struct Trial<'a> {
    pub(super) name: &'a str,
    pub(super) patch_name: &'a str,
    /// The program that runs, stripped.
    pub(super) program: &'a Path,
    pub(super) debug: &'a Path,
    pub(super) old: &'a Path,
    pub(super) new: &'a Path,
    /// It runs with SASL and the password database.
    pub(super) passwords: bool,
}

/// What a trial gave.
#[derive(Serialize)]
pub(super) struct TrialReport {
    pub(super) name: String,
    pub(super) times: usize,
    pub(super) applied: usize,
    pub(super) reverted: usize,
    pub(super) requests: usize,
    pub(super) faults: Vec<String>,
    pub(super) fixed_after_apply: usize,
    pub(super) old_after_revert: usize,
    pub(super) longest_stop_us: f64,
    pub(super) median_apply_ms: f64,
    pub(super) slowest_updating_ms: f64,
    pub(super) slowest_else_ms: f64,
    stopped_early: Option<String>,
}

impl TrialReport {
    /// What is not as it should be.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must = |right: bool, words: String| {
            if !right {
                problems.push(format!("{}: {words}", self.name));
            }
        };
        must(self.stopped_early.is_none(), self.stopped_early.clone().unwrap_or_default());
        must(
            self.faults.is_empty(),
            format!("{} requests failed: {}", self.faults.len(), self.faults.join("; ")),
        );
        let done = [self.applied, self.reverted, self.fixed_after_apply, self.old_after_revert];
        must(
            done == [self.times; 4],
            format!("applied, reverted, seen fixed, seen old: {done:?} of {}", self.times),
        );
        problems
    }
}

impl Trial<'_> {
    pub(super) fn run(&self, tool: &Tool, times: usize, words: Words) -> Result<TrialReport> {
        let folder = tempfile::tempdir().tried("make a temporary folder")?;
        let patch = folder.path().join("patch.llp");
        let diff = tool
            .diff(&DiffRequest {
                old: self.old,
                new: self.new,
                target: self.program,
                debug: Some(self.debug),
                name: self.patch_name,
                output: &patch,
            })
            .tried("liveline diff")?;
        for v in &diff.verdicts {
            words.line(&format!("{:<28} {:<10} {}", v.symbol, v.verdict, v.reason));
        }
        if diff.made != Made::Patch {
            let why = diff.refused().join("; ");
            return Err(Failure(format!(
                "{}: liveline diff made no patch ({:?}) {why}",
                self.name, diff.made
            )));
        }
        let mut server = self.start(folder.path())?;
        let mut probe = self.probe(server.port)?;
        let mut clients: Vec<Box<dyn Client>> = Vec::new();
        for name in 0..CONNECTIONS {
            clients.push(if self.passwords {
                Box::new(binary::Checker::open(name, server.port).tried("connect")?)
            } else {
                Box::new(text::Checker::open(name, server.port).tried("connect")?)
            });
        }
        words.line(&format!(
            "{} runs as pid {}: {THREADS} worker threads, {CONNECTIONS} connections at full speed",
            self.program.display(),
            server.child.id()
        ));
        let load = Load::start(clients, None);
        let mut run = Run { applied: vec![], reverted: vec![], fixed: 0, old: 0, spans: vec![] };
        let name = self.patch_name;
        let mut scene =
            Scene { tool, patch: &patch, name, server: &mut server, probe: &mut probe, load: &load, words };
        let stopped_early =
            (0..times).try_for_each(|i| run.round(i, &mut scene)).err().map(|failure| failure.to_string());
        drop(probe);
        let recording = load.finish();
        let updating = |at: f64| run.spans.iter().any(|(from, to)| (*from..=*to).contains(&at));
        let slowest = |wanted: bool| {
            let samples = recording.samples.iter();
            let took = samples.filter_map(|s| {
                // A request counts as met by an update if it was under way during it.
                let (end, took) = (f64::from(s.at_us) / 1e3, f64::from(s.took_ns) / 1e6);
                let met = updating(end)
                    || updating(end - took)
                    || run.spans.iter().any(|(from, to)| end - took < *from && end > *to);
                (met == wanted).then_some(took)
            });
            took.fold(0.0, f64::max)
        };
        let all = run.applied.iter().chain(&run.reverted);
        let mut took: Vec<_> = run.applied.iter().filter_map(|o| o.apply_ms).collect();
        took.sort_by(f64::total_cmp);
        Ok(TrialReport {
            name: self.name.into(),
            times,
            applied: run.applied.iter().filter(|o| o.state == "applied").count(),
            reverted: run.reverted.iter().filter(|o| o.state == "reverted").count(),
            requests: recording.samples.len(),
            fixed_after_apply: run.fixed,
            old_after_revert: run.old,
            longest_stop_us: all.filter_map(|o| o.longest_stop_us).fold(0.0, f64::max),
            median_apply_ms: took.get(took.len() / 2).copied().unwrap_or(0.0),
            slowest_updating_ms: slowest(true),
            slowest_else_ms: slowest(false),
            faults: recording.faults,
            stopped_early,
        })
    }

    fn start(&self, folder: &Path) -> Result<Memcached> {
        let free = TcpListener::bind(("127.0.0.1", 0)).tried("find a free port")?;
        let port = free.local_addr().tried("find a free port")?.port();
        drop(free);
        // setpriv ends it with us, whatever ends us.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(self.program);
        command.args(["-l", "127.0.0.1", "-t", THREADS, "-u", "root", "-m", "256", "-c", "1024", "-p"]);
        command.arg(port.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if self.passwords {
            let write = |name: &str, text: &str| {
                std::fs::write(folder.join(name), text).tried("write the server's settings")
            };
            write("memcached.conf", "mech_list: plain\n")?;
            write("passwords", binary::PASSWORD_FILE)?;
            command.arg("-S").env("SASL_CONF_PATH", folder);
            command.env("MEMCACHED_SASL_PWDB", folder.join("passwords"));
        }
        let server = Memcached { child: command.spawn().tried("start memcached")?, port };
        let began = Instant::now();
        while text::Connection::open(port).is_err() {
            if began.elapsed() > Duration::from_secs(10) {
                return Err(Failure("memcached did not answer within 10 s".into()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn probe(&self, port: u16) -> Result<Probe> {
        if self.passwords {
            return Ok(Probe::Passwords(port));
        }
        let mut probe = text::IncrProbe::open(port).tried("connect")?;
        probe.prepare().tried("prepare the probe")?;
        Ok(Probe::Incr(probe))
    }
}

/// The running program. Dropping it ends it.
struct Memcached {
    child: Child,
    port: u16,
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the changed behaviour is seen.
enum Probe {
    Incr(text::IncrProbe),
    Passwords(u16),
}

impl Probe {
    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        match self {
            Probe::Incr(probe) => probe.fixed(),
            Probe::Passwords(port) => binary::fixed(*port),
        }
    }
}

/// All that a round works with.
struct Scene<'a> {
    tool: &'a Tool,
    patch: &'a Path,
    name: &'a str,
    server: &'a mut Memcached,
    probe: &'a mut Probe,
    load: &'a Load,
    words: Words,
}

/// What came of the rounds so far.
struct Run {
    applied: Vec<Outcome>,
    reverted: Vec<Outcome>,
    fixed: usize,
    old: usize,
    spans: Vec<(f64, f64)>,
}

impl Run {
    /// Applies and reverts once, and looks at the behaviour each time.
    fn round(&mut self, i: usize, scene: &mut Scene<'_>) -> Result<()> {
        let Scene { tool, patch, name, server, probe, load, words } = scene;
        let pid = server.child.id();
        std::thread::sleep(BETWEEN);
        if i == 0 && probe.fixed().tried("probe the old code")? {
            return Err(Failure("the old program already behaves as if it were fixed".into()));
        }
        let from = load.now_ms();
        let outcome = tool.apply(patch, pid).tried("liveline apply")?;
        self.spans.push((from, load.now_ms()));
        let applied = outcome.line();
        self.applied.push(outcome);
        let fixed = probe.fixed().tried("probe after apply")?;
        self.fixed += usize::from(fixed);

        std::thread::sleep(BETWEEN);
        let from = load.now_ms();
        let outcome = tool.revert(name, pid).tried("liveline revert")?;
        self.spans.push((from, load.now_ms()));
        let reverted = outcome.line();
        self.reverted.push(outcome);
        let old = !probe.fixed().tried("probe after revert")?;
        self.old += usize::from(old);

        let seen = |right: bool, yes: &str, no: &str| if right { yes.to_string() } else { no.to_string() };
        words.line(&format!("{:>2}. {applied}; {}", i + 1, seen(fixed, "fixed", "NOT FIXED")));
        words.line(&format!("    {reverted}; {}", seen(old, "as before", "STILL FIXED")));
        words.line(&format!("    {} requests, {} failed or wrong", load.done(), load.failed()));
        match server.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Failure(format!("memcached died: {status}"))),
            Err(error) => Err(Failure(format!("memcached is gone: {error}"))),
        }
    }
}
