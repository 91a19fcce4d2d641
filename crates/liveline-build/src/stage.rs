//! From what a build recorded to the objects of one program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use object::read::archive::ArchiveFile;
use object::{Object, ObjectSymbol, SymbolKind};

use crate::record::{self, Input, Link};
use crate::side::{Plan, Side};
use crate::{BuildError, Product};

/// What the old build linked that is an answer to `running`.
pub(crate) fn choose<'s>(
    plan: &Plan,
    side: &'s Side,
    running: &Path,
    product: Option<&Path>,
) -> Result<&'s Link, BuildError> {
    // A file that was linked several times: what was written last is there.
    let mut links: BTreeMap<&OsString, &Link> = BTreeMap::new();
    for link in side.links() {
        links.insert(&link.output, link);
    }
    if links.is_empty() {
        let compiled = side.compiles().count();
        return Err(BuildError::NothingLinked { compiled, log: side.log.clone() });
    }
    let name = |path: &OsString| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let mut found: Vec<&Link> = match product {
        Some(product) => links
            .values()
            .copied()
            .filter(|link| {
                plan.relative(&link.output, &side.tree).is_some_and(|path| path.ends_with(product))
            })
            .collect(),
        None => {
            let wanted =
                running.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // cargo names the file it links after the crate, not the program.
            let crate_name = |name: &str| stem(name).replace('-', "_");
            let same = |found: &str| found == wanted || crate_name(found) == crate_name(&wanted);
            links
                .values()
                .copied()
                .filter(|link| name(&link.output).is_some_and(|name| same(&name)))
                .collect()
        }
    };
    if found.is_empty() && product.is_none() {
        found = alike(links.values().copied(), running, plan, side);
    }
    let list = |links: &[&Link]| -> Vec<String> {
        let named = links.iter().filter_map(|link| plan.relative(&link.output, &side.tree));
        named.map(|path| path.display().to_string()).collect()
    };
    if let (true, Some(product)) = (found.is_empty(), product) {
        let all: Vec<&Link> = links.into_values().collect();
        return Err(BuildError::NoSuchProduct { product: product.into(), products: list(&all) });
    }
    match found[..] {
        [one] => Ok(one),
        _ => Err(BuildError::WhichProduct {
            running: running.into(),
            products: list(&if found.is_empty() { links.into_values().collect() } else { found }),
        }),
    }
}

/// `libssl.so.3.0.1` → `libssl.so`, `prog-0123456789abcdef` → `prog`.
pub(crate) fn stem(name: &str) -> &str {
    if let Some(at) = name.find(".so") {
        return &name[..at + 3];
    }
    match name.rsplit_once('-') {
        Some((stem, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => stem,
        _ => name,
    }
}

/// Products that define most of the functions of a program under another name.
fn alike<'s>(
    links: impl Iterator<Item = &'s Link>,
    running: &Path,
    plan: &Plan,
    side: &Side,
) -> Vec<&'s Link> {
    let Some(wanted) = functions(running).filter(|names| !names.is_empty()) else { return Vec::new() };
    links
        .filter(|link| {
            let file = plan.in_copy(&link.output, &side.tree).and_then(|path| functions(&path));
            file.is_some_and(|names| {
                let common = wanted.iter().filter(|name| names.contains(*name)).count();
                common * 10 >= wanted.len() * 9 && common * 10 >= names.len() * 8
            })
        })
        .collect()
}

/// What the start-up files bring into each program.
const START: [&str; 10] = [
    "main",
    "_start",
    "_init",
    "_fini",
    "frame_dummy",
    "register_tm_clones",
    "deregister_tm_clones",
    "__do_global_dtors_aux",
    "_dl_relocate_static_pie",
    "__libc_csu_init",
];

/// Refuses a running program that has little in common with what was built, or lacks a changed function that was built
/// into it: asked where the change meets none of its functions, which may as well be because they are inlined.
pub(crate) fn check_same_program(
    plan: &Plan,
    side: &Side,
    link: &Link,
    running: &Path,
    changed: &[&str],
) -> Result<(), BuildError> {
    let built = plan.in_copy(&link.output, &side.tree).and_then(|path| functions(&path));
    let Some((mut there, mut built)) = functions(running).zip(built) else { return Ok(()) };
    there.retain(|name| !START.contains(&name.as_str()));
    built.retain(|name| !START.contains(&name.as_str()));
    let (common, all) = (there.intersection(&built).count(), there.union(&built).count());
    let product = plan.relative(&link.output, &side.tree).unwrap_or_default().display().to_string();
    if common * 2 < all {
        return Err(BuildError::OtherProgram { running: running.into(), product, common, all });
    }
    // The same build has the same functions.
    match changed.iter().find(|name| built.contains(**name) && !there.contains(**name)) {
        Some(name) => {
            let function = liveline_elf::demangle::name(name).into_owned();
            Err(BuildError::OtherBuild { running: running.into(), product, function })
        }
        None => Ok(()),
    }
}

