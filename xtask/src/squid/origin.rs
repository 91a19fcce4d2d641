//! The web server behind the proxy: pages whose content their path tells.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use liveline_demo::load::Dice;

use crate::shell::{Quiet, Result, Tried};

/// A page of the server: whether it may be kept, which one it is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) kept: bool,
    pub(super) number: u64,
    pub(super) length: usize,
}

impl Page {
    /// One of those that everyone asks for.
    pub(super) fn known(dice: &mut Dice) -> Self {
        let number = dice.below(64);
        Page { kept: true, number, length: 10 + number as usize * 400 }
    }

    /// One that nobody may keep.
    pub(super) fn passing(dice: &mut Dice) -> Self {
        Page { kept: false, number: dice.below(1 << 30), length: dice.below(40_000) as usize }
    }

    pub(super) fn content(self) -> String {
        Dice::new(self.number).text(self.length)
    }

    pub(super) fn path(self) -> String {
        format!("/{}/{}/{}", if self.kept { "kept" } else { "passing" }, self.number, self.length)
    }

    fn parse(path: &str) -> Option<Page> {
        let mut parts = path.split('/').skip(1);
        let kept = parts.next()? == "kept";
        Some(Page { kept, number: parts.next()?.parse().ok()?, length: parts.next()?.parse().ok()? })
    }
}

/// Starts the server, which ends with us, and gives its port.
pub(super) fn start() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).tried("listen")?;
    let port = listener.local_addr().tried("listen")?.port();
    // Of a page without a date nobody can tell how long it is good.
    let date = Quiet::new(Path::new("/"), "date -u")
        .argument("+%a, %d %b %Y %H:%M:%S GMT")
        .output()?
        .trim()
        .to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let date = date.clone();
            // The proxy closes connections as it likes.
            std::thread::spawn(move || serve(&stream, &date));
        }
    });
    Ok(port)
}

fn serve(stream: &TcpStream, date: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let page = Page::parse(path);
        let status = if page.is_some() { "200 OK" } else { "404 Not Found" };
        let keep = if page.is_some_and(|page| page.kept) { "max-age=3600" } else { "no-store" };
        let body = page.map(Page::content).unwrap_or_default();
        let length = body.len();
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {length}\r\nCache-Control: {keep}\r\n\r\n"
        );
        if method != "HEAD" {
            answer.push_str(&body);
        }
        (&mut &*stream).write_all(answer.as_bytes())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_its_page() {
        let page = Page { kept: true, number: 7, length: 30 };
        assert_eq!(Page::parse(&page.path()), Some(page));
        assert_eq!(page.content().len(), 30);
        assert_eq!(Page::parse("/nowhere"), None);
    }
}
