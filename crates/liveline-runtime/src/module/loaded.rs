//! The modules of this program: how each came, what it brought, and how it goes.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use liveline_control::fingerprint::Fingerprint;
use liveline_control::image;
use liveline_control::message::{self, Apply, Outcome, State, Updated};

use crate::class::Options;
use crate::error::SwapError;
use crate::hold::Patience;
use crate::module::entrance::Entrance;
use crate::module::mapped;
use crate::module::steps::{Module, Trouble, retire};
use crate::registry;
use crate::thread::attached;

/// A module whose code is mapped, for as long as the program runs.
struct Resident {
    made: Fingerprint,
    hash: u64,
    /// Its code is in the program, for good.
    is_mapped: bool,
    /// The way in, or why there is none.
    entrance: Option<Result<&'static Entrance, String>>,
    is_active: bool,
    /// It comes or goes.
    is_changing: bool,
    brought: Vec<Updated>,
    /// The classes that it ever added: brought again, they are no more new.
    added: Vec<String>,
}

impl Resident {
    fn new(made: &Fingerprint, hash: u64) -> Self {
        Self {
            made: made.clone(),
            hash,
            is_mapped: false,
            entrance: None,
            is_active: false,
            is_changing: false,
            brought: Vec::new(),
            added: Vec::new(),
        }
    }
}

/// A module comes or goes, until this is dropped, by a panic or otherwise.
struct Changing(usize);

