//! Debian's expat inside a running Python.

mod client;

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
use liveline_build::debian::TextChange;

const CLIENTS: usize = 8;

const UPDATE: SecurityUpdate = SecurityUpdate {
    package: "expat",
    old: "2.5.0-1+deb12u2",
    new: "2.5.0-1+deb12u5",
    patches: 3,
    programs: &[Program {
        package: "libexpat1",
        path: "lib/x86_64-linux-gnu/libexpat.so.1.8.10",
        product: "build/lib/.libs/libexpat.so.1.8.10",
    }],
    pins: &[],
    // Only the library, and not the one for wide characters.
    rules: "build-stamp:\n\t$(MAKE) -C build/lib libexpat.la\n\ttouch $@\n",
};

/// Upstream's fix of CVE-2026-24515 in 2.7.4, for when the archive names a newer version but has not its source.
const FIX: [TextChange; 2] = [
    TextChange {
        file: "expat/lib/xmlparse.c",
        from: "  oldUnknownEncodingHandler = parser->m_unknownEncodingHandler;\n",
        to: "  oldUnknownEncodingHandler = parser->m_unknownEncodingHandler;\n  \
             void *const oldUnknownEncodingHandlerData = parser->m_unknownEncodingHandlerData;\n",
    },
    TextChange {
        file: "expat/lib/xmlparse.c",
        from: "  parser->m_unknownEncodingHandler = oldUnknownEncodingHandler;\n",
        to: "  parser->m_unknownEncodingHandler = oldUnknownEncodingHandler;\n  \
             parser->m_unknownEncodingHandlerData = oldUnknownEncodingHandlerData;\n",
    },
];

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
    archive.install(&["python3"])?;
    let expat = UPDATE.prepare_or(&archive, &FIX)?;
    let side = &expat.sides[0];
    words.step("The stock library in Python, a service that parses XML");
    words.line(&format!("patches of the update: {}", expat.patches.join(", ")));
    words.line(
        "Seen inside Python (CVE-2026-24515): a parser of an external entity calls the handler of unknown",
    );
    words.line("encodings without the pointer that the handler was set with; with the fix it hands it on.");
    let report = Update {
        name: "libexpat in Python",
        patch: "expat-security",
        target: &side.running,
        debug: &side.twin,
        old: &side.old,
        new: &side.new,
        assume: &[],
    }
    .run(&tool, times, words, |folder| start(&side.running, folder, words))?;
    let trials = vec![report];
    let report = Report { proof: side.proof.clone(), patches: expat.patches, trials };
    publish(&report, &report.trials, json)
}

struct Python {
    daemon: Daemon,
    library: PathBuf,
    probe: Connection,
}

fn start(library: &Path, folder: &Path, words: Words) -> Result<Started> {
    let own = folder.join("libexpat.so.1");
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
        match self.probe.ask(b"probe\n")?.as_str() {
            "[4711]" => Ok(true),
            "[None]" => Ok(false),
            other => Err(Fault(format!("what was handed on: {other}"))),
        }
    }

    fn alive(&mut self) -> Result<()> {
        self.daemon.alive()
    }
}
