//! Debian's OpenSSL, libssl and libcrypto inside a running nginx and a running Python.

mod service;

use std::path::PathBuf;

use liveline_demo::Words;
use liveline_demo::tool::Tool;

use crate::debian::{Prepared, Program, SecurityUpdate, Side};
use crate::nginx;
use crate::shell::{self, Failure, Result, liveline};
use crate::trial::TrialReport;
use service::Which;

const UPDATE: SecurityUpdate = SecurityUpdate {
    package: "openssl",
    old: "3.0.17-1~deb12u2",
    new: "3.0.20-1~deb12u2",
    patches: 14,
    programs: &[
        Program {
            package: "libssl3",
            path: "usr/lib/x86_64-linux-gnu/libssl.so.3",
            product: "build_shared/libssl.so.3",
        },
        Program {
            package: "libssl3",
            path: "usr/lib/x86_64-linux-gnu/libcrypto.so.3",
            product: "build_shared/libcrypto.so.3",
        },
    ],
    pins: &[],
    // Without the static libraries and the programs.
    rules: "override_dh_auto_build-arch:\n\t$(MAKE) -C build_shared build_libs\n",
};

/// What libcrypto's update is refused for, and why that does no harm in these two programs: nobody in them has a
/// `X509_LOOKUP` of certificate stores, which alone calls the old `by_store_subject_ex` and by it `cache_objects` (nginx sets no default paths, and Python here makes no context), and nobody keeps a
/// file of `OSSL_STORE` open. The table of extensions goes on with the old `ossl_v3_crl_invdate`, so that the date in a revoked
/// certificate's entry is printed as before; neither of them prints one.
const ASSUMED: [&str; 3] = ["cache_objects", "ossl_v3_crl_invdate", "struct file_ctx_st"];

/// Runs the trials, `times` applies and reverts each.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let tool = liveline(words)?;
    let archive = shell::archive(words)?;
    archive.install(&["openssl", "python3"])?;
    let openssl = UPDATE.prepare(&archive)?;
    let scene = Scene { tool, nginx: nginx::stock(&archive)?, openssl, times, words };

    words.step("Trial 1: libssl 3.0.17 to 3.0.20 in nginx");
    words.line("Seen from outside (RFC 7627, 5.3): a client that resumes a session without the extended master secret,");
    words.line("which the session had, is sent away with alert 47 by the old code, with the right one, 40, by the new.");
    let ssl = scene.trial(Which::Ssl, "libssl in nginx")?;
    words.step("Trial 2: libcrypto 3.0.17 to 3.0.20 in nginx and in Python");
    words.line("Seen inside Python (part of the fix of CVE-2025-69419): UTF8_getc takes a character beyond U+10FFFF in the");
    words.line(
        "old code, and refuses it in the new. nginx has the same library mapped, and TLS clients throughout.",
    );
    let crypto = scene.trial(Which::Crypto, "libcrypto in nginx and Python")?;
    scene.openssl.publish(vec![ssl, crypto], json)
}

struct Scene {
    tool: Tool,
    nginx: PathBuf,
    openssl: Prepared,
    times: usize,
    words: Words,
}

impl Scene {
    fn sides(&self) -> Result<[&Side; 2]> {
        match self.openssl.sides.as_slice() {
            [ssl, crypto] => Ok([ssl, crypto]),
            _ => Err(Failure("OpenSSL has two libraries".into())),
        }
    }

    fn trial(&self, which: Which, name: &str) -> Result<TrialReport> {
        let [ssl, crypto] = self.sides()?;
        let update = match which {
            Which::Ssl => ssl.update(name, which.patch(), &[]),
            Which::Crypto => crypto.update(name, which.patch(), &ASSUMED),
        };
        update.run(&self.tool, self.times, self.words, |folder| {
            service::start(which, &self.nginx, [&ssl.running, &crypto.running], folder, self.words)
        })
    }
}
