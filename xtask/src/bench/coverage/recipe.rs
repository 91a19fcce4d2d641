//! How a program is built, started and loaded: all that the coverage knows of it.

use std::path::Path;

use liveline_demo::load::Client;

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
    /// What is built only once unless it changes, and the command that unmakes it.
    pub(super) bundled: &'static str,
    pub(super) unmake: &'static [&'static str],
    /// Starts the program at a path, in a folder of its own, and gives it with its port.
    pub(super) start: fn(&Path, &Path) -> Result<(Daemon, u16)>,
    /// Connects the load.
    pub(super) connect: fn(u16) -> Result<Clients>,
}

impl Recipe {
    /// The program's file name.
    pub(super) fn program_name(&self) -> &'static str {
        self.product.rsplit('/').next().unwrap_or(self.product)
    }
}

/// Redis: the server alone, without jemalloc, TLS and systemd.
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
