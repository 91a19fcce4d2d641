//! Modules: shared libraries that a program with `liveline-runtime` takes in by itself.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use liveline_control::fingerprint::Fingerprint;
use liveline_control::image;
use liveline_control::message::{Answer, Apply, Command, Entry, Outcome, State, Status, Updated};
use serde_json::{Value, json};

use super::patch_file;
use crate::args::{ApplyArgs, LogArgs, RevertArgs};
use crate::failure::{Code, Failure, Result};
use crate::{control, print, select};

/// `e_type` of a shared library.
const ET_DYN: u16 = 3;
/// How long a program may take to answer, beyond what it is given to wait.
const ANSWER: Duration = Duration::from_secs(60);

/// Whether a file is a module. Errors: it is another shared library, or another program.
pub(crate) fn is_one(path: &Path, bytes: &[u8]) -> std::result::Result<bool, Failure> {
    // A patch is a relocatable object, a module a shared library.
    if !bytes.starts_with(b"\x7fELF") || bytes.get(16..18) != Some(&ET_DYN.to_le_bytes()) {
        return Ok(false);
    }
    match image::description(bytes) {
        Some(_) => Ok(true),
        None => Err(patch_file::refused(path, "neither a patch nor a module")),
    }
}

/// What a module says of itself, without running it.
pub(crate) fn inspect(path: &Path, bytes: &[u8], as_json: bool) -> Result {
    let description = image::description(bytes).unwrap_or_default();
    let made = image::check(bytes)
        .and_then(|()| Fingerprint::parse(description))
        .map_err(|why| Failure::new(Code::Refused, format!("{}: {why}", path.display())))?;
    let interfaces = image::interfaces(bytes);
    let (settings, crates): (Vec<_>, Vec<_>) = (made.settings().collect(), made.crates().collect());
    if as_json {
        let interfaces: Vec<_> = interfaces
            .iter()
            .map(|((own, name), methods)| json!({ "crate": own, "name": name, "methods": methods }))
            .collect();
        let module = json!({
            "name": made.name,
            "build": made.build,
            "rustc": made.rustc(),
            "settings": settings,
            "crates": crates,
            "interfaces": interfaces,
        });
        print::json(&json!({ "file": path.display().to_string(), "module": module }))?;
        return Ok(Code::Done);
    }
    print::line(&format!("module {}, build {}", made.name, made.build));
    let settings = if settings.is_empty() { String::new() } else { format!(", with {}", settings.join(" ")) };
    print::line(&format!("compiled by {}{settings}", made.rustc()));
    print::line(&format!("made of crates: {}", crates.join(", ")));
    for ((own, name), methods) in &interfaces {
        print::line(&format!("interface {name} of crate {own}"));
        for method in methods {
            print::line(&format!("  {method}"));
        }
    }
    print::line("Which classes it brings its entry says, when it is loaded.");
    Ok(Code::Done)
}

pub(crate) fn apply(pids: &[i32], args: &ApplyArgs, bytes: &[u8]) -> Result {
    let how = How { dry_run: args.dry_run, renumber: args.renumber, timeout: args.timeout };
    each(pids, args.json, |pid| load(pid, bytes, how))
}

/// How a module is loaded.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// Only say whether it could be done.
    pub(crate) dry_run: bool,
    /// With the next version numbers.
    pub(crate) renumber: bool,
    /// How long calls have to leave.
    pub(crate) timeout: Duration,
}

/// Loads a module into a process.
pub(crate) fn load(pid: i32, bytes: &[u8], how: How) -> std::result::Result<Outcome, Failure> {
    let How { dry_run, renumber, timeout } = how;
    let apply = Apply { size: bytes.len() as u64, dry_run, renumber, timeout_ms: milliseconds(timeout) };
    let mut outcome = change(pid, Command::Apply(apply), bytes, timeout)?;
    if outcome.state == State::Possible {
        outcome
            .reasons
            .push("which classes it brings, and which versions, its entry says when it is loaded".to_owned());
    }
    if outcome.state == State::Refused {
        // The program knows that a crate differs; how, stands in the files.
        let program = std::fs::read(format!("/proc/{pid}/exe")).unwrap_or_default();
        outcome.reasons.extend(image::changed_interfaces(&program, bytes));
    }
    Ok(outcome)
}

