//! The two sides: the old one built once and kept by content, the new one made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use liveline_diff::Described;

use crate::fix::{self, Change};
use crate::identity::{self, Identity, Trees};
use crate::record::{self, Compile, Event, Link};
use crate::run::{Run, make_shims, side_files};
use crate::scratch::Scratch;
use crate::tree::{self, Manifest};
use crate::{BuildError, Progress, describe, shim};

/// What both sides share.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The running program's sources.
    pub(crate) source: &'a Path,
    /// Where the tree must seem to lie: [`Self::source`], unless the program was built elsewhere.
    pub(crate) place: &'a Path,
    /// Where in the tree the command is run.
    pub(crate) folder: &'a Path,
    pub(crate) command: &'a [OsString],
    pub(crate) products: Products,
    pub(crate) cache: &'a Path,
}

/// Where a build puts what it makes.
#[derive(Clone, Debug)]
pub(crate) enum Products {
    /// Among the sources, as make does.
    Mixed,
    /// Into a folder of the tree that holds nothing else; cargo knows by itself what a change makes stale.
    Inside(PathBuf),
    /// Into such a folder outside the tree.
    Outside(PathBuf),
}

impl Products {
    /// The folder of the tree that holds no sources.
    fn inside(&self) -> Option<&Path> {
        match self {
            Products::Inside(folder) => Some(folder),
            Products::Mixed | Products::Outside(_) => None,
        }
    }

    fn outside(&self) -> Option<&Path> {
        match self {
            Products::Outside(folder) => Some(folder),
            Products::Mixed | Products::Inside(_) => None,
        }
    }

    fn are_mixed(&self) -> bool {
        matches!(self, Products::Mixed)
    }
}

/// Where a side keeps products that belong outside the tree.
fn outer_products(copy: &Path) -> PathBuf {
    copy.with_file_name("products")
}

/// One side, built.
#[derive(Debug)]
pub(crate) struct Side {
    /// The copy that was built.
    pub(crate) tree: PathBuf,
    pub(crate) record: PathBuf,
    pub(crate) events: Vec<Event>,
    pub(crate) log: PathBuf,
    /// Taken from the cache.
    pub(crate) cached: bool,
    pub(crate) manifest: Manifest,
}

/// The new side.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) side: Side,
    /// Files that the change touches.
    pub(crate) touched: BTreeSet<PathBuf>,
    pub(crate) identity: Identity,
}

impl Side {
    pub(crate) fn compiles(&self) -> impl Iterator<Item = &Compile> {
        self.events.iter().filter_map(|event| match event {
            Event::Compile(compile) => Some(compile),
            Event::Link(_) => None,
        })
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = &Link> {
        self.events.iter().filter_map(|event| match event {
            Event::Link(link) => Some(link),
            Event::Compile(_) => None,
        })
    }
}

impl Plan<'_> {
    /// Builds the old side, or takes it from the cache.
    pub(crate) fn old(&self, progress: &mut dyn FnMut(Progress)) -> Result<Side, BuildError> {
        let manifest = tree::manifest(self.source, self.products.inside())?;
        let folder = self.cache.join(self.key(&manifest));
        let made = |source: std::io::Error| BuildError::Copy { path: folder.clone(), source };
        let cached = folder.exists();
        if !cached {
            // Under its name only once it is whole: a build that is killed leaves nothing to be mistaken for one.
            let part = Scratch::new(self.cache).map_err(made)?;
            let (copy, record, log) = side_files(part.path());
            progress(Progress::Copying);
            self.copy_source(&copy)?;
            if let Err(error) = self.run((&copy, &[]), &record, &log, "old", &manifest, progress) {
                if error.names_log() {
                    part.keep();
                }
                return Err(error);
            }
            let part = part.keep();
            if let Err(error) = fs::rename(&part, &folder) {
                let _ = fs::remove_dir_all(&part);
                if !folder.exists() {
                    return Err(made(error));
                }
            }
        }
        let (tree, record, log) = side_files(&folder);
        Ok(Side { events: read(&record)?, tree, record, log, cached, manifest })
    }

