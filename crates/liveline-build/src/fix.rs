//! The change: a patch file, or another tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::BuildError;
use crate::tree::{self, Manifest};

/// What makes the new side of the old.
#[derive(Clone, Debug)]
pub enum Change {
    /// Patches as `diff -u` or `git diff` write them, in this order.
    Fixes(Vec<PathBuf>),
    /// The tree as it should be.
    Tree(PathBuf),
}

impl Change {
    /// The tree that it copies from, if any.
    pub(crate) fn tree(&self) -> Option<&Path> {
        match self {
            Change::Fixes(_) => None,
            Change::Tree(tree) => Some(tree),
        }
    }

    /// Binary files that differ, by a fix that does not hold their contents. Errors: the change cannot be read, or
    /// nothing of it can be carried.
    pub(crate) fn check(&self) -> Result<Vec<PathBuf>, BuildError> {
        let fixes = match self {
            Change::Fixes(fixes) => fixes,
            Change::Tree(tree) => {
                let failed = |source| BuildError::Read { path: tree.clone(), source };
                return fs::read_dir(tree).map(|_| Vec::new()).map_err(failed);
            }
        };
        let (mut absent, mut more) = (Vec::new(), false);
        for fix in fixes {
            let text = read(fix)?;
            let text = String::from_utf8_lossy(&text);
            if let Some(path) = encoded(&text) {
                return Err(BuildError::BinaryFix { fix: fix.clone(), path });
            }
            let named: Vec<PathBuf> = text.lines().filter_map(only_said_to_differ).collect();
            more |= named.is_empty() || text.lines().any(changes_something);
            absent.extend(named);
        }
        if more { Ok(absent) } else { Err(BuildError::OnlyBinary { files: absent }) }
    }
}

/// Makes `copy`, which holds `old` sources and perhaps products, the new side. The files that differ.
pub(crate) fn apply(
    change: &Change,
    old: &Manifest,
    copy: &Path,
    products: Option<&Path>,
) -> Result<BTreeSet<PathBuf>, BuildError> {
    let touched = match change {
        Change::Fixes(fixes) => {
            for fix in fixes {
                patch(fix, copy)?;
            }
            differing(old, |path| tree::manifest_entry(copy, path), fixes_touch(fixes, copy)?)?
        }
        Change::Tree(tree) => {
            let new = tree::manifest(tree, products)?;
            take_over(old, &new, tree, copy)?
        }
    };
    if touched.is_empty() { Err(BuildError::SameTrees) } else { Ok(touched) }
}

fn differing(
    old: &Manifest,
    now: impl Fn(&Path) -> Option<String>,
    candidates: BTreeSet<PathBuf>,
) -> Result<BTreeSet<PathBuf>, BuildError> {
    Ok(candidates.into_iter().filter(|path| old.get(path).cloned() != now(path)).collect())
}

/// Brings the sources of `new` into `copy`. Only what differs is written, with the time of now, so that `make` sees it.
fn take_over(
    old: &Manifest,
    new: &Manifest,
    from: &Path,
    copy: &Path,
) -> Result<BTreeSet<PathBuf>, BuildError> {
    let mut touched = BTreeSet::new();
    for (path, text) in new {
        if old.get(path) == Some(text) {
            continue;
        }
        let (source, target) = (from.join(path), copy.join(path));
        let failed = |source| BuildError::Copy { path: target.clone(), source };
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let _ = fs::remove_file(&target);
        if text.starts_with("->") {
            let link = fs::read_link(&source).map_err(failed)?;
            std::os::unix::fs::symlink(link, &target).map_err(failed)?;
        } else {
            // A new file has the time of now.
            fs::copy(&source, &target).map_err(failed)?;
        }
        touched.insert(path.clone());
    }
    for path in old.keys().filter(|path| !new.contains_key(*path)) {
        let _ = fs::remove_file(copy.join(path));
        touched.insert(path.clone());
    }
    // What an earlier build left in either tree is no source.
    touched.retain(|path| !is_derived(path));
    Ok(touched)
}

fn is_derived(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["o", "a", "lo", "la", "so", "d"].iter().any(|own| end == *own))
}

/// The file of a line in the place of a binary file's contents.
fn only_said_to_differ(line: &str) -> Option<PathBuf> {
    let (old, new) = line.strip_prefix("Binary files ")?.strip_suffix(" differ")?.split_once(" and ")?;
    let name = if new == "/dev/null" { old } else { new };
    Some(name.strip_prefix("a/").or_else(|| name.strip_prefix("b/")).unwrap_or(name).into())
}

fn changes_something(line: &str) -> bool {
    ["@@ ", "*** ", "rename from ", "copy from ", "old mode "].iter().any(|start| line.starts_with(start))
}

