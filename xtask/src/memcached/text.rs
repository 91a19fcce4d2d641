//! The text protocol: a client that knows each answer before it comes, and the probe of the incr fix.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use liveline_demo::load::{ANSWER_LIMIT, Client, Dice, Fault};

/// A connection on which each answer is known.
pub(super) struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    answer: Vec<u8>,
}

impl Connection {
    pub(super) fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Connection { stream, reader, answer: Vec::new() })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads `length` bytes.
    pub(super) fn receive(&mut self, length: usize) -> Result<&[u8], Fault> {
        self.answer.resize(length, 0);
        self.reader.read_exact(&mut self.answer)?;
        Ok(&self.answer)
    }

    /// Sends `request` and checks that exactly `expected` comes back.
    fn exchange(&mut self, request: &str, expected: &str) -> Result<(), Fault> {
        self.send(request.as_bytes())?;
        self.answer.clear();
        while self.answer.len() < expected.len() {
            let mut some = [0; 4096];
            let room = (expected.len() - self.answer.len()).min(some.len());
            let got = self.reader.read(&mut some[..room])?;
            if got == 0 {
                return Err(Fault("the server closed the connection".into()));
            }
            self.answer.extend_from_slice(&some[..got]);
            // A wrong answer may be shorter than the right one: do not wait for the rest of it.
            if !expected.as_bytes().starts_with(&self.answer) {
                break;
            }
        }
        if self.answer == expected.as_bytes() && self.reader.buffer().is_empty() {
            return Ok(());
        }
        let got = String::from_utf8_lossy(&self.answer);
        Err(Fault(format!("{:?}: expected {:?}, got {:?}", short(request), short(expected), short(&got))))
    }

    /// Sends `request` and gives the one line that comes back.
    fn line(&mut self, request: &str) -> Result<String, Fault> {
        self.send(request.as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.receive(1)?[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_string())
    }
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

/// One connection of the load, with keys of its own.
pub(super) struct Checker {
    connection: Connection,
    name: usize,
    dice: Dice,
    items: BTreeMap<u64, (u64, String)>,
    counter: Option<u64>,
}

impl Checker {
    pub(super) fn open(name: usize, port: u16) -> std::io::Result<Self> {
        Ok(Checker {
            connection: Connection::open(port)?,
            name,
            dice: Dice::new(name as u64 + 1),
            items: BTreeMap::new(),
            counter: None,
        })
    }

    fn key(&self, key: u64) -> String {
        format!("c{}.k{key}", self.name)
    }

    /// A value that stays clear of the slab class in which the probe works (items of 241 to 304 bytes).
    fn value(&mut self) -> String {
        let length = if self.dice.below(2) == 0 { self.dice.below(120) } else { 400 + self.dice.below(1600) };
        self.dice.text(length as usize)
    }

    fn found(&self, key: u64) -> String {
        self.items.get(&key).map_or(String::new(), |(flags, value)| {
            format!("VALUE {} {flags} {}\r\n{value}\r\n", self.key(key), value.len())
        })
    }

    fn next(&mut self) -> (String, String) {
        let k = self.dice.below(40);
        let key = self.key(k);
        match self.dice.below(12) {
            0..4 => (format!("get {key}\r\n"), self.found(k) + "END\r\n"),
            4 => {
                let keys: Vec<_> = (0..6).map(|_| self.dice.below(40)).collect();
                let names: Vec<_> = keys.iter().map(|k| self.key(*k)).collect();
                let answers: String = keys.iter().map(|k| self.found(*k)).collect();
                (format!("get {}\r\n", names.join(" ")), answers + "END\r\n")
            }
            5..8 => {
                let (flags, value) = (self.dice.below(1 << 32), self.value());
                let request = format!("set {key} {flags} 0 {}\r\n{value}\r\n", value.len());
                self.items.insert(k, (flags, value));
                (request, "STORED\r\n".into())
            }
            8 => {
                let answer = if self.items.remove(&k).is_some() { "DELETED\r\n" } else { "NOT_FOUND\r\n" };
                (format!("delete {key}\r\n"), answer.into())
            }
            9 => {
                let item = self.items.get(&k);
                let answer =
                    item.map_or("EN\r\n".into(), |(_, value)| format!("VA {}\r\n{value}\r\n", value.len()));
                (format!("mg {key} v\r\n"), answer)
            }
            10 => match self.counter {
                None => {
                    // Above 2^63, where the changed line of the program is reached.
                    self.counter = Some(1 << 63);
                    let n = (1u64 << 63).to_string();
                    (format!("set c{}.n 0 0 {}\r\n{n}\r\n", self.name, n.len()), "STORED\r\n".into())
                }
                Some(_) => {
                    self.counter = None;
                    (format!("delete c{}.n\r\n", self.name), "DELETED\r\n".into())
                }
            },
            _ => {
                let n = self.dice.below(1000);
                let request = format!("incr c{}.small {n}\r\n", self.name);
                (request, "NOT_FOUND\r\n".into())
            }
        }
    }
}

impl Client for Checker {
    fn request(&mut self) -> Result<(), Fault> {
        let (request, expected) = self.next();
        self.connection.exchange(&request, &expected)
    }
}

/// Asks for what the fix of incr changes.
///
/// Its items have a slab class to themselves. It fills some with minus signs, deletes them, and stores 2^64-1 in
/// the chunk that was freed last: the minus signs then lie behind the number, where only the old code looks.
pub(super) struct IncrProbe {
    connection: Connection,
    key: String,
}

impl IncrProbe {
    pub(super) fn open(port: u16) -> std::io::Result<Self> {
        let key = format!("probe.{}", "k".repeat(194));
        Ok(IncrProbe { connection: Connection::open(port)?, key })
    }

    /// Puts the items in place.
    pub(super) fn prepare(&mut self) -> Result<(), Fault> {
        let filler = "-".repeat(40);
        let name = |i: usize| format!("{}{i:02}", &self.key[..198]);
        for i in 0..20 {
            let request = format!("set {} 0 0 {}\r\n{filler}\r\n", name(i), filler.len());
            self.connection.exchange(&request, "STORED\r\n")?;
        }
        for i in 0..20 {
            let request = format!("delete {}\r\n", name(i));
            self.connection.exchange(&request, "DELETED\r\n")?;
        }
        let request = format!("set {} 0 0 20\r\n{}\r\n", self.key, u64::MAX);
        self.connection.exchange(&request, "STORED\r\n")
    }

    /// Whether incr takes the number: the new code does.
    pub(super) fn fixed(&mut self) -> Result<bool, Fault> {
        let answer = self.connection.line(&format!("incr {} 0\r\n", self.key))?;
        match answer.as_str() {
            "18446744073709551615" => Ok(true),
            "CLIENT_ERROR cannot increment or decrement non-numeric value" => Ok(false),
            other => Err(Fault(format!("incr of 2^64-1: got {other:?}"))),
        }
    }
}
