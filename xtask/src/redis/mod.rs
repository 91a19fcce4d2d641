//! Debian's redis, a server and its replica, updated under load and taken back.

mod build;
pub(crate) mod client;
mod service;

pub(crate) use build::build;
pub(crate) use service::start;

use liveline_demo::Words;

use crate::shell::{Result, liveline};

/// Runs the trial, `times` applies and reverts.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let tool = liveline(words)?;
    let redis = build(words)?;
    let side = &redis.sides[0];
    words.step("The stock server and its replica, Debian's security update");
    words.line(&format!("patches of the update: {}", redis.patches.join(", ")));
    words.line("Seen from outside (CVE-2026-25243): RESTORE of a hash whose lengths are written in a longer form than");
    words.line(
        "needed. The old code takes it and reads a value from the wrong place, the new one refuses it.",
    );
    let update = side.update("redis-server and replica", "redis-security", &[]);
    let report = update.run(&tool, times, words, |folder| service::start(&side.running, folder, words))?;
    redis.publish(vec![report], json)
}