pub(crate) fn revert(pids: &[i32], args: &RevertArgs, name: &str) -> Result {
    let timeout_ms = milliseconds(args.timeout);
    let command = Command::Revert { name: name.to_owned(), dry_run: args.dry_run, timeout_ms };
    each(pids, args.json, |pid| change(pid, command.clone(), &[], args.timeout))
}

/// Whether the process ever took in a module of that name. Errors: it takes modules, and may not be asked.
pub(crate) fn has(pid: i32, name: &str) -> std::result::Result<bool, Failure> {
    match status(pid) {
        Some(Ok(status)) => Ok(status.modules.iter().any(|module| module.name == name)),
        Some(Err(failure)) if !control::may_ask(pid) => Err(failure),
        // A patch can be taken back whether or not somebody answers.
        Some(Err(_)) | None => Ok(false),
    }
}

/// Modules and classes of a process; none if it has no control socket.
pub(crate) fn status(pid: i32) -> Option<std::result::Result<Status, Failure>> {
    control::find(pid)?;
    Some(match control::ask(pid, Command::Status, &[], ANSWER) {
        Ok(Answer::Status(status)) => Ok(status),
        Ok(_) => Err(unexpected(pid)),
        Err(failure) => Err(failure),
    })
}

pub(crate) fn log(args: &LogArgs) -> Result {
    let pids = select::processes(&args.selection.pids("log")?, args.selection.exe.as_deref())?;
    let mut all = Vec::new();
    for pid in &pids {
        let entries = match control::ask(*pid, Command::Log, &[], ANSWER)? {
            Answer::Log(entries) => entries,
            _ => return Err(unexpected(*pid)),
        };
        if !args.json {
            show_log(*pid, &entries);
        }
        all.push(json!({ "pid": pid, "log": entries }));
    }
    if args.json {
        print::json(&all)?;
    } else if pids.is_empty() {
        print::line(print::NOBODY);
    }
    Ok(if pids.is_empty() { Code::Nothing } else { Code::Done })
}

