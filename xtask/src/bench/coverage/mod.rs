//! How many commits of a program's history become a live patch with no hand-written line: each commit and its parent are
//! built, `liveline diff` makes the patch, and the parent's program takes it under load and gives it back.

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
    /// Coverage: at most so many commits in this run.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Coverage: go on where the last run ended.
    #[arg(long)]
    resume: bool,
}

/// Runs the commits that have no row yet, prints the table and writes docs/bench/coverage.md.
pub(crate) fn run(options: &Options, words: Words, json: bool) -> Result<()> {
    let repo = options.repo.as_deref().ok_or_else(|| Failure("coverage needs --repo CLONE".into()))?;
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
    page::publish(recipe, &rows.of(&commits), &rows.of(&options.release), commits.len(), json)
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
        let mut row = Row::new(commit, &self.tree.subject(&new)?);
        let (before, after) =
            match (self.tree.build(&parent, self.words)?, self.tree.build(&new, self.words)?) {
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
        let of = |kinds: &[&str]| -> Vec<String> {
            let verdicts = diff.verdicts.iter().filter(|v| kinds.contains(&v.verdict.as_str()));
            verdicts.map(|v| v.symbol.clone()).collect()
        };
        row.kept = of(&["data-value"]);
        row.changed = of(&["changed", "pulled-in", "new"]).len();
        row.diff_ms = diff.command_ms;
        let row = match diff.made {
            Made::Nothing if row.kept.is_empty() => row.with(Outcome::Nothing, Vec::new()),
            Made::Nothing => row.with(Outcome::DataOnly, Vec::new()),
            Made::Refused => row.with(Outcome::Refused, diff.refused()),
            Made::Patch => trial::run(self.tool, self.recipe, &program, &patch, room.path(), row)?,
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
