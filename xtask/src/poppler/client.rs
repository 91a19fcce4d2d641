//! The service's clients, which know what their documents say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use liveline_demo::load::{ANSWER_LIMIT, Client, Dice, Fault};

use super::document::Document;

/// A connection to the service.
pub(super) struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Connection { stream, reader })
    }

    /// What the service says of a document: a line a page.
    pub(super) fn ask(&mut self, document: &[u8]) -> Result<String, Fault> {
        self.stream.write_all(format!("{}\n", document.len()).as_bytes())?;
        self.stream.write_all(document)?;
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
pub(super) struct Checker {
    connection: Connection,
    dice: Dice,
}

impl Checker {
    pub(super) fn open(name: usize, port: u16) -> std::io::Result<Self> {
        Ok(Checker { connection: Connection::open(port)?, dice: Dice::new(name as u64 + 1) })
    }
}

impl Client for Checker {
    fn request(&mut self) -> Result<(), Fault> {
        let document = Document::any(&mut self.dice);
        let answer = self.connection.ask(&document.bytes)?;
        if answer == document.seen {
            return Ok(());
        }
        Err(Fault(format!(
            "a document of {} bytes: {answer:?}, not {:?}",
            document.bytes.len(),
            document.seen
        )))
    }
}
