//! Objects whose making was not seen: a compiler that is called by a path goes past the shims.
//!
//! What such a compiler reads is unknown. Its source is named in the object; a header of the fix may be in any of them,
//! and the build may not know that either.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use liveline_diff::list_in_brief;
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSymbol, SymbolKind};

use crate::record::{self, Input, Link};
use crate::side::{Plan, Side, describes_build, is_rustc};
use crate::{BuildError, stage, tree};

/// How many files are named to a person.
const SHOWN: usize = 5;

/// An object that went into the product.
#[derive(Debug)]
pub(crate) struct Unseen {
    name: PathBuf,
    /// The file name of its source.
    source: Option<OsString>,
}

/// Their names, from the root of the tree.
pub(crate) fn paths(unseen: &[Unseen]) -> Vec<PathBuf> {
    unseen.iter().map(|one| one.name.clone()).collect()
}

/// Files that compilers of a side read, from the root of the tree.
pub(crate) fn read(plan: &Plan, side: &Side) -> BTreeSet<PathBuf> {
    let files = side.compiles().filter_map(|compile| compile.depends.as_ref()).flatten();
    files.filter_map(|file| plan.relative(file, &side.tree)).collect()
}

/// Whether a file is what an unseen object was made from: every build compiles it again when it is newer.
pub(crate) fn is_source(unseen: &[Unseen], path: &Path) -> bool {
    path.file_name().is_some_and(|name| unseen.iter().any(|one| one.source.as_deref() == Some(name)))
}

/// Refuses a change to files of which nothing tells who reads them.
pub(crate) fn check(
    plan: &Plan,
    (old, new): (&Side, &Side),
    unseen: &[Unseen],
    touched: &BTreeSet<PathBuf>,
) -> Result<(), BuildError> {
    if unseen.is_empty() {
        return Ok(());
    }
    let (before, after) = (read(plan, old), read(plan, new));
    let known = |path: &PathBuf| {
        before.contains(path) || after.contains(path) || describes_build(path) || is_source(unseen, path)
    };
    let files: Vec<PathBuf> = touched.iter().filter(|path| !known(path)).cloned().collect();
    if files.is_empty() {
        return Ok(());
    }
    let names = |paths: &[PathBuf]| list_in_brief(paths.iter().map(|path| path.display()), SHOWN);
    Err(BuildError::Unseen { files: names(&files), objects: names(&paths(unseen)) })
}

/// The objects of a link that the build made, and of which no compilation was seen.
pub(crate) fn find(plan: &Plan, side: &Side, link: &Link) -> Result<Vec<Unseen>, BuildError> {
    let seen = Seen {
        hashes: side.compiles().map(|compile| compile.hash.as_str()).collect(),
        outputs: side
            .compiles()
            .filter_map(|compile| Path::new(&compile.output).file_name()?.to_str())
            .collect(),
        sources: side
            .compiles()
            .filter_map(|compile| compile.depends.as_ref())
            .flatten()
            .filter_map(|file| Path::new(file).file_name()?.to_str())
            .collect(),
        own: tree::tracked(plan.source),
        rust: side.compiles().any(is_rustc),
    };
    let mut out = Vec::new();
    let mut links = vec![link];
    let mut visited: BTreeSet<&OsString> = BTreeSet::new();
    while let Some(link) = links.pop() {
        if !visited.insert(&link.output) {
            continue;
        }
        for input in &link.inputs {
            // `ld -r` makes one object of many.
            match side.links().filter(|other| other.output == input.path).last() {
                Some(inner) => links.push(inner),
                None => seen.look(plan, side, input, &mut out)?,
            }
        }
    }
    Ok(out)
}

/// Whether rustc made an input: its compilations are told by crate, not by object, and what it makes for the linker alone
/// (`symbols.o`, the metadata of a dylib) lies in a folder `rustc…` that lives as long as the link.
fn of_rustc(input: &Path) -> bool {
    let text = input.to_string_lossy();
    let folder = input.parent().and_then(|folder| folder.file_name()).unwrap_or_default().to_string_lossy();
    text.ends_with(".rlib") || text.ends_with(".rcgu.o") || (folder.starts_with("rustc") && !input.exists())
}

/// What is known of a side's compilations.
struct Seen<'s> {
    hashes: BTreeSet<&'s str>,
    outputs: BTreeSet<&'s str>,
    sources: BTreeSet<&'s str>,
    /// Objects that belong to the sources.
    own: BTreeSet<PathBuf>,
    rust: bool,
}

impl Seen<'_> {
    fn look(&self, plan: &Plan, side: &Side, input: &Input, out: &mut Vec<Unseen>) -> Result<(), BuildError> {
        let inside = plan.relative(&input.path, &side.tree);
        if inside.as_ref().is_some_and(|path| self.own.contains(path)) {
            return Ok(());
        }
        // Outside the tree, what lasts was there before; a driver removes its temporary objects.
        if inside.is_none() && (self.rust || Path::new(&input.path).exists()) {
            return Ok(());
        }
        if self.rust && of_rustc(Path::new(&input.path)) {
            return Ok(());
        }
        let stored = record::store(&side.record).join(&input.hash);
        let bytes = fs::read(&stored).map_err(|source| BuildError::Read { path: stored.clone(), source })?;
        let name = inside.unwrap_or_else(|| PathBuf::from(&input.path));
        if bytes.starts_with(b"!<thin>\n") {
            let path = plan.in_copy(&input.path, &side.tree).unwrap_or_else(|| PathBuf::from(&input.path));
            for (member, bytes) in stage::thin(&path, &bytes)? {
                out.extend(self.unseen(&name.join(member), &bytes));
            }
        } else if bytes.starts_with(b"!<arch>\n") {
            let damaged = |error: object::read::Error| BuildError::Archive {
                path: name.clone(),
                reason: error.to_string(),
            };
            for member in ArchiveFile::parse(&*bytes).map_err(damaged)?.members() {
                let member = member.map_err(damaged)?;
                let inner = String::from_utf8_lossy(member.name()).into_owned();
                out.extend(self.unseen(&name.join(inner), member.data(&*bytes).map_err(damaged)?));
            }
        } else {
            out.extend(self.unseen(&name, &bytes));
        }
        Ok(())
    }

    fn unseen(&self, name: &Path, bytes: &[u8]) -> Option<Unseen> {
        let file = object::File::parse(bytes).ok()?;
        let source = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::File)
            .find_map(|symbol| Some(Path::new(symbol.name().ok()?).file_name()?.to_owned()));
        let named = |name: Option<&std::ffi::OsStr>, set: &BTreeSet<&str>| {
            name.and_then(|name| name.to_str()).is_some_and(|name| set.contains(name))
        };
        // What was worked on since it was compiled (objcopy, strip) has its name still.
        let known = self.hashes.contains(blake3::hash(bytes).to_hex().as_str())
            || named(name.file_name(), &self.outputs)
            || named(source.as_deref(), &self.sources);
        (!known).then(|| Unseen { name: name.to_owned(), source })
    }
}
