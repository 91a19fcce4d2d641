//! Debian's redis: the version that runs and its security update.

use liveline_demo::Words;

use crate::debian::{Prepared, Program, SecurityUpdate};
use crate::shell::{self, Result};

const UPDATE: SecurityUpdate = SecurityUpdate {
    package: "redis",
    old: "5:7.0.15-1~deb12u7",
    new: "5:7.0.15-1~deb12u10",
    patches: 5,
    // The server and the checker are one file, which looks at its name; the package redis-server has a link to it.
    programs: &[Program {
        package: "redis-tools",
        path: "usr/bin/redis-check-rdb",
        product: "src/redis-server",
    }],
    pins: &[],
    rules: "",
};

/// Builds redis with and without the newest security patches, or takes what was built before.
pub(crate) fn build(words: Words) -> Result<Prepared> {
    UPDATE.prepare(&shell::archive(words)?)
}
