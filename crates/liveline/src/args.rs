//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use liveline_patch::Requirement;

use crate::failure::Failure;

/// Live-line maintenance for software: repairs a running program in place, while it serves, and takes the
/// change back.
///
/// A patch is made from sources and a fix (`liveline build`) or from two builds of a program (`liveline diff`),
/// and put into its running processes (`liveline apply`), which need no preparation. `liveline demo` shows it all
/// in half a minute.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Liveline {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (target unchanged), 2 usage, 3 nothing to do, 4 refused, \
                          5 no safe point in time (target unchanged).";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a patch from a program's sources and a fix
    Build(BuildArgs),
    /// Make a patch from two builds of a program
    Diff(DiffArgs),
    /// Show what a patch file, or a module, holds
    Inspect(InspectArgs),
    /// Put a patch, or a module, into running processes
    Apply(ApplyArgs),
    /// Take a patch, or a module, out of running processes
    Revert(RevertArgs),
    /// Show which patches, modules and classes are in running processes
    Status(StatusArgs),
    /// Show what was done to the modules of running programs
    Log(LogArgs),
    /// Build a module and load it into running programs whenever its sources change
    Watch(WatchArgs),
    /// Complete, or take back, what a killed liveline left in processes
    Recover(RecoverArgs),
    /// Show the whole thing on a small server under load
    Demo(DemoArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages
    Man {
        /// Folder they are written to
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "The sources are copied; the copy is built where it seems to lie at their own path, with recording \
                        stand-ins for gcc, g++, clang, cc, c++, ld and rustc in PATH that add -ffunction-sections \
                        -fdata-sections -g. Your tree and the system stay as they are. The old side is kept by content: \
                        the next fix to the same sources compiles only its own files.\n\nExamples:\n  \
                        liveline build --source redis-7.0.15 --fix CVE.patch --running /usr/bin/redis-server -- make -C src\n  \
                        liveline build --old server-1.0 --new server-1.1 --running /srv/server -- sh -c './configure && make'\n  \
                        liveline build --cargo --fix fix.patch --running target/release/server -- --release\n  \
                        liveline build --debian nginx 1.22.1-9+deb12u9 1.22.1-9+deb12u10 --program /usr/sbin/nginx\n\n\
                        --debian fetches both versions, rebuilds the old one as the archive did, in a room of overlays (needs \
                        root), proves that the result is the stock binary, and makes one patch PROGRAM-NEW for each program \
                        and library that changed, in files SOURCE-PROGRAM.llp. The builds are kept: a second run is quick."
)]
pub(crate) struct BuildArgs {
    /// Sources of the running program [default: the current folder]
    #[arg(long, value_name = "DIR", conflicts_with = "old")]
    pub(crate) source: Option<PathBuf>,
    /// The fix, as diff -u or git diff write it; may be given several times
    #[arg(long, value_name = "FIX.patch", required_unless_present_any = ["new", "debian"], conflicts_with = "new")]
    pub(crate) fix: Vec<PathBuf>,
    /// Sources of the running program, where the fixed ones are given as a tree
    #[arg(long, value_name = "DIR", requires = "new")]
    pub(crate) old: Option<PathBuf>,
    /// The fixed sources
    #[arg(long, value_name = "DIR", requires = "old")]
    pub(crate) new: Option<PathBuf>,
    /// A Debian source package, the version that runs, and the newer one
    #[arg(
        long,
        num_args = 3,
        value_names = ["SOURCE", "OLD", "NEW"],
        conflicts_with_all = ["source", "fix", "old", "new", "cargo", "running", "built_at", "product", "debug", "command"]
    )]
    pub(crate) debian: Option<Vec<String>>,
    /// Of a Debian package: only this program or library, by its path in the system
    #[arg(
        long,
        value_name = "PATH",
        requires = "debian",
        conflicts_with_all = ["source", "fix", "old", "new", "cargo", "running", "built_at", "product", "debug", "command"]
    )]
    pub(crate) program: Option<PathBuf>,
    /// A cargo workspace: the words behind -- go to cargo build
    #[arg(long)]
    pub(crate) cargo: bool,
    /// The program or shared library as it runs
    #[arg(long, value_name = "ELF", required_unless_present = "debian")]
    pub(crate) running: Option<PathBuf>,
    /// The path at which the running program was built, where that is not the sources' own
    #[arg(long, value_name = "DIR")]
    pub(crate) built_at: Option<PathBuf>,
    /// Which product of the build it is, by its path in the tree, where the name does not tell
    #[arg(long, value_name = "PATH")]
    pub(crate) product: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) patch: PatchArgs,
    /// The patch file to write [default: the fix's or the new tree's name, with .llp]; of a Debian package also the
    /// folder for all of them
    #[arg(short, long, value_name = "FILE.llp")]
    pub(crate) output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The command that builds, run in the sources
    #[arg(last = true, value_name = "COMMAND", required_unless_present_any = ["cargo", "debian"])]
    pub(crate) command: Vec<OsString>,
}

