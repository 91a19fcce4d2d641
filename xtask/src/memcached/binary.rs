//! The binary protocol with SASL: a client that logs in again and again, and the probe of Debian's fix.

use std::collections::BTreeMap;

use liveline_demo::load::{Client, Dice, Fault};

use super::text::Connection;

/// Lines of the password file: a user of the load, and one with two passwords. SASL adds the host to a name
/// without a realm, so these have one.
pub(super) const PASSWORD_FILE: &str =
    "load@trial:load-secret\ntwice@trial:first\ntwice@trial:second\nlast@trial:z\n";

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const DELETE: u8 = 0x04;
const SASL_AUTH: u8 = 0x21;

const OK: u16 = 0;
const NOT_FOUND: u16 = 1;
const AUTH_ERROR: u16 = 0x20;

/// Requests on a connection before the next login, on a new one.
const REQUESTS: u32 = 100;

struct Answer {
    status: u16,
    extras: Vec<u8>,
    value: Vec<u8>,
}

fn ask(
    connection: &mut Connection,
    code: u8,
    extras: &[u8],
    key: &str,
    value: &[u8],
) -> Result<Answer, Fault> {
    let body = extras.len() + key.len() + value.len();
    let mut request = vec![0x80, code];
    request.extend((key.len() as u16).to_be_bytes());
    request.extend([extras.len() as u8, 0, 0, 0]);
    request.extend((body as u32).to_be_bytes());
    let opaque = (body as u32 ^ 0x5a5a_0000 ^ u32::from(code)).to_be_bytes();
    request.extend(opaque);
    request.extend([0; 8]);
    request.extend_from_slice(extras);
    request.extend_from_slice(key.as_bytes());
    request.extend_from_slice(value);
    connection.send(&request)?;
    let head: [u8; 24] =
        connection.receive(24)?.try_into().map_err(|_| Fault("a header of the wrong length".into()))?;
    if head[0] != 0x81 || head[1] != code || head[12..16] != opaque {
        return Err(Fault(format!("command {code:#x}: the answer's header is wrong: {head:02x?}")));
    }
    let (extras, key) = (usize::from(head[4]), usize::from(u16::from_be_bytes([head[2], head[3]])));
    let body = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
    let bytes = connection.receive(body)?;
    if extras + key > body {
        return Err(Fault(format!("command {code:#x}: the answer's lengths are wrong: {head:02x?}")));
    }
    Ok(Answer {
        status: u16::from_be_bytes([head[6], head[7]]),
        extras: bytes[..extras].to_vec(),
        value: bytes[extras + key..].to_vec(),
    })
}

/// Logs in; `false` if the server refuses.
fn log_in(connection: &mut Connection, user: &str, password: &str) -> Result<bool, Fault> {
    let secret = format!("\0{user}@trial\0{password}");
    match ask(connection, SASL_AUTH, &[], "PLAIN", secret.as_bytes())?.status {
        OK => Ok(true),
        AUTH_ERROR => Ok(false),
        other => Err(Fault(format!("logging in as {user}: status {other:#x}"))),
    }
}

/// One connection of the load, with keys of its own.
pub(super) struct Checker {
    port: u16,
    connection: Connection,
    left: u32,
    name: usize,
    dice: Dice,
    items: BTreeMap<u64, (u32, String)>,
}

impl Checker {
    pub(super) fn open(name: usize, port: u16) -> std::io::Result<Self> {
        let connection = Connection::open(port)?;
        Ok(Checker {
            port,
            connection,
            left: 0,
            name,
            dice: Dice::new(name as u64 + 1),
            items: BTreeMap::new(),
        })
    }

    fn expect(&self, what: &str, status: u16, right: u16) -> Result<(), Fault> {
        if status == right {
            return Ok(());
        }
        Err(Fault(format!("{what}: expected status {right:#x}, got {status:#x}")))
    }
}

impl Client for Checker {
    fn request(&mut self) -> Result<(), Fault> {
        if self.left == 0 {
            self.connection = Connection::open(self.port)?;
            self.left = REQUESTS;
            if log_in(&mut self.connection, "load", "wrong")? {
                return Err(Fault("a wrong password was taken".into()));
            }
            if !log_in(&mut self.connection, "load", "load-secret")? {
                return Err(Fault("the right password was refused".into()));
            }
            return Ok(());
        }
        self.left -= 1;
        let k = self.dice.below(40);
        let key = format!("c{}.k{k}", self.name);
        match self.dice.below(8) {
            0..5 => {
                let answer = ask(&mut self.connection, GET, &[], &key, &[])?;
                match self.items.get(&k) {
                    None => self.expect(&key, answer.status, NOT_FOUND),
                    Some((flags, value)) => {
                        self.expect(&key, answer.status, OK)?;
                        if answer.extras == flags.to_be_bytes() && answer.value == value.as_bytes() {
                            return Ok(());
                        }
                        Err(Fault(format!("{key}: the wrong value or flags came back")))
                    }
                }
            }
            5..7 => {
                let flags = self.dice.below(1 << 32) as u32;
                let length = self.dice.below(1500) as usize;
                let value = self.dice.text(length);
                let mut extras = flags.to_be_bytes().to_vec();
                extras.extend([0; 4]);
                let answer = ask(&mut self.connection, SET, &extras, &key, value.as_bytes())?;
                self.items.insert(k, (flags, value));
                self.expect(&key, answer.status, OK)
            }
            _ => {
                let right = if self.items.remove(&k).is_some() { OK } else { NOT_FOUND };
                let answer = ask(&mut self.connection, DELETE, &[], &key, &[])?;
                self.expect(&key, answer.status, right)
            }
        }
    }
}

/// Whether the second of two passwords is taken: by Debian's fix it is. The first must be, always.
///
/// A connection each: after one success SASL refuses any further login on it, whatever the code.
pub(super) fn fixed(port: u16) -> Result<bool, Fault> {
    if !log_in(&mut Connection::open(port)?, "twice", "first")? {
        return Err(Fault("the first password of a user was refused".into()));
    }
    log_in(&mut Connection::open(port)?, "twice", "second")
}
