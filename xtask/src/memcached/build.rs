//! What is built of memcached's sources.

use std::path::PathBuf;

use crate::shell::{Result, cache};
use liveline_build::debian::{Archive, Built, Recipe, Room, TextChange};

const PACKAGE: &str = "memcached";
const OLD: &str = "1.6.18-1";
const NEW: &str = "1.6.18-1+deb12u1";
/// The patches that NEW has and OLD has not.
const PATCHES: usize = 3;

/// The program, by its path in the tree.
pub(super) const PROGRAM: &str = "memcached";

/// Upstream's fix of incr in 1.6.22: the search for a minus sign ends with the number.
const INCR_FIX: TextChange = TextChange {
    file: "util.c",
    from: "if (strchr(str, '-') != NULL) {",
    to: "if (memchr(str, '-', (size_t)(endptr - str)) != NULL) {",
};

/// The SASL password database, which Debian leaves out.
const PASSWORDS: TextChange =
    TextChange { file: "debian/rules", from: "--enable-sasl ", to: "--enable-sasl --enable-sasl-pwdb " };

/// What to build.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// As Debian builds it.
    Stock,
    /// With upstream's fix of incr.
    IncrFix,
    /// With the SASL password database.
    Passwords,
}

/// Builds memcached, each kind once.
pub(super) struct Factory<'a> {
    archive: &'a Archive,
    room: Room<'a>,
    has_old: bool,
    has_new: bool,
}

impl<'a> Factory<'a> {
    /// A factory with its folder in the cache.
    pub(super) fn open(archive: &'a Archive) -> Result<Self> {
        Ok(Factory {
            archive,
            room: Room::open(archive, PACKAGE, NEW, &[] as &[&str])?,
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
        let folder = cache(PACKAGE)?.join(format!("stock-{version}"));
        if !has && !folder.join("done").exists() {
            return Ok(None);
        }
        self.archive.binary(PACKAGE, version, &folder)?;
        Ok(Some(folder.join("usr/bin/memcached")))
    }

    /// The old program with its symbols.
    pub(super) fn old(&self, kind: Kind) -> Result<Built> {
        Ok(self.recipe(kind, false).build(self.archive, &self.room)?)
    }

    /// The objects to compare, of the old or the new version.
    pub(super) fn objects(&self, kind: Kind, new: bool) -> Result<PathBuf> {
        let recipe = self.recipe(kind, new).with_sections();
        Ok(recipe.build(self.archive, &self.room)?.objects(PROGRAM))
    }

    fn recipe(&self, kind: Kind, new: bool) -> Recipe {
        let (version, leave_out) = match (new, self.has_old) {
            (false, false) => (NEW, PATCHES),
            (false, true) => (OLD, 0),
            (true, _) => (NEW, 0),
        };
        let (name, changes) = match kind {
            Kind::Stock => ("", vec![]),
            Kind::IncrFix => ("-incr-fix", vec![INCR_FIX]),
            Kind::Passwords => ("-passwords", vec![PASSWORDS]),
        };
        Recipe {
            name: format!("{}{name}", if new { "new" } else { "old" }),
            package: PACKAGE.into(),
            version: version.into(),
            leave_out,
            place: None,
            changes,
            sections: false,
            products: vec![PROGRAM.into()],
            rules: String::new(),
        }
    }
}
