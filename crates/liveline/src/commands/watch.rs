//! `watch`: a module in running programs follows its sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use liveline_control::message::{Outcome, State};
use liveline_watch::{Change, Project, Sources, WatchError};
use serde_json::{Value, json};

use crate::args::WatchArgs;
use crate::commands::module::{self, How};
use crate::failure::{Code, Failure, Result};
use crate::{control, print, select};

/// How often a module is built for one change: again where crates of it are to be told apart from those of earlier builds.
const ATTEMPTS: usize = 3;

/// How often it is asked whether the programs still run.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &WatchArgs) -> Result {
    let pids = args.selection.pids("watch")?;
    let find = || Project::find(Path::new("."), args.package.as_deref(), &args.words);
    let mut project = find().map_err(explain)?;
    let running = || select::processes(&pids, args.selection.exe.as_deref());
    let mut seen = ready(&running()?, !pids.is_empty())?;
    if seen.is_empty() {
        print::line(print::NOBODY);
        return Ok(Code::Nothing);
    }
    // Before the first build: what is saved meanwhile is a change.
    let mut sources = Sources::watch(&project).map_err(explain)?;
    if !args.json && !args.once {
        say_folders(&project);
    }
    let (mut change, mut module) = (None, None);
    loop {
        let code = round(args, &mut project, &seen, change.as_ref(), &mut module)?;
        if args.once {
            return Ok(code);
        }
        let saved = loop {
            if let Some(change) = sources.changed(LOOK).map_err(explain)? {
                break change;
            }
            let there: Vec<i32> = running()?.into_iter().filter(|pid| is_there(*pid)).collect();
            if there.is_empty() {
                if !args.json {
                    print::line("the programs have ended");
                }
                return Ok(Code::Done);
            }
            // One that began has no socket at first.
            let now: Vec<i32> = there.into_iter().filter(|pid| control::find(*pid).is_some()).collect();
            let came: Vec<i32> = now.iter().copied().filter(|pid| !seen.contains(pid)).collect();
            seen = now;
            if let (false, Some(bytes)) = (came.is_empty(), &module) {
                catch_up(args, &came, bytes)?;
            }
        };
        if saved.files.iter().any(|file| Project::is_manifest(file)) {
            // Where it is no manifest now the build says so.
            if let Ok(found) = find() {
                let before = std::mem::replace(&mut project, found);
                sources.follow(&project).map_err(explain)?;
                if !args.json && before.folders() != project.folders() {
                    say_folders(&project);
                }
                project.follows(before);
            }
        }
        // The next look finds who came; who has ended gets nothing.
        seen.retain(|pid| is_there(*pid));
        change = Some(saved);
    }
}

fn say_folders(project: &Project) {
    let folders: Vec<String> = project.folders().iter().map(|folder| folder.display().to_string()).collect();
    print::line(&format!("watching {} in {}", project.package(), folders.join(", ")));
}

fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Those of the processes that take modules. Errors: one that was named does not, or none does.
fn ready(pids: &[i32], are_named: bool) -> std::result::Result<Vec<i32>, Failure> {
    let mut ready = Vec::new();
    for pid in pids {
        match module::status(*pid) {
            Some(status) => {
                status?;
                ready.push(*pid);
            }
            None if are_named => return Err(control::absent(*pid)),
            None => {}
        }
    }
    match pids.first() {
        Some(pid) if ready.is_empty() => Err(control::absent(*pid)),
        _ => Ok(ready),
    }
}

/// Loads what was built into programs that began since.
fn catch_up(args: &WatchArgs, pids: &[i32], bytes: &[u8]) -> std::result::Result<(), Failure> {
    let began = Instant::now();
    let outcomes = load(args, pids, bytes);
    if args.json {
        return line_of_json(&json!({
            "state": "loaded",
            "load_ms": began.elapsed().as_secs_f64() * 1e3,
            "processes": processes(&outcomes),
        }));
    }
    outcomes.iter().for_each(|(pid, outcome)| module::show(*pid, outcome));
    Ok(())
}

fn load(args: &WatchArgs, pids: &[i32], bytes: &[u8]) -> Vec<(i32, Outcome)> {
    let how = How { dry_run: false, renumber: true, timeout: args.timeout };
    let one = |pid: &i32| {
        let outcome = module::load(*pid, bytes, how);
        (*pid, outcome.unwrap_or_else(|failure| module::failed(&failure)))
    };
    pids.iter().map(one).collect()
}

