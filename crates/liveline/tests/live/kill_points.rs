//! The patcher is killed right before each operation it makes on the target, one run each.
//!
//! `LIVELINE_TEST_KILL_AT=N` makes it kill itself before operation N, `LIVELINE_TEST_COUNT=FILE` writes how many
//! there were. After each kill the target must be whole, `status` must work, `recover` must end well, and a new
//! apply and revert must do what they say.

use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::Outcome;
use crate::command::{apply, apply_now, binary, check_status, exit, revert_now, run_command, status, text};
use crate::patch::Patch;
use crate::process::Process;
use crate::toolchain::build_target;

/// 128 + SIGKILL.
const KILLED: i32 = 137;

/// Kills on each target, in two rounds at least; four targets make more than a thousand.
const KILLS: usize = 350;

/// One trial for each target.
pub(crate) fn trials() -> Vec<Trial> {
    let targets = [
        ("single", "pair.c", ["0", "0"]),
        ("busy_8", "pair.c", ["8", "0"]),
        ("asleep_32", "pair.c", ["0", "32"]),
        ("throwing_8", "pair_throws.cpp", ["0", "8"]),
    ];
    let trial = |(name, source, threads): (&str, &'static str, [&'static str; 2])| {
        Trial::test(format!("kill::{name}"), move || check(source, threads).map_err(Failed::from))
    };
    targets.into_iter().map(trial).collect()
}

/// A target and the patch that is put in and taken out.
struct Bench {
    program: PathBuf,
    words: [&'static str; 2],
    patch: Patch,
    process: Process,
    kills: usize,
}

fn check(source: &str, words: [&'static str; 2]) -> Outcome {
    let build = build_target(source, 2, "", "")?;
    let patch = Patch::make(&build, "pair", &[])?;
    let process = Process::start(&build.program, &words)?;
    let mut bench = Bench { program: build.program, words, patch, process, kills: 0 };
    let mut round = 0;
    while bench.kills < KILLS || round < 2 {
        let before = bench.kills;
        bench.kill_first_apply(round)?;
        bench.kill_later_apply(round)?;
        bench.kill_revert(round)?;
        round += 1;
        if bench.kills == before {
            return Err("the patcher was never killed".into());
        }
    }
    println!("{} kills in {round} rounds", bench.kills);
    Ok(())
}

impl Bench {
    /// Kills the first apply a process ever meets, which also prepares it: a fresh target each time.
    fn kill_first_apply(&mut self, round: usize) -> Outcome {
        self.restart()?;
        let count = self.count(Act::Apply)?;
        for operation in 1..=count {
            self.restart()?;
            self.strike(Act::Apply, operation, round)?;
        }
        Ok(())
    }

    /// Kills an apply to a process that was patched before.
    fn kill_later_apply(&mut self, round: usize) -> Outcome {
        apply_now(&self.patch.path, self.process.pid())?;
        revert_now(&self.patch.name, self.process.pid())?;
        let count = self.count(Act::Apply)?;
        revert_now(&self.patch.name, self.process.pid())?;
        (1..=count).try_for_each(|operation| self.strike(Act::Apply, operation, round))
    }

    fn kill_revert(&mut self, round: usize) -> Outcome {
        apply_now(&self.patch.path, self.process.pid())?;
        let count = self.count(Act::Revert)?;
        for operation in 1..=count {
            apply_now(&self.patch.path, self.process.pid()).map_err(|e| at(&e, Act::Revert, operation))?;
            self.strike(Act::Revert, operation, round)?;
        }
        Ok(())
    }

    fn restart(&mut self) -> Outcome {
        self.process = Process::start(&self.program, &self.words)?;
        Ok(())
    }

    fn command(&self, act: Act) -> Command {
        let pid = self.process.pid().to_string();
        let mut command = Command::new(binary());
        match act {
            Act::Apply => command.args(["apply", text(&self.patch.path)]),
            Act::Revert => command.args(["revert", &self.patch.name]),
            Act::Recover => command.arg("recover"),
        };
        command.args(["--pid", &pid]);
        command
    }

    /// Does it undisturbed, and says how many operations on the target that took.
    fn count(&self, act: Act) -> Outcome<u64> {
        let file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
        run_command(self.command(act).env("LIVELINE_TEST_COUNT", file.path()))?.expect(exit::DONE)?;
        let text = std::fs::read_to_string(file.path()).map_err(|e| e.to_string())?;
        text.trim().parse().map_err(|_| format!("LIVELINE_TEST_COUNT wrote `{text}`"))
    }

    /// Kills the patcher right before `operation`, then looks at what is left.
    fn strike(&mut self, act: Act, operation: u64, round: usize) -> Outcome {
        self.kill_before(act, operation)?;
        // In later rounds the one who cleans up is killed as well.
        if round > 0 {
            self.check_target().map_err(|e| at(&e, act, operation))?;
            self.kill_before(Act::Recover, operation % 16 + 1)?;
        }
        self.settle().map_err(|e| at(&e, act, operation))
    }

    /// The number of operations varies with what the threads do, so a run may end before its turn comes.
    fn kill_before(&mut self, act: Act, operation: u64) -> Outcome {
        let run = run_command(self.command(act).env("LIVELINE_TEST_KILL_AT", operation.to_string()))?;
        match run.code {
            KILLED => self.kills += 1,
            exit::DONE => {}
            _ => return Err(at(&run.complain("expected a kill or success"), act, operation)),
        }
        Ok(())
    }

    /// Whole, with one of the two behaviours.
    fn check_target(&mut self) -> Outcome {
        self.process.check_alive()?;
        self.process.expect("check", "mixtures 0 failed 0 standing 0", "consistency")?;
        match self.process.ask("ask")?.as_str() {
            "1" | "2" => Ok(()),
            other => Err(format!("expected version 1 or 2, got {other}")),
        }
    }

    fn settle(&mut self) -> Outcome {
        let pid = self.process.pid();
        self.check_target()?;
        status(pid)?;
        run_command(&mut self.command(Act::Recover))?.expect(exit::DONE)?;
        self.check_target()?;
        let seen = self.process.ask("ask")? == "2";
        check_status(pid, &self.patch.name, seen)?;
        let run = apply(&self.patch.path, pid, &[])?.expect(exit::DONE)?;
        let expected = if seen { "already" } else { "applied" };
        if run.field("state")? != expected {
            return Err(run.complain(&format!("expected state {expected}")));
        }
        self.process.expect("ask", "2", "applied anew")?;
        revert_now(&self.patch.name, pid)?;
        self.process.expect("ask", "1", "reverted")?;
        self.check_target()
    }
}

/// What the patcher is doing when it is killed.
#[derive(Clone, Copy, Debug)]
enum Act {
    Apply,
    Revert,
    Recover,
}

fn at(error: &str, act: Act, operation: u64) -> String {
    format!("{act:?} killed before operation {operation}: {error}")
}
