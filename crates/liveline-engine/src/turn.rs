//! Turning a patch in or out at a safe point.
//!
//! Scan and walk, with every thread held ([`Inspector`]); where a thread is inside, wait. Three ways to wait, each
//! only where the one before did not do:
//!
//! 1. the thread inside is let run for some 30 µs at a time while the others stay held, up to [`HOLD`];
//! 2. everybody goes on, and all are looked at again a little later;
//! 3. the functions through which threads came in are turned to their thunks, which changes nothing yet, and the
//!    gate is closed for moments: who leaves and would come straight back waits there. A thread that sleeps inside is awaited at the end of its
//!    system call, and the gate closes just then.
//!
//! The gate opens by itself, so that a killed patcher leaves nobody waiting.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use liveline_process::unwind::Unwinder;
use liveline_process::{Mapping, MemoryError, Stop, StopError};

use crate::operation::{Operation, STEP, stop_problem};
use crate::outcome::{Blocker, Problem};
use crate::registry::Registry;
use crate::safe_point::{Forbidden, Inspector, Obstacle};
use crate::suspended;
use crate::switch::{self, Direction};
use crate::symbolize::Symbolizer;
use crate::table::CLOSED;

/// How long threads that are outside may be held while one inside is let run to its end.
const HOLD: Duration = Duration::from_millis(1);
/// Longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Looks without the gate.
const PATIENT_LOOKS: u32 = 4;
/// How long the gate is kept closed at a time; it opens by itself soon after.
const GATE: Duration = Duration::from_micros(800);

/// What one look at all threads came to.
enum Look {
    /// The switch has been made.
    Done,
    /// These were in the way.
    Obstacles(Vec<Obstacle>),
    /// A thread could not be stopped: it sleeps uninterruptibly, or waits for its vfork child.
    Unstoppable(Blocker),
    /// A stack that belongs to no thread is in the way.
    Suspended(Blocker),
}

/// The work of turning one patch.
struct Turn<'o, 'p> {
    operation: &'o mut Operation<'p>,
    forbidden: &'o Forbidden,
    index: usize,
    direction: Direction,
    /// The functions go through their thunks.
    engaged: bool,
    mappings: Vec<Mapping>,
    unwinder: Option<Unwinder>,
    /// The program may have suspended stacks: memory is searched before each look.
    coroutines: bool,
}

impl Operation<'_> {
    /// Turns patch `index` of the registry in or out, when no thread is inside `forbidden` code. On a time-out
    /// everything is as it was.
    pub(crate) fn turn(
        &mut self,
        mut forbidden: Forbidden,
        index: usize,
        direction: Direction,
    ) -> Result<(), Problem> {
        self.registry.forbid_tables(&mut forbidden);
        forbidden.prepare(self.process, &self.mappings);
        let mappings = self.mappings.clone();
        let coroutines = suspended::switches_stacks(self.process, &self.mappings);
        let mut turn = Turn {
            operation: self,
            forbidden: &forbidden,
            index,
            direction,
            engaged: false,
            mappings,
            unwinder: None,
            coroutines,
        };
        let turned = turn.run();
        if turned.is_err() && turn.engaged {
            let process = self.process;
            self.held(|registry| switch::settle(process, registry))?;
        }
        turned
    }
}

