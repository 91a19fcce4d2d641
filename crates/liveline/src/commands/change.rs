//! `apply`, `revert` and `recover`: what changes processes.

use std::path::Path;

use liveline_engine::{Blocker, Options, Outcome, State};

use crate::args::{ApplyArgs, RecoverArgs, RevertArgs};
use crate::commands::{module, patch_file};
use crate::failure::{Code, Result};
use crate::{print, select};

pub(crate) fn apply(args: &ApplyArgs) -> Result {
    let (pids, file) = args.selection.with_word(args.file.as_deref(), "the patch file", "apply")?;
    let file = Path::new(&file);
    let bytes = patch_file::contents(file)?;
    if module::is_one(file, &bytes)? {
        let pids = select::processes(&pids, args.selection.exe.as_deref())?;
        return module::apply(&pids, args, &bytes);
    }
    let patch = patch_file::decode(file, &bytes)?;
    let pids = select::processes(&pids, args.selection.exe.as_deref())?;
    let options = Options { timeout: args.timeout, dry_run: args.dry_run };
    each(&pids, args.json, |pid| liveline_engine::apply(pid, &patch, &bytes, options))
}

pub(crate) fn revert(args: &RevertArgs) -> Result {
    let (pids, name) = args.selection.with_word(args.name.as_deref(), "the name of the patch", "revert")?;
    let pids = select::processes(&pids, args.selection.exe.as_deref())?;
    for pid in &pids {
        if module::has(*pid, &name)? {
            return module::revert(&pids, args, &name);
        }
    }
    let options = Options { timeout: args.timeout, dry_run: args.dry_run };
    each(&pids, args.json, |pid| liveline_engine::revert(pid, &name, options))
}

pub(crate) fn recover(args: &RecoverArgs) -> Result {
    let pids = select::processes(&args.selection.pids("recover")?, args.selection.exe.as_deref())?;
    // That there is nothing left to recover is what was asked for.
    match each(&pids, args.json, |pid| liveline_engine::recover(pid, Options::default()))? {
        Code::Nothing => Ok(Code::Done),
        code => Ok(code),
    }
}

/// Works on each process and prints each result as it comes, or all of them as JSON.
fn each(pids: &[i32], json: bool, work: impl Fn(i32) -> Outcome) -> Result {
    let mut outcomes = Vec::new();
    for pid in pids {
        let outcome = work(*pid);
        if !json {
            show(&outcome);
        }
        outcomes.push(outcome);
    }
    if json {
        print::json(&outcomes)?;
    } else if pids.is_empty() {
        print::line(print::NOBODY);
    }
    Ok(code(&outcomes))
}

/// The exit code for several processes: the worst of them; "nothing to do" only if that holds for all.
fn code(outcomes: &[Outcome]) -> Code {
    let any = |state| outcomes.iter().any(|outcome| outcome.state == state);
    if any(State::Failed) {
        Code::Failed
    } else if any(State::Refused) {
        Code::Refused
    } else if any(State::Timeout) {
        Code::NoSafePoint
    } else if outcomes.iter().all(|outcome| outcome.state == State::Clean) {
        Code::Nothing
    } else {
        Code::Done
    }
}

fn show(outcome: &Outcome) {
    let who = print::process(outcome.pid, &outcome.program);
    let patch = &outcome.patch;
    let cost = || {
        format!(
            "{} in {:.1} ms, {}, longest stop {}",
            print::count(outcome.functions.len(), "function"),
            outcome.apply_ms,
            print::count(outcome.attempts as usize, "look"),
            print::microseconds(outcome.longest_stop_us)
        )
    };
    let text = match outcome.state {
        State::Applied => format!("{who}: applied {patch}: {}", cost()),
        State::Reverted => format!("{who}: reverted {patch}: {}", cost()),
        State::Already => format!("{who}: {patch} is in already"),
        State::Recovered => format!("{who}: recovered"),
        State::Clean => format!("{who}: nothing to do"),
        State::Possible => {
            format!("{who}: {patch} could be done: {}", print::count(outcome.functions.len(), "function"))
        }
        State::Refused => format!("{who}: refused"),
        State::Timeout => format!("{who}: no safe point in time, nothing changed"),
        State::Failed => format!("{who}: failed, nothing changed"),
    };
    print::line(&text);
    if let Some(reason) = &outcome.reason {
        print::line(&format!("  {reason}"));
    }
    for alike in grouped(&outcome.blockers) {
        let blocker = alike[0];
        print::line(&format!("  {}: {}", threads(&alike), blocker.function));
        for (number, frame) in blocker.backtrace.iter().enumerate() {
            print::line(&format!("    #{number} {frame}"));
        }
    }
    if outcome.state == State::Timeout {
        print::line("  try again with a longer --timeout, or when these threads are elsewhere");
    }
}

/// Threads that stand at the same place, in the order of the first of each.
fn grouped(blockers: &[Blocker]) -> Vec<Vec<&Blocker>> {
    let mut groups: Vec<Vec<&Blocker>> = Vec::new();
    for blocker in blockers {
        let place = (&blocker.function, &blocker.backtrace);
        match groups.iter_mut().find(|group| (&group[0].function, &group[0].backtrace) == place) {
            Some(group) => group.push(blocker),
            None => groups.push(vec![blocker]),
        }
    }
    groups
}

/// How many threads are named one by one.
const THREADS_NAMED: usize = 4;

fn threads(alike: &[&Blocker]) -> String {
    let name = |blocker: &&Blocker| format!("{} ({})", blocker.tid, blocker.thread);
    match alike {
        [one] => format!("thread {}", name(one)),
        all => {
            let named: Vec<String> = all.iter().take(THREADS_NAMED).map(name).collect();
            let more = if all.len() > THREADS_NAMED { ", …" } else { "" };
            format!("{} threads, {}{more}", all.len(), named.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_at_one_place_are_told_once() {
        let blocker = |tid, thread: &str, frame: &str| Blocker {
            tid,
            thread: thread.into(),
            function: "work".into(),
            backtrace: vec![frame.into()],
        };
        let mut all: Vec<Blocker> = (1..=60).map(|tid| blocker(tid, "pool", "work+0x5")).collect();
        all.insert(30, blocker(99, "main", "work+0x9"));
        let groups = grouped(&all);
        let told: Vec<String> = groups.iter().map(|group| threads(group)).collect();
        assert_eq!(told, ["60 threads, 1 (pool), 2 (pool), 3 (pool), 4 (pool), …", "thread 99 (main)"]);
    }
}
