//! Debian's memcached, updated under load and taken back.
//!
//! Debian's fix 1.6.18-1+deb12u1 changes the proxy and the SASL password database. Debian compiles neither in:
//! the two binaries hold the same code, and there is nothing to apply to the stock program. So three things
//! are shown: that `liveline diff` sees this; a fix of code that is compiled in, on the stock binary; and Debian's
//! own fix, on a build of Debian's sources that has the password database.

mod binary;
mod build;
mod service;
mod text;

use liveline_demo::Words;
use liveline_demo::tool::{DiffRequest, Made, Tool};
use serde::Serialize;

use crate::shell::{self, Failure, Result, Tried, cache, liveline};
use crate::trial::{TrialReport, Update, publish};
use build::{Factory, Kind, PROGRAM};
use liveline_build::debian::{build_id, prove, same_image};

/// What the task found.
#[derive(Serialize)]
struct Report {
    /// How the program's symbols were proved to be the stock binary's.
    proof: String,
    /// The code of Debian's old and new binary is the same.
    stock_code_is_the_same: Option<bool>,
    /// `liveline diff` of the two stock builds found nothing to change.
    diff_found_nothing: bool,
    trials: Vec<TrialReport>,
}

/// Runs the whole trial, `times` applies and reverts each.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let tool = liveline(words)?;
    let archive = shell::archive(words)?;
    archive.install(&[
        "dpkg-dev",
        "binutils",
        "patch",
        "libevent-2.1-7",
        "libsasl2-modules",
        "libsasl2-2",
    ])?;
    let factory = Factory::open(&archive)?;

    words.step("Debian's old and new memcached");
    let (proof, same) = facts(&factory, words)?;
    let diff_found_nothing = nothing_to_change(&tool, &factory, words)?;

    let trials = vec![stock(&tool, &factory, times, words)?, passwords(&tool, &factory, times, words)?];
    let report = Report { proof, stock_code_is_the_same: same, diff_found_nothing, trials };
    publish(&report, &report.trials, json)?;
    if report.diff_found_nothing {
        return Ok(());
    }
    Err(Failure("liveline diff sees a change between the two stock builds, which hold the same code".into()))
}

/// Proves the rebuilt program, and compares the code of Debian's two binaries.
fn facts(factory: &Factory<'_>, words: Words) -> Result<(String, Option<bool>)> {
    let twin = factory.old(Kind::Stock)?;
    let Some(stock) = factory.stock_old()? else {
        words.line("1.6.18-1 is no longer in the archive: the old side is the newest source without its");
        words.line("last patches, built here like the new side");
        return Ok(("built here: the old version is no longer in the archive".into(), None));
    };
    let proof = prove(&stock, &twin.program(PROGRAM))?;
    words.line(&format!("the rebuilt old version is the stock binary: {proof}"));
    let Some(new) = factory.stock_new()? else { return Ok((proof, None)) };
    if build_id(&new)? == build_id(&twin.program(PROGRAM))? {
        words.line(
            "the same rebuild has the build-id of Debian's new binary, too: nothing compiled has changed",
        );
    }
    let same = same_image(&stock, &new)?;
    if same {
        words.line(
            "Debian's two binaries hold the same code and data: the update changes the proxy and the SASL",
        );
        words.line(
            "password database, and Debian compiles neither in. On the stock program it changes nothing.",
        );
    }
    Ok((proof, Some(same)))
}

fn nothing_to_change(tool: &Tool, factory: &Factory<'_>, words: Words) -> Result<bool> {
    let (old, new) = (factory.objects(Kind::Stock, false)?, factory.objects(Kind::Stock, true)?);
    let twin_program = factory.old(Kind::Stock)?.program(PROGRAM);
    let stock = factory.stock_old()?;
    let diff = tool
        .diff(&DiffRequest {
            old: &old,
            new: &new,
            assume: &[],
            target: stock.as_deref().unwrap_or(&twin_program),
            debug: Some(&twin_program),
            name: "deb12u1",
            output: &cache("memcached")?.join("deb12u1.llp"),
        })
        .tried("liveline diff of the stock builds")?;
    let nothing = diff.made == Made::Nothing;
    if !nothing {
        words.line("liveline diff of the two stock builds found a change, where there is none:");
        for v in &diff.verdicts {
            words.line(&format!("{} {} {}", v.symbol, v.verdict, v.reason));
        }
    } else {
        words.line("liveline diff of the two stock builds: no change (exit 3), which is right");
    }
    Ok(nothing)
}

/// The stock program and a fix of code that it has.
fn stock(tool: &Tool, factory: &Factory<'_>, times: usize, words: Words) -> Result<TrialReport> {
    words.step("Trial 1: the stock binary, a fix of incr");
    words.line(
        "Upstream fixed this in 1.6.22 (commit ea92c6c0): for a stored number above 2^63, incr looks for a",
    );
    words.line("minus sign beyond the end of the item, in whatever lay there before, and then refuses a valid number.");
    let twin = factory.old(Kind::Stock)?;
    let (old, new) = (factory.objects(Kind::Stock, false)?, factory.objects(Kind::IncrFix, false)?);
    let running = match factory.stock_old()? {
        Some(stock) => stock,
        None => twin.stripped(PROGRAM)?,
    };
    Update {
        name: "stock binary, incr fix",
        patch: "incr-fix",
        target: &running,
        debug: &twin.program(PROGRAM),
        old: &old,
        new: &new,
        assume: &[],
    }
    .run(tool, times, words, |folder| service::start(&running, folder, false, words))
}

/// Debian's own fix, where it is compiled in.
fn passwords(tool: &Tool, factory: &Factory<'_>, times: usize, words: Words) -> Result<TrialReport> {
    words.step("Trial 2: Debian's sources with the password database, Debian's own fix (CVE-2026-47783)");
    words.line(
        "The old code stops reading the file at the first line of a user, and so tells by its time which",
    );
    words.line(
        "users exist. The fix reads on. Seen from outside: of two lines for one user, the old code takes",
    );
    words.line(
        "the first password only, the new one both. Each connection of the load logs in again and again.",
    );
    let plain = factory.old(Kind::Passwords)?;
    let (old, new) = (factory.objects(Kind::Passwords, false)?, factory.objects(Kind::Passwords, true)?);
    let running = plain.stripped(PROGRAM)?;
    Update {
        name: "with password database, deb12u1",
        patch: "deb12u1",
        target: &running,
        debug: &plain.program(PROGRAM),
        old: &old,
        new: &new,
        assume: &[],
    }
    .run(tool, times, words, |folder| service::start(&running, folder, true, words))
}
