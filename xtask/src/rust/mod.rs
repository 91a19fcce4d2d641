//! A file server written in Rust, of crates.io: from a release to the next, which closed a hole.

mod build;
mod client;
mod service;

use liveline_demo::Words;
use serde::Serialize;

use crate::shell::{Result, liveline};
use crate::trial::{PatchFile, TrialReport, publish};

/// The server.
const PACKAGE: &str = "simple-http-server";
/// The release that runs, and the next one.
const VERSIONS: [&str; 2] = ["0.6.11", "0.6.12"];

/// What the task found.
#[derive(Serialize)]
struct Report {
    package: &'static str,
    versions: [&'static str; 2],
    /// Functions that the patch replaces.
    functions: Vec<String>,
    trials: Vec<TrialReport>,
}

/// Runs the trial, `times` applies and reverts.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let tool = liveline(words)?;
    let server = build::program(words)?;
    words.step("The server as its owner builds it, and a patch of the next release's sources");
    words.line(&format!(
        "{PACKAGE} {} → {}: an upload went wherever its file name led,",
        VERSIONS[0], VERSIONS[1]
    ));
    words.line("out of the folder, too (\"../name\"); now only the last part of the name counts.");
    let patch = build::patch(&tool, &server, words)?;
    let (file, functions) = (patch.file.as_path(), patch.functions.len());
    let trial = PatchFile { trial: "simple-http-server", patch: build::PATCH, file, functions };
    let report = trial.run(&tool, times, words, |folder| service::start(&server.running, folder, words))?;
    let trials = vec![report];
    let report = Report { package: PACKAGE, versions: VERSIONS, functions: patch.functions, trials };
    publish(&report, &report.trials, json)
}
