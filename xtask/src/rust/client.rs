//! HTTP: a client that knows each answer before it comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use liveline_demo::load::{ANSWER_LIMIT, Client, Dice, Fault};

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A kept-alive connection.
pub(super) struct Connection {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(port: u16) -> std::io::Result<Self> {
        let writer = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Connection { reader: BufReader::new(writer.try_clone()?), writer })
    }

    /// Sends a request and gives the answer; `more` are further lines of its head.
    pub(super) fn ask(&mut self, line: &str, more: &str, body: &[u8]) -> Result<Answer, Fault> {
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nHost: trial\r\nContent-Length: {length}\r\n{more}\r\n");
        self.writer.write_all(&[head.as_bytes(), body].concat())?;
        let first = self.line()?;
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| Fault(format!("{line}: no answer of HTTP: {first:?}")))?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let field = self.line()?.to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("content-length: ") {
                length = value.parse().map_err(|_| Fault(format!("{line}: {field}")))?;
            }
            chunked |= field == "transfer-encoding: chunked";
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = self.line()?;
                let size =
                    usize::from_str_radix(&size, 16).map_err(|_| Fault(format!("{line}: {size:?}")))?;
                self.read(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else if !line.starts_with("HEAD ") {
            self.read(length, &mut body)?;
        }
        Ok(Answer { status, body })
    }

    fn read(&mut self, size: usize, body: &mut Vec<u8>) -> Result<(), Fault> {
        let start = body.len();
        body.resize(start + size, 0);
        Ok(self.reader.read_exact(&mut body[start..])?)
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(Fault("the server closed the connection".into()));
        }
        Ok(line.trim_end().into())
    }

    /// Uploads a file into the server's folder, under a name that may be a path.
    pub(super) fn upload(&mut self, token: &str, name: &str, content: &str) -> Result<Answer, Fault> {
        let part = |fields: &str, content: &str| {
            format!("--edge\r\nContent-Disposition: form-data; {fields}\r\n\r\n{content}\r\n")
        };
        let file = part(&format!("name=\"files\"; filename=\"{name}\""), content);
        let body = format!("{}{file}--edge--\r\n", part("name=\"csrf\"", token));
        self.ask("POST /", "Content-Type: multipart/form-data; boundary=edge\r\n", body.as_bytes())
    }
}

/// The files of the server: name and content.
pub(super) fn files() -> Vec<(String, Vec<u8>)> {
    let sizes = [1, 700, 4096, 33_000, 200_000];
    let file = |(i, size): (usize, usize)| (format!("f{i}"), Dice::new(size as u64).text(size).into_bytes());
    sizes.into_iter().enumerate().map(file).collect()
}

/// One client of the load.
pub(super) struct Checker {
    name: usize,
    connection: Connection,
    token: String,
    dice: Dice,
    files: Vec<(String, Vec<u8>)>,
}

impl Checker {
    pub(super) fn open(name: usize, port: u16, token: &str) -> std::io::Result<Self> {
        let (connection, dice) = (Connection::open(port)?, Dice::new(name as u64 + 1));
        Ok(Checker { name, connection, token: token.into(), dice, files: files() })
    }

    fn expect(&mut self, line: &str, more: &str, status: u16, body: &[u8]) -> Result<(), Fault> {
        let got = self.connection.ask(line, more, b"")?;
        if got.status == status && got.body == body {
            return Ok(());
        }
        let (wanted, came) = (body.len(), got.body.len());
        Err(Fault(format!("{line}: expected {status} with {wanted} bytes, got {} with {came}", got.status)))
    }
}

impl Client for Checker {
    fn request(&mut self) -> Result<(), Fault> {
        let (name, content) = self.files[self.dice.below(5) as usize].clone();
        match self.dice.below(8) {
            0..3 => self.expect(&format!("GET /{name}"), "", 200, &content),
            3 | 4 => {
                let from = self.dice.below(content.len() as u64) as usize;
                let range = format!("Range: bytes={from}-\r\n");
                self.expect(&format!("GET /{name}"), &range, 206, &content[from..])
            }
            5 => self.expect(&format!("HEAD /{name}"), "", 200, b""),
            6 => {
                let got = self.connection.ask("GET /?sort=name&order=asc", "", b"")?;
                let text = String::from_utf8_lossy(&got.body);
                let all = self.files.iter().all(|(name, _)| text.contains(&format!("/{name}\"")));
                if got.status == 200 && all && text.contains("</html>") {
                    return Ok(());
                }
                Err(Fault(format!("the list of files: {} {text}", got.status)))
            }
            _ => {
                let (own, text) = (format!("own{}", self.name), self.dice.text(3000));
                let done = self.connection.upload(&self.token, &own, &text)?;
                if done.status != 302 {
                    return Err(Fault(format!("an upload: {}", done.status)));
                }
                self.expect(&format!("GET /{own}"), "", 200, text.as_bytes())
            }
        }
    }
}