    /// Makes the new side in `folder` from the old one: only what the change touches is compiled.
    pub(crate) fn new_side(
        &self,
        old: &Side,
        product: &Link,
        change: &Change,
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<New, BuildError> {
        let (copy, record, log) = side_files(folder);
        progress(Progress::Copying);
        tree::copy(&old.tree, &copy, None)?;
        if self.products.outside().is_some() {
            tree::copy(&outer_products(&old.tree), &outer_products(&copy), None)?;
        }
        let touched = fix::apply(change, &old.manifest, &copy, self.products.inside())?;
        let identity = self.keep_identity(old, &copy, &touched, &folder.join("sources"))?;
        let overlays = &identity.overlays;
        let incremental = !self.products.are_mixed() || !touched.iter().any(|path| describes_build(path));
        if incremental {
            self.make_stale(old, product, &copy, &touched);
            for kept in &identity.kept {
                self.forget(&copy, &kept.name);
            }
            self.run((&copy, overlays), &record, &log, "new", &old.manifest, progress)?;
            let side = self.side(copy, record, log)?;
            if self.missed(old, &side, &touched).is_none() {
                return Ok(New { side, touched, identity });
            }
        }
        // The build did not see the change by itself, or the change is to the build: all of it, then.
        let folder = folder.join("whole");
        let (copy, record, log) = side_files(&folder);
        self.copy_source(&copy)?;
        fix::apply(change, &old.manifest, &copy, self.products.inside())?;
        let identity = self.keep_identity(old, &copy, &touched, &folder.join("sources"))?;
        self.run((&copy, &identity.overlays), &record, &log, "new", &old.manifest, progress)?;
        let side = self.side(copy, record, log)?;
        match self.missed(old, &side, &touched) {
            None => Ok(New { side, touched, identity }),
            Some(path) => Err(BuildError::NotCompiled { path }),
        }
    }

    fn copy_source(&self, copy: &Path) -> Result<(), BuildError> {
        tree::copy(self.source, copy, self.products.inside())?;
        if self.products.are_mixed() { tree::remove_products(self.source, copy) } else { Ok(()) }
    }

    fn side(&self, tree: PathBuf, record: PathBuf, log: PathBuf) -> Result<Side, BuildError> {
        Ok(Side { events: read(&record)?, tree, record, log, cached: false, manifest: Manifest::new() })
    }

    /// Compiles crates that differ for their debug information, where they have none.
    pub(crate) fn describe(
        &self,
        (old, before): (&Side, &Link),
        (new, after): (&Side, &Link),
        identity: &Identity,
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Described>, BuildError> {
        let into = Described { old: folder.join("types-old"), new: folder.join("types-new") };
        let Some([of_old, of_new]) = describe::wanted((old, before), (new, after), (&into.old, &into.new))
        else {
            return Ok(None);
        };
        for (side, work, overlays, name) in
            [(old, of_old, &[][..], "old"), (new, of_new, &identity.overlays, "new")]
        {
            let list = folder.join(format!("types-{name}.json"));
            describe::write(&list, &work)?;
            let command = [self.cache.join("shims").join(shim::DESCRIBE).into(), list.into()];
            let plan = Plan { command: &command, products: self.products.clone(), ..*self };
            let (record, log) =
                (folder.join(format!("types-{name}")), folder.join(format!("types-{name}.log")));
            plan.run((&side.tree, overlays), &record, &log, name, &old.manifest, progress)?;
        }
        Ok(Some(into))
    }

    fn keep_identity(
        &self,
        old: &Side,
        copy: &Path,
        touched: &BTreeSet<PathBuf>,
        scratch: &Path,
    ) -> Result<Identity, BuildError> {
        if self.products.are_mixed() {
            return Ok(Identity::default());
        }
        let (place, folder, command) = (self.place, self.folder, self.command);
        identity::keep(Trees { old: &old.tree, new: copy, place, folder, command }, touched, scratch)
    }

    /// Makes cargo compile a package of a registry again, which it takes for one that never changes.
    fn forget(&self, copy: &Path, package: &str) {
        let products = match &self.products {
            Products::Mixed => return,
            Products::Inside(folder) => copy.join(folder),
            Products::Outside(_) => outer_products(copy),
        };
        let below = |folder: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
        };
        // By profile, and for another target than the host's below that.
        let profiles = below(&products).into_iter().flat_map(|folder| {
            let mut all = below(&folder);
            all.push(folder);
            all
        });
        for mark in profiles.flat_map(|profile| below(&profile.join(".fingerprint"))) {
            let name = mark.file_name().unwrap_or_default().to_string_lossy();
            if name.rsplit_once('-').is_some_and(|(name, _)| name == package) {
                let _ = fs::remove_dir_all(&mark);
            }
        }
    }

    fn run(
        &self,
        (copy, overlays): (&Path, &[(PathBuf, PathBuf)]),
        record: &Path,
        log: &Path,
        side: &'static str,
        manifest: &Manifest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), BuildError> {
        let shims = make_shims(self.cache)?;
        let newest = manifest
            .keys()
            .filter_map(|path| fs::symlink_metadata(self.source.join(path)).ok()?.modified().ok());
        let epoch = newest
            .max()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_secs());
        let outer = outer_products(copy);
        let mut mounts: Vec<(&Path, &Path)> = vec![(copy, self.place)];
        mounts.extend(overlays.iter().map(|(copy, place)| (&**copy, &**place)));
        let products = self.products.outside().map(|place| (&*outer, place));
        mounts.extend(products);
        if products.is_some() {
            fs::create_dir_all(&outer).map_err(|source| BuildError::Copy { path: outer.clone(), source })?;
        }
        let (place, folder, command) = (self.place, self.folder, self.command);
        Run { copy, place, mounts, products, folder, command, record, log, shims: &shims, side, epoch }
            .run(progress)
    }

    /// A path of the build, in a copy.
    pub(crate) fn in_copy(&self, path: &OsString, copy: &Path) -> Option<PathBuf> {
        let outer = self.products.outside().and_then(|outer| Path::new(path).strip_prefix(outer).ok());
        match outer {
            Some(inner) => Some(outer_products(copy).join(inner)),
            None => Some(copy.join(self.relative(path, copy)?)),
        }
    }