/// The first file whose binary contents git put into a patch.
fn encoded(text: &str) -> Option<PathBuf> {
    let mut name = None;
    for line in text.lines() {
        if let Some(names) = line.strip_prefix("diff --git ") {
            name = names.rsplit_once(" b/").map(|(_, name)| name);
        }
        if line == "GIT binary patch" {
            return Some(name.unwrap_or("a file").into());
        }
    }
    None
}

/// The files a patch names that are there now or were.
fn fixes_touch(fixes: &[PathBuf], copy: &Path) -> Result<BTreeSet<PathBuf>, BuildError> {
    let mut out = BTreeSet::new();
    for fix in fixes {
        let text = read(fix)?;
        for line in String::from_utf8_lossy(&text).lines() {
            let rest = line.strip_prefix("--- ").or_else(|| line.strip_prefix("+++ "));
            let rest = rest
                .or_else(|| line.strip_prefix("rename from "))
                .or_else(|| line.strip_prefix("rename to "));
            let Some(rest) = rest else { continue };
            let name = rest.split('\t').next().unwrap_or(rest).trim().trim_matches('"');
            let path = Path::new(name);
            // With and without what -p1 strips: who is not there is dropped by the comparison.
            out.insert(path.to_owned());
            let parts: Vec<_> = path.components().collect();
            for strip in 1..parts.len().min(4) {
                out.insert(parts[strip..].iter().collect());
            }
        }
    }
    out.retain(|path| path.is_relative() && !copy.join(path).is_dir());
    Ok(out)
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    let failed = |source| BuildError::Read { path: path.into(), source };
    // It is read more than once, and a fifo is not there the second time.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(BuildError::FixIsNoFile { fix: path.into() });
    }
    fs::read(path).map_err(failed)
}

/// Applies one patch with as many leading folders stripped as fits, wholly or not at all.
fn patch(fix: &Path, tree: &Path) -> Result<(), BuildError> {
    read(fix)?;
    let fix = fs::canonicalize(fix).map_err(|source| BuildError::Read { path: fix.into(), source })?;
    let run = |strip: usize, dry: bool| {
        let mut command = Command::new("patch");
        command.args(["--batch", "--forward", "--no-backup-if-mismatch", &format!("-p{strip}"), "-i"]);
        command.arg(&fix).current_dir(tree).stdin(Stdio::null()).env("LC_ALL", "C");
        // A file that is shared with another tree by a hard link must not be written in place.
        if dry {
            command.arg("--dry-run");
        }
        command.output().map_err(|source| BuildError::Tool { tool: "patch".into(), source })
    };
    let mut said = None;
    for strip in [1, 0, 2, 3] {
        let dry = run(strip, true)?;
        let text = String::from_utf8_lossy(&dry.stdout).into_owned();
        if dry.status.success() {
            let done = run(strip, false)?;
            if done.status.success() {
                return Ok(());
            }
            return Err(BuildError::Fix { fix, said: String::from_utf8_lossy(&done.stdout).into_owned() });
        }
        // The most telling answer is that of a strip level at which files were found.
        if said.is_none() || (text.contains("FAILED") || text.contains("previously applied")) && strip != 1 {
            said = Some(text + &String::from_utf8_lossy(&dry.stderr));
        }
    }
    Err(BuildError::Fix { fix, said: said.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fix: &str) -> Result<Vec<PathBuf>, BuildError> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("fix.patch");
        fs::write(&file, fix).expect("write");
        Change::Fixes(vec![file]).check()
    }

    const TEXT: &str = "--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-int a;\n+int b;\n";

    #[test]
    fn a_binary_file_that_is_only_named_is_told() {
        let named = "diff --git a/logo.png b/logo.png\nindex 1..2 100644\n\
                     Binary files a/logo.png and b/logo.png differ\n";
        assert_eq!(check(&format!("{named}{TEXT}")).expect("the rest"), [PathBuf::from("logo.png")]);
        assert_eq!(check(TEXT).expect("all of it"), Vec::<PathBuf>::new());
        assert!(
            matches!(check(named), Err(BuildError::OnlyBinary { files }) if files == [Path::new("logo.png")])
        );
        let gone = "Binary files a/old.bin and /dev/null differ\n";
        assert!(
            matches!(check(gone), Err(BuildError::OnlyBinary { files }) if files == [Path::new("old.bin")])
        );
        // A line of a source that says so is none of the patch's.
        assert_eq!(
            check(&TEXT.replace("int b;", "Binary files a and b differ")).expect("text"),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn binary_contents_are_refused_before_patch_stumbles_over_them() {
        let held = "diff --git a/logo b/logo\nindex 1..2 100644\nGIT binary patch\nliteral 5\nMcmZQzOiW\n";
        let Err(BuildError::BinaryFix { path, .. }) = check(&format!("{TEXT}{held}")) else {
            panic!("not refused");
        };
        assert_eq!(path, Path::new("logo"));
    }
}
