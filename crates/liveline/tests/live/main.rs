//! Tests on live processes: real compilers, real targets, the real binary.
//!
//! One binary with its own list of trials, so that each file under `tests/cases` is a test of its own.

mod bad_input;
mod build;
mod build_cargo;
mod build_life;
mod build_refusals;
mod builder;
mod case;
mod command;
mod kill_points;
mod modules;
mod patch;
mod process;
mod process_debuggers;
mod process_life;
mod process_main;
mod process_refusals;
mod process_sleep;
mod process_stack;
mod project;
mod rust;
mod toolchain;

use libtest_mimic::{Arguments, Failed, Trial};

/// What went wrong, in words.
type Outcome<T = ()> = Result<T, String>;

/// A trial from a function.
fn trial(name: &str, check: fn() -> Outcome) -> Trial {
    Trial::test(name, move || check().map_err(Failed::from))
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    match builder::trials().and_then(|trials| Ok((trials, rust::trials()?))) {
        Ok((mut trials, rust)) => {
            trials.extend(rust);
            trials.extend(build::trials());
            trials.extend(build_refusals::trials());
            trials.extend(build_cargo::trials());
            trials.extend(build_life::trials());
            trials.extend(modules::trials());
            trials.extend(bad_input::trials());
            trials.extend(process_stack::trials());
            trials.extend(process_life::trials());
            trials.extend(process_main::trials());
            trials.extend(process_refusals::trials());
            trials.extend(process_sleep::trials());
            trials.extend(process_debuggers::trials());
            trials.extend(kill_points::trials());
            libtest_mimic::run(&arguments, trials).exit_code()
        }
        Err(e) => {
            eprintln!("{e}");
            std::process::ExitCode::FAILURE
        }
    }
}
