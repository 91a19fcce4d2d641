//! A service under load, updated and taken back: what is common to all real programs.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use liveline_demo::Words;
use liveline_demo::load::{Client, Fault, Load};
use liveline_demo::tool::{Diff, DiffRequest, Made, Outcome, Selection, Tool};
use serde::Serialize;

use crate::shell::{Failure, Result, Tried};

/// Load between an update and the next.
const BETWEEN: Duration = Duration::from_millis(200);
/// How long a server may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What is put into which program.
pub(crate) struct Update<'a> {
    /// Name of the trial.
    pub(crate) name: &'a str,
    /// Name of the patch.
    pub(crate) patch: &'a str,
    /// The program or library that runs, stripped.
    pub(crate) target: &'a Path,
    /// It with its symbols.
    pub(crate) debug: &'a Path,
    /// Objects it was linked from.
    pub(crate) old: &'a Path,
    /// Objects as they should be.
    pub(crate) new: &'a Path,
    /// Types taken as compatible on our word.
    pub(crate) assume: &'a [&'a str],
}

/// When something may be done beside an update.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Right before an update is applied or taken back.
    Before,
    /// Right after.
    After,
}

/// A running service.
pub(crate) trait Service {
    /// Its processes, for liveline.
    fn selection(&self) -> Selection<'_>;
    /// How many processes that must be, at the least.
    fn processes(&self) -> usize;
    /// Whether it behaves as the new code does.
    fn fixed(&mut self) -> std::result::Result<bool, Fault>;
    /// An error if one of its processes is gone.
    fn alive(&mut self) -> Result<()>;
    /// What is going on in it while it is updated.
    fn meanwhile(&mut self, _round: usize, _moment: Moment) -> Result<()> {
        Ok(())
    }
    /// What else was seen, for the report; an error if it is not as it should be.
    fn finish(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// A service and the clients that are to use it.
pub(crate) type Started = (Box<dyn Service>, Vec<Box<dyn Client>>);

/// What a trial gave.
#[derive(Serialize)]
pub(crate) struct TrialReport {
    pub(crate) name: String,
    pub(crate) times: usize,
    pub(crate) processes: usize,
    pub(crate) functions_changed: usize,
    pub(crate) applied: usize,
    pub(crate) reverted: usize,
    pub(crate) requests: usize,
    pub(crate) faults: Vec<String>,
    pub(crate) fixed_after_apply: usize,
    pub(crate) old_after_revert: usize,
    pub(crate) longest_stop_us: f64,
    pub(crate) median_apply_ms: f64,
    pub(crate) slowest_updating_ms: f64,
    pub(crate) slowest_else_ms: f64,
    pub(crate) seen: Vec<String>,
    stopped_early: Option<String>,
}

impl TrialReport {
    /// What is not as it should be.
    pub(crate) fn problems(&self) -> Vec<String> {
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
        must(self.requests > 0, "no request was made".into());
        problems
    }
}

impl Update<'_> {
    fn diff(&self, tool: &Tool, assume: &[&str], output: &Path) -> Result<Diff> {
        tool.diff(&DiffRequest {
            old: self.old,
            new: self.new,
            target: self.target,
            debug: Some(self.debug),
            name: self.patch,
            assume,
            output,
        })
        .tried("liveline diff")
    }

    /// Makes the patch as `output`; an error unless there is one. What is assumed must be just what is refused else.
    fn make(&self, tool: &Tool, output: &Path, words: Words) -> Result<Diff> {
        if !self.assume.is_empty() {
            let refused = self.diff(tool, &[], output)?;
            words.line("Refused without --assume:");
            refused.refused().iter().for_each(|why| words.line(why));
            let refused = refused.verdicts.iter().filter(|v| v.verdict == "refused");
            let (offered, assumed): (BTreeSet<_>, BTreeSet<_>) = (
                refused.map(|v| accepted_by(&v.reason, &v.symbol)).collect(),
                self.assume.iter().map(|name| (*name).to_owned()).collect(),
            );
            if offered != assumed {
                return Err(Failure(format!(
                    "{}: to be accepted {offered:?}, assumed {assumed:?}",
                    self.name
                )));
            }
            words.line("With --assume for each of them, which a person must judge:");
        }
        let diff = self.diff(tool, self.assume, output)?;
        let (lines, rest): (Vec<_>, Vec<_>) = diff.verdicts.iter().partition(|v| v.verdict == "line-only");
        for v in rest {
            words.line(&format!("{:<32} {:<10} {}", v.symbol, v.verdict, v.reason));
        }
        if !lines.is_empty() {
            words.line(&format!("in {} more functions only line numbers differ", lines.len()));
        }
        if diff.made != Made::Patch {
            let why = diff.refused().join("; ");
            return Err(Failure(format!(
                "{}: liveline diff made no patch ({:?}) {why}",
                self.name, diff.made
            )));
        }
        Ok(diff)
    }

    /// Makes the patch, puts `service` under the load of `clients`, and updates it and takes that back, `times` times.
    pub(crate) fn run(
        &self,
        tool: &Tool,
        times: usize,
        words: Words,
        start: impl FnOnce(&Path) -> Result<Started>,
    ) -> Result<TrialReport> {
        let folder = tempfile::tempdir().tried("make a temporary folder")?;
        let file = folder.path().join("patch.llp");
        let diff = self.make(tool, &file, words)?;
        let functions = diff.verdicts.iter().filter(|v| v.verdict == "changed").count();
        PatchFile { trial: self.name, patch: self.patch, file: &file, functions }
            .run(tool, times, words, start)
    }
}

/// By what name a refusal can be accepted, else what is refused for good.
fn accepted_by(reason: &str, symbol: &str) -> String {
    let offer = reason.split_once("--assume '").and_then(|(_, words)| words.split_once('\''));
    offer.map_or(symbol, |(name, _)| name).to_owned()
}

/// A patch that has been made.
pub(crate) struct PatchFile<'a> {
    /// Name of the trial.
    pub(crate) trial: &'a str,
    /// Name of the patch.
    pub(crate) patch: &'a str,
    /// Where it is.
    pub(crate) file: &'a Path,
    /// How many functions it changes.
    pub(crate) functions: usize,
}

