//! nginx and Python with the old libraries, and how the new ones show.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use liveline_demo::Words;
use liveline_demo::load::Fault;
use liveline_demo::tool::Selection;

use crate::nginx::{Clients, Nginx};
use crate::shell::{Failure, Quiet, Result, Tried};
use crate::trial::{Service, Started};

/// How often each question is put to nginx, which has several workers.
const ASKED: usize = 8;

/// A client that leaves out the extended master secret.
const WITHOUT_SECRET: &str =
    "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nOptions = -ExtendedMasterSecret\n";

/// Which library is updated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Ssl,
    Crypto,
}

impl Which {
    /// The name of its patch.
    pub(super) fn patch(self) -> &'static str {
        match self {
            Which::Ssl => "libssl-3.0.20",
            Which::Crypto => "libcrypto-3.0.20",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Which::Ssl => "libssl.so.3",
            Which::Crypto => "libcrypto.so.3",
        }
    }
}

struct Users {
    which: Which,
    library: PathBuf,
    nginx: Nginx,
    python: Python,
    folder: PathBuf,
}

/// Starts nginx and Python with the given libraries, and connects the load to nginx.
pub(super) fn start(
    which: Which,
    program: &Path,
    libraries: [&Path; 2],
    folder: &Path,
    words: Words,
) -> Result<Started> {
    let own = folder.join("libraries");
    fs::create_dir_all(&own).tried("make a folder for the libraries")?;
    for library in libraries {
        let name = library.file_name().ok_or_else(|| Failure("a library without a name".into()))?;
        fs::copy(library, own.join(name)).tried("copy a library")?;
    }
    fs::write(folder.join("without-secret.cnf"), WITHOUT_SECRET).tried("write the client's settings")?;
    let (nginx, clients) = Nginx::start(program, Some(&own), folder, Clients { plain: 2, tls: 18 }, words)?;
    let mut python = Python::start(folder, &own)?;
    let version = python.ask("version").tried("ask Python for the version of its library")?;
    words.line(&format!("the second user is Python, pid {}, with {version}", python.child.id()));
    let service =
        Users { which, library: own.join(which.file()), nginx, python, folder: folder.to_path_buf() };
    // A session to come back to.
    service.session()?;
    Ok((Box::new(service), clients))
}

impl Users {
    /// Leaves a TLS 1.2 session with the extended master secret in a file.
    fn session(&self) -> Result<()> {
        let line =
            format!("openssl s_client -tls1_2 -connect 127.0.0.1:{} -sess_out session", self.nginx.secure);
        Quiet::new(&self.folder, &line).run()
    }

    /// The alert with which nginx sends away a client that resumes the session without its secret.
    fn alert(&self) -> std::result::Result<u32, Fault> {
        let connect = format!("127.0.0.1:{}", self.nginx.secure);
        let output = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-sess_in", "session", "-connect", &connect])
            .env("OPENSSL_CONF", self.folder.join("without-secret.cnf"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let (_, rest) = said
            .split_once("SSL alert number ")
            .ok_or_else(|| Fault(format!("the resumed session was not sent away: {said}")))?;
        rest.split_whitespace()
            .next()
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Fault(format!("no number of an alert: {said}")))
    }
}

impl Service for Users {
    fn selection(&self) -> Selection<'_> {
        Selection::Exe(&self.library)
    }

    fn processes(&self) -> usize {
        self.nginx.processes() + 1
    }

    fn fixed(&mut self) -> std::result::Result<bool, Fault> {
        if self.which == Which::Crypto {
            let version = self.python.ask("version")?;
            return match (self.python.ask("utf8")?.as_str(), version.contains("3.0.20")) {
                ("4", false) => Ok(false),
                (negative, true) if negative.starts_with('-') => Ok(true),
                (other, _) => Err(Fault(format!("UTF8_getc of U+110000 in {version}: {other}"))),
            };
        }
        let alerts: Vec<u32> = (0..ASKED).map(|_| self.alert()).collect::<std::result::Result<_, _>>()?;
        match alerts.as_slice() {
            all if all.iter().all(|alert| *alert == 47) => Ok(false),
            all if all.iter().all(|alert| *alert == 40) => Ok(true),
            other => Err(Fault(format!("alerts 40 or 47 were expected, all the same: {other:?}"))),
        }
    }

    fn alive(&mut self) -> Result<()> {
        self.nginx.alive()?;
        // SHA-256 of "liveline", by another library than the one under update: it is written down here.
        let got = self.python.ask("liveline").tried("ask Python for a hash")?;
        if got == self.python.hash { Ok(()) } else { Err(Failure(format!("Python computes {got}"))) }
    }

    fn finish(&mut self) -> Result<Vec<String>> {
        Ok(vec![self.nginx.untroubled()?])
    }
}

/// Python with the libraries mapped.
struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What it must answer to "liveline".
    hash: String,
}

impl Python {
    fn start(folder: &Path, libraries: &Path) -> Result<Self> {
        let script = folder.join("user.py");
        fs::write(&script, include_str!("user.py")).tried("write Python's script")?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "/usr/bin/python3"])
            .arg(&script)
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .tried("start Python")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| Failure("Python has no pipes".into()))?;
        let mut python = Python { child, input, output: BufReader::new(output), hash: String::new() };
        python.hash = python.ask("liveline").tried("ask Python for a hash")?;
        Ok(python)
    }

    fn ask(&mut self, word: &str) -> std::result::Result<String, Fault> {
        writeln!(self.input, "{word}")?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(Fault("Python has ended".into()));
        }
        Ok(line.trim_end().into())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
