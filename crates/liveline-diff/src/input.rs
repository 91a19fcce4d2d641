//! Finding the objects of two builds and pairing them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use object::LittleEndian;
use object::read::archive::ArchiveFile;
use object::read::elf::ElfFile64;
use object::read::{Object as _, ObjectSymbol as _};

use crate::{DiffError, rust};

/// The objects of one build, by the name they are paired by.
#[derive(Debug, Default)]
pub(crate) struct Build {
    files: Vec<Vec<u8>>,
    members: Vec<Member>,
    /// By crate: an object with its debug information.
    described: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug)]
struct Member {
    /// Relative path, `archive(member)`, a crate, or empty where a single object was given.
    key: String,
    file: usize,
    range: std::ops::Range<usize>,
}

/// The same object in two builds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paired<'d> {
    /// Name for people.
    pub(crate) name: &'d str,
    pub(crate) old: Option<&'d [u8]>,
    pub(crate) new: Option<&'d [u8]>,
    /// The objects compiled for their debug information.
    pub(crate) described: [Option<&'d [u8]>; 2],
}

impl Build {
    /// Reads a relocatable object, an archive, or every one of them below a folder.
    pub(crate) fn read(path: &Path) -> Result<Self, DiffError> {
        let mut build = Self::default();
        let information =
            fs::metadata(path).map_err(|source| DiffError::Read { path: path.into(), source })?;
        if information.is_dir() {
            let mut found = Vec::new();
            walk(path, &mut found, 0)?;
            found.sort();
            for file in found {
                let relative = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
                build.add(&file, relative)?;
            }
        } else {
            build.add(path, String::new())?;
        }
        if build.members.is_empty() {
            return Err(DiffError::NoObjects { path: path.into() });
        }
        build.join_crates();
        Ok(build)
    }

    /// Takes the debug information of crates from the objects of a folder.
    pub(crate) fn describe(&mut self, folder: &Path) -> Result<(), DiffError> {
        let mut found = Vec::new();
        walk(folder, &mut found, 0)?;
        for path in found {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = fs::read(&path).map_err(|source| DiffError::Read { path, source })?;
            self.described.insert(name, bytes);
        }
        Ok(())
    }

    /// Makes one object of the objects of each Rust crate.
    fn join_crates(&mut self) {
        let mut crates: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        for member in std::mem::take(&mut self.members) {
            match crate_key(&member.key) {
                Some(name) => crates.entry(name).or_default().push(member),
                None => self.members.push(member),
            }
        }
        for (name, units) in crates {
            let objects: Vec<&[u8]> = units.iter().filter_map(|unit| self.bytes(unit)).collect();
            // An object that cannot be read is left as it is, for the reader to say what it is.
            let unreadable = || objects.iter().position(|unit| rust::merge(&[unit]).is_none()).unwrap_or(0);
            match rust::merge(&objects) {
                Some(merged) => {
                    let range = 0..merged.len();
                    self.members.push(Member { key: name, file: self.files.len(), range });
                    self.files.push(merged);
                }
                None => {
                    let at = unreadable();
                    self.members.extend(units.into_iter().nth(at).map(|unit| Member { key: name, ..unit }));
                }
            }
        }
    }

    fn bytes(&self, member: &Member) -> Option<&[u8]> {
        self.files.get(member.file)?.get(member.range.clone())
    }

    fn add(&mut self, path: &Path, key: String) -> Result<(), DiffError> {
        let bytes = fs::read(path).map_err(|source| DiffError::Read { path: path.into(), source })?;
        self.add_bytes(path, key, bytes)
    }

    /// Adds an object or archive at hand.
    pub(crate) fn add_bytes(&mut self, path: &Path, key: String, bytes: Vec<u8>) -> Result<(), DiffError> {
        let damaged = |source| DiffError::Object { name: path.display().to_string(), source };
        let file = self.files.len();
        if bytes.starts_with(b"!<arch>\n") {
            let archive = ArchiveFile::parse(&*bytes).map_err(damaged)?;
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            for member in archive.members() {
                let member = member.map_err(damaged)?;
                let name = String::from_utf8_lossy(member.name()).into_owned();
                if name.ends_with(".rmeta") {
                    continue;
                }
                let (start, size) = member.file_range();
                let range = usize::try_from(start)
                    .ok()
                    .zip(start.checked_add(size).and_then(|end| usize::try_from(end).ok()))
                    .map(|(start, end)| start..end);
                let Some(range) = range.filter(|range| bytes.get(range.clone()).is_some()) else { continue };
                // Archives may hold several members of one name; the n-th pairs with the n-th.
                let count = seen.entry(name.clone()).or_default();
                *count += 1;
                let label =
                    if *count > 1 { format!("{key}({name}#{count})") } else { format!("{key}({name})") };
                self.members.push(Member { key: label, file, range });
            }
        } else {
            self.members.push(Member { key, file, range: 0..bytes.len() });
        }
        self.files.push(bytes);
        Ok(())
    }

