//! `status`: what is in processes.

use liveline_elf::demangle;
use liveline_engine::Status;

use crate::args::StatusArgs;
use crate::failure::{Code, Failure, Result};
use crate::{print, select};

pub(crate) fn run(args: &StatusArgs) -> Result {
    let everywhere = args.pid.is_empty() && args.exe.is_none();
    let pids = if everywhere {
        liveline_process::all_processes().map_err(|error| Failure::failed(format!("/proc: {error}")))?
    } else {
        select::processes(&args.pid, args.exe.as_deref())?
    };
    let mut all: Vec<Status> = pids.into_iter().map(liveline_engine::status).collect();
    if everywhere {
        all.retain(|status| !status.patches.is_empty());
    }
    if args.json {
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
                "no process that you may look at holds a patch"
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
        return;
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
}