fn processes(outcomes: &[(i32, Outcome)]) -> Vec<Value> {
    outcomes.iter().map(|(pid, outcome)| module::as_json(*pid, outcome)).collect()
}

/// Builds the module, loads it, and says what came of it. Keeps what was built.
fn round(
    args: &WatchArgs,
    project: &mut Project,
    pids: &[i32],
    change: Option<&Change>,
    kept: &mut Option<Vec<u8>>,
) -> Result {
    let began = Instant::now();
    if let Some(change) = change.filter(|_| !args.json) {
        print::line(&format!("{}  {} saved", clock(), names(project, &change.files)));
    }
    let saved = change.map_or(began, |change| change.saved);
    let (mut attempts, mut open, mut outcomes) = (0, pids.to_vec(), Vec::new());
    let (build, loading) = loop {
        let (is_under_way, made) = match project.build() {
            Ok(built) => (change.is_some(), module_of(&built.module)),
            Err(error) => {
                (change.is_some() || matches!(error, WatchError::Build { .. }), Err(explain(error)))
            }
        };
        let bytes = match made {
            Ok(bytes) => bytes,
            // The programs go on with what they have, and so do we: the next save may mend it.
            Err(failure) if is_under_way && !args.once => {
                not_built(args, change, &outcomes, &failure)?;
                return Ok(Code::Failed);
            }
            Err(failure) => return Err(failure),
        };
        let (build, loading) = (began.elapsed(), Instant::now());
        let tried = load(args, &open, kept.insert(bytes));
        let clashes: BTreeSet<String> =
            tried.iter().flat_map(|(_, outcome)| outcome.clashes.clone()).collect();
        let clashes = Vec::from_iter(clashes);
        attempts += 1;
        if clashes.is_empty() || attempts == ATTEMPTS || !project.tell_apart(&clashes) {
            outcomes.extend(tried);
            break (build, loading);
        }
        let (again, done): (Vec<_>, Vec<_>) =
            tried.into_iter().partition(|(_, outcome)| !outcome.clashes.is_empty());
        open = again.into_iter().map(|(pid, _)| pid).collect();
        outcomes.extend(done);
        if !args.json {
            let names = liveline_diff::list_in_brief(clashes, 3);
            print::line(&format!(
                "{}  {names} changed since it was loaded: built again, under another name",
                clock()
            ));
        }
    };
    let (load, whole) = (loading.elapsed(), saved.elapsed());
    let states: Vec<State> = outcomes.iter().map(|(_, outcome)| outcome.state).collect();
    if args.json {
        line_of_json(&json!({
            "state": "built",
            "files": files(change),
            "build_ms": build.as_secs_f64() * 1e3,
            "load_ms": load.as_secs_f64() * 1e3,
            "edit_to_running_ms": whole.as_secs_f64() * 1e3,
            "processes": processes(&outcomes),
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

fn not_built(
    args: &WatchArgs,
    change: Option<&Change>,
    outcomes: &[(i32, Outcome)],
    failure: &Failure,
) -> std::result::Result<(), Failure> {
    if args.json {
        let why = failure.to_string();
        return line_of_json(&json!({
            "state": "not_built",
            "files": files(change),
            "why": why,
            "processes": processes(outcomes),
        }));
    }
    // Those for which it was built before, under another name.
    outcomes.iter().for_each(|(pid, outcome)| module::show(*pid, outcome));
    print::line(&format!("{}  {failure}; the programs go on with what they have", clock()));
    Ok(())
}

/// The bytes of a module that was built.
fn module_of(path: &Path) -> std::result::Result<Vec<u8>, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::file(path, error))?;
    if module::is_one(path, &bytes)? {
        return Ok(bytes);
    }
    Err(Failure::new(Code::Refused, format!("{}: no module", path.display())))
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
    let short = |file: &PathBuf| {
        let own = project.folders().iter().filter_map(|folder| file.strip_prefix(folder.parent()?).ok());
        own.min_by_key(|path| path.as_os_str().len()).unwrap_or(file).display().to_string()
    };
    liveline_diff::list_in_brief(files.iter().map(short), 3)
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
