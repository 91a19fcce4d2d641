//! The sources of both releases, the program, the patch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use liveline_demo::Words;
use liveline_demo::tool::Tool;

use super::{PACKAGE, VERSIONS};
use crate::shell::{Failure, Result, Tried, cache};

/// Name of the patch.
pub(super) const PATCH: &str = "upload-names";
/// What the server is built with: as it comes, but without TLS, for which OpenSSL's headers would have to be there.
const FLAGS: [&str; 3] = ["--release", "--locked", "--no-default-features"];

/// Sources and program.
pub(super) struct Server {
    sources: [PathBuf; 2],
    /// As `cargo build --release` made it of the older sources.
    pub(super) running: PathBuf,
}

/// A patch at hand.
pub(super) struct Patch {
    pub(super) file: PathBuf,
    /// What it replaces.
    pub(super) functions: Vec<String>,
}

/// Gets both releases from crates.io and builds the older one, as anybody would.
pub(super) fn program(words: Words) -> Result<Server> {
    let folder = cache("rust")?;
    let sources = VERSIONS.map(|version| folder.join(format!("{PACKAGE}-{version}")));
    for (version, place) in VERSIONS.iter().zip(&sources) {
        if !place.exists() {
            words.line(&format!("getting {PACKAGE} {version} from crates.io"));
            copy(&registry_source(version)?, place)?;
        }
    }
    words.line(&format!("cargo build {}", FLAGS.join(" ")));
    let mut cargo = cargo();
    cargo.arg("build").args(FLAGS).arg("--quiet").current_dir(&sources[0]);
    said(&mut cargo)?;
    let running = sources[0].join("target/release").join(PACKAGE);
    Ok(Server { sources, running })
}

/// Makes the patch with `liveline build --cargo`.
pub(super) fn patch(tool: &Tool, server: &Server, words: Words) -> Result<Patch> {
    let file = cache("rust")?.join(format!("{PATCH}.llp"));
    let [old, new] = &server.sources;
    let mut command = Command::new(tool.program());
    strip_cargo(&mut command);
    command.args(["build", "--cargo", "--json", "--name", PATCH, "-o"]).arg(&file);
    command.arg("--old").arg(old).arg("--new").arg(new).arg("--running").arg(&server.running);
    command.arg("--").args(FLAGS);
    words.line("liveline build --cargo --old … --new …");
    let told = said(&mut command)?;
    let told: serde_json::Value = serde_json::from_str(&told).tried("read what liveline build said")?;
    let functions = told["functions"].as_array().into_iter().flatten();
    let functions: Vec<String> = functions.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    for kept in told["kept"].as_array().into_iter().flatten() {
        let (running, sources) = (&kept["running"], &kept["sources"]);
        words.line(&format!(
            "{} is compiled from the sources of {sources} as version {running}",
            kept["name"]
        ));
    }
    if functions.is_empty() {
        return Err(Failure("liveline build made a patch of nothing".into()));
    }
    words.line(&format!("the patch replaces {} functions", functions.len()));
    Ok(Patch { file, functions })
}

/// Where cargo puts a package's sources; gets them if they are not there.
fn registry_source(version: &str) -> Result<PathBuf> {
    let mut cargo = cargo();
    // Asking for a package downloads it.
    cargo.args(["info", "--quiet", &format!("{PACKAGE}@{version}")]).current_dir("/");
    said(&mut cargo)?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let registries = home.ok_or_else(|| Failure("no HOME".into()))?.join("registry/src");
    let entries = fs::read_dir(&registries).tried(format!("read {}", registries.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path().join(format!("{PACKAGE}-{version}")))
        .find(|path| path.is_dir())
        .ok_or_else(|| Failure(format!("cargo did not unpack {PACKAGE} {version}")))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let part = to.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    said(Command::new("cp").arg("-r").arg(from).arg(&part))?;
    fs::rename(&part, to).tried("copy the sources")
}

/// Runs a command; its output, or an error with all that it said.
fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().tried(format!("run {name}"))?;
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if output.status.success() {
        Ok(out)
    } else {
        Err(Failure(format!("{name}: {}\n{out}{err}", output.status)))
    }
}

fn cargo() -> Command {
    let mut command = Command::new("cargo");
    strip_cargo(&mut command);
    command
}

/// Takes away what the cargo that runs us has set.
fn strip_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && text != "CARGO_HOME" {
            command.env_remove(&name);
        }
    }
}