/// What every way to make a patch takes.
#[derive(Debug, Args)]
pub(crate) struct PatchArgs {
    /// Its unstripped twin, where it is stripped
    #[arg(long, value_name = "ELF")]
    pub(crate) debug: Option<PathBuf>,
    /// Name of the patch [default: the output file's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Version of the patch
    #[arg(long, default_value = "1", value_name = "VERSION")]
    pub(crate) version: String,
    /// A patch that must be in the process first; may be given several times
    #[arg(long, value_name = "NAME@VERSION", value_parser = requirement)]
    pub(crate) requires: Vec<Requirement>,
    /// Accept what is refused under this name: that the layout of a type changed (no object of it outlives the update, or
    /// the new code copes), a function that old code may still call, a constant that old data leads to; may be given
    /// several times
    #[arg(long, value_name = "NAME")]
    pub(crate) assume: Vec<String>,
    /// Accept objects without debug information, whose types cannot be compared
    #[arg(long)]
    pub(crate) no_types: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Old and new are compiled with -g -ffunction-sections -fdata-sections and otherwise as the \
                        running program was. The old objects must be the running program: that is proved, not assumed."
)]
pub(crate) struct DiffArgs {
    /// Objects of the program as it runs: an object, an archive, or a folder of them
    #[arg(long, value_name = "PATH")]
    pub(crate) old: PathBuf,
    /// Objects of the program as it should be
    #[arg(long, value_name = "PATH")]
    pub(crate) new: PathBuf,
    /// The program or shared library as it runs
    #[arg(long, value_name = "ELF")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) patch: PatchArgs,
    /// The patch file to write
    #[arg(short, long, value_name = "FILE.llp")]
    pub(crate) output: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The patch file, or the module
    #[arg(value_name = "FILE.llp|MODULE.so")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which processes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Selection {
    /// A process; may be given several times, or several after one --pid
    #[arg(long, value_name = "PID", num_args = 1.., action = clap::ArgAction::Append)]
    pub(crate) pid: Vec<String>,
    /// Every process that runs this program or has this library mapped
    #[arg(long, value_name = "PATH")]
    pub(crate) exe: Option<PathBuf>,
}

impl Selection {
    /// Tells pids from the command's own word, which may also stand behind them: `apply --pid 1 2 fix.llp`.
    /// Errors: that does not work out for `command`.
    pub(crate) fn with_word(
        &self,
        word: Option<&str>,
        what: &str,
        command: &str,
    ) -> Result<(Vec<i32>, String), Failure> {
        let (pids, mut words): (Vec<&String>, Vec<&String>) =
            self.pid.iter().partition(|value| value.parse::<i32>().is_ok());
        let own = word.or_else(|| words.pop().map(String::as_str));
        let wrong = match (own, words.first()) {
            (Some(own), None) => {
                return Ok((pids.iter().filter_map(|pid| pid.parse().ok()).collect(), own.to_owned()));
            }
            (None, _) => format!("{what} is missing"),
            (_, Some(word)) => format!("'{word}' is no process id"),
        };
        let mut line = Liveline::command();
        // Only then do its commands know the name that stands before theirs.
        line.build();
        let line = line.find_subcommand_mut(command).expect("a command of this program");
        Err(Failure::usage(line.error(clap::error::ErrorKind::ValueValidation, wrong)))
    }

