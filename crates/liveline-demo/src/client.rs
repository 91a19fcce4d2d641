//! Clients of the demo's server.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::load::{ANSWER_LIMIT, Client, Dice, Fault};

/// One connection, a line out and a line back.
pub(crate) struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    pub(crate) fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Connection { stream, reader, line: String::new() })
    }

    /// Sends `request` and gives the answer, without its line end.
    pub(crate) fn ask(&mut self, request: &str) -> Result<&str, Fault> {
        self.stream.write_all(request.as_bytes())?;
        self.line.clear();
        if self.reader.read_line(&mut self.line)? == 0 {
            return Err(Fault("the server closed the connection".into()));
        }
        Ok(self.line.trim_end_matches('\n'))
    }
}

/// Asks for values that only it has written and so knows.
pub(crate) struct Checker {
    connection: Connection,
    name: usize,
    dice: Dice,
    values: HashMap<u64, String>,
    sum: i64,
}

impl Checker {
    pub(crate) fn new(name: usize, port: u16) -> std::io::Result<Self> {
        let connection = Connection::open(port)?;
        Ok(Checker { connection, name, dice: Dice::new(name as u64 + 1), values: HashMap::new(), sum: 0 })
    }
}

impl Client for Checker {
    fn request(&mut self) -> Result<(), Fault> {
        let key = self.dice.below(50);
        let name = self.name;
        let (request, expected) = match self.dice.below(10) {
            0..6 => {
                let expected = self.values.get(&key).map_or("NONE".into(), |v| format!("VALUE {v}"));
                (format!("GET c{name}.{key}\n"), expected)
            }
            6..8 => {
                let length = 8 + self.dice.below(120) as usize;
                let value = self.dice.text(length);
                // Half of them expire, but never within a demo.
                let ttl = self.dice.below(2) * 3_600_000;
                let request = format!("SET c{name}.{key} {ttl} {value}\n");
                self.values.insert(key, value);
                (request, "OK".into())
            }
            8 => {
                let n = self.dice.below(1000) as i64 - 300;
                self.sum += n;
                (format!("ADD c{name}.sum {n}\n"), format!("NUMBER {}", self.sum))
            }
            _ => {
                let expected = if self.values.remove(&key).is_some() { "OK" } else { "NONE" };
                (format!("DELETE c{name}.{key}\n"), expected.into())
            }
        };
        let answer = self.connection.ask(&request)?;
        if answer != expected {
            return Err(Fault(format!("{:?}: expected {expected:?}, got {answer:?}", request.trim_end())));
        }
        Ok(())
    }
}

/// What the server did with a key that had expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// It served the stale value: the bug.
    Served,
    /// It said that there is none: right.
    Gone,
}

/// Drives the code with the bug: sets a key that lives 20 ms and asks for it after 40 ms.
pub(crate) struct Probe {
    connection: Connection,
    count: u64,
}

impl Probe {
    pub(crate) fn new(port: u16) -> std::io::Result<Self> {
        Ok(Probe { connection: Connection::open(port)?, count: 0 })
    }

    pub(crate) fn expired(&mut self) -> Result<Expired, Fault> {
        self.count += 1;
        let key = format!("probe.{}", self.count % 100);
        let value = format!("one-time-code-{:06}", self.count);
        let answer = self.connection.ask(&format!("SET {key} 20 {value}\n"))?;
        if answer != "OK" {
            return Err(Fault(format!("SET {key}: expected \"OK\", got {answer:?}")));
        }
        std::thread::sleep(Duration::from_millis(40));
        match self.connection.ask(&format!("GET {key}\n"))? {
            "NONE" => Ok(Expired::Gone),
            answer if answer == format!("VALUE {value}") => Ok(Expired::Served),
            answer => Err(Fault(format!("GET {key}: got {answer:?}"))),
        }
    }
}
