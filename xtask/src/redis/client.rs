//! Redis's protocol, and a client that knows each answer before it comes.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use liveline_demo::load::{ANSWER_LIMIT, Client, Dice, Fault};

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A simple string.
    Word(String),
    /// An error, in its own words.
    Refused(String),
    Number(i64),
    Bytes(Vec<u8>),
    Nothing,
    List(Vec<Answer>),
}

/// A connection to a server.
pub(crate) struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Connection { stream, reader })
    }

    /// Sends a command and gives the answer.
    pub(super) fn ask(&mut self, words: &[&[u8]]) -> Result<Answer, Fault> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).into_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&request)?;
        self.answer(0)
    }

    /// Sends a command, in words divided by spaces.
    pub(super) fn say(&mut self, line: &str) -> Result<Answer, Fault> {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        self.ask(&words)
    }

    /// Sends a command and checks its answer.
    pub(super) fn expect(&mut self, line: &str, expected: &Answer) -> Result<(), Fault> {
        let got = self.say(line)?;
        same(line, expected, &got)
    }

    fn answer(&mut self, depth: usize) -> Result<Answer, Fault> {
        let mut line = Vec::new();
        if self.reader.read_until(b'\n', &mut line)? == 0 {
            return Err(Fault("the server closed the connection".into()));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.strip_suffix("\r\n").ok_or_else(|| Fault(format!("half a line: {text:?}")))?;
        let wrong = || Fault(format!("not an answer: {text:?}"));
        let rest = text.get(1..).ok_or_else(wrong)?;
        let number = || rest.parse::<i64>().map_err(|_| wrong());
        match text.as_bytes()[0] {
            b'+' => Ok(Answer::Word(rest.into())),
            b'-' => Ok(Answer::Refused(rest.into())),
            b':' => Ok(Answer::Number(number()?)),
            b'$' => match usize::try_from(number()?) {
                Err(_) => Ok(Answer::Nothing),
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.reader.read_exact(&mut bytes)?;
                    if bytes.split_off(length) != b"\r\n" {
                        return Err(Fault("a string has no end".into()));
                    }
                    Ok(Answer::Bytes(bytes))
                }
            },
            b'*' if depth < 4 => match usize::try_from(number()?) {
                Err(_) => Ok(Answer::Nothing),
                Ok(count) => {
                    (0..count).map(|_| self.answer(depth + 1)).collect::<Result<_, _>>().map(Answer::List)
                }
            },
            _ => Err(wrong()),
        }
    }
}

fn same(request: &str, expected: &Answer, got: &Answer) -> Result<(), Fault> {
    if got == expected {
        return Ok(());
    }
    let short = |text: String| text.chars().take(160).collect::<String>();
    Err(Fault(format!(
        "{}: expected {}, got {}",
        short(request.into()),
        short(format!("{expected:?}")),
        short(format!("{got:?}"))
    )))
}

fn ok() -> Answer {
    Answer::Word("OK".into())
}

fn bytes(text: &str) -> Answer {
    Answer::Bytes(text.as_bytes().to_vec())
}

/// One connection of the load, with keys of its own and a copy of what the server must hold under them.
pub(crate) struct Checker {
    connection: Connection,
    name: usize,
    dice: Dice,
    strings: BTreeMap<u64, String>,
    counter: i64,
    list: VecDeque<String>,
    hash: BTreeMap<String, String>,
    scores: BTreeMap<(u64, String), ()>,
    stream: i64,
}

impl Checker {
    pub(crate) fn open(name: usize, port: u16) -> std::io::Result<Self> {
        Ok(Checker {
            connection: Connection::open(port)?,
            name,
            dice: Dice::new(name as u64 + 1),
            strings: BTreeMap::new(),
            counter: 0,
            list: VecDeque::new(),
            hash: BTreeMap::new(),
            scores: BTreeMap::new(),
            stream: 0,
        })
    }

    fn text(&mut self) -> String {
        // Around 44 and 64 bytes redis changes how it keeps strings.
        let length = [3, 44, 45, 64, 65, 500, 3000][self.dice.below(7) as usize];
        self.dice.text(length)
    }

    fn strings(&mut self) -> Result<(), Fault> {
        let number = self.dice.below(60);
        let key = format!("c{}:s{number}", self.name);
        match self.dice.below(5) {
            0 | 1 => {
                let held = self.strings.get(&number).map_or(Answer::Nothing, |text| bytes(text));
                self.connection.expect(&format!("GET {key}"), &held)
            }
            2 => {
                let text = self.text();
                self.connection.expect(&format!("SET {key} {text}"), &ok())?;
                self.strings.insert(number, text);
                Ok(())
            }
            3 => {
                let more = self.dice.text(5);
                let held = self.strings.entry(number).or_default();
                held.push_str(&more);
                let length = Answer::Number(held.len() as i64);
                self.connection.expect(&format!("APPEND {key} {more}"), &length)
            }
            _ => {
                let held = i64::from(self.strings.remove(&number).is_some());
                self.connection.expect(&format!("DEL {key}"), &Answer::Number(held))
            }
        }
    }

