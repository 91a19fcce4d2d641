//! What apply, revert and recover share: one process opened and locked, and switches made at a safe point.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use liveline_process::unwind::Unwinder;
use liveline_process::{LockError, Mapping, OpenError, Process, Stop, StopError};

use crate::mount::{Cost, Mounter};
use crate::outcome::{Outcome, Problem};
use crate::registry::Registry;
use crate::safe_point::{Forbidden, Inspector, Obstacle};
use crate::symbolize::Symbolizer;

/// How long one call into the target, or one stop, may take before it is given up.
const STEP: Duration = Duration::from_secs(2);
/// How long threads that are outside may be held while one inside is let run to its end.
const HOLD: Duration = Duration::from_millis(1);
/// Longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How an operation is carried out.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long to wait for a safe point.
    pub timeout: Duration,
    /// Only say whether it could be done.
    pub dry_run: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { timeout: Duration::from_secs(10), dry_run: false }
    }
}

/// The error of opening a process, sorted.
pub(crate) fn open_problem(error: OpenError) -> Problem {
    match error {
        OpenError::NoSuchProcess { .. } | OpenError::Failed { .. } | OpenError::PermissionDenied { .. } => {
            Problem::Failed(error.to_string())
        }
        _ => Problem::Refused(error.to_string()),
    }
}

fn stop_problem(error: StopError) -> Problem {
    match error {
        StopError::AlreadyTraced { .. } => Problem::Refused(error.to_string()),
        _ => Problem::Failed(error.to_string()),
    }
}

/// One process under work.
pub(crate) struct Operation<'p> {
    pub(crate) process: &'p Process,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) registry: Registry,
    pub(crate) outcome: Outcome,
    pub(crate) options: Options,
    begun: Instant,
}

