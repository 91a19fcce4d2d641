//! `watch`: a module in running programs follows its sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use liveline_control::message::State;
use liveline_watch::{Change, Project, Sources, WatchError};
use serde_json::{Value, json};

use crate::args::WatchArgs;
use crate::commands::module;
use crate::failure::{Code, Failure, Result};
use crate::{control, print, select};

/// How often it is asked whether the programs still run.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &WatchArgs) -> Result {
    let pids = args.selection.pids("watch")?;
    let project = Project::find(Path::new("."), args.package.as_deref(), &args.words).map_err(explain)?;
    let running = || select::processes(&pids, args.selection.exe.as_deref());
    let mut seen = ready(&running()?)?;
    if seen.is_empty() {
        print::line(print::NOBODY);
        return Ok(Code::Nothing);
    }
    // Before the first build: what is saved meanwhile is a change.
    let mut sources = Sources::watch(&project).map_err(explain)?;
    if !args.json && !args.once {
        let folders: Vec<String> =
            project.folders().iter().map(|folder| folder.display().to_string()).collect();
        print::line(&format!("watching {} in {}", project.package(), folders.join(", ")));
    }
    let mut change = None;
    loop {
        let code = round(args, &project, &seen, change.as_ref())?;
        if args.once {
            return Ok(code);
        }
        change = loop {
            if let Some(change) = sources.changed(LOOK).map_err(explain)? {
                break Some(change);
            }
            // A program that began meanwhile has yet to get what the others have.
            let now: Vec<i32> = running()?.into_iter().filter(|pid| is_there(*pid)).collect();
            if now.is_empty() {
                if !args.json {
                    print::line("the programs have ended");
                }
                return Ok(Code::Done);
            }
            let came = now.iter().any(|pid| !seen.contains(pid) && control::find(*pid).is_some());
            seen = now;
            if came {
                break None;
            }
        };
    }
}

fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Errors: one of the processes takes no modules.
fn ready(pids: &[i32]) -> std::result::Result<Vec<i32>, Failure> {
    for pid in pids {
        if let Some(status) = module::status(*pid) {
            status?;
        } else {
            return Err(control::absent(*pid));
        }
    }
    Ok(pids.to_vec())
}

/// Builds the module, loads it, and says what came of it.
fn round(args: &WatchArgs, project: &Project, pids: &[i32], change: Option<&Change>) -> Result {
    let began = Instant::now();
    if let Some(change) = change.filter(|_| !args.json) {
        print::line(&format!("{}  {} saved", clock(), names(project, &change.files)));
    }
    let saved = change.map_or(began, |change| change.saved);
    let built = match project.build() {
        Ok(built) => built,
        // cargo has said why. The program goes on with what it has, and so do we.
        Err(error @ WatchError::Build { .. }) if !args.once => {
            if args.json {
                line_of_json(&json!({ "state": "not_built", "files": files(change) }))?;
            } else {
                print::line(&format!("{}  {error}; the programs go on with what they have", clock()));
            }
            return Ok(Code::Failed);
        }
        Err(error) => return Err(explain(error)),
    };
    let build = began.elapsed();
    let bytes = fs::read(&built.module).map_err(|error| Failure::file(&built.module, error))?;
    if !module::is_one(&built.module, &bytes)? {
        return Err(Failure::new(Code::Refused, format!("{}: no module", built.module.display())));
    }
    let loading = Instant::now();
    let outcomes: Vec<_> = pids
        .iter()
        .map(|pid| {
            let outcome = module::load(*pid, &bytes, (false, true, args.timeout));
            (*pid, outcome.unwrap_or_else(|failure| module::failed(&failure)))
        })
        .collect();
    let (load, whole) = (loading.elapsed(), saved.elapsed());
    let states: Vec<State> = outcomes.iter().map(|(_, outcome)| outcome.state).collect();
    if args.json {
        let processes: Vec<Value> =
            outcomes.iter().map(|(pid, outcome)| module::as_json(*pid, outcome)).collect();
        line_of_json(&json!({
            "state": "built",
            "files": files(change),
            "build_ms": build.as_secs_f64() * 1e3,
            "load_ms": load.as_secs_f64() * 1e3,
            "edit_to_running_ms": whole.as_secs_f64() * 1e3,
            "processes": processes,
        }))?;
    } else {
        for (pid, outcome) in &outcomes {
            module::show(*pid, outcome);
        }
        if states.contains(&State::Applied) {
            let from = if change.is_some() { "saved" } else { "started" };
            print::line(&format!(
                "{}  {from} to running: {:.2} s (build {:.2} s, load {})",
                clock(),
                whole.as_secs_f64(),
                build.as_secs_f64(),
                print::microseconds(load.as_secs_f64() * 1e6)
            ));
        }
    }
    Ok(module::code(&states))
}

fn files(change: Option<&Change>) -> &[PathBuf] {
    change.map_or(&[], |change| &change.files)
}

/// One object, one line: whoever reads them as they come need not look for the end.
fn line_of_json(value: &Value) -> std::result::Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
    print::out(format!("{text}\n").as_bytes());
    Ok(())
}

/// Files for a person: from their package's folder, and only the first few.
fn names(project: &Project, files: &[PathBuf]) -> String {
    const SHOWN: usize = 3;
    let short = |file: &PathBuf| {
        let own = project.folders().iter().filter_map(|folder| file.strip_prefix(folder.parent()?).ok());
        own.min_by_key(|path| path.as_os_str().len()).unwrap_or(file).display().to_string()
    };
    let shown: Vec<String> = files.iter().take(SHOWN).map(short).collect();
    match files.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The time of day, in UTC, as logs have it.
fn clock() -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    now.get(11..19).unwrap_or(&now).to_owned()
}

fn explain(error: WatchError) -> Failure {
    let hint = match &error {
        WatchError::NoWorkspace { .. } => Some("run it in the workspace of the module"),
        WatchError::NoPackage(_) => Some("name it: -p PACKAGE"),
        WatchError::Watch(_) => Some("there may be too many folders: see fs.inotify.max_user_watches"),
        WatchError::Cargo(_) | WatchError::Build { .. } | WatchError::NoModule { .. } => None,
    };
    let code = match &error {
        WatchError::NoWorkspace { .. } | WatchError::NoPackage(_) => Code::Usage,
        _ => Code::Failed,
    };
    let failure = Failure::new(code, error.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
