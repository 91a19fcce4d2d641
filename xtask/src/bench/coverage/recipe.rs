//! How a program is built, started and loaded: all that the coverage knows of it.

use std::path::Path;

use liveline_demo::load::Client;

use super::page::Sheet;
use crate::redis::client::{Checker, Connection};
use crate::shell::{Result, Tried};
use crate::trial::{Daemon, free_port};

/// The connections of a load.
pub(super) type Clients = Vec<Box<dyn Client>>;

/// A program whose history is measured.
pub(super) struct Recipe {
    pub(super) name: &'static str,
    /// The list of commits, seen from the workspace.
    pub(super) commits: &'static str,
    /// Folder of the tree in which the compiler's objects come to lie.
    pub(super) objects: &'static str,
    /// The program, seen from the tree.
    pub(super) product: &'static str,
    /// The command that builds it, and the folder to run it in.
    pub(super) build: &'static [&'static str],
    pub(super) build_in: &'static str,
    /// What is not built by default: a file, and what to add to the command where a commit changes it.
    pub(super) optional: (&'static str, &'static str),
    /// What is built only once unless it changes, and the command that unmakes it.
    pub(super) bundled: &'static str,
    pub(super) unmake: &'static [&'static str],
    /// Starts the program at a path, in a folder of its own, and gives it with its port.
    pub(super) start: fn(&Path, &Path) -> Result<(Daemon, u16)>,
    /// Connects the load.
    pub(super) connect: fn(u16) -> Result<Clients>,
}

impl Recipe {
    /// What the page says.
    pub(super) fn sheet(&self) -> Sheet {
        Sheet {
            name: "coverage",
            command: "coverage --repo CLONE --release 7.0.14..7.0.15",
            title: format!("Coverage of {}'s history", self.name),
            method: METHOD,
            things: "commits",
            others: "Another tool of the kind made a patch, which is the first half of this, for 79 % of redis's commits.",
        }
    }

    /// The program's file name.
    pub(super) fn program_name(&self) -> &'static str {
        self.product.rsplit('/').next().unwrap_or(self.product)
    }
}

const METHOD: &str = "Each commit of the list and its parent are built (-O2 and what a patch needs), `liveline diff` makes a \
    patch from the objects, the parent's program is started and loaded by clients that know each answer, the patch is \
    applied, the load goes on, the patch is reverted, the load goes on. The tests that the commit adds or changes, where they \
    can use a server that runs, are run in another patched process, in the commit's own build and in the parent: only those \
    count that the commit's own build passes. Nobody writes a line for any commit, and nothing is assumed. Functions are those \
    that the patch replaces or brings; kept are data whose first value the commit changes: a running program keeps what it has.";

/// Redis: the server alone, without jemalloc and systemd, and with TLS only for commits that change that.
pub(super) const REDIS: Recipe = Recipe {
    name: "redis",
    commits: "../shared/cases/redis-7.0-commits.txt",
    objects: "src",
    product: "src/redis-server",
    build: &[
        "make",
        "-j5",
        "redis-server",
        "MALLOC=libc",
        "OPTIMIZATION=-O2",
        "CFLAGS=-g -ffunction-sections -fdata-sections",
        "USE_SYSTEMD=no",
        "BUILD_TLS=no",
        // Otherwise commands.c, which is checked in, would be made anew by the times of files.
        "PYTHON=",
    ],
    build_in: "src",
    optional: ("src/tls.c", "BUILD_TLS=yes"),
    bundled: "deps",
    unmake: &["make", "distclean"],
    start: start_redis,
    connect: connect_redis,
};

/// Connections of the load.
const CLIENTS: usize = 4;

fn start_redis(program: &Path, folder: &Path) -> Result<(Daemon, u16)> {
    let port = free_port()?;
    let mut server = Daemon::start(program, |command| {
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"]).arg(folder);
        // As redis's own tests start it.
        for option in ["--enable-debug-command", "--enable-protected-configs"] {
            command.args([option, "yes"]);
        }
    })?;
    server.await_ready(|| Connection::open(port).is_ok())?;
    Ok((server, port))
}

fn connect_redis(port: u16) -> Result<Clients> {
    let mut clients = Clients::new();
    for name in 0..CLIENTS {
        clients.push(Box::new(Checker::open(name, port).tried("connect")?));
    }
    Ok(clients)
}
