//! The states of a repository, each built once. All are built in one folder, one after the other, so that make compiles only what
//! differs and no path tells two builds apart; files that two states share are kept once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use liveline_demo::Words;

use super::recipe::Recipe;
use crate::shell::{Failure, Quiet, Result, Tried};

/// What came of a build.
pub(super) enum Built {
    /// The folder of what was built: `objects/` and the program.
    Done(PathBuf),
    /// The end of what the build said.
    Failed(String),
}

/// A clone and the folder where its states are built.
pub(super) struct Tree<'a> {
    folder: &'a Path,
    git: PathBuf,
    work: PathBuf,
    recipe: &'a Recipe,
}

impl<'a> Tree<'a> {
    pub(super) fn open(repo: &Path, folder: &'a Path, recipe: &'a Recipe) -> Result<Self> {
        let tree = Tree { folder, git: folder.join("git"), work: folder.join("tree"), recipe };
        alone(folder)?;
        for made in [&tree.work, &folder.join("builds"), &folder.join("store")] {
            fs::create_dir_all(made).tried(format!("make {}", made.display()))?;
        }
        if !tree.git.is_dir() {
            // The git directory lies beside the tree: a build that asks git for its revision shall find none.
            Quiet::new(folder, "git clone --quiet --shared --bare")
                .argument(&repo.display().to_string())
                .argument(&tree.git.display().to_string())
                .run()?;
        }
        Ok(tree)
    }

    fn git(&self, line: &str) -> Quiet {
        Quiet::new(&self.work, &format!("git {line}"))
            .env("GIT_DIR", &self.git.display().to_string())
            .env("GIT_WORK_TREE", &self.work.display().to_string())
    }

    pub(super) fn subject(&self, commit: &str) -> Result<String> {
        Ok(self.git(&format!("log -1 --format=%s {commit}")).output()?.trim().to_string())
    }

    /// The full hash of a revision.
    pub(super) fn hash(&self, revision: &str) -> Result<String> {
        Ok(self.git(&format!("rev-parse --verify {revision}^{{commit}}")).output()?.trim().to_string())
    }

    /// The sources of a state, unpacked into a folder.
    pub(super) fn sources(&self, commit: &str, into: &Path) -> Result<()> {
        let archive = into.join("sources.tar");
        self.git(&format!("archive --output={} {commit}", archive.display())).run()?;
        Quiet::new(into, "tar xf sources.tar").run()
    }

    /// What a commit changes in a folder, without lines around it.
    pub(super) fn changes(&self, old: &str, new: &str, folder: &str) -> Result<String> {
        self.git(&format!("diff --unified=0 --no-color --no-renames {old} {new} -- {folder}")).output()
    }

    /// Whether the difference of two states touches what is not built by default.
    pub(super) fn needs_optional(&self, old: &str, new: &str) -> Result<bool> {
        Ok(!self.changes(old, new, self.recipe.optional.0)?.is_empty())
    }

    /// Builds a state, or takes what was built before.
    pub(super) fn build(&self, commit: &str, optional: bool, words: Words) -> Result<Built> {
        let more = optional.then_some(self.recipe.optional.1);
        let built = self.folder.join("builds").join(format!("{commit}{}", more.unwrap_or_default()));
        let done = built.join("done");
        if done.is_file() {
            return Ok(Built::Done(built));
        }
        let failed = built.join("failed");
        if let Ok(why) = fs::read_to_string(&failed) {
            return Ok(Built::Failed(why));
        }
        words.line(&format!("building {}", &commit[..commit.len().min(9)]));
        self.check_out(commit)?;
        let line: Vec<&str> = self.recipe.build.iter().copied().chain(more).collect();
        let mut make = self.command(&line, &self.work.join(self.recipe.build_in));
        // A build that asks git for its revision shall not find one that lies further up either.
        make = make
            .env("SOURCE_DATE_EPOCH", "1")
            .env("GIT_CEILING_DIRECTORIES", &self.folder.display().to_string());
        if let Err(failure) = make.run() {
            fs::create_dir_all(&built).tried(format!("make {}", built.display()))?;
            fs::write(&failed, &failure.0).tried(format!("write {}", failed.display()))?;
            return Ok(Built::Failed(failure.0));
        }
        if built.exists() {
            fs::remove_dir_all(&built).tried(format!("remove {}", built.display()))?;
        }
        let objects = built.join("objects");
        fs::create_dir_all(&objects).tried(format!("make {}", objects.display()))?;
        let folder = self.work.join(self.recipe.objects);
        for entry in fs::read_dir(&folder).tried(format!("read {}", folder.display()))?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "o") {
                self.keep(&path, &objects.join(entry.file_name()))?;
            }
        }
        self.keep(&self.work.join(self.recipe.product), &built.join(self.recipe.program_name()))?;
        File::create(&done).tried(format!("write {}", done.display()))?;
        Ok(Built::Done(built))
    }

    /// Puts the tree in the state; what is bundled is unmade if it differs from what was built last.
    fn check_out(&self, commit: &str) -> Result<()> {
        let bundled = self.git(&format!("rev-parse {commit}:{}", self.recipe.bundled)).output()?;
        let note = self.folder.join("bundled");
        let before = fs::read_to_string(&note).unwrap_or_default();
        if !before.is_empty() && before != bundled {
            self.command(self.recipe.unmake, &self.work).run()?;
        }
        self.git(&format!("checkout --quiet --force --detach {commit}")).run()?;
        fs::write(&note, bundled).tried(format!("write {}", note.display()))
    }

    fn command(&self, line: &[&str], folder: &Path) -> Quiet {
        let (first, rest) = line.split_first().unwrap_or((&"true", &[]));
        rest.iter().fold(Quiet::new(folder, first), |command, argument| command.argument(argument))
    }

    /// A file under its content, and a link to it.
    fn keep(&self, file: &Path, link: &Path) -> Result<()> {
        let hash = Quiet::new(self.folder, "sha256sum").argument(&file.display().to_string()).output()?;
        let stored = self.folder.join("store").join(&hash[..40]);
        if !stored.is_file() {
            fs::copy(file, &stored).tried(format!("copy {}", file.display()))?;
        }
        fs::hard_link(&stored, link).tried(format!("link {}", link.display()))
    }
}

/// Notes that this process works in the folder; an error if another one does.
fn alone(folder: &Path) -> Result<()> {
    let note = folder.join("pid");
    let own = std::process::id().to_string();
    if let Ok(other) = fs::read_to_string(&note) {
        let command = fs::read_to_string(format!("/proc/{other}/comm")).unwrap_or_default();
        if other != own && command.trim() == "xtask" {
            let folder = folder.display();
            return Err(Failure(format!(
                "{folder} is in use by another run, process {other}: wait for it, or set LIVELINE_CACHE"
            )));
        }
    }
    fs::write(&note, own).tried(format!("write {}", note.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_folder_left_by_a_run_that_is_gone_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        // Process 1 runs, and is no xtask.
        std::fs::write(folder.path().join("pid"), "1").expect("written");
        super::alone(folder.path()).expect("free");
        let note = std::fs::read_to_string(folder.path().join("pid")).expect("read");
        assert_eq!(note, std::process::id().to_string());
        super::alone(folder.path()).expect("ours");
    }
}
