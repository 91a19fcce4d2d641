//! The unsafe core's tests under what sees undefined behaviour while it happens: the sanitizers, valgrind, Miri.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use liveline_demo::Words;

use crate::shell::{Failure, Result, Tried, output_of, workspace};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What looks on while the tests run.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Watcher {
    /// AddressSanitizer, with LeakSanitizer: memory that is used after it was freed, or beyond its end, or lost.
    Address,
    /// ThreadSanitizer: what two threads touch without an order. The standard library is built with it.
    Thread,
    /// Valgrind's memcheck: also memory that is read before it was written; and a program with its modules.
    Valgrind,
    /// Miri: Rust's own rules, in an interpreter; programs of random steps and whole processes are left out.
    Miri,
}

/// The packages whose tests run, and which.
const PACKAGES: [&str; 2] = ["liveline-runtime", "liveline-services"];
const TESTS: [&str; 8] =
    ["calls", "classes", "asynchronous", "random", "limits", "adapters", "links", "services"];
/// A program and the modules it loads. Valgrind keeps files of its own open, and is too slow for what must be done within
/// a second.
const MODULES: [&str; 7] = [
    "--package",
    "liveline-module-tests",
    "--",
    "--skip",
    "modules_leave_the_program_its_files",
    "--skip",
    "what_a_killed_client_asked_for",
];
/// Those that Miri goes through in minutes.
const INTERPRETED: [&str; 6] = ["calls", "classes", "asynchronous", "adapters", "links", "services"];