impl PatchFile<'_> {
    /// Puts `service` under the load of `clients`, and updates it and takes that back, `times` times.
    pub(crate) fn run(
        &self,
        tool: &Tool,
        times: usize,
        words: Words,
        start: impl FnOnce(&Path) -> Result<Started>,
    ) -> Result<TrialReport> {
        let folder = tempfile::tempdir().tried("make a temporary folder")?;
        let (mut service, clients) = start(folder.path())?;
        let load = Load::start(clients, None);
        let mut run = Run::default();
        let mut scene =
            Scene { tool, patch: self.file, name: self.patch, service: service.as_mut(), load: &load, words };
        let mut stopped_early =
            (0..times).try_for_each(|i| run.round(i, &mut scene)).err().map(|failure| failure.to_string());
        let recording = load.finish();
        for fault in &recording.faults {
            words.line(fault);
        }
        let seen = match service.finish() {
            Ok(seen) => seen,
            Err(failure) => {
                stopped_early.get_or_insert(failure.to_string());
                Vec::new()
            }
        };
        let slowest = |wanted: bool| {
            let took = recording.samples.iter().filter_map(|s| {
                // A request counts as met by an update if it was under way during it.
                let (end, took) = (f64::from(s.at_us) / 1e3, f64::from(s.took_ns) / 1e6);
                let met = run.spans.iter().any(|(from, to)| end - took <= *to && end >= *from);
                (met == wanted).then_some(took)
            });
            took.fold(0.0, f64::max)
        };
        let all = run.applied.iter().chain(&run.reverted).flatten();
        let mut took: Vec<_> = run.applied.iter().flatten().filter_map(|o| o.apply_ms).collect();
        took.sort_by(f64::total_cmp);
        Ok(TrialReport {
            name: self.trial.into(),
            times,
            processes: run.applied.iter().map(Vec::len).max().unwrap_or(0),
            functions_changed: self.functions,
            applied: run.applied.iter().filter(|all| done(all, "applied")).count(),
            reverted: run.reverted.iter().filter(|all| done(all, "reverted")).count(),
            requests: recording.samples.len(),
            fixed_after_apply: run.fixed,
            old_after_revert: run.old,
            longest_stop_us: all.filter_map(|o| o.longest_stop_us).fold(0.0, f64::max),
            median_apply_ms: took.get(took.len() / 2).copied().unwrap_or(0.0),
            slowest_updating_ms: slowest(true),
            slowest_else_ms: slowest(false),
            faults: recording.faults,
            seen,
            stopped_early,
        })
    }
}

/// Whether an update was done in every process.
fn done(outcomes: &[Outcome], state: &str) -> bool {
    !outcomes.is_empty() && outcomes.iter().all(|o| o.state == state)
}

/// All that a round works with.
struct Scene<'a> {
    tool: &'a Tool,
    patch: &'a Path,
    name: &'a str,
    service: &'a mut dyn Service,
    load: &'a Load,
    words: Words,
}

/// What came of the rounds so far.
#[derive(Default)]
struct Run {
    applied: Vec<Vec<Outcome>>,
    reverted: Vec<Vec<Outcome>>,
    fixed: usize,
    old: usize,
    spans: Vec<(f64, f64)>,
}

