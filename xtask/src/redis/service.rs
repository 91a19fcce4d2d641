//! A server, its replica, and children that write the data to disk meanwhile.

use std::path::Path;
use std::process::Command;

use liveline_demo::Words;
use liveline_demo::load::{Client, Fault};
use liveline_demo::tool::Selection;

use super::client::{Answer, Checker, Connection, Pair};
use crate::shell::{Failure, Result, Tried};
use crate::trial::{Daemon, Moment, Service, Started, free_port};

const CLIENTS: usize = 24;
/// Keys that only make the file bigger, so that writing it takes longer than an update.
const FILLER: usize = 4000;

/// A hash in the form of redis 2.4, whose one value has its length, 4, in five bytes; from redis's own test of the
/// fix. Code that takes the length for one byte reads the value from the last four of them.
const LONG_LENGTH: &[u8] =
    b"\x09\x0e\x01\x01\x6b\xfe\x04\x00\x00\x00\x00\x76\x61\x6c\x31\xff\x09\x00\xd0\xf9\xe4\x1d\xe4\xfb\x11\x4c";

struct Redis {
    server: Daemon,
    replica: Daemon,
    pids: [u32; 2],
    probe: Connection,
    /// How often a child was writing when an update was applied or taken back.
    with_child: usize,
    updates: usize,
    checker: std::path::PathBuf,
    dump: std::path::PathBuf,
}

/// Starts server and replica, and connects the load.
pub(crate) fn start(program: &Path, folder: &Path, words: Words) -> Result<Started> {
    // The file is the server only under this name.
    let named = folder.join("redis-server");
    std::fs::copy(program, &named).tried("copy the server under its name")?;
    let (port, second) = (free_port()?, free_port()?);
    let mut server = daemon(&named, folder, "server", port, &[])?;
    server.await_ready(|| Connection::open(port).is_ok())?;
    let mut probe = Connection::open(port).tried("connect")?;
    for i in 0..FILLER {
        probe.expect(&format!("SET filler:{i} {i}"), &Answer::Word("OK".into())).tried("fill the server")?;
    }
    let master = port.to_string();
    let mut replica = daemon(&named, folder, "replica", second, &["--replicaof", "127.0.0.1", &master])?;
    replica.await_ready(|| {
        let info = Connection::open(second).ok().and_then(|mut c| c.say("INFO replication").ok());
        matches!(info, Some(Answer::Bytes(text)) if String::from_utf8_lossy(&text).contains("master_link_status:up"))
    })?;
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for name in 0..CLIENTS {
        clients.push(Box::new(Checker::open(name, port).tried("connect")?));
    }
    clients.push(Box::new(Pair::open(port, second).tried("connect")?));
    words.line(&format!(
        "server is pid {}, its replica {}; {CLIENTS} connections at full speed, one more reads from the replica what \
         it wrote to the server; a child writes the data to disk at each update",
        server.pid(),
        replica.pid()
    ));
    let pids = [server.pid(), replica.pid()];
    let dump = folder.join("server/dump.rdb");
    let checker = folder.join("redis-check-rdb");
    std::fs::copy(program, &checker).tried("copy the checker under its name")?;
    Ok((Box::new(Redis { server, replica, pids, probe, with_child: 0, updates: 0, checker, dump }), clients))
}

fn daemon(program: &Path, folder: &Path, name: &str, port: u16, more: &[&str]) -> Result<Daemon> {
    let own = folder.join(name);
    std::fs::create_dir_all(&own).tried("make a folder for a server")?;
    Daemon::start(program, |command| {
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
        // The child pauses for this many µs after each key.
        command.args(["--rdb-key-save-delay", "200"]);
        command.args(["--repl-diskless-sync-delay", "0", "--dir"]).arg(own).args(more);
    })
}

impl Redis {
    fn saving(&mut self) -> std::result::Result<bool, Fault> {
        match self.probe.say("INFO persistence")? {
            Answer::Bytes(text) => Ok(String::from_utf8_lossy(&text).contains("rdb_bgsave_in_progress:1")),
            other => Err(Fault(format!("INFO: {other:?}"))),
        }
    }
}

impl Service for Redis {
    fn selection(&self) -> Selection<'_> {
        Selection::Pids(&self.pids)
    }

    fn processes(&self) -> usize {
        2
    }

    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        let answer = self.probe.ask(&[b"RESTORE", b"probe", b"0", LONG_LENGTH, b"REPLACE"])?;
        match answer {
            Answer::Refused(why) if why.contains("Bad data format") => Ok(true),
            Answer::Word(word) if word == "OK" => {
                // The old code's own reading of it.
                self.probe.expect("HGET probe k", &Answer::Bytes(vec![0; 4]))?;
                self.probe.expect("DEL probe", &Answer::Number(1))?;
                Ok(false)
            }
            other => Err(Fault(format!("RESTORE of a hash with a long length: {other:?}"))),
        }
    }

    fn alive(&mut self) -> Result<()> {
        self.server.alive()?;
        self.replica.alive()
    }

    fn meanwhile(&mut self, _round: usize, moment: Moment) -> Result<()> {
        if moment == Moment::After {
            self.updates += 1;
            self.with_child += usize::from(self.saving().tried("look at the child")?);
        } else if !self.saving().tried("look at the child")? {
            let begun = Answer::Word("Background saving started".into());
            self.probe.expect("BGSAVE", &begun).tried("start a child")?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<String>> {
        while self.saving().tried("wait for the child")? {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        match self.probe.say("INFO persistence").tried("look at the last child")? {
            Answer::Bytes(text) if String::from_utf8_lossy(&text).contains("rdb_last_bgsave_status:ok") => {}
            other => return Err(Failure(format!("the last BGSAVE failed: {other:?}"))),
        }
        let checked = Command::new(&self.checker).arg(&self.dump).output().tried("run redis-check-rdb")?;
        if !checked.status.success() {
            let said = String::from_utf8_lossy(&checked.stdout).into_owned();
            return Err(Failure(format!("redis-check-rdb finds the file of BGSAVE damaged: {said}")));
        }
        if self.with_child == 0 {
            return Err(Failure("no update met a child of BGSAVE".into()));
        }
        Ok(vec![format!(
            "a child of BGSAVE was there at {} of {} updates; its file is whole",
            self.with_child, self.updates
        )])
    }
}
