//! What apply, revert and recover share: one process opened and locked, and switches made at a safe point.

use std::time::{Duration, Instant};

use liveline_process::{LockError, Mapping, OpenError, Process, StopError};

use crate::mount::{Cost, Mounter};
use crate::outcome::{Outcome, Problem};
use crate::registry::Registry;

/// How long one call into the target, or one stop, may take before it is given up.
pub(crate) const STEP: Duration = Duration::from_secs(2);

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

pub(crate) fn stop_problem(error: StopError) -> Problem {
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
    pub(crate) begun: Instant,
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
        locked(&process, &mut outcome, options, begun, work).map_err(|problem| {
            // Whatever could not be read then: that is why.
            if process.is_alive() { problem } else { Problem::Failed("the process has ended".into()) }
        })
    });
    if let Err(problem) = result {
        outcome.state = problem.state();
        outcome.reason = Some(problem.to_string());
    }
    outcome.apply_ms = begun.elapsed().as_secs_f64() * 1e3;
    outcome
}

/// The work, with the process's lock held.
fn locked(
    process: &Process,
    outcome: &mut Outcome,
    options: Options,
    begun: Instant,
    work: impl FnOnce(&mut Operation<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let _lock = process.lock().map_err(|error| match error {
        LockError::Held { .. } => Problem::Refused(error.to_string()),
        LockError::Failed(_) => Problem::Failed(error.to_string()),
    })?;
    let mappings = process.mappings().map_err(|error| Problem::Failed(error.to_string()))?;
    let registry = Registry::read(process, &mappings);
    if let Some(at) = registry.unknown.first() {
        return Err(Problem::Refused(format!(
            "the registry record at {at:#x} cannot be read: damaged, or written by another version of liveline"
        )));
    }
    let mut operation = Operation { process, mappings, registry, outcome: outcome.clone(), options, begun };
    let result = work(&mut operation);
    *outcome = operation.outcome;
    if !process.is_alive() {
        crate::mount::sweep();
    }
    result
}

impl Operation<'_> {
    /// A mounter for this process.
    pub(crate) fn mounter(&self) -> Result<Mounter<'_>, Problem> {
        let entry = self
            .process
            .entry_point()
            .map_err(|error| Problem::Failed(format!("the program's entry: {error}")))?;
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
        let result = switch(&mut self.registry).and_then(|()| self.process.return_code(&stop));
        let released = stop.release();
        self.note_stop(released.longest_stop);
        result.map_err(|error| Problem::Failed(error.to_string()))
    }
}
