//! HTTP over a connection that is kept, for clients that check what comes back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use liveline_demo::load::{ANSWER_LIMIT, Fault};

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The fields of its head, names in lower case.
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a field; empty if there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// A kept-alive connection.
pub(crate) struct Connection {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> std::io::Result<Self> {
        let writer = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Connection { reader: BufReader::new(writer.try_clone()?), writer })
    }

    /// Sends a request and gives the answer; `more` are further lines of its head.
    pub(crate) fn ask(&mut self, line: &str, more: &str, body: &[u8]) -> Result<Answer, Fault> {
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nHost: trial\r\nContent-Length: {length}\r\n{more}\r\n");
        self.writer.write_all(&[head.as_bytes(), body].concat())?;
        let first = self.line()?;
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| Fault(format!("{line}: no answer of HTTP: {first:?}")))?;
        let mut answer = Answer { status, fields: Vec::new(), body: Vec::new() };
        loop {
            let field = self.line()?;
            if field.is_empty() {
                break;
            }
            let (name, value) =
                field.split_once(':').ok_or_else(|| Fault(format!("{line}: no field: {field:?}")))?;
            answer.fields.push((name.to_ascii_lowercase(), value.trim().into()));
        }
        let mut body = Vec::new();
        if answer.field("transfer-encoding").eq_ignore_ascii_case("chunked") {
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
        } else if !line.starts_with("HEAD ") && !matches!(status, 204 | 304) {
            let length = match answer.field("content-length") {
                "" => 0,
                length => length.parse().map_err(|_| Fault(format!("{line}: {length} bytes")))?,
            };
            self.read(length, &mut body)?;
        }
        answer.body = body;
        Ok(answer)
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
}
