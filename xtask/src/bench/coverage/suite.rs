//! The commit's own tests, run against a program that has its patch: redis's tests can be given a host and a port.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use liveline_demo::tool::Tool;
use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use super::tree::Tree;
use crate::shell::{Result, Tried, output_of};

/// What the tests that a commit adds or changes said. Only those count that the commit's own build passes, started
/// as the patched program is: others need a server of their own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tests {
    /// Names of the tests that the commit's own build passes.
    pub(super) ran: Vec<String>,
    /// Of these, what the patched program does not pass.
    pub(super) failed: Vec<String>,
    /// Of these, what the parent does not pass without the patch.
    pub(super) failed_before: Vec<String>,
}

impl Tests {
    /// In words.
    pub(super) fn words(&self) -> String {
        let passed = self.ran.len() - self.failed.len();
        format!("{passed} of {} pass, {} did not before", self.ran.len(), self.failed_before.len())
    }
}

/// Seconds that the tests of a file may take.
const LIMIT: &str = "120";
/// Where redis keeps those that can run against a given server.
const FOLDER: &str = "tests/unit";

/// The tests that differ between two states: patterns of their names, by the file they are in.
pub(super) type Differing = BTreeMap<String, Vec<String>>;

/// The programs to compare, and the patch.
pub(super) struct Trial<'a> {
    pub(super) tool: &'a Tool,
    pub(super) recipe: &'a Recipe,
    pub(super) old: &'a Path,
    pub(super) new: &'a Path,
    pub(super) patch: &'a Path,
    /// A folder for files.
    pub(super) folder: &'a Path,
}

/// Finds the tests that a commit adds or changes.
pub(super) fn differing(tree: &Tree<'_>, old: &str, new: &str, sources: &Path) -> Result<Differing> {
    let mut found = Differing::new();
    for (file, lines) in changed_lines(&tree.changes(old, new, FOLDER)?) {
        // A module is loaded when a server starts.
        let Some(name) = file.strip_prefix("tests/").and_then(|f| f.strip_suffix(".tcl")) else { continue };
        if name.starts_with("unit/moduleapi") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(sources.join(&file)) else { continue };
        let text: Vec<_> = text.lines().collect();
        let mut patterns: Vec<_> = lines.iter().filter_map(|&line| enclosing(&text, line)).collect();
        patterns.sort();
        patterns.dedup();
        if !patterns.is_empty() {
            found.insert(name.to_string(), patterns);
        }
    }
    Ok(found)
}

impl Trial<'_> {
    /// Runs the tests in the commit's own build, in the patched program and in the program as it was.
    pub(super) fn run(&self, tests: &Differing, sources: &Path) -> Result<Tests> {
        let ran = self.passed(self.new, false, tests, sources)?;
        if ran.is_empty() {
            return Ok(Tests::default());
        }
        let now = self.passed(self.old, true, tests, sources)?;
        let before = self.passed(self.old, false, tests, sources)?;
        let failed = ran.iter().filter(|name| !now.contains(name)).cloned().collect();
        let failed_before = ran.iter().filter(|name| !before.contains(name)).cloned().collect();
        Ok(Tests { ran, failed, failed_before })
    }

    /// The tests that a program passes.
    fn passed(
        &self,
        program: &Path,
        patched: bool,
        tests: &Differing,
        sources: &Path,
    ) -> Result<Vec<String>> {
        let mut passed = Vec::new();
        for (file, patterns) in tests {
            let (daemon, port) = (self.recipe.start)(program, self.folder)?;
            if patched {
                let outcome = self.tool.apply(self.patch, daemon.pid()).tried("apply, for the tests")?;
                if outcome.state != "applied" {
                    continue;
                }
            }
            let mut command = Command::new("timeout");
            command.args([
                "--kill-after=5",
                LIMIT,
                "tclsh",
                "tests/test_helper.tcl",
                "--clients",
                "1",
                "--host",
            ]);
            command.args(["127.0.0.1", "--port", &port.to_string(), "--single", file]);
            for pattern in patterns {
                // Some versions take each word for a pattern, others only those with a slash in front.
                command.args(["--only", pattern, "--only", &format!("/{pattern}")]);
            }
            let output = command.current_dir(sources).output().tried("run tclsh")?;
            passed.extend(names_of_passed(&String::from_utf8_lossy(&output.stdout)));
            end_children(daemon.pid())?;
        }
        passed.sort();
        passed.dedup();
        Ok(passed)
    }
}

/// Ends what a test left running in the background, such as a slow save: it would outlive its server.
fn end_children(pid: u32) -> Result<()> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    // A server that crashed has none, and is found out by its test.
    for child in std::fs::read_to_string(file).unwrap_or_default().split_whitespace() {
        Command::new("kill").args(["-KILL", child]).status().tried("run kill")?;
    }
    Ok(())
}

