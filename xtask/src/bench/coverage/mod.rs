//! How many commits of a program's history become a live patch with no hand-written line: each commit and its parent are
//! built, `liveline diff` makes the patch, and the parent's program takes it under load and gives it back.

mod page;
mod recipe;
mod row;
mod tree;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use liveline_demo::Words;
use liveline_demo::tool::{DiffRequest, Made};

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
    let missing: Vec<_> = commits.iter().filter(|commit| !rows.has(commit)).collect();
    words.step(&format!("coverage: {} of {} commits have no row yet", missing.len(), commits.len()));
    for commit in missing.into_iter().take(options.limit.unwrap_or(usize::MAX)) {
        let row = one(&tool, &tree, recipe, commit, words)?;
        words.line(&row.line());
        rows.add(row)?;
    }
    page::publish(recipe, &rows.of(&commits), commits.len(), json)
}

fn commits(list: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(list).tried(format!("read {}", list.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(String::from).collect())
}

/// One commit, from its sources to the reverted patch.
fn one(
    tool: &liveline_demo::tool::Tool,
    tree: &Tree<'_>,
    recipe: &Recipe,
    commit: &str,
    words: Words,
) -> Result<Row> {
    let mut row = Row::new(commit, &tree.subject(commit)?);
    let parent = tree.parent(commit)?;
    let (old, new) = match (tree.build(&parent, words)?, tree.build(commit, words)?) {
        (Built::Done(old), Built::Done(new)) => (old, new),
        (Built::Failed(why), _) => return Ok(row.with(Outcome::Unbuilt, vec![format!("the parent: {why}")])),
        (_, Built::Failed(why)) => return Ok(row.with(Outcome::Unbuilt, vec![why])),
    };
    let room = tempfile::tempdir().tried("make a temporary folder")?;
    let patch = room.path().join("coverage.llp");
    let program = old.join(recipe.program_name());
    let diff = tool.diff(&DiffRequest {
        old: &old.join("objects"),
        new: &new.join("objects"),
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
    row.changed = diff.verdicts.iter().filter(|v| v.verdict == "changed" || v.verdict == "new").count();
    row.diff_ms = diff.command_ms;
    match diff.made {
        Made::Nothing => Ok(row.with(Outcome::Nothing, Vec::new())),
        Made::Refused => Ok(row.with(Outcome::Refused, diff.refused())),
        Made::Patch => trial::run(tool, recipe, &program, &patch, room.path(), row),
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
