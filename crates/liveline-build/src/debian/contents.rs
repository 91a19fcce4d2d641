//! What the binary packages of a source hold, and what of it an update changes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::Archive;
use super::archive::source_field;
use super::error::{DebianError, Result, Tried};
use super::proof::Proof;

/// A binary package of both versions, unpacked.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) old: PathBuf,
    pub(super) new: PathBuf,
}

/// A program or library that an update changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangedProgram {
    pub(super) package: String,
    /// From the root of the system.
    pub(super) path: PathBuf,
    /// The stock file of the version that runs.
    pub(super) old: PathBuf,
    /// Other names it has in the source's packages: links, and copies of the very same bytes.
    pub(super) links: Vec<PathBuf>,
}

/// What an update touches and a live patch does not carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// The binary package.
    pub package: String,
    /// The file, from the root of the system; `DEBIAN/…` is a script that runs at installation.
    pub path: PathBuf,
    /// `changed`, `new` or `removed`.
    pub change: &'static str,
    /// What kind of file it is.
    pub kind: &'static str,
}

/// What an update changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) programs: Vec<ChangedProgram>,
    /// Programs and libraries that load the same bytes in both versions.
    pub(super) same: Vec<PathBuf>,
    pub(super) beyond: Vec<Beyond>,
}

/// Fetches and unpacks the binary packages of both versions of the source package in `dsc`.
pub(super) fn fetch(
    archive: &Archive,
    dsc: &Path,
    (source, old, new): (&str, &str, &str),
) -> Result<(Vec<Package>, Vec<String>)> {
    let names = source_field(dsc, "Binary")?.unwrap_or_default();
    let (mut packages, mut notes) = (Vec::new(), Vec::new());
    for name in names.split([',', ' ']).filter(|name| !name.is_empty()) {
        let there = archive.binaries(name)?;
        let folder = |version: &str| archive.kept(source).join(format!("stock-{name}-{version}"));
        // A package that was built again without a change of its sources has a version of its own.
        let of = |version: &str| {
            let again = format!("{version}+b");
            let kept = folder(version).join("done").exists().then(|| version.to_owned());
            kept.or_else(|| there.iter().find(|v| *v == version || v.starts_with(&again)).cloned())
        };
        let (Some(before), Some(after)) = (of(old), of(new)) else {
            // Not for this architecture, perhaps, or not in this version.
            if !there.is_empty() {
                notes.push(format!("{name} is in the archive in one of the versions only: not compared"));
            }
            continue;
        };
        let unpack = |version: &str| -> Result<PathBuf> {
            let into = folder(version);
            archive.binary(name, version, &into)?;
            Ok(into)
        };
        packages.push(Package { name: name.into(), old: unpack(&before)?, new: unpack(&after)? });
    }
    if packages.is_empty() {
        return Err(DebianError::NoBinary { package: source.into(), version: old.into() });
    }
    Ok((packages, notes))
}

/// Compares all files of the packages.
pub(super) fn compare(packages: &[Package]) -> Result<Changes> {
    let mut changes = Changes::default();
    let mut links = BTreeMap::new();
    for package in packages {
        let (old, mut new) = (files(&package.old)?, files(&package.new)?);
        for (path, entry) in &old {
            if let Entry::Link(target) = entry {
                links.insert(path.clone(), target.clone());
            }
            let there = match new.remove_entry(path) {
                Some((_, there)) => Some((path.clone(), there)),
                // A library whose file is named by its version.
                None if *entry == Entry::Elf => {
                    let same = |other: &PathBuf| other.parent() == path.parent() && stem(other) == stem(path);
                    let name = new.iter().find(|(p, e)| **e == Entry::Elf && same(p)).map(|(p, _)| p.clone());
                    name.and_then(|name| new.remove_entry(&name))
                }
                None => None,
            };
            let (before, Some((name, there))) = (package.old.join(path), there) else {
                changes.beyond(package, path, "removed", entry);
                continue;
            };
            let after = package.new.join(&name);
            match (entry, &there) {
                (Entry::Link(a), Entry::Link(b)) if a == b => {}
                (Entry::Elf, Entry::Elf) => {
                    if same_bytes(&before, &after)? || Proof::of(&before, &after)?.holds() {
                        changes.same.push(Path::new("/").join(path));
                    } else if let Some(program) = changes.copy_of(&before)? {
                        program.links.push(Path::new("/").join(path));
                    } else {
                        changes.programs.push(ChangedProgram {
                            package: package.name.clone(),
                            path: Path::new("/").join(path),
                            old: before,
                            links: Vec::new(),
                        });
                    }
                }
                (Entry::File, Entry::File) if same_bytes(&before, &after)? => {}
                _ => changes.beyond(package, path, "changed", entry),
            }
        }
        for (path, entry) in &new {
            changes.beyond(package, path, "new", entry);
        }
    }
    for program in &mut changes.programs {
        let own = |path: &PathBuf| *path == program.path || program.links.contains(path);
        let names = links.keys().map(|path| Path::new("/").join(path));
        let leading: Vec<PathBuf> = names.filter(|path| own(&resolve(path, &links))).collect();
        program.links.extend(leading);
    }
    Ok(changes)
}

