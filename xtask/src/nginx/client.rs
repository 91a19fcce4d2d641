//! HTTP over TCP and over TLS: a client that knows each answer before it comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use liveline_demo::load::{ANSWER_LIMIT, Client, Dice, Fault};

/// Requests on a connection before it is closed and another one opened.
const REQUESTS: u32 = 60;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A kept-alive connection.
pub(crate) struct Connection {
    writer: Box<dyn Write + Send>,
    reader: BufReader<Box<dyn Read + Send>>,
    /// `openssl s_client`, which does the cryptography.
    tls: Option<Child>,
}

impl Connection {
    /// Over TCP.
    pub(crate) fn plain(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let reader: Box<dyn Read + Send> = Box::new(stream.try_clone()?);
        Ok(Connection { writer: Box::new(stream), reader: BufReader::new(reader), tls: None })
    }

    /// Over TLS, with further words for `openssl s_client`.
    pub(crate) fn tls(port: u16, more: &str) -> std::io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(ANSWER_LIMIT))?;
        let child = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_quiet", "-connect", &format!("127.0.0.1:{port}")])
            .args(more.split_whitespace())
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::null())
            .spawn()?;
        let reader: Box<dyn Read + Send> = Box::new(ours.try_clone()?);
        Ok(Connection { writer: Box::new(ours), reader: BufReader::new(reader), tls: Some(child) })
    }

    /// Sends a request and gives the answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str, more: &str) -> Result<Answer, Fault> {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: trial\r\n{more}\r\n");
        self.writer.write_all(request.as_bytes())?;
        let status = self.line()?;
        let words: Vec<_> = status.split(' ').collect();
        let status: u16 = match words.as_slice() {
            ["HTTP/1.1", code, ..] => code.parse().map_err(|_| Fault(format!("no status: {status:?}")))?,
            _ => return Err(Fault(format!("{path}: no answer of HTTP: {status:?}"))),
        };
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.parse::<usize>().ok();
            }
        }
        let length = length.ok_or_else(|| Fault(format!("{path}: an answer without a length")))?;
        let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
        self.reader.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(Fault("the server closed the connection".into()));
        }
        Ok(line.trim_end().into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(child) = &mut self.tls {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The files of the server: name and content.
pub(super) fn files() -> Vec<(String, Vec<u8>)> {
    let sizes = [1, 700, 4096, 33_000, 300_000];
    let file = |(i, size): (usize, usize)| (format!("f{i}"), Dice::new(size as u64).text(size).into_bytes());
    sizes.into_iter().enumerate().map(file).collect()
}

/// How a client reaches the server.
#[derive(Clone, Copy)]
pub(super) enum Server {
    /// Over TCP.
    Plain(u16),
    /// Over TLS, with further words for `openssl s_client`.
    Tls(u16, &'static str),
}

impl Server {
    fn connect(self) -> std::io::Result<Connection> {
        match self {
            Server::Plain(port) => Connection::plain(port),
            Server::Tls(port, more) => Connection::tls(port, more),
        }
    }
}

/// One client of the load.
pub(super) struct Checker {
    server: Server,
    connection: Connection,
    left: u32,
    dice: Dice,
    files: Vec<(String, Vec<u8>)>,
}

impl Checker {
    pub(super) fn open(name: usize, server: Server) -> std::io::Result<Self> {
        let mut dice = Dice::new(name as u64 + 1);
        // Not all of them change their connections at the same time.
        let left = 1 + dice.below(u64::from(REQUESTS)) as u32;
        Ok(Checker { server, connection: server.connect()?, left, dice, files: files() })
    }

    fn expect(
        &mut self,
        method: &str,
        path: &str,
        more: &str,
        status: u16,
        body: &[u8],
    ) -> Result<(), Fault> {
        let got = self.connection.ask(method, path, more)?;
        if got.status == status && got.body == body {
            return Ok(());
        }
        Err(Fault(format!(
            "{method} {path}: expected {status} with {} bytes, got {} with {} bytes{}",
            body.len(),
            got.status,
            got.body.len(),
            if got.body.len() == body.len() { ", others" } else { "" }
        )))
    }
}

impl Client for Checker {
    fn request(&mut self) -> Result<(), Fault> {
        if self.left == 0 {
            self.connection = self.server.connect()?;
            self.left = REQUESTS;
        }
        self.left -= 1;
        let (name, content) = self.files[self.dice.below(5) as usize].clone();
        let (a, b) = (self.dice.below(1 << 30), self.dice.text(12));
        match self.dice.below(8) {
            0..3 => self.expect("GET", &format!("/{name}"), "", 200, &content),
            3 => {
                let from = self.dice.below(content.len() as u64) as usize;
                let range = format!("Range: bytes={from}-\r\n");
                self.expect("GET", &format!("/{name}"), &range, 206, &content[from..])
            }
            4 => self.expect("HEAD", &format!("/{name}"), "", 200, b""),
            5 => self.expect("GET", &format!("/echo?a={a}&b={b}"), "", 200, format!("{a}-{b}").as_bytes()),
            6 => {
                // Through a second server of the same nginx: what it sends there and gets back.
                let answer = format!("{b}|/far/{a}|{a}");
                self.expect(
                    "GET",
                    &format!("/proxy/{a}?n={a}"),
                    &format!("X-Word: {b}\r\n"),
                    200,
                    answer.as_bytes(),
                )
            }
            _ => {
                let digits = self.dice.text(7);
                let answer = format!("{}:{digits}", &digits[..3]);
                self.expect("GET", &format!("/match/{digits}"), "", 200, answer.as_bytes())
            }
        }
    }
}
