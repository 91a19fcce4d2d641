//! Documents of which each event is known before they are parsed.

use liveline_demo::load::{Dice, Fault};

use crate::python::Connection;

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

/// One request of a client.
pub(super) fn request(connection: &mut Connection, dice: &mut Dice) -> Result<(), Fault> {
    let mut document = Document {
        text: "<?xml version=\"1.0\"?><!DOCTYPE e0 [<!ENTITY own \"its text\">]>".into(),
        events: Vec::new(),
    };
    document.element(dice, 0);
    let broken = dice.below(10) == 0;
    if broken {
        document.text += "</wrong>";
    }
    let answer = connection.ask(&format!("parse {}", document.text.len()), document.text.as_bytes())?;
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
