//! What scripts would do: `cargo xtask real memcached`, `cargo xtask bench pause|call|diff|all`,
//! `cargo xtask sanitize address|thread|valgrind|miri`.
#![forbid(unsafe_code)]

mod bench;
mod cache;
mod debian;
mod expat;
mod http;
mod memcached;
mod nginx;
mod openssl;
mod package;
mod poppler;
mod python;
mod redis;
mod rust;
mod sanitize;
mod shell;
mod squid;
mod trial;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use liveline_demo::Words;

/// Trials on real programs, benchmarks, and tests under sanitizers.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Update a real program under load and take it back, ten times.
    Real {
        /// The program.
        program: Program,
        /// How often to apply and revert.
        #[arg(long, default_value_t = 10)]
        times: usize,
        /// Print the result as JSON; progress goes to standard error.
        #[arg(long)]
        json: bool,
    },
    /// Measure, print a table and write docs/bench/NAME.md.
    Bench {
        /// What to measure.
        what: Measure,
        #[command(flatten)]
        coverage: bench::coverage::Options,
        /// Print the result as JSON; progress goes to standard error.
        #[arg(long)]
        json: bool,
    },
    /// Run the tests of liveline-runtime and liveline-services under what sees undefined behaviour.
    Sanitize {
        /// Under which; without a word, under each in turn.
        watchers: Vec<sanitize::Watcher>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Program {
    /// A cache service made of classes of liveline-runtime, which are updated from inside.
    Cache,
    /// Any package of Debian's, by `liveline build --debian`: shown on memcached and redis.
    Debian,
    /// Debian's expat, inside a running Python.
    Expat,
    /// Debian's memcached.
    Memcached,
    /// Debian's nginx, master and workers.
    Nginx,
    /// Debian's OpenSSL, inside a running nginx.
    Openssl,
    /// Debian's poppler, in C++, inside a running Python.
    Poppler,
    /// Debian's redis, with a replica.
    Redis,
    /// simple-http-server, as `cargo build --release` makes it.
    Rust,
    /// Debian's squid, in C++.
    Squid,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Measure {
    /// The longest gap an update makes, beside the least that stopping every thread costs.
    Pause,
    /// A patched call beside an unpatched one.
    Call,
    /// `liveline diff` on redis beside reading the same objects with objdump.
    Diff,
    /// How many commits of a program's history become a patch; needs --repo or --debian, and is not among `all`.
    Coverage,
    /// liveline-runtime beside `Box<dyn Trait>`, arc-swap, RwLock, crossbeam-epoch and hot-lib-reloader.
    Runtime,
    /// All of them.
    All,
}

fn main() -> ExitCode {
    // Under the name of a compiler, in a build that is recorded, it is one.
    if let Some(code) = liveline_build::run_as_tool() {
        return code;
    }
    let result = match Arguments::parse().command {
        Task::Real { program, times, json } => {
            let real = match program {
                Program::Cache => cache::real,
                Program::Debian => package::real,
                Program::Expat => expat::real,
                Program::Memcached => memcached::real,
                Program::Nginx => nginx::real,
                Program::Openssl => openssl::real,
                Program::Poppler => poppler::real,
                Program::Redis => redis::real,
                Program::Rust => rust::real,
                Program::Squid => squid::real,
            };
            real(times, Words::new(json), json)
        }
        Task::Bench { what, coverage, json } => bench(what, &coverage, json),
        Task::Sanitize { watchers } => sanitize::run(&watchers, Words::new(false)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nfailed: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn bench(what: Measure, coverage: &bench::coverage::Options, json: bool) -> shell::Result<()> {
    let words = Words::new(json);
    let wanted = |one: Measure| what == one || what == Measure::All;
    if wanted(Measure::Pause) {
        bench::pause::run(words, json)?;
    }
    if wanted(Measure::Call) {
        bench::call::run(words, json)?;
    }
    if what == Measure::Coverage {
        bench::coverage::run(coverage, words, json)?;
    }
    if wanted(Measure::Diff) {
        bench::diff::run(words, json)?;
    }
    if wanted(Measure::Runtime) {
        bench::runtime::run(words, json)?;
    }
    Ok(())
}
