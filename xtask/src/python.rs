//! A library inside a running Python: a service whose script uses it, with clients and a probe, each on a connection.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};

use liveline_demo::Words;
use liveline_demo::load::{ANSWER_LIMIT, Client, Dice, Fault};
use liveline_demo::tool::Selection;

use crate::shell::{Result, Tried};
use crate::trial::{Daemon, Service, Started, free_port};

const CLIENTS: usize = 8;

/// What is asked of a connection, and whether the answer is right.
pub(crate) type Ask<T> = fn(&mut Connection) -> std::result::Result<T, Fault>;

/// A service to start.
pub(crate) struct Setup<'s> {
    /// The library, and the name by which Python finds it.
    pub(crate) library: &'s Path,
    pub(crate) soname: &'static str,
    /// The script of the service; it is given the port.
    pub(crate) script: &'static str,
    /// One request of a client.
    pub(crate) request: fn(&mut Connection, &mut Dice) -> std::result::Result<(), Fault>,
    /// Whether the fix is felt.
    pub(crate) fixed: Ask<bool>,
}

/// A connection to the service.
pub(crate) struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    /// Sends a line and what follows it; the answer.
    pub(crate) fn ask(&mut self, line: &str, body: &[u8]) -> std::result::Result<String, Fault> {
        let mut request = format!("{line}\n").into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(Fault("the service closed the connection".into()));
        }
        let length = line.trim().parse().map_err(|_| Fault(format!("no length: {line:?}")))?;
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        String::from_utf8(body).map_err(|_| Fault("an answer that is not text".into()))
    }
}

/// One client of the load.
struct Checker {
    connection: Connection,
    dice: Dice,
    request: fn(&mut Connection, &mut Dice) -> std::result::Result<(), Fault>,
}

impl Client for Checker {
    fn request(&mut self) -> std::result::Result<(), Fault> {
        (self.request)(&mut self.connection, &mut self.dice)
    }
}

struct Python {
    daemon: Daemon,
    library: PathBuf,
    probe: Connection,
    fixed: Ask<bool>,
}

/// Starts the service with a copy of the library, and its clients.
pub(crate) fn start(setup: &Setup<'_>, folder: &Path, words: Words) -> Result<Started> {
    let own = folder.join(setup.soname);
    fs::copy(setup.library, &own).tried("copy the library")?;
    let script = folder.join("server.py");
    fs::write(&script, setup.script).tried("write the service")?;
    let port = free_port()?;
    let mut daemon = Daemon::start(Path::new("/usr/bin/python3"), |command| {
        command.arg(&script).arg(port.to_string()).env("LD_LIBRARY_PATH", folder);
    })?;
    daemon.await_ready(|| Connection::open(port).is_ok())?;
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for seed in 1..=CLIENTS as u64 {
        let connection = Connection::open(port).tried("connect")?;
        clients.push(Box::new(Checker { connection, dice: Dice::new(seed), request: setup.request }));
    }
    words
        .line(&format!("Python is pid {}; {CLIENTS} connections at full speed, a thread each", daemon.pid()));
    let probe = Connection::open(port).tried("connect")?;
    Ok((Box::new(Python { daemon, library: own, probe, fixed: setup.fixed }), clients))
}

impl Service for Python {
    fn selection(&self) -> Selection<'_> {
        Selection::Exe(&self.library)
    }

    fn processes(&self) -> usize {
        1
    }

    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        (self.fixed)(&mut self.probe)
    }

    fn alive(&mut self) -> Result<()> {
        self.daemon.alive()
    }
}
