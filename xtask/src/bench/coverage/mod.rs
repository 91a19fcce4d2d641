//! How many commits of a program's history become a live patch with no hand-written line: each commit and its parent are
//! built, `liveline diff` makes the patch, and the parent's program takes it under load and gives it back.

mod debian;
mod page;
mod recipe;
mod row;
mod suite;
mod tree;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use liveline_demo::Words;
use liveline_demo::tool::{DiffRequest, Made, Tool};

use self::recipe::{REDIS, Recipe};
use self::row::{Outcome, Row, Rows};
use self::tree::{Built, Tree};
use crate::shell::{Failure, Result, Tried, cache, liveline, workspace};

/// What to measure the coverage on.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Coverage: a clone of the program's repository (a git directory).
    #[arg(long, value_name = "CLONE")]
    repo: Option<PathBuf>,
    /// Coverage: the commits, one hash a line; `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    commits: Option<PathBuf>,
    /// Coverage: a whole release as one patch, `OLD..NEW`; beside the commits, and counted apart.
    #[arg(long, value_name = "OLD..NEW")]
    release: Vec<String>,
    /// Coverage: the security patches of Debian's source packages, in place of a clone's commits.
    #[arg(long)]
    debian: bool,
    /// Coverage: at most so many commits in this run.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Coverage: go on where the last run ended.
    #[arg(long)]
    resume: bool,
}

/// Runs the commits that have no row yet, prints the table and writes docs/bench/coverage.md.
pub(crate) fn run(options: &Options, words: Words, json: bool) -> Result<()> {
    if options.debian {
        return debian::run(words, json);
    }
    let repo =
        options.repo.as_deref().ok_or_else(|| Failure("coverage needs --repo CLONE, or --debian".into()))?;
    let recipe = &REDIS;
    let list = options.commits.clone().unwrap_or_else(|| workspace().join(recipe.commits));
    let tool = liveline(words)?;
    let folder = cache("coverage")?;
    let tree = Tree::open(repo, &folder, recipe)?;
    let commits = commits(&list)?;
    let mut rows = Rows::open(&folder.join(format!("{}.jsonl", recipe.name)), options.resume)?;
    let all = commits.iter().chain(&options.release);
    let missing: Vec<_> = all.filter(|commit| !rows.has(commit)).collect();
    words.step(&format!("coverage: {} of {} commits have no row yet", missing.len(), commits.len()));
    if !suite::possible() {
        words.line("tclsh is missing: the commits' own tests are not run");
    }
    for commit in missing.into_iter().take(options.limit.unwrap_or(usize::MAX)) {
        let row = Step { tool: &tool, tree: &tree, recipe, words }.run(commit)?;
        words.line(&row.line());
        rows.add(row)?;
    }
    recipe.sheet().publish(&rows.of(&commits), &rows.of(&options.release), commits.len(), json)
}

fn commits(list: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(list).tried(format!("read {}", list.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(String::from).collect())
}

/// What a commit is measured with.
struct Step<'a> {
    tool: &'a Tool,
    tree: &'a Tree<'a>,
    recipe: &'a Recipe,
    words: Words,
}

impl Step<'_> {
    /// One commit, or `OLD..NEW`, from its sources to the reverted patch.
    fn run(&self, commit: &str) -> Result<Row> {
        let (parent, new) = match commit.split_once("..") {
            Some((old, new)) => (self.tree.hash(old)?, self.tree.hash(new)?),
            None => (self.tree.hash(&format!("{commit}^"))?, commit.to_string()),
        };
        let row = Row::new(commit, &self.tree.subject(&new)?);
        let optional = self.tree.needs_optional(&parent, &new)?;
        let build = |state: &str| self.tree.build(state, optional, self.words);
        let (before, after) = match (build(&parent)?, build(&new)?) {
            (Built::Done(old), Built::Done(new)) => (old, new),
            (Built::Failed(why), _) => {
                return Ok(row.with(Outcome::Unbuilt, vec![format!("the parent: {why}")]));
            }
            (_, Built::Failed(why)) => return Ok(row.with(Outcome::Unbuilt, vec![why])),
        };
        let room = tempfile::tempdir().tried("make a temporary folder")?;
        let patch = room.path().join("coverage.llp");
        let name = self.recipe.program_name();
        let (program, control) = (before.join(name), after.join(name));
        let diff = self.tool.diff(&DiffRequest {
            old: &before.join("objects"),
            new: &after.join("objects"),
            target: &program,
            debug: None,
            name: "coverage",
            assume: &[],
            output: &patch,
        });
        let diff = match diff {
            Ok(diff) => diff,
            Err(error) => return Ok(row.with(Outcome::Refused, vec![error.to_string()])),
        };
        let row = row.compared(&diff);
        let row = match diff.made {
            Made::Nothing | Made::Refused => row,
            Made::Patch => {
                let (daemon, port) = (self.recipe.start)(&program, room.path())?;
                trial::run(self.tool, daemon, (self.recipe.connect)(port)?, &patch, row)?
            }
        };
        if row.outcome != Outcome::Applied || !suite::possible() {
            return Ok(row);
        }
        let sources = room.path().join("sources");
        std::fs::create_dir(&sources).tried("make a folder for the sources")?;
        self.tree.sources(&new, &sources)?;
        let differing = suite::differing(self.tree, &parent, &new, &sources)?;
        let folder = room.path();
        let trial = suite::Trial {
            tool: self.tool,
            recipe: self.recipe,
            old: &program,
            new: &control,
            patch: &patch,
            folder,
        };
        let tests = trial.run(&differing, &sources)?;
        Ok(row.tested(tests))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn comments_and_blank_lines_are_no_commits() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "# redis\n\nabc # why\n  def\n").expect("written");
        assert_eq!(super::commits(file.path()).expect("read"), ["abc", "def"]);
    }
}
