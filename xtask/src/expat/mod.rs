//! Debian's expat inside a running Python.

mod client;

use liveline_demo::Words;
use liveline_demo::load::Fault;

use crate::debian::{Program, SecurityUpdate};
use crate::python::{Connection, Setup, start};
use crate::shell::{self, Result, liveline};
use liveline_build::debian::TextChange;

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
    let setup = Setup {
        library: &side.running,
        soname: "libexpat.so.1",
        script: include_str!("server.py"),
        request: client::request,
        fixed,
    };
    let update = side.update("libexpat in Python", "expat-security", &[]);
    let report = update.run(&tool, times, words, |folder| start(&setup, folder, words))?;
    expat.publish(vec![report], json)
}

/// Whether the fix is felt.
fn fixed(probe: &mut Connection) -> std::result::Result<bool, Fault> {
    match probe.ask("probe", b"")?.as_str() {
        "[4711]" => Ok(true),
        "[None]" => Ok(false),
        other => Err(Fault(format!("what was handed on: {other}"))),
    }
}
