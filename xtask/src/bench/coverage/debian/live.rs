//! Processes that use what is patched.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use liveline_demo::load::{ANSWER_LIMIT, Client, Fault};

use crate::bench::coverage::recipe::Clients;
use crate::shell::{Result, Tried};
use crate::trial::{Daemon, free_port};

/// What a package's product is used by.
pub(super) enum Live {
    /// A Python process that calls the library again and again, and ends where an answer is not right.
    Python(&'static str),
    /// dnsmasq itself.
    Dnsmasq,
}

/// In front of what is called: `lib` is the library.
const PYTHON: &str = "import sys, time\nfrom ctypes import *\nlib = CDLL(sys.argv[1])\n";

pub(super) const CJSON: &str = r#"
lib.cJSON_Parse.restype = c_void_p
lib.cJSON_PrintUnformatted.restype = c_char_p
lib.cJSONUtils_GetPointer.restype = c_void_p
lib.cJSON_GetNumberValue.restype = c_double
text = b'{"a":[1,2.5,"x"],"b":null}'
def turn():
    tree = lib.cJSON_Parse(text)
    assert lib.cJSON_PrintUnformatted(c_void_p(tree)) == text
    second = lib.cJSONUtils_GetPointer(c_void_p(tree), b"/a/1")
    assert lib.cJSON_GetNumberValue(c_void_p(second)) == 2.5
    lib.cJSON_Delete(c_void_p(tree))
"#;

pub(super) const GIFLIB: &str = r#"
lib.GifMakeMapObject.restype = c_void_p
lib.GifErrorString.restype = c_char_p
def turn():
    colors = lib.GifMakeMapObject(4, None)
    assert colors and lib.GifBitSize(200) == 8
    lib.GifFreeMapObject(c_void_p(colors))
    assert b"open" in lib.GifErrorString(101)
"#;

pub(super) const YAJL: &str = r#"
lib.yajl_alloc.restype = c_void_p
text = b'{"name": ["\\u00e9\\ud83d\\ude00", 1.5, true, null]}'
def turn():
    parser = c_void_p(lib.yajl_alloc(None, None, None))
    assert lib.yajl_parse(parser, text, c_size_t(len(text))) == 0
    assert lib.yajl_complete_parse(parser) == 0
    assert lib.yajl_parse(parser, b"]", c_size_t(1)) != 0
    lib.yajl_free(parser)
"#;

pub(super) const TOMMATH: &str = r#"
def turn():
    a, b = create_string_buffer(64), create_string_buffer(64)
    assert lib.mp_init(a) == 0 and lib.mp_init_size(b, 40) == 0
    lib.mp_set_u32(a, 3)
    assert lib.mp_mul_2d(a, 200, b) == 0 and lib.mp_mul(a, b, b) == 0
    assert lib.mp_div_2d(b, 198, b, None) == 0 and lib.mp_get_i32(b) == 36
    lib.mp_clear(a); lib.mp_clear(b)
"#;

impl Live {
    /// Starts the process, and connects who asks it.
    pub(super) fn start(&self, product: &Path) -> Result<(Daemon, Clients)> {
        match self {
            Live::Python(calls) => {
                let script = format!("{PYTHON}{calls}while True:\n    turn()\n    time.sleep(0.001)\n");
                let mut daemon = Daemon::start(Path::new("python3"), |command| {
                    command.arg("-c").arg(script).arg(product);
                })?;
                let maps = format!("/proc/{}/maps", daemon.pid());
                let name = product.display().to_string();
                daemon.await_ready(|| fs::read_to_string(&maps).is_ok_and(|maps| maps.contains(&name)))?;
                Ok((daemon, Clients::new()))
            }
            Live::Dnsmasq => {
                let port = free_port()?;
                let mut daemon = Daemon::start(product, |command| {
                    command.args([
                        "--keep-in-foreground",
                        "--conf-file=/dev/null",
                        "--pid-file=",
                        "--user=root",
                    ]);
                    command.args(["--no-resolv", "--no-hosts", "--address=/known.test/10.1.2.3"]);
                    command.args([
                        "--listen-address=127.0.0.1",
                        "--bind-interfaces",
                        "--port",
                        &port.to_string(),
                    ]);
                })?;
                daemon.await_ready(|| Asker::open(port).is_ok_and(|mut asker| asker.request().is_ok()))?;
                let asker =
                    || -> Result<Box<dyn Client>> { Ok(Box::new(Asker::open(port).tried("connect")?)) };
                Ok((daemon, vec![asker()?, asker()?]))
            }
        }
    }
}

/// Asks for the address of a host that dnsmasq was told of.
struct Asker {
    socket: UdpSocket,
    number: u16,
}

impl Asker {
    fn open(port: u16) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Asker { socket, number: 0 })
    }
}

impl Client for Asker {
    fn request(&mut self) -> std::result::Result<(), Fault> {
        self.number = self.number.wrapping_add(1);
        let question = question(self.number);
        self.socket.send(&question)?;
        let mut answer = [0; 512];
        let length = self.socket.recv(&mut answer)?;
        check(&question, &answer[..length])
    }
}

/// `hostN.known.test`, type A, class IN.
fn question(number: u16) -> Vec<u8> {
    let mut out = number.to_be_bytes().to_vec();
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [format!("host{number}").as_str(), "known", "test"] {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.extend([0, 0, 1, 0, 1]);
    out
}

/// The question again, answered without error by one record, whose address is 10.1.2.3.
fn check(question: &[u8], answer: &[u8]) -> std::result::Result<(), Fault> {
    let right = answer.len() > question.len()
        && answer[..2] == question[..2]
        && answer[2] & 0x80 != 0
        && answer[3] & 0x0f == 0
        && answer[6..8] == [0, 1]
        && answer[12..question.len()] == question[12..]
        && answer.ends_with(&[0, 4, 10, 1, 2, 3]);
    if right { Ok(()) } else { Err(Fault(format!("asked {question:?}, answered {answer:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::{check, question};

    #[test]
    fn only_the_right_answer_is_right() {
        let question = question(7);
        let mut answer = question.clone();
        answer[2] |= 0x80;
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 1, 2, 3]);
        assert!(check(&question, &answer).is_ok());
        for at in [0, 2, 3, 7, 14, answer.len() - 1] {
            let mut other = answer.clone();
            other[at] ^= if at == 2 { 0x80 } else { 1 };
            assert!(check(&question, &other).is_err(), "{at}");
        }
        assert!(check(&question, &[]).is_err());
    }
}
