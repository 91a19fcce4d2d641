//! Clients of the proxy, which know what the pages hold, and neighbours, which ask what it keeps.

use liveline_demo::load::{Client, Dice, Fault};

use super::icp::{Asker, Opinion};
use super::origin::Page;
use crate::nginx::Connection;

/// Requests on a connection before it is closed and another one opened.
const REQUESTS: u32 = 60;

/// The ports of the proxy and of the server behind it.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) icp: u16,
    pub(super) origin: u16,
}

impl Ports {
    fn address(self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.origin)
    }
}

/// A browser.
pub(super) struct Browser {
    ports: Ports,
    connection: Connection,
    left: u32,
    dice: Dice,
}

impl Browser {
    pub(super) fn open(name: usize, ports: Ports) -> std::io::Result<Self> {
        let connection = Connection::plain(ports.http)?;
        Ok(Browser { ports, connection, left: REQUESTS, dice: Dice::new(name as u64 + 1) })
    }

    fn check(&mut self, method: &str, address: &str, status: u16, body: Option<&str>) -> Result<(), Fault> {
        let answer = self.connection.ask(method, address, "")?;
        if answer.status == status && body.is_none_or(|body| answer.body == body.as_bytes()) {
            return Ok(());
        }
        let length = answer.body.len();
        Err(Fault(format!("{method} {address}: status {}, {length} bytes, not {status}", answer.status)))
    }
}

impl Client for Browser {
    fn request(&mut self) -> Result<(), Fault> {
        if self.left == 0 {
            self.connection = Connection::plain(self.ports.http)?;
            self.left = REQUESTS;
        }
        self.left -= 1;
        match self.dice.below(10) {
            0 => self.check("GET", &self.ports.address("/nowhere"), 404, Some("")),
            // Nobody listens there: the proxy itself answers.
            1 => self.check("GET", "http://127.0.0.1:1/", 503, None),
            2 => {
                let page = Page::known(&mut self.dice);
                self.check("HEAD", &self.ports.address(&page.path()), 200, Some(""))
            }
            n => {
                let page = if n < 7 { Page::known(&mut self.dice) } else { Page::passing(&mut self.dice) };
                self.check("GET", &self.ports.address(&page.path()), 200, Some(&page.content()))
            }
        }
    }
}

/// Another proxy, which asks this one before it goes to the server.
pub(super) struct Neighbour {
    ports: Ports,
    asker: Asker,
    dice: Dice,
}

impl Neighbour {
    pub(super) fn open(name: usize, ports: Ports) -> Result<Self, Fault> {
        let mut browser = Browser::open(name, ports)?;
        // A page that everyone has asked for once is kept.
        for number in 0..64 {
            let page = Page { kept: true, number, length: 10 + number as usize * 400 };
            browser.check("GET", &ports.address(&page.path()), 200, Some(&page.content()))?;
        }
        Ok(Neighbour { ports, asker: Asker::open(ports.icp)?, dice: Dice::new(name as u64 + 1) })
    }
}

impl Client for Neighbour {
    fn request(&mut self) -> Result<(), Fault> {
        let kept = self.dice.below(2) == 0;
        let page = if kept { Page::known(&mut self.dice) } else { Page::passing(&mut self.dice) };
        let address = self.ports.address(&page.path());
        let wanted = if kept { Opinion::Hit } else { Opinion::Miss };
        let (opinion, about) = self.asker.ask(&address, "")?;
        if (opinion, &about) == (wanted, &address) {
            return Ok(());
        }
        Err(Fault(format!("ICP for {address}: {opinion:?} of {about}, not {wanted:?}")))
    }
}

/// Whether a query with garbage behind its address is an error, which only the new code says.
pub(super) fn garbage_is_refused(ports: Ports) -> Result<bool, Fault> {
    let address = ports.address("/passing/1/1");
    match Asker::open(ports.icp)?.ask(&address, "garbage")? {
        (Opinion::Miss, about) if about == address => Ok(false),
        (Opinion::Error, about) if about.is_empty() => Ok(true),
        (opinion, about) => Err(Fault(format!("ICP with garbage: {opinion:?} of {about:?}"))),
    }
}
