//! `liveline`: repairs a running program in place, and takes the change back.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod control;
mod failure;
mod print;
mod select;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Command, Liveline};
use crate::failure::Failure;

fn main() -> ExitCode {
    // Under the name of a compiler, in a build that is recorded, it is one.
    if let Some(code) = liveline_build::run_as_tool() {
        return code;
    }
    // clap ends the program itself on `--help` (0) and on a wrong command line (2).
    let line = Liveline::parse();
    let result = match line.command {
        Command::Build(args) => commands::build::run(&args),
        Command::Diff(args) => commands::diff::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Apply(args) => commands::change::apply(&args),
        Command::Revert(args) => commands::change::revert(&args),
        Command::Recover(args) => commands::change::recover(&args),
        Command::Status(args) => commands::status::run(&args),
        Command::Log(args) => commands::module::log(&args),
        Command::Demo(args) => commands::demo::run(&args),
        Command::Completions { shell } => commands::pages::completions(shell),
        Command::Man { directory } => commands::pages::man(&directory),
    };
    let counted = liveline_process::kill_point::report();
    let result = result.and_then(|code| match counted {
        Ok(()) => Ok(code),
        Err(error) => Err(Failure::failed(format!("LIVELINE_TEST_COUNT: {error}"))),
    });
    match result {
        Ok(code) => ExitCode::from(code as u8),
        Err(failure) => {
            eprintln!("error: {}", liveline_elf::demangle::text(&failure.to_string()));
            if let Some(hint) = &failure.hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(failure.code as u8)
        }
    }
}