fn change(
    pid: i32,
    command: Command,
    bytes: &[u8],
    timeout: Duration,
) -> std::result::Result<Outcome, Failure> {
    // For the changes before it, and for itself.
    let patience = timeout.saturating_mul(2).saturating_add(ANSWER);
    match control::ask(pid, command, bytes, patience)? {
        Answer::Outcome(outcome) => Ok(outcome),
        _ => Err(unexpected(pid)),
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn unexpected(pid: i32) -> Failure {
    Failure::failed(format!("process {pid}: an answer that was not asked for"))
}

/// Works on each process, and prints each result as it comes, or all of them as JSON.
fn each(pids: &[i32], json: bool, work: impl Fn(i32) -> std::result::Result<Outcome, Failure>) -> Result {
    let mut states = Vec::new();
    let mut all = Vec::new();
    for pid in pids {
        let outcome = match work(*pid) {
            Ok(outcome) => outcome,
            // The others are still asked.
            Err(failure) if pids.len() > 1 => failed(&failure),
            Err(failure) => return Err(failure),
        };
        states.push(outcome.state);
        if json {
            all.push(as_json(*pid, &outcome));
        } else {
            show(*pid, &outcome);
        }
    }
    if json {
        print::json(&all)?;
    } else if pids.is_empty() {
        print::line(print::NOBODY);
    }
    Ok(code(&states))
}

pub(crate) fn failed(failure: &Failure) -> Outcome {
    Outcome {
        state: if failure.code == Code::Refused { State::Refused } else { State::Failed },
        module: String::new(),
        reasons: vec![failure.to_string()],
        classes: Vec::new(),
        clashes: Vec::new(),
        microseconds: 0,
    }
}

pub(crate) fn code(states: &[State]) -> Code {
    if states.contains(&State::Failed) {
        Code::Failed
    } else if states.contains(&State::Refused) {
        Code::Refused
    } else if states.contains(&State::Timeout) {
        Code::NoSafePoint
    } else if states.iter().all(|state| matches!(state, State::Already | State::Clean)) {
        Code::Nothing
    } else {
        Code::Done
    }
}

pub(crate) fn as_json(pid: i32, outcome: &Outcome) -> Value {
    json!({
        "pid": pid,
        "program": program(pid),
        "module": outcome.module,
        "state": outcome.state,
        "reasons": outcome.reasons,
        "classes": outcome.classes,
        "milliseconds": outcome.microseconds as f64 / 1000.0,
    })
}

fn program(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| String::new(), |name| name.trim_end().to_owned())
}

pub(crate) fn show(pid: i32, outcome: &Outcome) {
    print::line(&format!("{}: {}", print::process(pid, &program(pid)), words(outcome)));
    for reason in &outcome.reasons {
        print::line(&format!("  {reason}"));
    }
    // What a module brought that is in already is not news.
    for class in outcome.classes.iter().filter(|_| outcome.state != State::Already) {
        print::line(&format!("  {}", class_words(class)));
    }
    for (words, hint) in HINTS {
        if outcome.reasons.iter().any(|reason| reason.contains(words)) {
            print::line(&format!("  {hint}"));
        }
    }
}

/// What a reason of the program says, and the way out.
const HINTS: [(&str, &str); 7] = [
    ("has been under way for", "liveline log tells when it is done"),
    (
        "was taken back",
        "its next load needs --renumber, which gives classes the next numbers (watch always does)",
    ),
    ("was offered", "--renumber gives its classes the next numbers"),
    (
        "is not what the program was built with",
        "what both are made of stays as it is while the program runs; build both in one workspace",
    ),
    (
        "was built as the program's",
        "say what the program was built with (--release, --profile, --target), and build both in one workspace",
    ),
    (
        "was built in another way",
        "cargo gives packages that it builds together the features that any of them, or of what they need, asks for: build the program alone, as a module is (cargo build -p PROGRAM), or let the crate of the interfaces ask for what the program asks for",
    ),
    (
        "no common state format",
        "state(FIELD, ..) takes what the old version gives, and the rest from Default",
    ),
];

fn words(outcome: &Outcome) -> String {
    let module = if outcome.module.is_empty() { "the module" } else { &outcome.module };
    let took = print::microseconds(outcome.microseconds as f64);
    match outcome.state {
        State::Applied => format!("applied {module} in {took}"),
        State::Reverted => format!("reverted {module} in {took}"),
        State::Already => format!("{module} is in already"),
        State::Possible => format!("{module} could be done"),
        State::Clean if outcome.module.is_empty() => "nothing to do".to_owned(),
        State::Clean => format!("{module}: nothing to do"),
        State::Refused => format!("refused {module}, nothing changed"),
        State::Timeout => format!("{module}: not in time, nothing changed"),
        State::Failed => format!("{module} failed"),
    }
}

fn class_words(class: &Updated) -> String {
    let name = print::one_line(&class.name);
    if class.new {
        format!("class {name}: new")
    } else {
        let instances = print::count(class.converted, "instance");
        format!("class {name}: version {}, {instances} replaced", class.version)
    }
}

/// Modules and classes, below what `status` says of patches.
pub(crate) fn show_status(status: &Status) {
    // `watch` brings a build of a module at each save.
    for alike in status.modules.chunk_by(|one, other| (&one.name, &one.state) == (&other.name, &other.state))
    {
        let module = &alike[alike.len() - 1];
        let classes: Vec<String> = module
            .classes
            .iter()
            .map(|class| format!("{} {}", print::one_line(&class.name), class.version))
            .collect();
        let classes = if classes.is_empty() { String::new() } else { format!(" ({})", classes.join(", ")) };
        let builds = if alike.len() > 1 { format!(", {} builds", alike.len()) } else { String::new() };
        print::line(&format!("  module {}: {}{builds}{classes}", module.name, module.state));
    }
    if status.classes.is_empty() {
        return;
    }
    let mut table = print::table(&["    class", "interface", "version", "instances"]);
    for class in &status.classes {
        let name = format!("    {}", print::one_line(&class.name));
        table.add_row([
            name,
            class.interface.clone(),
            class.version.to_string(),
            class.instances.to_string(),
        ]);
    }
    print::line(&table.trim_fmt());
}

fn show_log(pid: i32, entries: &[Entry]) {
    print::line(&format!(
        "{}: {}",
        print::process(pid, &program(pid)),
        print::count(entries.len(), "entry").replace("entrys", "entries")
    ));
    for entry in entries {
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(entry.time_ms));
        print::line(&format!(
            "  {time} user {} process {}: {}",
            entry.user,
            entry.process,
            words(&entry.outcome)
        ));
        for reason in &entry.outcome.reasons {
            print::line(&format!("    {reason}"));
        }
    }
}
