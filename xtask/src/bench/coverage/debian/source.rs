//! A source package with the patches of its series up to one.

use std::fs;
use std::path::{Path, PathBuf};

use liveline_build::debian::patches;

use crate::shell::{Failure, Quiet, Result, Tried};

/// A source package and the patch at which to stop.
pub(super) struct Source<'a> {
    pub(super) dsc: &'a Path,
    /// Where it is unpacked.
    pub(super) tree: PathBuf,
    pub(super) patch: &'a str,
}

impl Source<'_> {
    /// Unpacks it anew, with the patches in front of the one.
    pub(super) fn unpack(&self) -> Result<()> {
        if self.tree.exists() {
            fs::remove_dir_all(&self.tree).tried(format!("remove {}", self.tree.display()))?;
        }
        let folder = self.tree.parent().unwrap_or(Path::new("."));
        Quiet::new(folder, "dpkg-source -q --skip-patches -x")
            .argument(&self.dsc.display().to_string())
            .argument(&self.tree.display().to_string())
            .run()?;
        for patch in before(&patches(self.dsc)?, self.patch)? {
            let file = format!("debian/patches/{patch}");
            Quiet::new(&self.tree, "patch -p1 -s -i").argument(&file).run()?;
        }
        // Else it would count as one of the sources.
        let _ = fs::remove_file(self.tree.join("last-command.log"));
        Ok(())
    }

    pub(super) fn build(&self, command: &str) -> Result<()> {
        Quiet::new(&self.tree, "sh -c").argument(command).run()
    }
}

fn before<'s>(series: &'s [String], patch: &str) -> Result<&'s [String]> {
    let at = series.iter().position(|name| name == patch);
    at.map(|at| &series[..at])
        .ok_or_else(|| Failure(format!("the series has no {patch}: {}", series.join(" "))))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_patches_in_front_of_one() {
        let series = ["a".to_string(), "b".into(), "c".into()];
        assert_eq!(super::before(&series, "c").expect("there"), ["a", "b"]);
        assert!(super::before(&series, "a").expect("there").is_empty());
        assert!(super::before(&series, "d").is_err());
    }
}