impl Changing {
    fn begin(at: usize) -> Self {
        residents()[at].is_changing = true;
        Self(at)
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        residents()[self.0].is_changing = false;
    }
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

/// Reasons as they are told and noted: a panic may say as much as it likes, and each instance something else.
fn told(reasons: Vec<String>) -> Vec<String> {
    const LONGEST: usize = 4096;
    const MOST: usize = 100;
    let short = |words: String| match words.char_indices().find(|(at, _)| *at >= LONGEST) {
        Some((end, _)) => format!("{} …", &words[..end]),
        None => words,
    };
    let more = reasons.len().saturating_sub(MOST);
    let mut told: Vec<String> = reasons.into_iter().take(MOST).map(short).collect();
    if more > 0 {
        told.push(format!("and {more} more reasons"));
    }
    told
}

fn outcome(module: String, begun: Instant, result: Result<Done, Stopped>) -> Outcome {
    let microseconds = begun.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
    match result {
        Ok((state, classes)) => {
            Outcome { state, module, reasons: Vec::new(), classes, clashes: Vec::new(), microseconds }
        }
        Err(Stopped(state, reasons)) => {
            let reasons = told(reasons);
            Outcome { state, module, reasons, classes: Vec::new(), clashes: Vec::new(), microseconds }
        }
    }
}

/// What a module is made of.
pub(crate) fn made(bytes: &[u8]) -> Result<Fingerprint, String> {
    let text = image::description(bytes).ok_or(
        "it is no module: a module is a shared library alone (crate-type = [\"cdylib\"]) with #[liveline_runtime::module] before its entry",
    )?;
    image::check(bytes)?;
    Fingerprint::parse(text)
}

/// Loads a module: it is in as a whole, or nothing has changed. One change at a time.
pub(crate) fn apply(
    program: &Result<Fingerprint, String>,
    made: Result<Fingerprint, String>,
    request: &Apply,
    bytes: &[u8],
) -> Outcome {
    let begun = Instant::now();
    let (made, program) = match (made, program) {
        (Ok(made), Ok(program)) => (made, program),
        (Err(why), _) => return outcome(String::new(), begun, Err(Stopped::refused(why))),
        (Ok(made), Err(why)) => {
            let why = format!("it is not known what the program is made of: {why}");
            return outcome(made.name, begun, Err(Stopped::refused(why)));
        }
    };
    let misfits = program.misfits(&made);
    if !misfits.is_empty() {
        return outcome(made.name, begun, Err(Stopped(State::Refused, misfits)));
    }
    let (clashes, reasons) = clashes(&made);
    if !clashes.is_empty() {
        let refused = outcome(made.name, begun, Err(Stopped(State::Refused, reasons)));
        return Outcome { clashes, ..refused };
    }
    let result = let_in(&made, request, bytes);
    outcome(made.name, begun, result)
}

/// What does not fit beside the modules that came before, and in words.
fn clashes(made: &Fingerprint) -> (Vec<String>, Vec<String>) {
    let residents = residents();
    let mut found = BTreeMap::new();
    for resident in residents.iter() {
        found.extend(made.clashes(&resident.made).map(|name| (name, &resident.made.name)));
    }
    let words = |(name, before): (&&str, &&String)| {
        format!(
            "crate {name} is not what module {before} was built with, and its types would be taken for those: give it another version in its Cargo.toml"
        )
    };
    (found.keys().map(ToString::to_string).collect(), found.iter().map(words).collect())
}

fn let_in(made: &Fingerprint, request: &Apply, bytes: &[u8]) -> Result<Done, Stopped> {
    let hash = hash(bytes);
    let at = {
        let mut residents = residents();
        let known = residents.iter().position(|r| r.made.build == made.build);
        if let Some(resident) = known.map(|at| &residents[at]) {
            if resident.hash != hash {
                return Err(Stopped::refused(format!(
                    "another build of crate {} is loaded, and its types would be taken for those of this one: build it with a name of its own, by cargo rustc -- -C metadata=NAME",
                    made.name
                )));
            }
            if resident.is_active && resident.brought.iter().any(is_current) {
                return Ok((State::Already, resident.brought.clone()));
            }
            if resident.is_active {
                let newer = later(&residents, &resident.brought);
                let by = if newer.is_empty() { newer } else { format!(": that of {newer}") };
                return Err(Stopped(State::Already, vec![format!("newer code runs in all its classes{by}")]));
            }
        }
        if request.dry_run {
            return Ok((State::Possible, Vec::new()));
        }
        known.unwrap_or_else(|| {
            residents.push(Resident::new(made, hash));
            residents.len() - 1
        })
    };
    let changing = Changing::begin(at);
    let entered = bring_in(at, made, request, bytes);
    drop(changing);
    let mut residents = residents();
    if !residents[at].is_mapped {
        // Nothing of it is in the program: it came last, and another file may come in its place.
        residents.remove(at);
        return entered.map(|brought| (State::Applied, brought));
    }
    let brought = entered?;
    residents[at].added.extend(brought.iter().filter(|b| b.new).map(|b| b.name.clone()));
    residents[at].brought.clone_from(&brought);
    residents[at].is_active = true;
    Ok((State::Applied, brought))
}

/// Maps it, if it is not yet, and does what its entry says. The list is free meanwhile: that may take long.
fn bring_in(at: usize, made: &Fingerprint, request: &Apply, bytes: &[u8]) -> Result<Vec<Updated>, Stopped> {
    let stopped = |why| Stopped(State::Failed, vec![why]);
    let known = residents()[at].entrance.clone();
    let entrance = match known {
        Some(entrance) => entrance,
        None => {
            let library = mapped::map(&made.name, bytes).map_err(stopped)?;
            residents()[at].is_mapped = true;
            let entrance = library.entrance();
            residents()[at].entrance = Some(entrance.clone());
            entrance
        }
    };
    let own = added(&residents(), &made.name);
    enter(entrance.map_err(stopped)?, own, request)
}

fn enter(entrance: &Entrance, own: Vec<String>, request: &Apply) -> Result<Vec<Updated>, Stopped> {
    let mut module = Module::new(request.renumber, own);
    match attached().entering(|| entrance.enter(&mut module)) {
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
    let found = residents().iter().rposition(|r| r.made.name == name && r.is_active);
    let Some(at) = found else {
        return Ok((State::Clean, Vec::new()));
    };
    let brought = residents()[at].brought.clone();
    let classes = registry::classes();
    for updated in brought.iter().filter(|u| !u.new) {
        let class = classes.iter().find(|c| c.name() == updated.name);
        if class.is_none_or(|c| c.origin() != updated.version) {
            let running = class.map_or(0, |c| c.version());
            let first = match later(&residents(), std::slice::from_ref(updated)) {
                names if names.is_empty() => "what came after it".to_owned(),
                names => names,
            };
            return Err(Stopped::refused(format!(
                "class {} is at version {running} by now, and {name} brought version {}: revert {first} first",
                updated.name, updated.version
            )));
        }
    }
    if brought.iter().all(|u| u.new) {
        return Err(Stopped::refused("it brought only new classes, which the program may be using"));
    }
    if dry_run {
        return Ok((State::Possible, Vec::new()));
    }
    let changing = Changing::begin(at);
    let troubles = retire(&brought, options(timeout_ms));
    drop(changing);
    if !troubles.is_empty() {
        return Err(Stopped::of(troubles));
    }
    residents()[at].is_active = false;
    let now = |updated: Updated| {
        let class = classes.iter().find(|c| c.name() == updated.name)?;
        Some(Updated { version: class.version(), converted: class.instances(), ..updated })
    };
    Ok((State::Reverted, brought.into_iter().filter_map(now).collect()))
}

/// The modules, in the order in which they came.
pub(crate) fn status() -> Vec<message::Module> {
    let tell = |resident: &Resident| {
        let state = match (resident.is_active, resident.brought.is_empty()) {
            (true, _) if resident.is_changing => "reverting",
            (false, _) if resident.is_changing => "loading",
            (true, _) if resident.brought.iter().any(is_current) => "active",
            (true, _) => "replaced",
            (false, false) => "reverted",
            (false, true) => "failed",
        };
        message::Module {
            name: resident.made.name.clone(),
            state: state.to_string(),
            classes: resident.brought.clone(),
        }
    };
    residents().iter().map(tell).collect()
}

/// Whether its code is what the class runs now.
fn is_current(updated: &Updated) -> bool {
    registry::classes().iter().any(|c| c.name() == updated.name && c.origin() == updated.version)
}

/// The classes that builds of this module added.
fn added(residents: &[Resident], name: &str) -> Vec<String> {
    let builds = residents.iter().filter(|resident| resident.made.name == name);
    builds.flat_map(|r| r.added.clone()).collect()
}

/// The modules whose code is what these classes run now, for people.
fn later(residents: &[Resident], classes: &[Updated]) -> String {
    let is_of =
        |brought: &&Updated| classes.iter().any(|class| class.name == brought.name) && is_current(brought);
    let brings = |resident: &&Resident| resident.is_active && resident.brought.iter().any(|b| is_of(&b));
    let names: Vec<&str> = residents.iter().filter(brings).map(|r| r.made.name.as_str()).collect();
    names.join(", ")
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
