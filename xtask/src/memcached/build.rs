//! memcached's sources, built as Debian builds them, and with one section a function.

use std::fs;
use std::path::{Path, PathBuf};

use liveline_demo::Words;

use crate::debian::{Archive, unpack};
use crate::shell::{Failure, Quiet, Result, Tried, cache, keep_objects};

const PACKAGE: &str = "memcached";
const OLD: &str = "1.6.18-1";
const NEW: &str = "1.6.18-1+deb12u1";
/// The patches that NEW has and OLD has not.
const PATCHES: usize = 3;

/// The line of util.c that upstream changed in 1.6.22, and what it became: the search ends with the number.
const INCR_BUG: &str = "if (strchr(str, '-') != NULL) {";
const INCR_FIX: &str = "if (memchr(str, '-', (size_t)(endptr - str)) != NULL) {";

/// What to build.
#[derive(Clone, Copy)]
pub(super) struct Recipe {
    new: bool,
    sections: bool,
    passwords: bool,
    backport: bool,
}

impl Recipe {
    /// 1.6.18-1 as Debian builds it.
    pub(super) const OLD: Recipe = Recipe { new: false, sections: false, passwords: false, backport: false };
    /// 1.6.18-1+deb12u1 as Debian builds it.
    pub(super) const NEW: Recipe = Recipe { new: true, ..Recipe::OLD };

    /// One section a function and a data object.
    pub(super) fn with_sections(self) -> Self {
        Recipe { sections: true, ..self }
    }

    /// With the SASL password database.
    pub(super) fn with_passwords(self) -> Self {
        Recipe { passwords: true, ..self }
    }

    /// With upstream's fix of incr.
    pub(super) fn with_backport(self) -> Self {
        Recipe { backport: true, ..self }
    }

    fn name(self) -> String {
        let mut name = String::from(if self.new { "new" } else { "old" });
        for (on, word) in
            [(self.passwords, "-passwords"), (self.backport, "-incr-fix"), (self.sections, "-sections")]
        {
            name += if on { word } else { "" };
        }
        name
    }
}

/// What a build gave.
pub(super) struct Built {
    /// The program with its symbols.
    pub(super) program: PathBuf,
    /// The program without them.
    pub(super) stripped: PathBuf,
    /// The objects it was linked from.
    pub(super) objects: PathBuf,
}

/// Builds recipes, each once.
pub(super) struct Factory<'a> {
    archive: &'a Archive,
    words: Words,
    folder: PathBuf,
    has_old: bool,
    has_new: bool,
}

impl<'a> Factory<'a> {
    /// A factory with its folder in the cache.
    pub(super) fn open(archive: &'a Archive, words: Words) -> Result<Self> {
        Ok(Factory {
            archive,
            words,
            folder: cache("memcached")?,
            has_old: archive.has(PACKAGE, OLD),
            has_new: archive.has(PACKAGE, NEW),
        })
    }

    /// Debian's old binary, if the archive still has it.
    pub(super) fn stock_old(&self) -> Result<Option<PathBuf>> {
        self.stock(self.has_old, OLD)
    }

    /// Debian's new binary, if the archive still has it.
    pub(super) fn stock_new(&self) -> Result<Option<PathBuf>> {
        self.stock(self.has_new, NEW)
    }

    fn stock(&self, has: bool, version: &str) -> Result<Option<PathBuf>> {
        let folder = self.folder.join(format!("stock-{version}"));
        if !has && !folder.join("done").exists() {
            return Ok(None);
        }
        self.archive.binary(PACKAGE, version, &folder)?;
        Ok(Some(folder.join("usr/bin/memcached")))
    }

    /// Builds `recipe`, or takes what was built before.
    pub(super) fn build(&self, recipe: &Recipe) -> Result<Built> {
        let kept = self.folder.join("builds").join(recipe.name());
        let built = Built {
            program: kept.join("memcached.debug"),
            stripped: kept.join("memcached"),
            objects: kept.join("objects"),
        };
        let stamp = kept.join("done");
        if stamp.exists() {
            return Ok(built);
        }
        self.words.line(&format!("building {}", recipe.name()));
        fs::create_dir_all(&kept).tried(format!("make {}", kept.display()))?;
        // One path for all builds, so that nothing differs but what was meant to.
        let tree = self.folder.join("build/memcached-1.6.18");
        let (version, leave_out) = match (recipe.new, self.has_old) {
            (false, false) => (NEW, PATCHES),
            (false, true) => (OLD, 0),
            (true, _) => (NEW, 0),
        };
        let dsc = self.archive.source(PACKAGE, version, &self.folder.join(format!("source-{version}")))?;
        unpack(&dsc, &tree, leave_out)?;
        if recipe.passwords {
            edit(&tree.join("debian/rules"), "--enable-sasl ", "--enable-sasl --enable-sasl-pwdb ")?;
        }
        if recipe.backport {
            edit(&tree.join("util.c"), INCR_BUG, INCR_FIX)?;
        }
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut make = Quiet::new(&tree, "debian/rules build")
            .env("DEB_BUILD_OPTIONS", &format!("nocheck parallel={jobs}"))
            .env("SOURCE_DATE_EPOCH", "1673481742");
        if recipe.sections {
            make = make.env("DEB_CFLAGS_APPEND", "-ffunction-sections -fdata-sections");
        }
        make.run()?;
        fs::copy(tree.join("memcached"), &built.program).tried("keep the program")?;
        Quiet::new(&kept, "strip -o memcached memcached.debug").run()?;
        keep_objects(&tree, &built.objects, |name| name.starts_with("memcached-"))?;
        fs::remove_dir_all(&tree).tried("clear the build")?;
        fs::write(&stamp, "").tried("write a stamp")?;
        Ok(built)
    }
}

fn edit(file: &Path, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(file).tried(format!("read {}", file.display()))?;
    if !text.contains(from) {
        return Err(Failure(format!("{} does not hold {from:?}", file.display())));
    }
    fs::write(file, text.replace(from, to)).tried(format!("write {}", file.display()))
}
