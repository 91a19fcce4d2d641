//! The Internet Cache Protocol (RFC 2186): asking a cache, by UDP, whether it has a page.

use std::net::{Ipv4Addr, UdpSocket};

use liveline_demo::load::{ANSWER_LIMIT, Fault};

const QUERY: u8 = 1;
/// Squid itself ends at the second query of version 3.
const VERSION: u8 = 2;
/// Squid takes what comes from its own address for its own.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Version, length, number, options, sender.
const HEADER: usize = 20;

/// What the cache says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    /// It has the page.
    Hit,
    /// It has not.
    Miss,
    /// It does not understand.
    Error,
}

/// One that asks.
pub(super) struct Asker {
    socket: UdpSocket,
    number: u32,
}

impl Asker {
    pub(super) fn open(port: u16) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((NEIGHBOUR, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Asker { socket, number: 0 })
    }

    /// Asks for `address`, with `garbage` behind it, and gives the answer with the address it is about.
    pub(super) fn ask(&mut self, address: &str, garbage: &str) -> Result<(Opinion, String), Fault> {
        self.number += 1;
        let mut query = vec![QUERY, VERSION, 0, 0];
        query.extend(self.number.to_be_bytes());
        query.resize(HEADER + 4, 0);
        query.extend(address.bytes());
        query.push(0);
        query.extend(garbage.bytes());
        let length = u16::try_from(query.len()).map_err(|_| Fault("too long a query".into()))?;
        query[2..4].copy_from_slice(&length.to_be_bytes());
        self.socket.send(&query)?;
        let mut answer = vec![0; 2048];
        let length = self.socket.recv(&mut answer)?;
        answer.truncate(length);
        let strange = || Fault(format!("a strange answer by ICP: {answer:?}"));
        if length <= HEADER || answer[4..8] != self.number.to_be_bytes() {
            return Err(strange());
        }
        let opinion = match answer[0] {
            2 => Opinion::Hit,
            3 => Opinion::Miss,
            4 => Opinion::Error,
            _ => return Err(strange()),
        };
        let about = answer[HEADER..].strip_suffix(&[0]).ok_or_else(strange)?;
        Ok((opinion, String::from_utf8_lossy(about).into_owned()))
    }
}
