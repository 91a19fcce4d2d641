//! Source packages, unpacked.

use std::fs;
use std::path::Path;

use super::error::{DebianError, Result, Tried};
use super::quiet::Quiet;

/// Unpacks a source package as `into`, with its first patches only if `leave_out` is not 0.
pub(super) fn unpack(dsc: &Path, into: &Path, leave_out: usize) -> Result<()> {
    let _ = fs::remove_dir_all(into);
    let folder = into.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).tried(format!("make {}", folder.display()))?;
    let skip = if leave_out > 0 { " --skip-patches" } else { "" };
    let unpack = Quiet::new(folder, &format!("dpkg-source -q{skip} -x"));
    unpack.argument(dsc).argument(into).run()?;
    if leave_out == 0 {
        return Ok(());
    }
    let series =
        fs::read_to_string(into.join("debian/patches/series")).tried("read the series of patches")?;
    let patches = named(&series);
    for patch in &patches[..patches.len().saturating_sub(leave_out)] {
        Quiet::new(into, &format!("patch -p1 -s -i debian/patches/{patch}")).run()?;
    }
    Ok(())
}

/// The series of patches of a source package.
pub fn patches(dsc: &Path) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().tried("make a temporary folder")?;
    let text = fs::read_to_string(dsc).tried(format!("read {}", dsc.display()))?;
    let tar = text
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .find(|word| word.contains(".debian.tar."))
        .ok_or_else(|| DebianError::Failed(format!("{} names no debian.tar", dsc.display())))?;
    let unpack = Quiet::new(folder.path(), "tar xf").argument(dsc.with_file_name(tar));
    // A package without patches has no such file.
    unpack.words("--wildcards debian/patches/series*").run().or_else(|error| match error {
        DebianError::Command { ref said, .. } if said.contains("Not found in archive") => Ok(()),
        other => Err(other),
    })?;
    let series = fs::read_to_string(folder.path().join("debian/patches/series")).unwrap_or_default();
    Ok(named(&series))
}

fn named(series: &str) -> Vec<String> {
    let lines = series.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).map(String::from).collect()
}
