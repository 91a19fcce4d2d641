//! The modules of this program: how each came, what it brought, and how it goes.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use liveline_control::fingerprint::Fingerprint;
use liveline_control::image::description;
use liveline_control::message::{self, Apply, Outcome, State, Updated};

use crate::class::Options;
use crate::error::SwapError;
use crate::hold::Patience;
use crate::module::entrance::Entrance;
use crate::module::image;
use crate::module::steps::{Module, Trouble, retire};
use crate::registry;

/// A module whose code is mapped, for as long as the program runs.
struct Resident {
    name: String,
    build: String,
    hash: u64,
    entrance: Option<&'static Entrance>,
    is_active: bool,
    brought: Vec<Updated>,
}

static RESIDENTS: Mutex<Vec<Resident>> = Mutex::new(Vec::new());

fn residents() -> MutexGuard<'static, Vec<Resident>> {
    RESIDENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a module is not in.
struct Stopped(State, Vec<String>);

impl Stopped {
    fn refused(why: impl Into<String>) -> Self {
        Self(State::Refused, vec![why.into()])
    }

    fn of(troubles: Vec<Trouble>) -> Self {
        let state = if troubles.iter().any(|t| t.stays) {
            State::Failed
        } else if troubles.iter().any(|t| t.is_busy) {
            State::Timeout
        } else {
            State::Refused
        };
        Self(state, troubles.into_iter().map(|t| t.words).collect())
    }
}

type Done = (State, Vec<Updated>);

/// Words that fit into an answer: a panic may say as much as it likes.
fn short(words: String) -> String {
    const LONGEST: usize = 4096;
    match words.char_indices().find(|(at, _)| *at >= LONGEST) {
        Some((end, _)) => format!("{} …", &words[..end]),
        None => words,
    }
}

fn outcome(module: String, begun: Instant, result: Result<Done, Stopped>) -> Outcome {
    let microseconds = begun.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
    match result {
        Ok((state, classes)) => Outcome { state, module, reasons: Vec::new(), classes, microseconds },
        Err(Stopped(state, reasons)) => {
            let reasons = reasons.into_iter().map(short).collect();
            Outcome { state, module, reasons, classes: Vec::new(), microseconds }
        }
    }
}

/// Loads a module: it is in as a whole, or nothing has changed.
pub(crate) fn apply(program: &Fingerprint, request: &Apply, bytes: &[u8]) -> Outcome {
    let begun = Instant::now();
    let made = description(bytes)
        .ok_or_else(|| {
            "it is no module: a module is a shared library alone (crate-type = [\"cdylib\"]) with #[liveline_runtime::module] before its entry".to_owned()
        })
        .and_then(Fingerprint::parse);
    match made {
        Ok(made) => outcome(made.name.clone(), begun, let_in(program, &made, request, bytes)),
        Err(why) => outcome(String::new(), begun, Err(Stopped::refused(why))),
    }
}

fn let_in(program: &Fingerprint, made: &Fingerprint, request: &Apply, bytes: &[u8]) -> Result<Done, Stopped> {
    let misfits = program.misfits(made);
    if !misfits.is_empty() {
        return Err(Stopped(State::Refused, misfits));
    }
    let mut residents = residents();
    let hash = hash(bytes);
    let known = residents.iter().position(|r| r.build == made.build);
    if let Some(resident) = known.map(|at| &residents[at]) {
        if resident.hash != hash {
            return Err(Stopped::refused(format!(
                "another build of crate {} is loaded, and its types would be taken for those of this one: build it with a name of its own, by cargo rustc -- -C metadata=NAME",
                made.name
            )));
        }
        if resident.is_active {
            return Ok((State::Already, resident.brought.clone()));
        }
    }
    if request.dry_run {
        return Ok((State::Possible, Vec::new()));
    }
    let at = known.unwrap_or_else(|| {
        residents.push(Resident {
            name: made.name.clone(),
            build: made.build.clone(),
            hash,
            entrance: None,
            is_active: false,
            brought: Vec::new(),
        });
        residents.len() - 1
    });
    if residents[at].entrance.is_none() {
        let mapped = image::map(&made.name, bytes).map_err(|why| Stopped(State::Failed, vec![why]))?;
        residents[at].entrance = Some(mapped);
    }
    let Some(entrance) = residents[at].entrance else { unreachable!("just mapped") };
    let brought = enter(entrance, request)?;
    residents[at].brought.clone_from(&brought);
    residents[at].is_active = true;
    Ok((State::Applied, brought))
}

