//! The server, and what it serves.

use std::fs;
use std::path::{Path, PathBuf};

use liveline_demo::Words;
use liveline_demo::load::{Client, Fault};
use liveline_demo::tool::Selection;

use super::client::{Checker, files, upload};
use crate::http::Connection;
use crate::shell::{Failure, Result, Tried};
use crate::trial::{Daemon, Service, Started, free_port};

const CLIENTS: usize = 8;

struct Server {
    daemon: Daemon,
    program: PathBuf,
    folder: PathBuf,
    probe: Connection,
    token: String,
    asked: usize,
}

/// Starts the server and connects the load.
pub(super) fn start(program: &Path, folder: &Path, words: Words) -> Result<Started> {
    let root = folder.join("root");
    fs::create_dir_all(&root).tried("make the server's folder")?;
    for (name, content) in files() {
        fs::write(root.join(name), content).tried("write the server's files")?;
    }
    // A file of its own, so that `--exe` means this process and no other.
    let own = folder.join("simple-http-server");
    fs::copy(program, &own).tried("copy the program")?;
    let port = free_port()?;
    let mut daemon = Daemon::start(&own, |command| {
        // A thread a connection.
        command.args(["--upload", "--ip", "127.0.0.1", "--threads", "16", "--port"]);
        command.arg(port.to_string()).arg(&root);
    })?;
    daemon.await_ready(|| Connection::open(port).is_ok())?;
    let mut probe = Connection::open(port).tried("connect")?;
    let page = probe.ask("GET /", "", b"").tried("ask for the list of files")?;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let token = page.split_once("name=\"csrf\" value=\"").and_then(|(_, rest)| rest.split('"').next());
    let token = token.ok_or_else(|| Failure("the server's page has no token for uploads".into()))?.to_owned();
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for name in 0..CLIENTS {
        clients.push(Box::new(Checker::open(name, port, &token).tried("connect")?));
    }
    words.line(&format!("the server is pid {}; {CLIENTS} clients at full speed", daemon.pid()));
    let folder = folder.to_owned();
    Ok((Box::new(Server { daemon, program: own, folder, probe, token, asked: 0 }), clients))
}

impl Service for Server {
    fn selection(&self) -> Selection<'_> {
        Selection::Exe(&self.program)
    }

    fn processes(&self) -> usize {
        1
    }

    /// Uploads a file whose name leads out of the served folder, and looks where it went.
    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        self.asked += 1;
        let name = format!("escaped{}", self.asked);
        let done = upload(&mut self.probe, &self.token, &format!("../{name}"), "anything")?;
        let (inside, outside) = (self.folder.join("root").join(&name), self.folder.join(&name));
        match (done.status, inside.exists(), outside.exists()) {
            (302, true, false) => Ok(true),
            (302, false, true) => Ok(false),
            told => Err(Fault(format!("an upload to ../{name}: status, inside, outside: {told:?}"))),
        }
    }

    fn alive(&mut self) -> Result<()> {
        self.daemon.alive()
    }
}
