//! Debian's poppler, a library in C++, inside a running Python that reads PDF.

mod document;

use liveline_demo::Words;
use liveline_demo::load::Fault;

use crate::debian::{Program, SecurityUpdate};
use crate::python::{Connection, Setup, start};
use crate::shell::{self, Result, liveline};

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
    let setup = Setup {
        library: &side.running,
        soname: "libpoppler.so.126",
        script: include_str!("server.py"),
        request: document::request,
        fixed,
    };
    let update = side.update("libpoppler in Python", "poppler-security", &[]);
    let report = update.run(&tool, times, words, |folder| start(&setup, folder, words))?;
    poppler.publish(vec![report], json)
}

/// Whether the fix is felt.
fn fixed(probe: &mut Connection) -> std::result::Result<bool, Fault> {
    let document = document::crowded();
    match probe.ask(&document.len().to_string(), &document)?.as_str() {
        "1: no page" => Ok(true),
        "1: crowded 10001 annotations" => Ok(false),
        other => Err(Fault(format!("of a page with 10001 annotations: {other}"))),
    }
}
