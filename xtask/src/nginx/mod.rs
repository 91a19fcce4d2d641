//! Debian's nginx, master and workers, updated under load and taken back.

mod client;
mod service;

pub(crate) use client::Connection;
pub(crate) use service::{Clients, Nginx};

use std::path::PathBuf;

use liveline_demo::Words;

use crate::debian::{Program, SecurityUpdate};
use crate::shell::{self, Result, liveline};
use liveline_build::debian::Archive;

const UPDATE: SecurityUpdate = SecurityUpdate {
    package: "nginx",
    old: "1.22.1-9+deb12u9",
    new: "1.22.1-9+deb12u10",
    patches: 3,
    programs: &[Program { package: "nginx", path: "usr/sbin/nginx", product: "debian/build-bin/objs/nginx" }],
    // The stock binary says "built with OpenSSL 3.0.20 7 Apr 2026".
    pins: &["libssl-dev=3.0.20-1~deb12u2", "libssl3=3.0.20-1~deb12u2"],
    // Without the dynamic modules.
    rules: "build.arch.bin:\n\t$(MAKE) -C $(BUILDDIR_bin) -f objs/Makefile binary\n",
};

/// What CVE-2026-42533 gives another parameter: the functions behind `log_format`, and the pointers to them. They are
/// called by ngx_http_log_handler alone, which is replaced with them at once, through pointers that were made when the
/// configuration was read and lead to the old entries, and so to the new code.
const ASSUMED: [&str; 16] = [
    "ngx_http_log_body_bytes_sent",
    "ngx_http_log_bytes_sent",
    "ngx_http_log_copy_long",
    "ngx_http_log_copy_short",
    "ngx_http_log_iso8601",
    "ngx_http_log_json_variable",
    "ngx_http_log_msec",
    "ngx_http_log_pipe",
    "ngx_http_log_request_length",
    "ngx_http_log_request_time",
    "ngx_http_log_status",
    "ngx_http_log_time",
    "ngx_http_log_unescaped_variable",
    "ngx_http_log_var_t",
    "ngx_http_log_variable",
    "struct ngx_http_log_op_s",
];

/// The archive's nginx, as it is.
pub(crate) fn stock(archive: &Archive) -> Result<PathBuf> {
    UPDATE.stock(archive, &UPDATE.programs[0])
}

/// Runs the trial, `times` applies and reverts.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let tool = liveline(words)?;
    let archive = shell::archive(words)?;
    archive.install(&["openssl"])?;
    let nginx = UPDATE.prepare(&archive)?;
    let side = &nginx.sides[0];
    words.step("The stock server, master and workers, Debian's security update");
    words.line(&format!("patches of the update: {}", nginx.patches.join(", ")));
    words.line("Seen from outside (CVE-2026-42533): an answer made of a capture that becomes shorter while the answer is");
    words.line("put together. The old code sends as many bytes as it had counted before, the new one those it wrote.");
    let update = side.update("nginx, master and workers", "nginx-security", &ASSUMED);
    let report = update.run(&tool, times, words, |folder| service::start(&side.running, folder, words))?;
    nginx.publish(vec![report], json)
}
