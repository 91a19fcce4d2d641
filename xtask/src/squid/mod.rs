//! Debian's squid, a proxy in C++, updated under load and taken back.

mod client;
mod icp;
mod origin;
mod service;

use liveline_demo::Words;

use crate::debian::{Program, SecurityUpdate};
use crate::shell::{self, Result, liveline};

const UPDATE: SecurityUpdate = SecurityUpdate {
    package: "squid",
    old: "5.7-2+deb12u5",
    new: "5.7-2+deb12u6",
    patches: 4,
    programs: &[Program { package: "squid", path: "usr/sbin/squid", product: "src/squid" }],
    pins: &[],
    // Of the two flavours the one with GnuTLS, and of that the server without its tools. What it is linked from are the
    // objects for libraries; those for programs, which libtool makes beside them, go nowhere.
    rules: "override_dh_auto_configure:\n\
        \tdh_auto_configure -- ${DEB_CONFIGURE_EXTRA_FLAGS} --with-gnutls\n\
        override_dh_auto_build:\n\
        \tfor part in compat lib libltdl src; do \
        $(MAKE) -C $$part LIBTOOLFLAGS=--tag=disable-static || exit 1; done\n",
};

/// Runs the trial, `times` applies and reverts.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let tool = liveline(words)?;
    let archive = shell::archive(words)?;
    archive.install(&["squid-common", "libecap3", "libltdl7", "libnetfilter-conntrack3"])?;
    let squid = UPDATE.prepare(&archive)?;
    let side = &squid.sides[0];
    words.step("The stock server, a proxy with a cache, Debian's security update");
    words.line(&format!("patches of the update: {}", squid.patches.join(", ")));
    words.line("Seen from outside (CVE-2026-33515): a query of the Internet Cache Protocol with more behind its address.");
    words.line("The old code does as if it ended there, and says miss; the new one says error.");
    let update = side.update("squid, master and kid", "squid-security", &[]);
    let report = update.run(&tool, times, words, |folder| service::start(&side.running, folder, words))?;
    squid.publish(vec![report], json)
}
