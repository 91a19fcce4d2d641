//! Debian's poppler, a library in C++, inside a running Python that reads PDF.

mod client;
mod document;

use std::fs;
use std::path::{Path, PathBuf};

use liveline_demo::Words;
use liveline_demo::load::{Client, Fault};
use liveline_demo::tool::Selection;
use serde::Serialize;

use crate::debian::{Program, SecurityUpdate};
use crate::shell::{self, Result, Tried, liveline};
use crate::trial::{Daemon, Service, Started, TrialReport, Update, free_port, publish};
use client::{Checker, Connection};

const CLIENTS: usize = 8;

const UPDATE: SecurityUpdate = SecurityUpdate {
    package: "poppler",
    old: "22.12.0-2+deb12u2",
    new: "22.12.0-2+deb12u3",
    patches: 4,
    programs: &[Program {
        package: "libpoppler126",
        path: "usr/lib/x86_64-linux-gnu/libpoppler.so.126.0.0",
        product: "obj-x86_64-linux-gnu/libpoppler.so.126.0.0",
    }],
    pins: &[],
    // Only the library itself, none of its bindings and tools.
    rules: "override_dh_auto_build:\n\tdh_auto_build -- poppler\n",
};

/// What the task found.
#[derive(Serialize)]
struct Report {
    proof: String,
    patches: Vec<String>,
    trials: Vec<TrialReport>,
}

/// Runs the trial, `times` applies and reverts.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let tool = liveline(words)?;
    let archive = shell::archive(words)?;
    archive.install(&["python3", "libpoppler-glib8"])?;
    let poppler = UPDATE.prepare(&archive)?;
    let side = &poppler.sides[0];
    words.step("The stock library in Python, a service that reads PDF");
    words.line(&format!("patches of the update: {}", poppler.patches.join(", ")));
    words.line(
        "Seen inside Python (CVE-2025-52886): a page with so many annotations that the count of references",
    );
    words.line("to one could overflow is read by the old code, and called malformed by the new.");
    let report = Update {
        name: "libpoppler in Python",
        patch: "poppler-security",
        target: &side.running,
        debug: &side.twin,
        old: &side.old,
        new: &side.new,
        assume: &[],
    }
    .run(&tool, times, words, |folder| start(&side.running, folder, words))?;
    let trials = vec![report];
    let report = Report { proof: side.proof.clone(), patches: poppler.patches, trials };
    publish(&report, &report.trials, json)
}

struct Python {
    daemon: Daemon,
    library: PathBuf,
    probe: Connection,
}

fn start(library: &Path, folder: &Path, words: Words) -> Result<Started> {
    let own = folder.join("libpoppler.so.126");
    fs::copy(library, &own).tried("copy the library")?;
    let script = folder.join("server.py");
    fs::write(&script, include_str!("server.py")).tried("write the service")?;
    let port = free_port()?;
    let mut daemon = Daemon::start(Path::new("/usr/bin/python3"), |command| {
        command.arg(&script).arg(port.to_string()).env("LD_LIBRARY_PATH", folder);
    })?;
    daemon.await_ready(|| Connection::open(port).is_ok())?;
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for name in 0..CLIENTS {
        clients.push(Box::new(Checker::open(name, port).tried("connect")?));
    }
    words
        .line(&format!("Python is pid {}; {CLIENTS} connections at full speed, a thread each", daemon.pid()));
    let probe = Connection::open(port).tried("connect")?;
    Ok((Box::new(Python { daemon, library: own, probe }), clients))
}

impl Service for Python {
    fn selection(&self) -> Selection<'_> {
        Selection::Exe(&self.library)
    }

    fn processes(&self) -> usize {
        1
    }

    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        match self.probe.ask(&document::crowded())?.as_str() {
            "1: no page" => Ok(true),
            "1: crowded 10001 annotations" => Ok(false),
            other => Err(Fault(format!("of a page with 10001 annotations: {other}"))),
        }
    }

    fn alive(&mut self) -> Result<()> {
        self.daemon.alive()
    }
}