fn enter(entrance: &Entrance, request: &Apply) -> Result<Vec<Updated>, Stopped> {
    let mut module = Module::new(request.renumber);
    match entrance.enter(&mut module) {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return Err(Stopped::refused(format!("it will not be loaded: {why}"))),
        Err(SwapError::Panicked(words)) => {
            return Err(Stopped(State::Failed, vec![format!("its entry panicked: {words}")]));
        }
        Err(other) => return Err(Stopped(State::Failed, vec![other.to_string()])),
    }
    let reasons = module.check();
    if !reasons.is_empty() {
        return Err(Stopped(State::Refused, reasons));
    }
    let (brought, troubles) = entrance.carry_out(&mut module, options(request.timeout_ms));
    if troubles.is_empty() { Ok(brought) } else { Err(Stopped::of(troubles)) }
}

/// Holds as often as fits into the time.
fn options(timeout_ms: u64) -> Options {
    let bound = Patience::default().bound.min(Duration::from_millis(timeout_ms.max(1)));
    let each = 2 * bound.as_millis().max(1);
    let attempts = u32::try_from(u128::from(timeout_ms) / each).unwrap_or(u32::MAX).max(1);
    Options::with_patience(Patience { bound, attempts })
}

/// Takes a module back: its classes get the code from before, as a new version; or it stays as a whole.
pub(crate) fn revert(name: &str, dry_run: bool, timeout_ms: u64) -> Outcome {
    let begun = Instant::now();
    outcome(name.to_string(), begun, let_out(name, dry_run, timeout_ms))
}

fn let_out(name: &str, dry_run: bool, timeout_ms: u64) -> Result<Done, Stopped> {
    let mut residents = residents();
    let Some(resident) = residents.iter_mut().rev().find(|r| r.name == name && r.is_active) else {
        return Ok((State::Clean, Vec::new()));
    };
    let classes = registry::classes();
    for updated in resident.brought.iter().filter(|u| !u.new) {
        let class = classes.iter().find(|c| c.name() == updated.name);
        if class.is_none_or(|c| c.origin() != updated.version) {
            let running = class.map_or(0, |c| c.version());
            return Err(Stopped::refused(format!(
                "class {} is at version {running} by now, and {name} brought version {}: revert what came after it first",
                updated.name, updated.version
            )));
        }
    }
    if resident.brought.iter().all(|u| u.new) {
        return Err(Stopped::refused("it brought only new classes, which the program may be using"));
    }
    if dry_run {
        return Ok((State::Possible, Vec::new()));
    }
    let troubles = retire(&resident.brought, options(timeout_ms));
    let now: Vec<Updated> = resident
        .brought
        .iter()
        .filter_map(|updated| {
            let class = classes.iter().find(|c| c.name() == updated.name)?;
            Some(Updated { version: class.version(), converted: class.instances(), ..updated.clone() })
        })
        .collect();
    if troubles.is_empty() {
        resident.is_active = false;
        Ok((State::Reverted, now))
    } else {
        Err(Stopped::of(troubles))
    }
}

/// The modules, in the order in which they came.
pub(crate) fn status() -> Vec<message::Module> {
    let classes = registry::classes();
    let is_current =
        |updated: &Updated| classes.iter().any(|c| c.name() == updated.name && c.origin() == updated.version);
    let tell = |resident: &Resident| {
        let state = match (resident.is_active, resident.brought.is_empty()) {
            (true, _) if resident.brought.iter().any(is_current) => "active",
            (true, _) => "replaced",
            (false, false) => "reverted",
            (false, true) => "failed",
        };
        message::Module {
            name: resident.name.clone(),
            state: state.to_string(),
            classes: resident.brought.clone(),
        }
    };
    residents().iter().map(tell).collect()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
