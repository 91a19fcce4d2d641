//! Where a cargo workspace lies, and where its products go.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::BuildError;

/// What `cargo metadata` says of a workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The folder of its `Cargo.toml`.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where it is built.
    #[serde(rename = "target_directory")]
    pub(crate) products: PathBuf,
}

/// The workspace that a `cargo build` in this folder is of.
pub(crate) fn workspace(folder: &Path, command: &[OsString]) -> Result<Workspace, BuildError> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(folder);
    for option in ["--manifest-path", "--config"] {
        for value in values(command, option) {
            cargo.arg(option).arg(value);
        }
    }
    let tool = |source| BuildError::Tool { tool: "cargo".into(), source };
    let output = cargo.stdin(Stdio::null()).output().map_err(tool)?;
    let unknown = |said: &[u8]| BuildError::NoWorkspace {
        folder: folder.into(),
        said: String::from_utf8_lossy(said).trim_end().to_owned(),
    };
    if !output.status.success() {
        return Err(unknown(&output.stderr));
    }
    let mut found: Workspace =
        serde_json::from_slice(&output.stdout).map_err(|error| unknown(error.to_string().as_bytes()))?;
    if let Some(named) = values(command, "--target-dir").last() {
        found.products = folder.join(named);
    }
    for path in [&mut found.root, &mut found.products] {
        // What is not there yet has no other name either.
        *path = path.canonicalize().unwrap_or_else(|_| crate::shim::clean(path));
    }
    Ok(found)
}

/// The values an option is given: `--option VALUE` and `--option=VALUE`.
pub(crate) fn values<'c>(command: &'c [OsString], option: &str) -> Vec<&'c OsStr> {
    let mut out = Vec::new();
    let mut words = command.iter();
    while let Some(word) = words.next() {
        match word.as_bytes().strip_prefix(option.as_bytes()) {
            Some(b"") => out.extend(words.next().map(OsString::as_os_str)),
            Some([b'=', value @ ..]) => out.push(OsStr::from_bytes(value)),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let command: Vec<OsString> =
            ["cargo", "--config", "a=1", "--config=b=2", "--configure"].map(OsString::from).to_vec();
        assert_eq!(values(&command, "--config"), ["a=1", "b=2"]);
    }
}
