//! Every case under `tests/cases`, in every variant it asks for: made, applied, checked, taken back.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::Outcome;
use crate::case::{Case, CaseBuild, Goal, Variant};
use crate::command::{Run, apply, apply_now, check_status, diff, exit, revert_now, text};
use crate::process::Process;
use crate::toolchain::tests_folder;

/// One trial for each case and variant.
pub(crate) fn trials() -> Outcome<Vec<Trial>> {
    let folder = tests_folder().join("cases");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "c" || extension == "cpp") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut trials = Vec::new();
    for path in paths {
        let case = Case::read(&path)?;
        if case.goal == Goal::Patched
            && !case.stateful
            && !case.verdicts.iter().any(|(_, kind)| kind == "data-value")
        {
            let case = case.clone();
            let name = format!("builder::{}::as-written", case.name);
            trials.push(Trial::test(name, move || check_as_written(&case).map_err(Failed::from)));
        }
        for variant in case.variants.clone() {
            let case = case.clone();
            let name = format!("builder::{}::{}", case.name, variant.name());
            trials.push(Trial::test(name, move || check(&case, &variant).map_err(Failed::from)));
        }
    }
    Ok(trials)
}

/// The case itself: the old code must answer `before`, the new code, built and started anew, `after`.
fn check_as_written(case: &Case) -> Outcome {
    let variant = case.variants.first().ok_or("no variant")?;
    for (case, answers) in [(case.clone(), &case.before), (case.as_new(), &case.after)] {
        let built = case.build(variant)?;
        let mut process = Process::start_command(&mut start(&built, "0"))?;
        ask_all(&mut process, answers, "as built")?;
    }
    Ok(())
}

fn start(built: &CaseBuild, threads: &str) -> Command {
    let mut command = Command::new(&built.build.program);
    command.arg(threads);
    if let Some(library) = &built.library {
        command.env("CASE_LIBRARY", library);
    }
    command
}

fn check(case: &Case, variant: &Variant) -> Outcome {
    check_built(case, &case.build(variant)?)
}

/// Makes the patch and does with it what the case says.
pub(crate) fn check_built(case: &Case, built: &CaseBuild) -> Outcome {
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let patch = scratch.path().join("case.llp");
    let mut more = vec!["--name", case.name.as_str()];
    if let Some(debug) = &built.debug {
        more.extend(["--debug", text(debug)]);
    }
    more.extend(case.diff_arguments.iter().map(String::as_str));
    let run = diff(&built.build.old, &built.build.new, &built.target, &patch, &more)?;
    for note in &case.notes {
        run.says(note)?;
    }
    match &case.goal {
        Goal::Refused(words) => {
            let run = run.expect(exit::REFUSED)?;
            if patch.exists() {
                return Err(run.complain("a refused patch was written all the same"));
            }
            run.says(words)
        }
        Goal::Nothing => {
            let run = run.expect(exit::NOTHING)?;
            check_verdicts(case, &run)
        }
        Goal::Either if run.code == exit::REFUSED => Ok(()),
        Goal::Either | Goal::Patched => {
            let run = run.expect(exit::DONE)?;
            check_verdicts(case, &run)?;
            // What runs was linked from the old objects.
            if run.out.contains("differ in the running program") {
                return Err(run.complain("functions that are the same are told to differ"));
            }
            play(case, built, &patch).map_err(|e| run.complain(&e))
        }
    }
}

/// A program as built must give these answers.
pub(crate) fn check_answers(program: &Path, answers: &[String]) -> Outcome {
    let mut process = Process::start(program, &["0"])?;
    ask_all(&mut process, answers, "as built")
}

/// The live part: before, applied, applied again, taken back.
fn play(case: &Case, built: &CaseBuild, patch: &Path) -> Outcome {
    let (before, after) = match (case.before.first(), case.after.first()) {
        (Some(before), Some(after)) => (before, after),
        _ => return Err("the case says neither `before` nor `after`".into()),
    };
    let mut command = start(built, if case.stateful { "0" } else { "2" });
    if case.strict {
        command.args([before, after]);
    }
    let mut process = Process::start_command(&mut command)?;
    let pid = process.pid();
    ask_all(&mut process, &case.before, "before the patch")?;
    apply_now(patch, pid)?;
    ask_all(&mut process, &case.after, "with the patch")?;
    let again = apply(patch, pid, &[])?.expect(exit::DONE)?;
    if again.field("state")? != "already" {
        return Err(again.complain("applied twice: expected state already"));
    }
    check_status(pid, &case.name, true)?;
    if !case.stateful {
        ask_all(&mut process, &case.after, "after the second apply")?;
    }
    revert_now(&case.name, pid)?;
    check_status(pid, &case.name, false)?;
    let reverted = if case.reverted.is_empty() { std::slice::from_ref(before) } else { &case.reverted[..] };
    ask_all(&mut process, reverted, "after the revert")?;
    if !case.stateful {
        apply_now(patch, pid)?;
        ask_all(&mut process, &case.after, "with the patch once more")?;
        check_callers(&mut process)?;
    }
    process.check_alive()
}

fn ask_all(process: &mut Process, answers: &[String], when: &str) -> Outcome {
    answers.iter().try_for_each(|answer| process.expect("ask", answer, when))
}

/// The threads that call all the time must still do so and have seen no wrong answer.
fn check_callers(process: &mut Process) -> Outcome {
    let count = |line: &str| line.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let first = process.ask("count")?;
    for _ in 0..1000 {
        let line = process.ask("count")?;
        if line.split(' ').nth(1) != Some("0") {
            return Err(format!("a thread saw a wrong answer: {line}"));
        }
        if count(&line) > count(&first) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Err(format!("the calling threads stand still: {first}"))
}

fn check_verdicts(case: &Case, run: &Run) -> Outcome {
    let json = run.json()?;
    let mut found = Vec::new();
    collect_verdicts(&json, &mut found);
    for (symbol, verdict) in &case.verdicts {
        let fits = |name: &str| match symbol.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => name == symbol || format!("{:#}", rustc_demangle::demangle(name)) == *symbol,
        };
        let given: Vec<_> = found.iter().filter(|(name, _)| fits(name)).map(|(_, verdict)| verdict).collect();
        let right = match verdict.as_str() {
            "none" => given.is_empty(),
            _ => given.contains(&verdict),
        };
        if !right {
            return Err(run.complain(&format!("verdict of {symbol}: expected {verdict}, got {given:?}")));
        }
    }
    Ok(())
}

fn collect_verdicts(json: &Value, found: &mut Vec<(String, String)>) {
    if let (Some(Value::String(symbol)), Some(Value::String(verdict))) =
        (json.get("symbol"), json.get("verdict"))
    {
        found.push((symbol.clone(), verdict.clone()));
    }
    match json {
        Value::Array(list) => list.iter().for_each(|entry| collect_verdicts(entry, found)),
        Value::Object(map) => map.values().for_each(|entry| collect_verdicts(entry, found)),
        _ => {}
    }
}
