//! Running other programs, and the folder where what they make is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use liveline_build::debian::Archive;
use liveline_demo::Words;
use liveline_demo::tool::Tool;

pub(crate) use liveline_build::debian::{Failure, Quiet, Result, Tried, output_of};

/// The folder `name` of the cache: `$LIVELINE_CACHE`, or `liveline` in the user's cache folder.
pub(crate) fn cache(name: &str) -> Result<PathBuf> {
    let from = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    let root = from("LIVELINE_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|p| p.join("liveline")))
        .or_else(|| from("HOME").map(|p| p.join(".cache/liveline")))
        .ok_or_else(|| Failure("no cache folder: set LIVELINE_CACHE or HOME".into()))?;
    let folder = root.join(name);
    fs::create_dir_all(&folder).tried(format!("make {}", folder.display()))?;
    Ok(folder)
}

/// Debian's archive, with our cache.
pub(crate) fn archive(words: Words) -> Result<Archive> {
    Archive::open(cache("")?, move |line| words.line(line))
}

/// The workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Builds `liveline` (release) and gives it; `$LIVELINE` names another one.
pub(crate) fn liveline(words: Words) -> Result<Tool> {
    if let Some(program) = std::env::var_os("LIVELINE") {
        return Ok(Tool::new(PathBuf::from(program)));
    }
    words.line("building liveline");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "liveline", "--message-format=json-render-diagnostics"])
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .tried("run cargo build")?;
    if !output.status.success() {
        return Err(Failure("liveline does not build".into()));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "liveline")
        .find_map(|message| message["executable"].as_str().map(Tool::new))
        .ok_or_else(|| Failure("cargo did not say where liveline is".into()))
}
