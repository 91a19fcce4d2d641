//! `status`: what is in processes.

use liveline_elf::demangle;
use liveline_engine::Status;

use serde_json::{Value, json};

use crate::args::StatusArgs;
use crate::commands::module;
use crate::failure::{Code, Failure, Result};
use crate::{control, print, select};

pub(crate) fn run(args: &StatusArgs) -> Result {
    let everywhere = args.pid.is_empty() && args.exe.is_none();
    let pids = if everywhere {
        liveline_process::all_processes().map_err(|error| Failure::failed(format!("/proc: {error}")))?
    } else {
        select::processes(&args.pid, args.exe.as_deref())?
    };
    let mut all: Vec<Status> = pids.into_iter().map(liveline_engine::status).collect();
    if everywhere {
        all.retain(|status| !status.patches.is_empty() || control::find(status.pid).is_some());
    }
    if args.json {
        let all: Vec<Value> = all.iter().map(as_json).collect();
        print::json(&all)?;
    } else if args.gdb {
        for patch in all.iter().flat_map(|status| &status.patches) {
            print::line(&format!("add-symbol-file {}", patch.symbols));
        }
    } else {
        for status in &all {
            show(status);
        }
        if all.is_empty() {
            print::line(if everywhere {
                "no process that you may look at holds a patch or has a control socket"
            } else {
                print::NOBODY
            });
        }
    }
    let failed = all.iter().any(|status| status.error.is_some());
    Ok(if failed {
        Code::Failed
    } else if all.is_empty() && !everywhere {
        Code::Nothing
    } else {
        Code::Done
    })
}

fn show(status: &Status) {
    let who = print::process(status.pid, &status.program);
    if let Some(error) = &status.error {
        print::line(&format!("{who}: {error}"));
        return;
    }
    if status.patches.is_empty() {
        print::line(&format!("{who}: no patches"));
        return show_modules(status.pid);
    }
    print::line(&format!(
        "{who}: {}",
        print::count(status.patches.len(), "patch").replace("patchs", "patches")
    ));
    for patch in &status.patches {
        let state = match (patch.state, patch.effective) {
            ("active", _) => "active".to_owned(),
            (_, true) => "unfinished: the new code runs; `liveline recover` completes it".to_owned(),
            (_, false) => "unfinished: the old code runs; `liveline recover` takes it back".to_owned(),
        };
        print::line(&format!("  {} {} in {}: {state}", patch.name, patch.version, patch.module));
        let mut table = print::table(&["    function", "old", "new", ""]);
        for function in &patch.functions {
            let note = if function.covered { "a newer patch replaces it" } else { "" };
            table.add_row([
                format!("    {}", demangle::name(&function.name)),
                format!("{:#x}", function.old),
                format!("{:#x}", function.new),
                note.to_owned(),
            ]);
        }
        print::line(&table.trim_fmt());
    }
    show_modules(status.pid);
}

fn show_modules(pid: i32) {
    match module::status(pid) {
        Some(Ok(status)) => module::show_status(&status),
        Some(Err(failure)) => print::line(&format!("  {failure}")),
        None => {}
    }
}

/// What there is, with modules and classes where the process has a control socket.
fn as_json(status: &Status) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    match module::status(status.pid) {
        Some(Ok(own)) => {
            value["modules"] = json!(own.modules);
            value["classes"] = json!(own.classes);
        }
        Some(Err(failure)) => value["control_error"] = failure.to_string().into(),
        None => {}
    }
    value
}
