//! `liveline`: repairs a running program in place, and takes the change back.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod control;
mod failure;
mod interrupt;
mod print;
mod select;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Command, Liveline};
use crate::failure::{Code, Failure};

fn main() -> ExitCode {
    // Under the name of a compiler, in a build that is recorded, it is one.
    if let Some(code) = liveline_build::run_as_tool() {
        return code;
    }
    let as_json = failure::wants_json(std::env::args_os());
    let result = match Liveline::try_parse() {
        Ok(line) => run(line.command),
        Err(error) if error.use_stderr() => Err(Failure::usage(error)),
        // Help and the version are no errors.
        Err(error) => error.exit(),
    };
    let counted = liveline_process::kill_point::report();
    let result = result.and_then(|code| match counted {
        Ok(()) => print::finish().map(|()| code).map_err(|failure| failure.hint(after(code))),
        Err(error) => Err(Failure::failed(format!("LIVELINE_TEST_COUNT: {error}"))),
    });
    match result {
        Ok(code) => ExitCode::from(code as u8),
        Err(failure) => {
            failure.tell(as_json);
            ExitCode::from(failure.code as u8)
        }
    }
}

/// What a person needs to know who could not be told.
fn after(code: Code) -> String {
    format!("the command itself came to its end, with exit code {}", code as u8)
}

fn run(command: Command) -> failure::Result {
    match command {
        Command::Build(args) => commands::build::run(&args),
        Command::Diff(args) => commands::diff::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Apply(args) => commands::change::apply(&args),
        Command::Revert(args) => commands::change::revert(&args),
        Command::Watch(args) => commands::watch::run(&args),
        Command::Recover(args) => commands::change::recover(&args),
        Command::Status(args) => commands::status::run(&args),
        Command::Log(args) => commands::module::log(&args),
        Command::Demo(args) => commands::demo::run(&args),
        Command::Completions { shell } => commands::pages::completions(shell),
        Command::Man { directory } => commands::pages::man(&directory),
    }
}
