//! A copy of a source tree, with what a person does there: edits, fixes, builds and repairs of what was built.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::Outcome;
use crate::command::{Run, apply_now, binary, revert_now, run_command, text};
use crate::process::Process;
use crate::toolchain::tests_folder;

/// A file of the tree, what stands there, and what is to stand there.
pub(crate) type Edit<'e> = (&'e str, &'e str, &'e str);

/// A copy of a tree in a folder of its own.
pub(crate) struct Project {
    folder: TempDir,
    name: &'static str,
    /// Set for every command.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
}

impl Project {
    /// A copy of `tests/cases/CASE` under the given name.
    pub(crate) fn new(case: &str, name: &'static str) -> Outcome<Self> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let project = Project { folder, name, environment: Vec::new() };
        copy(&tests_folder().join("cases").join(case), &project.tree())?;
        Ok(project)
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.path(self.name)
    }

    /// A path beside the tree.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in the tree that knows nothing of the cargo and the build that run these tests.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.tree());
        for (name, _) in std::env::vars_os() {
            let known = name.to_string_lossy();
            let cargo = known.starts_with("CARGO_") && known != "CARGO_HOME" || known.starts_with("RUSTC");
            if cargo || ["RUSTFLAGS", "MAKEFLAGS", "CFLAGS", "CC", "CXX"].contains(&&*known) {
                command.env_remove(&name);
            }
        }
        command.env("LIVELINE_CACHE", self.path("cache"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs words of a shell in the tree.
    pub(crate) fn shell(&self, words: &str) -> Outcome<Run> {
        run_command(self.command("sh").args(["-c", words]))?.expect(0)
    }

    /// Edits a file of a copy of this tree, or of the tree itself.
    pub(crate) fn edit(&self, tree: &Path, (file, from, to): Edit) -> Outcome {
        let path = tree.join(file);
        let before = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        if !before.contains(from) {
            return Err(format!("{file} does not say {from}"));
        }
        fs::write(&path, before.replacen(from, to, 1)).map_err(|e| e.to_string())
    }

    /// An edited copy of the tree.
    pub(crate) fn fixed(&self, edits: &[Edit]) -> Outcome<PathBuf> {
        let to = self.path("fixed");
        copy(&self.tree(), &to)?;
        edits.iter().try_for_each(|edit| self.edit(&to, *edit))?;
        Ok(to)
    }

    /// The edits as a patch file.
    pub(crate) fn fix(&self, edits: &[Edit]) -> Outcome<PathBuf> {
        let (copy, fix) = (self.fixed(edits)?, self.path("fix.patch"));
        let told = Command::new("diff")
            .args(["-ruN", "--exclude=target", self.name, "fixed"])
            .current_dir(self.folder.path())
            .output()
            .map_err(|e| e.to_string())?;
        fs::write(&fix, told.stdout).map_err(|e| e.to_string())?;
        fs::remove_dir_all(copy).map_err(|e| e.to_string())?;
        Ok(fix)
    }

    /// `liveline build WORDS…`, which makes `fix.llp`.
    pub(crate) fn build(&self, words: &[&str]) -> Outcome<Run> {
        let split = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        let mut command = self.command(binary());
        command.args(["build", "--json", "-o", text(&self.path("fix.llp"))]);
        run_command(command.args(&words[..split]).args(&words[split..]))
    }

    /// Repairs a process, and takes the repair back.
    pub(crate) fn play(&self, process: &mut Process, answers: [&str; 3]) -> Outcome {
        process.expect("ask", answers[0], "before the patch")?;
        apply_now(&self.path("fix.llp"), process.pid())?;
        process.expect("ask", answers[1], "with the patch")?;
        revert_now("fix", process.pid())?;
        process.expect("ask", answers[2], "after the revert")?;
        process.check_alive()
    }
}

fn copy(from: &Path, to: &Path) -> Outcome {
    let done = Command::new("cp").arg("-r").args([from, to]).output().map_err(|e| e.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

/// Names and times of all files below a folder.
pub(crate) fn listing(folder: &Path) -> Outcome<BTreeMap<PathBuf, SystemTime>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
            let entry = entry.map_err(|e| e.to_string())?;
            let information = entry.metadata().map_err(|e| e.to_string())?;
            if information.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path(), information.modified().map_err(|e| e.to_string())?);
            }
        }
    }
    Ok(found)
}