/// Runs the tests under each; all of them if none is named.
pub(crate) fn run(watchers: &[Watcher], words: Words) -> Result<()> {
    let watchers = if watchers.is_empty() { Watcher::value_variants() } else { watchers };
    let mut failed = Vec::new();
    for watcher in watchers {
        let name = watcher.name();
        words.step(&format!("sanitize {name}"));
        let mut passed = true;
        for which in watcher.tests() {
            let status = watcher
                .command(words)?
                .args(which)
                .env("CARGO_TARGET_DIR", built_in(&name))
                .env("CARGO_INCREMENTAL", "0")
                .current_dir(workspace())
                .status()
                .tried("run cargo")?;
            passed &= status.success();
        }
        if !passed {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure(format!("tests under {}", failed.join(", "))))
}

/// Each has a folder of its own: what they compile differs.
fn built_in(name: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("sanitize").join(name)
}

impl Watcher {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// The words for cargo of each run.
    fn tests(self) -> Vec<Vec<&'static str>> {
        let tests = if self == Self::Miri { INTERPRETED.as_slice() } else { TESTS.as_slice() };
        let mut objects: Vec<&str> = PACKAGES.iter().flat_map(|package| ["--package", package]).collect();
        // Miri has no membarrier, which the unit tests ask for.
        objects.extend((self != Self::Miri).then_some("--lib"));
        objects.extend(tests.iter().flat_map(|test| ["--test", test]));
        if self == Self::Valgrind { vec![objects, MODULES.to_vec()] } else { vec![objects] }
    }

    fn command(self, words: Words) -> Result<Command> {
        let mut command = match self {
            Self::Address | Self::Thread => {
                let compiler = Compiler::find(|compiler| compiler.lacks(self))?;
                words.line(&compiler.told());
                let mut command = compiler.cargo("test");
                command.arg("--target").arg(TARGET);
                command.env("RUSTFLAGS", format!("-Zsanitizer={} -Cdebuginfo=1", self.name()));
                if self == Self::Thread {
                    // The standard library's own locks and counters must be seen, or all they order is taken for a race.
                    command.arg("-Zbuild-std");
                }
                command
            }
            Self::Valgrind => {
                words.line(
                    output_of("valgrind --version")
                        .tried("valgrind is needed: apt-get install valgrind")?
                        .trim(),
                );
                let mut command = Command::new(cargo());
                command.arg("test");
                let runner = format!("CARGO_TARGET_{}_RUNNER", TARGET.to_uppercase().replace('-', "_"));
                // Threads take turns, or those that spin keep the one for which they wait from running.
                command.env(
                    runner,
                    "valgrind --quiet --trace-children=yes --exit-on-first-error=yes --error-exitcode=9 --fair-sched=yes --num-callers=30",
                );
                command
            }
            Self::Miri => {
                let compiler = Compiler::find(|compiler| compiler.lacks(self))?;
                words.line(&compiler.told());
                let mut command = compiler.cargo("miri");
                // Records and entries live for ever.
                command.arg("test").env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-ignore-leaks");
                command
            }
        };
        command.args(["--locked", "--no-fail-fast"]);
        Ok(command)
    }
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A compiler that takes `-Z`: rustup's nightly, or the one that compiled this, told to be one.
struct Compiler {
    name: String,
    nightly: bool,
    sysroot: PathBuf,
}

impl Compiler {
    /// The first that lacks nothing.
    fn find(lacks: impl Fn(&Self) -> Option<String>) -> Result<Self> {
        let mut reasons = Vec::new();
        for nightly in [true, false] {
            let compiler = match Self::open(nightly) {
                Ok(compiler) => compiler,
                Err(failure) => {
                    reasons.push(failure.to_string());
                    continue;
                }
            };
            match lacks(&compiler) {
                None => return Ok(compiler),
                Some(what) => reasons.push(format!("{} {what}", compiler.name)),
            }
        }
        Err(Failure(format!("no compiler can do it:\n  {}", reasons.join("\n  "))))
    }

    fn open(nightly: bool) -> Result<Self> {
        let rustc = if nightly { "rustup run nightly rustc" } else { "rustc" };
        let ask = |what: &str| {
            output_of(&format!("{rustc} {what}")).map(|said| said.trim().to_string()).map_err(|_| {
                Failure(format!(
                    "there is no {}",
                    if nightly { "nightly (rustup toolchain install nightly)" } else { "rustc" }
                ))
            })
        };
        Ok(Self { name: ask("--version")?, nightly, sysroot: ask("--print sysroot")?.into() })
    }

    fn told(&self) -> String {
        let bootstrap = if self.nightly { "" } else { ", with RUSTC_BOOTSTRAP=1" };
        format!("{}{bootstrap}", self.name)
    }

    /// What it needs and has not, and how to get it.
    fn lacks(&self, watcher: Watcher) -> Option<String> {
        let toolchain =
            self.sysroot.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let add = |component: &str| {
            format!("has no {component} (rustup component add {component} --toolchain {toolchain})")
        };
        let library = match watcher {
            Watcher::Address => "asan",
            Watcher::Thread => "tsan",
            Watcher::Miri => {
                return (!self.sysroot.join("bin/cargo-miri").exists()).then(|| add("miri"));
            }
            Watcher::Valgrind => return None,
        };
        if !has_library(&self.sysroot, library) {
            return Some(format!("has no {library} library for {TARGET}"));
        }
        let source = self.sysroot.join("lib/rustlib/src/rust/library/Cargo.lock");
        (watcher == Watcher::Thread && !source.exists()).then(|| add("rust-src"))
    }

    fn cargo(&self, subcommand: &str) -> Command {
        if self.nightly {
            let mut command = Command::new("rustup");
            command.args(["run", "nightly", "cargo", subcommand]);
            return command;
        }
        let mut command = Command::new(cargo());
        command.arg(subcommand).env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

/// Whether the sanitizer's own library came with the compiler.
fn has_library(sysroot: &Path, sanitizer: &str) -> bool {
    let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let ending = format!("_rt.{sanitizer}.a");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(&ending))
}

#[cfg(test)]
mod tests {
    use super::{Compiler, Watcher};

    #[test]
    fn a_compiler_without_its_parts_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("lib/rustlib/x86_64-unknown-linux-gnu/lib");
        std::fs::create_dir_all(&library).unwrap();
        let compiler =
            || Compiler { name: "rustc 1".into(), nightly: false, sysroot: folder.path().to_path_buf() };
        let lacks = |watcher| compiler().lacks(watcher);
        assert_eq!(lacks(Watcher::Address).unwrap(), "has no asan library for x86_64-unknown-linux-gnu");
        std::fs::write(library.join("librustc-stable_rt.asan.a"), "").unwrap();
        assert_eq!(lacks(Watcher::Address), None);
        std::fs::write(library.join("librustc-stable_rt.tsan.a"), "").unwrap();
        assert!(
            lacks(Watcher::Thread).unwrap().starts_with("has no rust-src (rustup component add rust-src")
        );
        assert!(lacks(Watcher::Miri).unwrap().starts_with("has no miri (rustup component add miri"));
        let Err(failure) = Compiler::find(|_| Some("is old".into())).map(|_| ()) else {
            panic!("a compiler that lacks something was taken");
        };
        assert!(failure.to_string().starts_with("no compiler can do it:"), "{failure}");
    }
}