fn functions(path: &Path) -> Option<std::collections::BTreeSet<String>> {
    let bytes = fs::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let named = file.symbols().chain(file.dynamic_symbols());
    let code = named.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
    Some(code.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect())
}

/// The link of the new side that made the same file.
pub(crate) fn counterpart<'s>(
    plan: &Plan,
    old: &Side,
    link: &Link,
    new: &'s Side,
) -> Result<&'s Link, BuildError> {
    let wanted = plan.relative(&link.output, &old.tree);
    let same = |own: &&Link| plan.relative(&own.output, &new.tree) == wanted;
    // cargo names another crate of the same name otherwise; the comparison says what is wrong with that.
    let renamed = |own: &&Link| {
        let crate_path = |path: Option<PathBuf>| path.map(|path| stem(&path.to_string_lossy()).to_owned());
        crate_path(plan.relative(&own.output, &new.tree)) == crate_path(wanted.clone())
    };
    new.links().filter(same).last().or_else(|| new.links().filter(renamed).last()).ok_or_else(|| {
        BuildError::NotLinkedAgain {
            product: wanted.unwrap_or_default().display().to_string(),
            log: new.log.clone(),
        }
    })
}

/// Puts the objects of a link below `folder`, named so that both sides' pair.
pub(crate) fn stage(plan: &Plan, side: &Side, link: &Link, folder: &Path) -> Result<Product, BuildError> {
    let mut product = Product { objects: folder.into(), count: 0, comments: Default::default() };
    let mut seen: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (index, input) in link.inputs.iter().enumerate() {
        let stored = record::store(&side.record).join(&input.hash);
        let bytes = fs::read(&stored).map_err(|source| BuildError::Read { path: stored.clone(), source })?;
        let name = key(plan, side, input, &bytes, index);
        if bytes.starts_with(b"!<thin>\n") {
            let path = plan.in_copy(&input.path, &side.tree).unwrap_or_else(|| PathBuf::from(&input.path));
            for (member, bytes) in thin(&path, &bytes)? {
                product.put(folder, &mut seen, &name.join(member), &bytes)?;
            }
        } else {
            product.put(folder, &mut seen, &name, &bytes)?;
        }
    }
    Ok(product)
}

/// Path in the tree, or for a temporary object the source it was made from.
fn key(plan: &Plan, side: &Side, input: &Input, bytes: &[u8], index: usize) -> PathBuf {
    let mut key = plan.relative(&input.path, &side.tree).unwrap_or_else(|| {
        let source = object::File::parse(bytes).ok().and_then(|file| {
            let mut names = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::File);
            names.next().and_then(|symbol| symbol.name().ok().map(str::to_owned))
        });
        let name = source.unwrap_or_else(|| format!("{index}"));
        Path::new("temporary").join(name.trim_start_matches('/').replace("../", ""))
    });
    let end = if bytes.starts_with(b"\x7fELF") { "o" } else { "a" };
    if key.extension().is_none_or(|own| own != end) {
        let mut name = key.into_os_string();
        name.push(format!(".{end}"));
        key = name.into();
    }
    key
}

/// The members of a thin archive, which holds only their names.
pub(crate) fn thin(path: &Path, bytes: &[u8]) -> Result<Vec<(PathBuf, Vec<u8>)>, BuildError> {
    let damaged =
        |error: object::read::Error| BuildError::Archive { path: path.into(), reason: error.to_string() };
    let archive = ArchiveFile::parse(bytes).map_err(damaged)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut out = Vec::new();
    for member in archive.members() {
        let name = String::from_utf8_lossy(member.map_err(damaged)?.name()).into_owned();
        let file = folder.join(&name);
        let bytes = fs::read(&file).map_err(|source| BuildError::Read { path: file, source })?;
        out.push((name.trim_start_matches('/').replace("../", "").into(), bytes));
    }
    Ok(out)
}

impl Product {
    fn put(
        &mut self,
        folder: &Path,
        seen: &mut BTreeMap<PathBuf, usize>,
        name: &Path,
        bytes: &[u8],
    ) -> Result<(), BuildError> {
        let count = seen.entry(name.to_owned()).or_default();
        *count += 1;
        let name = if *count > 1 { Path::new(&format!("{count}")).join(name) } else { name.to_owned() };
        let file = folder.join(name);
        let failed = |source| BuildError::Copy { path: file.clone(), source };
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&file, bytes).map_err(failed)?;
        self.count += 1;
        self.comments.extend(crate::compiler::comments(bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn names_of_products() {
        assert_eq!(stem("libssl.so.3"), stem("libssl.so"));
        assert_eq!(stem("server-0123456789abcdef"), "server");
        assert_eq!(stem("redis-server"), "redis-server");
    }
}