/// Whether there is what the tests are written in.
pub(super) fn possible() -> bool {
    output_of("tclsh /dev/null").is_ok()
}

/// The lines of each file that a diff without context adds or changes; where lines are only taken away, the one before.
fn changed_lines(diff: &str) -> BTreeMap<String, Vec<usize>> {
    let mut out: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut file = None;
    for line in diff.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            file = Some(name.to_string());
        } else if line.starts_with("+++ ") {
            file = None;
        } else if let (Some(file), Some(hunk)) = (&file, line.strip_prefix("@@ ")) {
            let Some(range) = hunk.split(' ').find_map(|word| word.strip_prefix('+')) else { continue };
            let (start, count) = range.split_once(',').unwrap_or((range, "1"));
            let (Ok(start), Ok(count)) = (start.parse::<usize>(), count.parse::<usize>()) else { continue };
            out.entry(file.clone()).or_default().extend(start..start + count.max(1));
        }
    }
    out
}

/// A pattern for the name of the test that a line (from 1) is in.
fn enclosing(text: &[&str], line: usize) -> Option<String> {
    text[..line.min(text.len())].iter().rev().find_map(|line| pattern(line))
}

/// A pattern for the name of the test that begins in this line.
fn pattern(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("test ")?.trim_start();
    let (open, rest) = rest.split_at_checked(1)?;
    let close = match open {
        "{" => '}',
        "\"" => '"',
        _ => return None,
    };
    let name = rest.split(close).next()?;
    let mut out = String::from("^");
    let mut characters = name.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            // In quotes, Tcl puts a variable's value or a command's result here.
            '$' | '[' if close == '"' => {
                let end = if c == '[' { ']' } else { '}' };
                if c == '[' || characters.peek() == Some(&'{') {
                    characters.by_ref().find(|&c| c == end);
                } else {
                    while characters.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == ':').is_some() {}
                }
                out += ".*";
            }
            c if c.is_alphanumeric() || " _-,:/'".contains(c) => out.push(c),
            c => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out.push('$');
    Some(out)
}

/// Names of the tests that passed, without the time they took.
fn names_of_passed(output: &str) -> Vec<String> {
    let plain = output.lines().map(without_colours);
    let passed = plain.filter_map(|line| line.strip_prefix("[ok]: ").map(String::from));
    passed.map(|name| name.rsplit_once(" (").map_or(name.as_str(), |(name, _)| name).to_string()).collect()
}

fn without_colours(line: &str) -> String {
    let mut pieces = line.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_string();
    pieces.fold(first, |out, piece| out + piece.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::{changed_lines, enclosing, names_of_passed, pattern};

    #[test]
    fn no_child_is_left() {
        let mut shell = std::process::Command::new("sh").args(["-c", "sleep 1000; :"]).spawn().expect("sh");
        let children = format!("/proc/{0}/task/{0}/children", shell.id());
        let child = loop {
            let text = std::fs::read_to_string(&children).expect("read");
            if !text.trim().is_empty() {
                break text;
            }
            std::thread::yield_now();
        };
        super::end_children(shell.id()).expect("ended");
        assert!(shell.wait().expect("over").success(), "it waited for {child}");
    }

    #[test]
    fn the_lines_of_a_diff() {
        let diff = "--- a/x.tcl\n+++ b/x.tcl\n@@ -3,0 +4,2 @@ test\n+a\n+b\n@@ -9,2 +11,0 @@\n-c\n--- a/y\n+++ /dev/null\n@@ -1 +0,0 @@\n";
        let lines = changed_lines(diff);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines["x.tcl"], [4, 5, 11]);
    }

    #[test]
    fn a_line_belongs_to_the_test_above_it() {
        let text = ["proc p {} {", "}", "test {one} {", "  a", "}", "  test \"two $x\" {", "  b"];
        assert_eq!(enclosing(&text, 2), None);
        assert_eq!(enclosing(&text, 4).as_deref(), Some("^one$"));
        assert_eq!(enclosing(&text, 7).as_deref(), Some("^two .*$"));
    }

    #[test]
    fn names_become_patterns_of_exactly_these_names() {
        assert_eq!(pattern("test {A $b (c)} {").as_deref(), Some("^A \\$b \\(c\\)$"));
        assert_eq!(
            pattern("test \"SORT $n ${m} [x] by: y.\" {").as_deref(),
            Some("^SORT .* .* .* by: y\\.$")
        );
        assert_eq!(pattern("test $name {"), None);
        assert_eq!(pattern("testing {x} {"), None);
    }

    #[test]
    fn passed_tests_are_read_with_and_without_colours() {
        let output =
            "[ok]: one (two) (3 ms)\n[\u{1b}[0;32;49mok\u{1b}[0m]: three (1 ms)\n[err]: four in tests\n";
        assert_eq!(names_of_passed(output), ["one (two)", "three"]);
    }
}