    /// A path of the build, from the root of the tree, or from that of its products if they lie elsewhere.
    pub(crate) fn relative(&self, path: &OsString, copy: &Path) -> Option<PathBuf> {
        let path = Path::new(path);
        if let Some(inner) = self.products.outside().and_then(|outer| path.strip_prefix(outer).ok()) {
            return Some(inner.to_owned());
        }
        path.strip_prefix(self.place).or_else(|_| path.strip_prefix(copy)).ok().map(Path::to_owned)
    }

    /// Removes products that the change makes stale, whatever the build itself knows of headers, and all that was linked,
    /// so that each link is recorded again.
    fn make_stale(&self, old: &Side, product: &Link, copy: &Path, touched: &BTreeSet<PathBuf>) {
        if !self.products.are_mixed() {
            // cargo knows its own sources. Programs of the build itself, like proc-macros, are not to be linked again,
            // nor all that depends on them compiled.
            if let Some(path) = self.in_copy(&product.output, copy) {
                let _ = fs::remove_file(path);
            }
            return;
        }
        for event in &old.events {
            let output = match event {
                Event::Link(link) => &link.output,
                // cargo knows its own sources, and keeps fingerprints.
                Event::Compile(compile) if is_rustc(compile) => continue,
                Event::Compile(compile) => {
                    if compile.depends.as_ref().is_some_and(|files| !self.meets(files, &old.tree, touched)) {
                        continue;
                    }
                    &compile.output
                }
            };
            if let Some(path) = self.in_copy(output, copy) {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn meets(&self, files: &[OsString], copy: &Path, touched: &BTreeSet<PathBuf>) -> bool {
        files.iter().any(|file| self.relative(file, copy).is_some_and(|path| touched.contains(&path)))
    }

    /// A touched file that the old build compiled and the new one did not.
    fn missed(&self, old: &Side, new: &Side, touched: &BTreeSet<PathBuf>) -> Option<PathBuf> {
        let read = |side: &Side| -> BTreeSet<PathBuf> {
            let files = side.compiles().filter_map(|compile| compile.depends.as_ref()).flatten();
            files.filter_map(|file| self.relative(file, &side.tree)).collect()
        };
        let (before, after) = (read(old), read(new));
        let there = |path: &&PathBuf| new.tree.join(path).exists();
        touched.iter().filter(there).find(|path| before.contains(*path) && !after.contains(*path)).cloned()
    }

    /// What the old side is kept by: everything that could make another one.
    fn key(&self, manifest: &Manifest) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        add(env!("CARGO_PKG_VERSION").as_bytes());
        add(record::FORMAT);
        for place in [Some(self.place), Some(self.folder), self.products.outside()] {
            add(place.unwrap_or(Path::new("")).as_os_str().as_bytes());
        }
        for word in self.command {
            add(word.as_bytes());
        }
        for (path, text) in manifest {
            add(path.as_os_str().as_bytes());
            add(text.as_bytes());
        }
        for name in [
            "PATH",
            "CC",
            "CXX",
            "LD",
            "CFLAGS",
            "CXXFLAGS",
            "CPPFLAGS",
            "LDFLAGS",
            "MAKEFLAGS",
            "RUSTFLAGS",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "SOURCE_DATE_EPOCH",
            "CARGO_BUILD_TARGET",
            "RUSTUP_TOOLCHAIN",
        ] {
            add(std::env::var_os(name).unwrap_or_default().as_bytes());
        }
        for (tool, stamp) in compilers() {
            add(tool.as_bytes());
            add(&stamp.to_le_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// The compilers in PATH, each with the time it was installed.
fn compilers() -> BTreeMap<OsString, u128> {
    let mut out = BTreeMap::new();
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        for name in ["cc", "c++", "gcc", "g++", "clang", "clang++", "ld", "as", "rustc"] {
            let file = folder.join(name);
            if let Ok(time) = fs::metadata(&file).and_then(|m| m.modified()) {
                let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
                out.insert(file.into_os_string(), since);
            }
        }
    }
    out
}

pub(crate) fn is_rustc(compile: &Compile) -> bool {
    Path::new(&compile.output).extension().is_some_and(|end| end == "d")
}

fn read(record: &Path) -> Result<Vec<Event>, BuildError> {
    record::read(record).map_err(|source| BuildError::Read { path: record.into(), source })
}

/// Whether a file tells how to build rather than what: then nothing of an earlier build may be kept.
pub(crate) fn describes_build(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let end = path.extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with("makefile")
        || name.starts_with("gnumakefile")
        || name.starts_with("configure")
        || ["cmakelists.txt", "meson.build", "meson_options.txt", "sconstruct", "build.ninja", "rules"]
            .contains(&&*name)
        || ["cargo.toml", "cargo.lock", "rust-toolchain", "rust-toolchain.toml"].contains(&&*name)
        || path.ends_with(".cargo/config.toml")
        || ["mk", "am", "ac", "m4", "cmake", "in"].contains(&&*end)
}