/// Runs an operation on one process, with the lock held, and fills in the outcome's common parts.
pub(crate) fn operate(
    pid: i32,
    patch: &str,
    options: Options,
    work: impl FnOnce(&mut Operation<'_>) -> Result<(), Problem> + Send,
) -> Outcome {
    let begun = Instant::now();
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let mut outcome = Outcome::new(pid, program.trim_end().to_owned(), patch);
    // Whatever happens in there, when that thread ends the kernel lets go of all it held.
    let result = liveline_process::on_own_thread(|| {
        let process = Process::open(pid).map_err(open_problem)?;
        let _lock = process.lock().map_err(|error| match error {
            LockError::Held { .. } => Problem::Refused(error.to_string()),
            LockError::Failed(_) => Problem::Failed(error.to_string()),
        })?;
        let mappings = process.mappings().map_err(|error| Problem::Failed(error.to_string()))?;
        let registry = Registry::read(&process, &mappings);
        if let Some(at) = registry.unknown.first() {
            return Err(Problem::Refused(format!(
                "the registry record at {at:#x} cannot be read: damaged, or written by another version of liveline"
            )));
        }
        let mut operation =
            Operation { process: &process, mappings, registry, outcome: outcome.clone(), options, begun };
        let result = work(&mut operation);
        outcome = operation.outcome;
        result.map_err(|problem| match problem {
            Problem::Failed(_) if !process.is_alive() => Problem::Failed("the process has ended".into()),
            problem => problem,
        })
    });
    if let Err(problem) = result {
        outcome.state = problem.state();
        outcome.reason = Some(problem.to_string());
    }
    outcome.apply_ms = begun.elapsed().as_secs_f64() * 1e3;
    outcome
}

impl Operation<'_> {
    /// A mounter for this process.
    pub(crate) fn mounter(&self) -> Result<Mounter<'_>, Problem> {
        let entry =
            self.process.entry().map_err(|error| Problem::Failed(format!("the program's entry: {error}")))?;
        Ok(Mounter { process: self.process, entry, deadline: STEP, cost: Cost::default() })
    }

    pub(crate) fn note_stop(&mut self, stop: Duration) {
        self.outcome.longest_stop_us = self.outcome.longest_stop_us.max(stop.as_secs_f64() * 1e6);
    }

    /// Runs `switch` with all threads held, whatever they are doing.
    pub(crate) fn held(
        &mut self,
        switch: impl FnOnce(&mut Registry) -> Result<(), liveline_process::MemoryError>,
    ) -> Result<(), Problem> {
        let stop = self.process.stop(STEP).map_err(stop_problem)?;
        let result = switch(&mut self.registry);
        let released = stop.release();
        self.note_stop(released.longest_stop);
        result.map_err(|error| Problem::Failed(error.to_string()))
    }

    /// Runs `switch` at a safe point: all threads held, none inside forbidden code. Looks again until the
    /// time-out; nothing of the target changes before.
    pub(crate) fn at_safe_point(
        &mut self,
        forbidden: &Forbidden,
        switch: impl FnOnce(&mut Registry) -> Result<(), liveline_process::MemoryError>,
    ) -> Result<(), Problem> {
        let deadline = self.begun + self.options.timeout;
        let mut inspector =
            Inspector { process: self.process, mappings: self.mappings.clone(), forbidden, unwinder: None };
        let mut pause = Duration::from_micros(200);
        loop {
            self.outcome.attempts += 1;
            let look = self.process.stop(STEP).map_err(stop_problem).map(|mut stop| {
                let look = converge(&inspector, &mut stop);
                (stop, look)
            });
            let obstacles = match look {
                Ok((stop, ControlFlow::Continue(obstacles))) if obstacles.is_empty() => {
                    let result = switch(&mut self.registry);
                    let released = stop.release();
                    self.note_stop(released.longest_stop);
                    self.outcome.blockers.clear();
                    return result.map_err(|error| Problem::Failed(error.to_string()));
                }
                Ok((stop, look)) => {
                    let released = stop.release();
                    self.note_stop(released.longest_stop);
                    match look {
                        ControlFlow::Continue(obstacles) => obstacles,
                        ControlFlow::Break(()) => {
                            if inspector.unwinder.is_none() {
                                let unwinder = Unwinder::of_process(self.process, &inspector.mappings);
                                inspector.unwinder = Some(unwinder);
                                continue;
                            }
                            Vec::new()
                        }
                    }
                }
                Err(problem) => return Err(problem),
            };
            // Stacks of threads born since would look foreign, unwind tables of new libraries be missing.
            if let Ok(mappings) = self.process.mappings()
                && mappings != inspector.mappings
            {
                inspector.unwinder = None;
                inspector.mappings = mappings;
            }
            if Instant::now() + pause >= deadline {
                let mut symbolizer = Symbolizer::new(self.process, &inspector.mappings, &self.registry);
                self.outcome.blockers =
                    obstacles.iter().map(|obstacle| symbolizer.blocker(obstacle)).collect();
                return Err(Problem::Timeout(self.timeout_reason()));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }

    fn timeout_reason(&self) -> String {
        let seconds = self.options.timeout.as_secs_f64();
        match &self.outcome.blockers[..] {
            [] => format!("no safe point within {seconds} s"),
            [first, rest @ ..] => {
                let others =
                    if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                format!(
                    "no safe point within {seconds} s: thread {} ({}) is in {}{others}",
                    first.tid, first.thread, first.function
                )
            }
        }
    }
}

/// Looks, and where a thread is inside lets just that one run on for a moment, so that it can leave, while the
/// others stay where they are; for at most [`HOLD`], since what it waits for may be held by one of them.
fn converge(inspector: &Inspector<'_>, stop: &mut Stop<'_>) -> ControlFlow<(), Vec<Obstacle>> {
    let mut obstacles = inspector.look(stop)?;
    while !obstacles.is_empty()
        && stop.longest() < HOLD
        && obstacles.iter().all(|obstacle| obstacle.why.is_none())
    {
        let tids: Vec<i32> = obstacles.iter().map(|obstacle| obstacle.tid).collect();
        if stop.let_run(&tids, Duration::from_micros(30)).is_err() {
            break;
        }
        obstacles = inspector.look(stop)?;
    }
    ControlFlow::Continue(obstacles)
}
