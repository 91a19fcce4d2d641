//! Documents of which each event is known before they are parsed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use liveline_demo::load::{ANSWER_LIMIT, Client, Dice, Fault};

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

    pub(super) fn ask(&mut self, request: &[u8]) -> Result<String, Fault> {
        self.stream.write_all(request)?;
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

/// A document and what is seen in it.
#[derive(Default)]
struct Document {
    text: String,
    events: Vec<String>,
}

impl Document {
    fn element(&mut self, dice: &mut Dice, depth: u64) {
        let name = format!("e{}", dice.below(9));
        self.text += &format!("<{name}");
        let mut seen = format!("({name}");
        for i in 0..dice.below(4) {
            let value = dice.text(6);
            self.text += &format!(" a{i}=\"{value}&lt;&#233;\"");
            seen += &format!("|a{i}|{value}<é");
        }
        self.text += ">";
        self.events.push(seen);
        for _ in 0..1 + dice.below(5) {
            match dice.below(5) {
                0 | 1 if depth < 7 => self.element(dice, depth + 1),
                2 => {
                    let word = dice.text(30);
                    self.text += &format!("<!--{word}-->");
                    self.events.push(format!("#{word}"));
                }
                // Text, an entity of the document, a character by its number, and a section of plain characters.
                _ => {
                    let (a, b) = (dice.text(9), dice.text(40));
                    self.text += &format!("{a}&own;ü&amp;<![CDATA[<{b}>]]><x/>");
                    self.events.push(format!("'{a}its textü&<{b}>"));
                    self.events.extend(["(x".into(), ")x".into()]);
                }
            }
        }
        self.text += &format!("</{name}>");
        self.events.push(format!("){name}"));
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
        let mut document = Document {
            text: "<?xml version=\"1.0\"?><!DOCTYPE e0 [<!ENTITY own \"its text\">]>".into(),
            events: Vec::new(),
        };
        document.element(&mut self.dice, 0);
        let broken = self.dice.below(10) == 0;
        if broken {
            document.text += "</wrong>";
        }
        let mut request = format!("parse {}\n", document.text.len()).into_bytes();
        request.extend_from_slice(document.text.as_bytes());
        let answer = self.connection.ask(&request)?;
        let right = if broken {
            answer.starts_with("error not well-formed")
        } else {
            answer == document.events.join("\n")
        };
        if right {
            return Ok(());
        }
        let first = answer.lines().zip(&document.events).find(|(a, b)| a != b);
        Err(Fault(format!("a document of {} bytes (broken: {broken}): {first:?}", document.text.len())))
    }
}
