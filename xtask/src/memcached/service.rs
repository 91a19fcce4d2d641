//! The server, its clients, and how a fix is seen.

use std::path::Path;

use liveline_demo::Words;
use liveline_demo::load::{Client, Fault};
use liveline_demo::tool::Selection;

use super::{binary, text};
use crate::shell::{Result, Tried};
use crate::trial::{Daemon, Service, Started, free_port};

const THREADS: &str = "6";
const CONNECTIONS: usize = 32;

struct Memcached {
    daemon: Daemon,
    pid: [u32; 1],
    probe: Probe,
}

/// How the changed behaviour is seen.
enum Probe {
    Incr(text::IncrProbe),
    Passwords(u16),
}

/// Starts the server, with SASL and the password database if `passwords`, and connects the load.
pub(super) fn start(program: &Path, folder: &Path, passwords: bool, words: Words) -> Result<Started> {
    if passwords {
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).tried("write the server's settings")
        };
        write("memcached.conf", "mech_list: plain\n")?;
        write("passwords", binary::PASSWORD_FILE)?;
    }
    let port = free_port()?;
    let mut daemon = Daemon::start(program, |command| {
        command.args(["-l", "127.0.0.1", "-t", THREADS, "-u", "root", "-m", "256", "-c", "1024", "-p"]);
        command.arg(port.to_string());
        if passwords {
            command.arg("-S").env("SASL_CONF_PATH", folder);
            command.env("MEMCACHED_SASL_PWDB", folder.join("passwords"));
        }
    })?;
    daemon.await_ready(|| text::Connection::open(port).is_ok())?;
    let probe = if passwords {
        Probe::Passwords(port)
    } else {
        let mut probe = text::IncrProbe::open(port).tried("connect")?;
        probe.prepare().tried("prepare the probe")?;
        Probe::Incr(probe)
    };
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for name in 0..CONNECTIONS {
        clients.push(if passwords {
            Box::new(binary::Checker::open(name, port).tried("connect")?)
        } else {
            Box::new(text::Checker::open(name, port).tried("connect")?)
        });
    }
    words.line(&format!(
        "{} runs as pid {}: {THREADS} worker threads, {CONNECTIONS} connections at full speed",
        program.display(),
        daemon.pid()
    ));
    let pid = [daemon.pid()];
    Ok((Box::new(Memcached { daemon, pid, probe }), clients))
}

impl Service for Memcached {
    fn selection(&self) -> Selection<'_> {
        Selection::Pids(&self.pid)
    }

    fn processes(&self) -> usize {
        1
    }

    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        match &mut self.probe {
            Probe::Incr(probe) => probe.fixed(),
            Probe::Passwords(port) => binary::fixed(*port),
        }
    }

    fn alive(&mut self) -> Result<()> {
        self.daemon.alive()
    }
}