    fn lists(&mut self) -> Result<(), Fault> {
        let key = format!("c{}:l", self.name);
        if self.list.len() < 40 {
            let text = self.text();
            self.list.push_back(text.clone());
            let length = Answer::Number(self.list.len() as i64);
            return self.connection.expect(&format!("RPUSH {key} {text}"), &length);
        }
        let all = self.list.iter().map(|text| bytes(text)).collect();
        self.connection.expect(&format!("LRANGE {key} 0 -1"), &Answer::List(all))?;
        for _ in 0..self.dice.below(40) {
            let first = self.list.pop_front().unwrap_or_default();
            self.connection.expect(&format!("LPOP {key}"), &bytes(&first))?;
        }
        Ok(())
    }

    fn hashes(&mut self) -> Result<(), Fault> {
        let key = format!("c{}:h", self.name);
        let field = format!("f{}", self.dice.below(30));
        let text = self.dice.text(20);
        let new = i64::from(self.hash.insert(field.clone(), text.clone()).is_none());
        self.connection.expect(&format!("HSET {key} {field} {text}"), &Answer::Number(new))?;
        self.connection.expect(&format!("HGET {key} {field}"), &bytes(&text))
    }

    fn sorted(&mut self) -> Result<(), Fault> {
        let key = format!("c{}:z", self.name);
        let (score, member) = (self.dice.below(1000), format!("m{}", self.dice.below(25)));
        let held = self.scores.keys().find(|(_, name)| *name == member).cloned();
        let new = i64::from(held.is_none());
        if let Some(held) = held {
            self.scores.remove(&held);
        }
        self.scores.insert((score, member.clone()), ());
        self.connection.expect(&format!("ZADD {key} {score} {member}"), &Answer::Number(new))?;
        let all = self.scores.keys().map(|(_, name)| bytes(name)).collect();
        self.connection.expect(&format!("ZRANGE {key} 0 -1"), &Answer::List(all))
    }

    fn streams(&mut self) -> Result<(), Fault> {
        let key = format!("c{}:x", self.name);
        self.stream += 1;
        let id = format!("{}-1", self.stream);
        self.connection.expect(&format!("XADD {key} MAXLEN 50 {id} field value"), &bytes(&id))?;
        self.connection.expect(&format!("XLEN {key}"), &Answer::Number(self.stream.min(50)))
    }

    fn script(&mut self) -> Result<(), Fault> {
        self.counter += 7;
        let counter = Answer::Number(self.counter);
        let (script, key) = ("return redis.call('INCRBY', KEYS[1], ARGV[1])", format!("c{}:n", self.name));
        let got = self.connection.ask(&[b"EVAL", script.as_bytes(), b"1", key.as_bytes(), b"7"])?;
        same("EVAL", &counter, &got)
    }

    /// A dump, and what it is restored to: through the code that the update changes.
    fn restore(&mut self) -> Result<(), Fault> {
        let kind = ["l", "h", "z", "x"][self.dice.below(4) as usize];
        let (from, to) = (format!("c{}:{kind}", self.name), format!("c{}:copy", self.name));
        let dump = match self.connection.say(&format!("DUMP {from}"))? {
            Answer::Bytes(dump) => dump,
            Answer::Nothing => return Ok(()),
            other => return Err(Fault(format!("DUMP {from}: {other:?}"))),
        };
        let got = self.connection.ask(&[b"RESTORE", to.as_bytes(), b"0", &dump, b"REPLACE"])?;
        same("RESTORE", &ok(), &got)?;
        let again = self.connection.say(&format!("DUMP {to}"))?;
        match (kind, again) {
            // A hash may come out in another order.
            ("h", _) => {
                let length = Answer::Number(self.hash.len() as i64);
                self.connection.expect(&format!("HLEN {to}"), &length)?;
                let Some((field, text)) = self.hash.iter().next() else { return Ok(()) };
                self.connection.expect(&format!("HGET {to} {field}"), &bytes(text))
            }
            (_, again) => same("DUMP of what was restored", &Answer::Bytes(dump), &again),
        }
    }
}

impl Client for Checker {
    fn request(&mut self) -> Result<(), Fault> {
        match self.dice.below(16) {
            0..8 => self.strings(),
            8 | 9 => self.lists(),
            10 | 11 => self.hashes(),
            12 => self.sorted(),
            13 => self.streams(),
            14 => self.script(),
            _ => self.restore(),
        }
    }
}

/// Writes to the server and reads the same from its replica.
pub(super) struct Pair {
    server: Connection,
    replica: Connection,
    number: u64,
}

impl Pair {
    pub(super) fn open(server: u16, replica: u16) -> std::io::Result<Self> {
        Ok(Pair { server: Connection::open(server)?, replica: Connection::open(replica)?, number: 0 })
    }
}

impl Client for Pair {
    fn request(&mut self) -> Result<(), Fault> {
        self.number += 1;
        self.server.expect(&format!("SET pair {}", self.number), &ok())?;
        self.server.expect("WAIT 1 9000", &Answer::Number(1))?;
        self.replica.expect("GET pair", &bytes(&self.number.to_string()))
    }
}