impl Turn<'_, '_> {
    fn run(&mut self) -> Result<(), Problem> {
        let deadline = self.operation.begun + self.operation.options.timeout;
        let mut pause = Duration::from_micros(200);
        loop {
            let gated = self.engaged;
            let look = if let Some(blocker) = self.suspended()? {
                Look::Suspended(blocker)
            } else if gated {
                self.look_behind_gate(deadline)?
            } else {
                self.look()?
            };
            let stuck = match look {
                Look::Done => return Ok(()),
                Look::Unstoppable(blocker) | Look::Suspended(blocker) => vec![blocker],
                Look::Obstacles(obstacles) => {
                    if Instant::now() + pause < deadline {
                        Vec::new()
                    } else {
                        let process = self.operation.process;
                        let mut names = Symbolizer::new(process, &self.mappings, &self.operation.registry);
                        obstacles.iter().map(|obstacle| names.blocker(obstacle)).collect()
                    }
                }
            };
            self.refresh();
            if Instant::now() + pause >= deadline {
                self.operation.outcome.blockers = stuck;
                return Err(Problem::Timeout(self.timeout_reason()));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Stacks of threads born since the last reading would look foreign, unwind tables of new libraries be
    /// missing.
    fn refresh(&mut self) {
        let Ok(mappings) = self.operation.process.mappings() else { return };
        let code = |mappings: &[Mapping]| -> Vec<(u64, u64)> {
            mappings
                .iter()
                .filter(|mapping| mapping.exec)
                .map(|mapping| (mapping.start, mapping.end))
                .collect()
        };
        if code(&mappings) != code(&self.mappings) {
            self.unwinder = None;
        }
        self.mappings = mappings;
    }

    /// A suspended stack in the way, where there may be any. Searched while the program runs: for the time of
    /// such a search nobody could be held.
    fn suspended(&mut self) -> Result<Option<Blocker>, Problem> {
        if !self.coroutines {
            return Ok(None);
        }
        let process = self.operation.process;
        let stop = process.stop(STEP).map_err(stop_problem)?;
        let pointers: Vec<u64> = stop.threads().iter().map(|thread| thread.regs.rsp).collect();
        let released = stop.release();
        self.operation.note_stop(released.longest_stop);
        self.refresh();
        Ok(suspended::find(process, &self.mappings, self.forbidden, &pointers))
    }

    /// Holds all threads, and makes the switch if none is in the way.
    fn look(&mut self) -> Result<Look, Problem> {
        if self.unwinder.is_none() && self.operation.outcome.attempts + 1 >= PATIENT_LOOKS {
            // The gate needs to know how the threads inside came in.
            self.unwinder = Some(Unwinder::of_process(self.operation.process, &self.mappings));
        }
        loop {
            self.operation.outcome.attempts += 1;
            let process = self.operation.process;
            let mut stop = match process.stop(STEP) {
                Ok(stop) => stop,
                Err(StopError::Unstoppable { tid, name, state, wchan }) => {
                    let function = format!("the kernel ({wchan}, state {state}) and cannot be stopped");
                    return Ok(Look::Unstoppable(Blocker {
                        tid,
                        thread: name,
                        function,
                        backtrace: Vec::new(),
                    }));
                }
                Err(error) => return Err(stop_problem(error)),
            };
            let inspector = Inspector {
                process,
                mappings: &self.mappings,
                forbidden: self.forbidden,
                unwinder: self.unwinder.as_ref(),
            };
            let look = converge(&inspector, &mut stop);
            let result = match &look {
                ControlFlow::Continue(obstacles) if obstacles.is_empty() => Some(self.switch()),
                ControlFlow::Continue(obstacles) if self.wants_gate(obstacles) => {
                    Some(self.engage(obstacles)).filter(Result::is_err)
                }
                _ => None,
            };
            let returned = process.return_code(&stop);
            let released = stop.release();
            self.operation.note_stop(released.longest_stop);
            returned.map_err(|error| Problem::Failed(error.to_string()))?;
            if let Some(result) = result {
                result.map_err(|error| Problem::Failed(error.to_string()))?;
                return Ok(Look::Done);
            }
            match look {
                ControlFlow::Continue(obstacles) => return Ok(Look::Obstacles(obstacles)),
                // The unwind tables are read while nobody is held.
                ControlFlow::Break(()) => self.unwinder = Some(Unwinder::of_process(process, &self.mappings)),
            }
        }
    }

    fn switch(&mut self) -> Result<(), MemoryError> {
        let process = self.operation.process;
        let registry = &mut self.operation.registry;
        let (_, after) = self.direction.selectors();
        let engaged = if self.engaged {
            switch::engage_only(process, registry, self.index, |_| true)
        } else {
            switch::engage(process, registry, self.index, self.direction)
        };
        let switched =
            engaged.and_then(|()| switch::select(process, &mut registry.patches[self.index], after));
        // Where the store was not reached this takes everything back, where it was this tidies up.
        let settled = switch::settle(process, registry);
        self.engaged = false;
        self.operation.outcome.blockers.clear();
        switched.and(settled)
    }

    /// Whether it is time for the gate, and everybody inside can be judged.
    fn wants_gate(&self, obstacles: &[Obstacle]) -> bool {
        !self.engaged
            && self.operation.outcome.attempts >= PATIENT_LOOKS
            && obstacles.iter().all(|obstacle| obstacle.why.is_none())
    }

    /// Turns the functions to their thunks, if nobody stands where a detour goes.
    fn engage(&mut self, obstacles: &[Obstacle]) -> Result<(), MemoryError> {
        let registry = &mut self.operation.registry;
        let installed = &registry.patches[self.index];
        let detours: Vec<u64> =
            (0..installed.description.functions.len()).map(|function| installed.detour(function)).collect();
        let within = |pc: &u64| {
            detours.iter().any(|detour| (detour + 1..detour + crate::table::DETOUR_SIZE).contains(pc))
        };
        if obstacles.iter().flat_map(|obstacle| &obstacle.frames).any(within) {
            return Ok(());
        }
        self.engaged = true;
        switch::engage(self.operation.process, registry, self.index, self.direction)?;
        let roots: BTreeSet<&str> =
            obstacles.iter().filter_map(|obstacle| obstacle.root.as_deref()).collect();
        switch::engage_only(self.operation.process, registry, self.index, |name| roots.contains(name))
    }

    /// Closes the gate for a moment and looks.
    fn look_behind_gate(&mut self, deadline: Instant) -> Result<Look, Problem> {
        let process = self.operation.process;
        // Who is inside now, asleep?
        let inside = match self.look()? {
            Look::Obstacles(obstacles) => obstacles,
            other => return Ok(other),
        };
        let sleeper = inside.first().map(|obstacle| obstacle.tid);
        // Waiting for one is of use only while the others come and go by themselves.
        let until = (Instant::now() + Duration::from_millis(100)).min(deadline);
        let emerged = match sleeper {
            Some(tid) => process.await_call_end(tid, until).map_err(stop_problem)?,
            None => None,
        };
        self.gate(true)?;
        drop(emerged);
        let closed = Instant::now();
        let mut look = Look::Obstacles(inside);
        while closed.elapsed() < GATE {
            look = self.look()?;
            if !matches!(look, Look::Obstacles(_)) {
                break;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        if self.engaged {
            self.gate(false)?;
        }
        Ok(look)
    }

    fn gate(&mut self, closed: bool) -> Result<(), Problem> {
        let (before, _) = self.direction.selectors();
        let selector = if closed { before + CLOSED } else { before };
        let registry: &mut Registry = &mut self.operation.registry;
        switch::select(self.operation.process, &mut registry.patches[self.index], selector)
            .map_err(|error| Problem::Failed(error.to_string()))
    }

    fn timeout_reason(&self) -> String {
        let seconds = self.operation.options.timeout.as_secs_f64();
        match &self.operation.outcome.blockers[..] {
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
        && obstacles.iter().all(|obstacle| obstacle.why.is_none() && !obstacle.asleep)
    {
        let tids: Vec<i32> = obstacles.iter().map(|obstacle| obstacle.tid).collect();
        if stop.let_run(&tids, Duration::from_micros(30)).is_err() {
            break;
        }
        obstacles = inspector.look(stop)?;
    }
    ControlFlow::Continue(obstacles)
}
