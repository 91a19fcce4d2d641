//! A client that knows each answer before it comes.

use liveline_demo::load::{Client, Dice, Fault};

use crate::http::{Answer, Connection};

/// Uploads a file into the server's folder, under a name that may be a path.
pub(super) fn upload(
    connection: &mut Connection,
    token: &str,
    name: &str,
    content: &str,
) -> Result<Answer, Fault> {
    let part = |fields: &str, content: &str| {
        format!("--edge\r\nContent-Disposition: form-data; {fields}\r\n\r\n{content}\r\n")
    };
    let file = part(&format!("name=\"files\"; filename=\"{name}\""), content);
    let body = format!("{}{file}--edge--\r\n", part("name=\"csrf\"", token));
    connection.ask("POST /", "Content-Type: multipart/form-data; boundary=edge\r\n", body.as_bytes())
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
                let done = upload(&mut self.connection, &self.token, &own, &text)?;
                if done.status != 302 {
                    return Err(Fault(format!("an upload: {}", done.status)));
                }
                self.expect(&format!("GET /{own}"), "", 200, text.as_bytes())
            }
        }
    }
}
