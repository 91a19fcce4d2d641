//! Patches for the targets under `tests/targets`.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Outcome;
use crate::command::{diff, exit};
use crate::toolchain::{Build, build_steps, build_target};

/// A patch file, removed when dropped.
pub(crate) struct Patch {
    /// Name of the patch.
    pub(crate) name: String,
    /// The file.
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl Patch {
    /// Makes a patch `name` from the objects of `build`; `more` are further words for `liveline diff`.
    pub(crate) fn make(build: &Build, name: &str, more: &[&str]) -> Outcome<Patch> {
        Patch::make_for(build, &build.program, name, more)
    }

    /// As [`Patch::make`], for a target at another path.
    pub(crate) fn make_for(build: &Build, target: &Path, name: &str, more: &[&str]) -> Outcome<Patch> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let path = folder.path().join("patch.llp");
        let mut words = vec!["--name", name];
        words.extend(more);
        diff(&build.old, &build.new, target, &path, &words)?.expect(exit::DONE)?;
        Ok(Patch { name: name.to_owned(), path, _folder: folder })
    }
}

/// The server, and what changes value().
pub(crate) fn server() -> Outcome<Build> {
    build_target("server.c", 2, "", "")
}

/// The server and the patch that changes value() from version 1 to 2.
pub(crate) fn server_and_patch() -> Outcome<(Build, Patch)> {
    let build = server()?;
    let patch = Patch::make(&build, "value", &[])?;
    Ok((build, patch))
}

/// A patch of the server to another of its versions.
pub(crate) fn server_patch(version: u32, name: &str, more: &[&str]) -> Outcome<Patch> {
    let build = build_steps("server.c", 1, version, "", "")?;
    Patch::make_for(&build, &server()?.program, name, more)
}
