//! Debian's redis 7.0.15, built as Debian builds it, and with one section a function.

use std::fs;
use std::path::PathBuf;

use liveline_demo::Words;

use crate::debian::{Archive, unpack};
use crate::shell::{Quiet, Result, Tried, cache, keep_objects};

/// How many of Debian's newest security patches the old side goes without.
const PATCHES: usize = 5;

/// What was built.
pub(crate) struct Redis {
    /// The server without the newest security patches, with its symbols.
    pub(crate) program: PathBuf,
    /// All objects without these patches.
    pub(crate) old: PathBuf,
    /// All objects with them.
    pub(crate) new: PathBuf,
    /// Which patches they are.
    pub(crate) patches: Vec<String>,
}

/// Builds redis with and without the newest security patches, or takes what was built before.
pub(crate) fn build(words: Words) -> Result<Redis> {
    let folder = cache("redis")?;
    let redis = Redis {
        program: folder.join("redis-server"),
        old: folder.join("old"),
        new: folder.join("new"),
        patches: Vec::new(),
    };
    let (stamp, list) = (folder.join("done"), folder.join("patches"));
    if !stamp.exists() {
        let archive = Archive::open(words)?;
        archive.install(words, &["gcc", "make", "dpkg-dev", "debhelper", "patch"])?;
        archive.build_needs(words, "redis")?;
        let dsc = archive.source("redis", &archive.newest_source("redis")?, &folder.join("source"))?;
        let tree = folder.join("build/redis-7.0.15");
        for (what, leave_out, sections) in [
            ("the program", PATCHES, false),
            ("its objects", PATCHES, true),
            ("the patched objects", 0, true),
        ] {
            words.line(&format!("building redis: {what} (a minute or two)"));
            unpack(&dsc, &tree, leave_out)?;
            let jobs = std::thread::available_parallelism().map_or(1, usize::from);
            let mut make = Quiet::new(&tree, "debian/rules build")
                .env("DEB_BUILD_OPTIONS", &format!("nocheck parallel={jobs}"))
                .env("SOURCE_DATE_EPOCH", "1700000000");
            if sections {
                make = make.env("DEB_CFLAGS_APPEND", "-ffunction-sections -fdata-sections");
            }
            make.run()?;
            match (sections, leave_out) {
                (false, _) => {
                    fs::copy(tree.join("src/redis-server"), &redis.program).tried("keep the program")?;
                    fs::copy(tree.join("debian/patches/series"), &list).tried("keep the list of patches")?;
                }
                (true, 0) => drop(keep_objects(&tree.join("src"), &redis.new, |_| true)?),
                (true, _) => drop(keep_objects(&tree.join("src"), &redis.old, |_| true)?),
            }
            fs::remove_dir_all(&tree).tried("clear the build")?;
        }
        fs::write(&stamp, "").tried("write a stamp")?;
    }
    let series = fs::read_to_string(&list).tried("read the list of patches")?;
    let all: Vec<_> = series.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).collect();
    let patches = all[all.len().saturating_sub(PATCHES)..].iter().map(|p| p.to_string()).collect();
    Ok(Redis { patches, ..redis })
}
