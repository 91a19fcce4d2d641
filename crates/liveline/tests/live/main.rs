//! Tests on live processes: real compilers, real targets, the real binary.
//!
//! One binary with its own list of trials, so that each file under `tests/cases` is a test of its own.

mod builder;
mod case;
mod command;
mod process;
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
    match builder::trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(e) => {
            eprintln!("{e}");
            std::process::ExitCode::FAILURE
        }
    }
}
