//! Source packages, unpacked.

use std::fs;
use std::path::Path;

use super::command::{Quiet, Result, Tried};

/// Unpacks a source package as `into`, with its first patches only if `leave_out` is not 0.
pub(super) fn unpack(dsc: &Path, into: &Path, leave_out: usize) -> Result<()> {
    let _ = fs::remove_dir_all(into);
    let folder = into.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).tried(format!("make {}", folder.display()))?;
    let skip = if leave_out > 0 { "--skip-patches " } else { "" };
    Quiet::new(folder, &format!("dpkg-source -q {skip}-x {} {}", dsc.display(), into.display())).run()?;
    if leave_out == 0 {
        return Ok(());
    }
    let series =
        fs::read_to_string(into.join("debian/patches/series")).tried("read the series of patches")?;
    let patches: Vec<_> =
        series.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    for patch in &patches[..patches.len().saturating_sub(leave_out)] {
        Quiet::new(into, &format!("patch -p1 -s -i debian/patches/{patch}")).run()?;
    }
    Ok(())
}