    /// The pids, for a command without a word of its own.
    pub(crate) fn pids(&self, command: &str) -> Result<Vec<i32>, Failure> {
        self.with_word(Some(""), "", command).map(|(pids, _)| pids)
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "A patch needs CAP_SYS_PTRACE, or to be the user the program runs as where the system lets users \
                        trace; CAP_SYS_ADMIN as well for a program with a seccomp filter, which is read first. A module \
                        (a shared library for a program that calls liveline_runtime::serve!()) needs to be loaded by the \
                        user the program runs as, or root."
)]
pub(crate) struct ApplyArgs {
    /// The patch file, or the module
    #[arg(value_name = "FILE.llp|MODULE.so")]
    pub(crate) file: Option<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How long to wait for a safe point, e.g. 500ms, 10s, 2m
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Only say whether it could be done; touch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Of a module: give its classes the next version numbers
    #[arg(long)]
    pub(crate) renumber: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RevertArgs {
    /// Name of the patch or module
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How long to wait for a safe point, e.g. 500ms, 10s, 2m
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Only say whether it could be done; touch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Reads the processes' own registry; stops and changes nothing. Without --pid or --exe: every \
                        process that holds a patch."
)]
pub(crate) struct StatusArgs {
    /// A process; may be given several times, or several after one --pid
    #[arg(long, value_name = "PID", num_args = 1.., action = clap::ArgAction::Append, conflicts_with = "exe")]
    pub(crate) pid: Vec<i32>,
    /// Every process that runs this program or has this library mapped
    #[arg(long, value_name = "PATH")]
    pub(crate) exe: Option<PathBuf>,
    /// Print gdb commands that make the new code known to it: gdb -p PID -ex "…"
    #[arg(long, conflicts_with = "json")]
    pub(crate) gdb: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The module is built and loaded at once, and again after each change to its package or to a package of \
                        this machine that it needs, until the programs have ended or Ctrl-C. Classes get the next version \
                        numbers, whatever the sources say. Build it as the programs are built: the same profile and features.\n\n\
                        Examples:\n  \
                        liveline watch -p cache-policy --pid 4711\n  \
                        liveline watch --once --exe target/release/server -- --release\n\n\
                        With --json one object a line for each build. With --once the exit code is that of the load."
)]
pub(crate) struct WatchArgs {
    /// The package that is the module [default: the one here with crate-type = ["cdylib"]]
    #[arg(short, long, value_name = "PACKAGE")]
    pub(crate) package: Option<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Build and load once, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// How long to wait for calls to leave an object, e.g. 500ms, 10s, 2m
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Words for cargo rustc
    #[arg(last = true, value_name = "CARGO ARGS")]
    pub(crate) words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Seconds of load
    #[arg(long, default_value_t = 12.0)]
    pub(crate) seconds: f64,
    /// Folder for the picture and the page
    #[arg(long, value_name = "DIR", default_value = "liveline-demo")]
    pub(crate) output: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 500ms, 10s or 2m"))
}

fn requirement(text: &str) -> Result<Requirement, String> {
    match text.split_once('@') {
        Some((name, version)) if !name.is_empty() && !version.is_empty() => {
            Ok(Requirement { name: name.to_owned(), version: version.to_owned() })
        }
        _ => Err("write it as NAME@VERSION".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Liveline::command().debug_assert();
    }
}