    fn objects(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.members.iter().filter_map(|member| Some((member.key.as_str(), self.bytes(member)?)))
    }

    /// Pairs the objects of two builds by relative path and archive member.
    pub(crate) fn pair<'d>(old: &'d Self, new: &'d Self, single: &'d str) -> Vec<Paired<'d>> {
        let mut all: BTreeMap<&str, Paired<'d>> = BTreeMap::new();
        let label = |key: &'d str| if key.is_empty() { single } else { key };
        for (key, bytes) in old.objects() {
            let described =
                [rust::crate_of_object(key).and_then(|name| Some(&**old.described.get(name)?)), None];
            all.insert(key, Paired { name: label(key), old: Some(bytes), new: None, described });
        }
        for (key, bytes) in new.objects() {
            let none = Paired { name: label(key), old: None, new: None, described: [None; 2] };
            let entry = all.entry(key).or_insert(none);
            entry.new = Some(bytes);
            entry.described[1] =
                rust::crate_of_object(key).and_then(|name| Some(&**new.described.get(name)?));
        }
        pair_renamed(&mut all);
        pair_moved(&mut all);
        all.into_values().collect()
    }
}

/// Pairs crates that cargo names otherwise because they have another identity. Nothing of them means the same then,
/// which is told of the pair.
fn pair_renamed<'d>(all: &mut BTreeMap<&'d str, Paired<'d>>) {
    let mut by_name: BTreeMap<String, (Vec<&'d str>, Vec<&'d str>)> = BTreeMap::new();
    for (key, paired) in all.iter() {
        let entry = by_name.entry(rust::without_identity(key)).or_default();
        match (paired.old, paired.new) {
            (Some(_), None) => entry.0.push(key),
            (None, Some(_)) => entry.1.push(key),
            _ => {}
        }
    }
    for (_, names) in by_name {
        if let ([old], [new]) = (&*names.0, &*names.1)
            && let Some(after) = all.remove(new)
            && let Some(paired) = all.get_mut(old)
        {
            paired.new = after.new;
            paired.described[1] = after.described[1];
        }
    }
}

/// Pairs objects of a source file that got another name, by the functions and variables that they define: at least half of
/// them are the same.
fn pair_moved<'d>(all: &mut BTreeMap<&'d str, Paired<'d>>) {
    let names = |bytes: Option<&'d [u8]>| bytes.map(definitions).unwrap_or_default();
    let alone = |paired: &&Paired<'d>, old: bool| paired.old.is_some() == old && paired.new.is_some() != old;
    let gone: Vec<(&str, BTreeSet<&[u8]>)> = all
        .iter()
        .filter(|(_, paired)| alone(paired, true))
        .map(|(key, paired)| (*key, names(paired.old)))
        .collect();
    if gone.is_empty() {
        return;
    }
    let come: Vec<(&str, BTreeSet<&[u8]>)> = all
        .iter()
        .filter(|(_, paired)| alone(paired, false))
        .map(|(key, paired)| (*key, names(paired.new)))
        .collect();
    for (new, names) in come {
        let shared = |old: &BTreeSet<&[u8]>| old.intersection(&names).count();
        let Some((old, own)) = gone.iter().max_by_key(|(_, own)| shared(own)) else { continue };
        if shared(own) == 0 || 2 * shared(own) < names.len().max(own.len()) {
            continue;
        }
        if all.get(old).is_some_and(|paired| paired.new.is_none())
            && let Some(after) = all.remove(new)
            && let Some(paired) = all.get_mut(old)
        {
            paired.new = after.new;
            paired.described[1] = after.described[1];
        }
    }
}

/// Names of the functions and variables that an object defines for others.
fn definitions(bytes: &[u8]) -> BTreeSet<&[u8]> {
    let Ok(file) = ElfFile64::<LittleEndian>::parse(bytes) else { return BTreeSet::new() };
    let own = file.symbols().filter(|symbol| symbol.is_definition() && symbol.is_global());
    own.filter_map(|symbol| symbol.name_bytes().ok()).collect()
}

/// The key of the crate an object is of, if it is a codegen unit.
fn crate_key(key: &str) -> Option<String> {
    match key.strip_suffix(')').and_then(|key| key.rsplit_once('(')) {
        Some((archive, member)) => rust::crate_of(member).map(|name| format!("{archive}({name})")),
        None => rust::crate_of(key).map(str::to_owned),
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>, depth: usize) -> Result<(), DiffError> {
    let failed = |source| DiffError::Read { path: folder.into(), source };
    if depth > 64 {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let path = entry.path();
        if kind.is_dir() {
            walk(&path, found, depth + 1)?;
        } else if path.is_file() && is_object_name(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_object_name(path: &Path) -> bool {
    // `.lo` files of libtool are text; the objects they stand for have their own names.
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("o" | "a" | "rlib") => true,
        Some("lo") => {
            let mut magic = [0; 4];
            fs::File::open(path)
                .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic))
                .is_ok_and(|()| magic == *b"\x7fELF")
        }
        _ => false,
    }
}
