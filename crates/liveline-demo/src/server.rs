//! The demo's server: its source, its bug and fix, built and run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SOURCES: [(&str, &str); 3] = [
    ("server.c", include_str!("../server/server.c")),
    ("store.h", include_str!("../server/store.h")),
    ("store.c", include_str!("../server/store.c")),
];

/// The line with the bug.
pub const BUG: &str = "    return item->expires != 0 && item->expires <= clock_ms() / 1000; /* BUG: seconds against milliseconds */";
/// The line that takes its place.
pub const FIX: &str = "    return item->expires != 0 && item->expires <= clock_ms();";

/// Why the server could not be built or started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No compiler.
    #[error("gcc is not installed. On Debian or Ubuntu: apt-get install gcc libc6-dev binutils")]
    NoCompiler,
    /// A build step failed.
    #[error("`{command}` failed:\n{words}")]
    Build {
        /// The command line.
        command: String,
        /// What it said.
        words: String,
    },
    /// It did not come up.
    #[error("the server did not start: {0}")]
    Start(String),
    /// A file could not be written, or a program not be run.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// The system's reason.
        error: std::io::Error,
    },
}

/// The files of a build.
#[derive(Clone, Debug)]
pub struct Build {
    /// The program as it runs: stripped.
    pub program: PathBuf,
    /// Its unstripped twin.
    pub debug: PathBuf,
    /// Objects with the bug.
    pub old_objects: PathBuf,
    /// Objects with the fix.
    pub new_objects: PathBuf,
}

/// Writes the sources to `folder` and builds the program with the bug, and the objects of both versions.
///
/// # Errors
/// [`ServerError::NoCompiler`] if there is no gcc, [`ServerError::Build`] with what it said.
pub fn build(folder: &Path) -> Result<Build, ServerError> {
    for (name, text) in SOURCES {
        write(&folder.join(name), text)?;
    }
    let found = Build {
        program: folder.join("server"),
        debug: folder.join("server.debug"),
        old_objects: folder.join("old"),
        new_objects: folder.join("new"),
    };
    // As anyone builds it: nothing in these flags prepares it for an update.
    command(folder, "gcc -O2 -g -pthread -o server.debug server.c store.c")?;
    command(folder, "strip -o server server.debug")?;
    objects(folder, &found.old_objects)?;
    let fixed = SOURCES[2].1.replace(BUG, FIX);
    write(&folder.join("store.c"), &fixed)?;
    objects(folder, &found.new_objects)?;
    Ok(found)
}

fn objects(folder: &Path, into: &Path) -> Result<(), ServerError> {
    std::fs::create_dir_all(into).map_err(|error| system("make a folder", error))?;
    for name in ["server", "store"] {
        let object = into.join(format!("{name}.o"));
        let line = format!("gcc -O2 -g -pthread -ffunction-sections -fdata-sections -c {name}.c -o");
        let mut words: Vec<String> = line.split(' ').map(String::from).collect();
        words.push(object.display().to_string());
        run(folder, &words)?;
    }
    Ok(())
}

fn command(folder: &Path, line: &str) -> Result<(), ServerError> {
    let words: Vec<String> = line.split(' ').map(String::from).collect();
    run(folder, &words)
}

fn run(folder: &Path, words: &[String]) -> Result<(), ServerError> {
    let line = words.join(" ");
    let output = Command::new(&words[0]).args(&words[1..]).current_dir(folder).output().map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            ServerError::NoCompiler
        } else {
            system(&line, error)
        }
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(ServerError::Build { command: line, words: String::from_utf8_lossy(&output.stderr).into_owned() })
}

fn write(path: &Path, text: &str) -> Result<(), ServerError> {
    std::fs::write(path, text).map_err(|error| system(&format!("write {}", path.display()), error))
}

fn system(what: &str, error: std::io::Error) -> ServerError {
    ServerError::System { what: what.to_string(), error }
}

/// The server as it runs. Dropping it ends it.
pub struct Server {
    child: Child,
    /// Port on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts the program with so many worker threads.
    ///
    /// # Errors
    /// [`ServerError::Start`] if it says no port.
    pub fn start(program: &Path, threads: usize) -> Result<Server, ServerError> {
        let mut child = Command::new(program)
            .arg(threads.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| system(&format!("start {}", program.display()), error))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let _ = BufReader::new(out).read_line(&mut line);
        }
        let port = line.trim_end().strip_prefix("port ").and_then(|p| p.parse().ok()).unwrap_or(0);
        let server = Server { child, port };
        if port == 0 { Err(ServerError::Start(format!("it said {line:?}"))) } else { Ok(server) }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Checker, Expired, Probe};
    use crate::load::Client;

    #[test]
    fn the_bug_is_in_the_source_and_the_fix_mends_it() {
        assert!(SOURCES[2].1.contains(BUG));
        let folder = tempfile::tempdir().unwrap();
        let build = build(folder.path()).unwrap();
        let fixed = folder.path().join("fixed");
        let line = format!("gcc -O2 -pthread -o {} server.c store.c", fixed.display());
        command(folder.path(), &line).unwrap();
        for (program, expected) in [(&build.program, Expired::Served), (&fixed, Expired::Gone)] {
            let server = Server::start(program, 3).unwrap();
            assert_eq!(Probe::new(server.port).unwrap().expired().unwrap(), expected);
            let mut checker = Checker::new(0, server.port).unwrap();
            for _ in 0..2000 {
                checker.request().unwrap();
            }
        }
    }
}