impl Run {
    /// Applies and reverts once, and looks at the behaviour each time.
    fn round(&mut self, i: usize, scene: &mut Scene<'_>) -> Result<()> {
        let Scene { tool, patch, name, service, load, words } = scene;
        std::thread::sleep(BETWEEN);
        if i == 0 && service.fixed().tried("probe the old code")? {
            return Err(Failure("the old program already behaves as if it were fixed".into()));
        }
        service.meanwhile(i, Moment::Before)?;
        let from = load.now_ms();
        let outcomes = tool.apply_to(patch, service.selection()).tried("liveline apply")?;
        self.spans.push((from, load.now_ms()));
        let applied = lines(&outcomes);
        enough(&outcomes, service.processes())?;
        self.applied.push(outcomes);
        service.meanwhile(i, Moment::After)?;
        let fixed = service.fixed().tried("probe after apply")?;
        self.fixed += usize::from(fixed);

        std::thread::sleep(BETWEEN);
        service.meanwhile(i, Moment::Before)?;
        let from = load.now_ms();
        let outcomes = tool.revert_from(name, service.selection()).tried("liveline revert")?;
        self.spans.push((from, load.now_ms()));
        let reverted = lines(&outcomes);
        self.reverted.push(outcomes);
        service.meanwhile(i, Moment::After)?;
        let old = !service.fixed().tried("probe after revert")?;
        self.old += usize::from(old);

        let seen = |right: bool, yes: &str, no: &str| if right { yes.to_string() } else { no.to_string() };
        words.line(&format!("{:>2}. {applied}; {}", i + 1, seen(fixed, "fixed", "NOT FIXED")));
        words.line(&format!("    {reverted}; {}", seen(old, "as before", "STILL FIXED")));
        words.line(&format!("    {} requests, {} failed or wrong", load.done(), load.failed()));
        service.alive()
    }
}

fn enough(outcomes: &[Outcome], processes: usize) -> Result<()> {
    if outcomes.len() >= processes {
        return Ok(());
    }
    Err(Failure(format!("liveline found {} of {processes} processes of the service", outcomes.len())))
}

/// One line for all processes: those that went alike are told as one.
fn lines(outcomes: &[Outcome]) -> String {
    match outcomes {
        [one] => one.line(),
        all if all.iter().all(|o| o.state == all[0].state && o.reason.is_none()) => {
            let stop = all.iter().filter_map(|o| o.longest_stop_us).fold(0.0, f64::max);
            let took = all.iter().filter_map(|o| o.apply_ms).fold(0.0, f64::max);
            format!(
                "{} in {} processes, longest stop of a thread {stop:.0} µs, at most {took:.1} ms a process",
                all[0].state,
                all.len()
            )
        }
        all => all.iter().map(Outcome::line).collect::<Vec<_>>().join(" | "),
    }
}

/// The trials as a table.
pub(crate) fn table(trials: &[TrialReport]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "trial",
        "updates",
        "processes",
        "requests",
        "failed or wrong",
        "fixed after apply",
        "old after revert",
        "longest stop",
        "apply, median",
        "slowest request while updating / else",
    ]);
    for t in trials {
        table.add_row([
            t.name.clone(),
            format!("{} applied, {} reverted", t.applied, t.reverted),
            t.processes.to_string(),
            t.requests.to_string(),
            t.faults.len().to_string(),
            format!("{} of {}", t.fixed_after_apply, t.times),
            format!("{} of {}", t.old_after_revert, t.times),
            format!("{:.0} µs", t.longest_stop_us),
            format!("{:.1} ms", t.median_apply_ms),
            format!("{:.1} / {:.1} ms", t.slowest_updating_ms, t.slowest_else_ms),
        ]);
    }
    table
}

/// Prints the report of a program's trials; an error if anything is not as it should be.
pub(crate) fn publish<R: Serialize>(report: &R, trials: &[TrialReport], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report).tried("write JSON")?);
    } else {
        println!("\n{}", table(trials));
        for line in trials.iter().flat_map(|t| &t.seen) {
            println!("{line}");
        }
    }
    let wrong: Vec<_> = trials.iter().flat_map(TrialReport::problems).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure(wrong.join("\n        "))) }
}

/// A started process. Dropping it ends it.
pub(crate) struct Daemon {
    child: Child,
    name: String,
    by_term: bool,
}

impl Daemon {
    /// Starts `program`, which ends with us, whatever ends us.
    pub(crate) fn start(program: &Path, configure: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        configure(&mut command);
        let name = program.display().to_string();
        Ok(Daemon { child: command.spawn().tried(format!("start {name}"))?, name, by_term: false })
    }

    /// To be ended by SIGTERM, because it has children to end.
    pub(crate) fn ended_by_term(mut self) -> Self {
        self.by_term = true;
        self
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub(crate) fn alive(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Failure(format!("{} died: {status}", self.name))),
            Err(error) => Err(Failure(format!("{} is gone: {error}", self.name))),
        }
    }

    /// Waits until `ready` says so.
    pub(crate) fn await_ready(&mut self, mut ready: impl FnMut() -> bool) -> Result<()> {
        let began = Instant::now();
        while !ready() {
            self.alive()?;
            if began.elapsed() > START_LIMIT {
                return Err(Failure(format!("{} did not answer within {START_LIMIT:?}", self.name)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let asked = self.by_term
            && Command::new("kill").arg(self.pid().to_string()).status().is_ok_and(|status| status.success());
        if !asked {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> Result<u16> {
    let free = TcpListener::bind(("127.0.0.1", 0)).tried("find a free port")?;
    Ok(free.local_addr().tried("find a free port")?.port())
}
