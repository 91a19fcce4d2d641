//! A source tree: what it holds, copies of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, FileTimes};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{BuildError, record, stop};

/// What a tree holds: relative path → what tells its contents.
pub(crate) type Manifest = BTreeMap<PathBuf, String>;

/// Reads a tree; the folder of version control is left out, and that of its products.
pub(crate) fn manifest(root: &Path, products: Option<&Path>) -> Result<Manifest, BuildError> {
    let mut out = Manifest::new();
    walk(root, Path::new(""), products, &mut |relative, path, _| {
        out.insert(relative.to_owned(), entry(path)?);
        Ok(())
    })
    .map_err(|(path, source)| BuildError::Read { path, source })?;
    Ok(out)
}

fn entry(path: &Path) -> io::Result<String> {
    let information = fs::symlink_metadata(path)?;
    if information.is_symlink() {
        return Ok(format!("-> {}", fs::read_link(path)?.display()));
    }
    Ok(format!("{:o} {}", information.permissions().mode() & 0o111, record::hash(path)?))
}

type Failed = (PathBuf, io::Error);

fn walk(
    root: &Path,
    relative: &Path,
    products: Option<&Path>,
    each: &mut impl FnMut(&Path, &Path, fs::FileType) -> io::Result<()>,
) -> Result<(), Failed> {
    let folder = root.join(relative);
    let failed = |path: &Path, error| (path.to_owned(), error);
    let entries = fs::read_dir(&folder).map_err(|error| failed(&folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(&folder, error))?;
        stop::check().map_err(|error| failed(&folder, error))?;
        let kind = entry.file_type().map_err(|error| failed(&entry.path(), error))?;
        let inner = relative.join(entry.file_name());
        if entry.file_name() == ".git" || products == Some(&inner) {
            continue;
        }
        if kind.is_dir() {
            walk(root, &inner, products, each)?;
        } else if kind.is_file() || kind.is_symlink() {
            each(&inner, &entry.path(), kind).map_err(|error| failed(&entry.path(), error))?;
        }
    }
    Ok(())
}

/// Copies a tree with its times, but for the folder of its products. Version control comes along, for builds that ask
/// it.
pub(crate) fn copy(from: &Path, to: &Path, products: Option<&Path>) -> Result<(), BuildError> {
    let left_out = products.map(|inner| from.join(inner));
    copy_folder(from, to, left_out.as_deref()).map_err(|(path, source)| BuildError::Copy { path, source })
}

fn copy_folder(from: &Path, to: &Path, left_out: Option<&Path>) -> Result<(), Failed> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    fs::create_dir_all(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        stop::check().map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed(&source))?;
        if kind.is_dir() {
            if left_out != Some(&source) {
                copy_folder(&source, &target, left_out)?;
            }
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).map_err(failed(&source))?;
            std::os::unix::fs::symlink(link, &target).map_err(failed(&target))?;
        } else if kind.is_file() {
            copy_file(&source, &target).map_err(failed(&source))?;
        }
    }
    // Last, since what was put into it changed its time.
    let times = fs::metadata(from).and_then(|m| m.modified()).map_err(failed(from))?;
    let _ = fs::File::open(to).and_then(|folder| folder.set_times(FileTimes::new().set_modified(times)));
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let times = FileTimes::new().set_modified(fs::metadata(from)?.modified()?);
    // A file that may not be written can still have its time set by its owner, through a handle for reading.
    fs::File::open(to)?.set_times(times)
}

/// Removes what an earlier build left in a copy, so that the recorded one makes it again: objects, archives, programs,
/// libtool's descriptions. What version control knows stays.
pub(crate) fn remove_products(original: &Path, copy: &Path) -> Result<(), BuildError> {
    let kept = tracked(original);
    let mut found = Vec::new();
    walk(copy, Path::new(""), None, &mut |relative, path, kind| {
        if kind.is_file() && !kept.contains(relative) && is_product(path)? {
            found.push(path.to_owned());
        }
        Ok(())
    })
    .map_err(|(path, source)| BuildError::Read { path, source })?;
    for path in found {
        fs::remove_file(&path).map_err(|source| BuildError::Copy { path, source })?;
    }
    Ok(())
}

/// What git knows of; nothing where there is no git.
pub(crate) fn tracked(root: &Path) -> BTreeSet<PathBuf> {
    if !root.join(".git").exists() {
        return BTreeSet::new();
    }
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "-C"])
        .arg(root)
        .args(["ls-files", "-z"])
        .output();
    let Ok(listed) = listed else { return BTreeSet::new() };
    let names = listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name))).collect()
}

fn is_product(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, 64), &mut head)?;
    let libtool = path.extension().is_some_and(|end| end == "lo" || end == "la");
    Ok(head.starts_with(b"\x7fELF")
        || head.starts_with(b"!<arch>\n")
        || head.starts_with(b"!<thin>\n")
        || (libtool && head.starts_with(b"# ")))
}

/// What [`manifest`] would say of one file; none if it is not there.
pub(crate) fn manifest_entry(root: &Path, relative: &Path) -> Option<String> {
    entry(&root.join(relative)).ok()
}