impl Changes {
    /// The program that the old file is another copy of.
    fn copy_of(&mut self, old: &Path) -> Result<Option<&mut ChangedProgram>> {
        for at in 0..self.programs.len() {
            if same_bytes(&self.programs[at].old, old)? {
                return Ok(self.programs.get_mut(at));
            }
        }
        Ok(None)
    }

    fn beyond(&mut self, package: &Package, path: &Path, change: &'static str, entry: &Entry) {
        let text = path.to_string_lossy();
        // They name the version, and what else differs is told.
        let names_version = ["DEBIAN/md5sums", "DEBIAN/control"].contains(&&*text)
            || (text.starts_with("usr/share/doc/") && text.contains("/changelog"));
        if names_version {
            return;
        }
        let root = if path.starts_with("DEBIAN") { Path::new("") } else { Path::new("/") };
        let kind = kind(&text, entry);
        self.beyond.push(Beyond { package: package.name.clone(), path: root.join(path), change, kind });
    }
}

fn kind(path: &str, entry: &Entry) -> &'static str {
    match entry {
        Entry::Elf => return "program or library",
        Entry::Link(_) => return "link",
        Entry::File => {}
    }
    let under = |folder: &str| path.starts_with(folder);
    match () {
        () if under("DEBIAN/") => "script of the package",
        () if under("etc/") => "configuration",
        () if under("usr/share/doc") || under("usr/share/man") || under("usr/share/info") => "documentation",
        () if under("usr/include/") || path.ends_with(".a") || path.ends_with(".pc") => {
            "for building other programs"
        }
        () if under("usr/bin/") || under("usr/sbin/") || under("bin/") || under("sbin/") => "script",
        () if under("lib/systemd/") || under("usr/lib/systemd/") => "service description",
        () => "data",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Elf,
    File,
    Link(PathBuf),
}

/// Everything in an unpacked package, by its path from the root.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Entry>> {
    let mut out = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inner) = open.pop() {
        let here = folder.join(&inner);
        for entry in fs::read_dir(&here).tried(format!("read {}", here.display()))? {
            let entry = entry.tried(format!("read {}", here.display()))?;
            let (path, name) = (inner.join(entry.file_name()), entry.file_name());
            let kind = entry.file_type().tried(format!("read {}", here.display()))?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).tried(format!("read {}", entry.path().display()))?;
                out.insert(path, Entry::Link(target));
            } else if inner.as_os_str().is_empty() {
                // What was put beside the unpacked files.
                let own = name.to_string_lossy();
                debug_assert!(own.ends_with(".deb") || own == "done" || own == "last-command.log");
            } else if kind.is_file() {
                let elf = is_linked(&entry.path())?;
                out.insert(path, if elf { Entry::Elf } else { Entry::File });
            }
        }
    }
    Ok(out)
}

/// Whether a file is an ELF program or shared library.
pub(super) fn is_linked(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    let file = fs::File::open(path).tried(format!("read {}", path.display()))?;
    file.take(18).read_to_end(&mut head).tried(format!("read {}", path.display()))?;
    Ok(head.len() == 18 && head.starts_with(b"\x7fELF") && [[2, 0], [3, 0]].contains(&[head[16], head[17]]))
}

fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    let read = |path: &Path| fs::read(path).tried(format!("read {}", path.display()));
    Ok(read(a)? == read(b)?)
}

fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    crate::stage::stem(&name).to_owned()
}

/// Where a path leads by the links of the packages themselves.
fn resolve(path: &Path, links: &BTreeMap<PathBuf, PathBuf>) -> PathBuf {
    let mut path = path.to_owned();
    // Links may form a circle.
    for _ in 0..8 {
        let Some(target) = links.get(path.strip_prefix("/").unwrap_or(&path)) else { break };
        let mut clean = PathBuf::new();
        for part in path.parent().unwrap_or(Path::new("/")).join(target).components() {
            match part {
                Component::ParentDir => drop(clean.pop()),
                Component::CurDir => {}
                other => clean.push(other),
            }
        }
        path = clean;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, path: &str, text: &str) {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn what_a_live_patch_does_not_carry_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        for (side, text) in [(&old, "one"), (&new, "two")] {
            put(side, "etc/x.conf", text);
            put(side, "usr/share/doc/x/changelog.Debian.gz", text);
            put(side, "DEBIAN/control", text);
            put(side, "DEBIAN/postinst", text);
            put(side, "usr/share/x/same", "same");
        }
        put(&new, "usr/share/x/more", "more");
        let package = Package { name: "x".into(), old, new };
        let changes = compare(&[package]).unwrap();
        let told: Vec<String> =
            changes.beyond.iter().map(|b| format!("{} {} {}", b.path.display(), b.change, b.kind)).collect();
        assert_eq!(
            told,
            [
                "DEBIAN/postinst changed script of the package",
                "/etc/x.conf changed configuration",
                "/usr/share/x/more new data"
            ]
        );
        assert!(changes.programs.is_empty());
    }

    #[test]
    fn links_lead_to_the_file() {
        let links = BTreeMap::from([
            ("usr/bin/redis-server".into(), "redis-check-rdb".into()),
            ("usr/sbin/a".into(), "../bin/redis-server".into()),
        ]);
        assert_eq!(resolve(Path::new("/usr/sbin/a"), &links), Path::new("/usr/bin/redis-check-rdb"));
    }
}
