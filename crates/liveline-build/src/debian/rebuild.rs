//! One build of a source package.

use std::fs;
use std::path::{Path, PathBuf};

use super::command::{Failure, Quiet, Result, Tried};
use super::links::Links;
use super::source::unpack;
use super::{Archive, Room};

/// What to build.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Name under which the result is kept.
    pub name: String,
    /// Source package.
    pub package: &'static str,
    /// Its version.
    pub version: String,
    /// How many of the last patches of the series are left out.
    pub leave_out: usize,
    /// What is changed in the tree before it is built.
    pub changes: Vec<Change>,
    /// One section a function and a data object: for the objects to compare.
    pub sections: bool,
    /// Programs and libraries to keep, by their path in the tree.
    pub products: Vec<&'static str>,
    /// Rules added to `debian/rules` in place of its own, so that only what is wanted is built.
    pub rules: &'static str,
}

/// A change of the unpacked sources: one text for another in a file.
#[derive(Clone, Debug)]
pub struct Change {
    /// The file, by its path in the tree.
    pub file: &'static str,
    /// What stands there.
    pub from: &'static str,
    /// What is to stand there.
    pub to: &'static str,
}

impl Change {
    fn make(&self, tree: &Path) -> Result<()> {
        let file = tree.join(self.file);
        let text = fs::read_to_string(&file).tried(format!("read {}", file.display()))?;
        if !text.contains(self.from) {
            return Err(Failure(format!("{} does not hold {:?}", file.display(), self.from)));
        }
        fs::write(&file, text.replace(self.from, self.to)).tried(format!("write {}", file.display()))
    }
}

/// What a build gave.
pub struct Built {
    folder: PathBuf,
}

impl Built {
    /// A product without its symbols.
    pub fn stripped(&self, product: &str) -> Result<PathBuf> {
        let to = self.folder.join(format!("{}.stripped", last(product)));
        Quiet::new(&self.folder, &format!("strip -o {} {}", to.display(), self.program(product).display()))
            .run()?;
        Ok(to)
    }

    /// A product as it was linked, with its symbols.
    pub fn program(&self, product: &str) -> PathBuf {
        self.folder.join(last(product))
    }

    /// The objects a product was linked from, by their paths in the tree.
    pub fn objects(&self, product: &str) -> PathBuf {
        self.folder.join(format!("{}.objects", last(product)))
    }
}

impl Recipe {
    /// The same with one section a function and a data object.
    pub fn with_sections(&self) -> Self {
        Recipe { sections: true, name: format!("{}-sections", self.name), ..self.clone() }
    }

    /// Builds it in `room`, or takes what was built before.
    pub fn build(&self, archive: &Archive, room: &Room<'_>) -> Result<Built> {
        let own = archive.cache(self.package)?;
        let kept = own.join("builds").join(&self.name);
        let stamp = kept.join("done");
        // What was built by another recipe is not this one's.
        let made_of = format!("{self:?}");
        if fs::read_to_string(&stamp).is_ok_and(|text| text == made_of) {
            return Ok(Built { folder: kept });
        }
        archive.say(&format!("building {} {} ({})", self.package, self.version, self.name));
        let dsc =
            archive.source(self.package, &self.version, &own.join(format!("source-{}", self.version)))?;
        // The path at which the archive's builders build, as it stands in debug information and assertions.
        let name = format!("reproducible-path/{}-{}", self.package, upstream(&self.version));
        let (build, record) = (own.join("build"), own.join("record"));
        let (outside, inside) = (build.join(&name), Path::new("/build").join(&name));
        for old in [&outside, &record, &kept] {
            let _ = fs::remove_dir_all(old);
        }
        unpack(&dsc, &outside, self.leave_out)?;
        for change in &self.changes {
            change.make(&outside)?;
        }
        if !self.rules.is_empty() {
            let file = outside.join("debian/rules");
            let own = fs::read_to_string(&file).tried("read debian/rules")?;
            fs::write(&file, format!("{own}\n{}", self.rules)).tried("write debian/rules")?;
        }
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let time = Quiet::new(&outside, "dpkg-parsechangelog -S Timestamp").output()?;
        let mut run = room
            .run(&build, &record, "sh -ec")
            .argument(&format!("cd {}; debian/rules build-arch", inside.display()))
            .env("DEB_BUILD_OPTIONS", &format!("nocheck parallel={jobs}"))
            .env("SOURCE_DATE_EPOCH", time.trim());
        if self.sections {
            run = run.env("LIVELINE_ADD", "-ffunction-sections -fdata-sections");
        }
        run.run()?;
        let out = |path: &Path| match path.strip_prefix("/build") {
            Ok(rest) => build.join(rest),
            Err(_) => path.to_path_buf(),
        };
        let links = Links::read(&record)?;
        for product in &self.products {
            let target = kept.join(format!("{}.objects", last(product)));
            for input in links.inputs(&inside.join(product), out)? {
                let Ok(relative) = input.strip_prefix(&inside) else { continue };
                copy(&out(&input), &target.join(relative))?;
            }
            copy(&outside.join(product), &kept.join(last(product)))?;
        }
        for folder in [&build, &record] {
            fs::remove_dir_all(folder).tried("clear the build")?;
        }
        fs::write(&stamp, made_of).tried("write a stamp")?;
        Ok(Built { folder: kept })
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).tried(format!("make {}", folder.display()))?;
    fs::copy(from, to).map(drop).tried(format!("keep {}", from.display()))
}

fn last(product: &str) -> &str {
    product.rsplit('/').next().unwrap_or(product)
}

/// `5:7.0.15-1~deb12u7` → `7.0.15`.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(front, _)| front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_version_has_no_epoch_and_no_revision() {
        assert_eq!(upstream("5:7.0.15-1~deb12u7"), "7.0.15");
        assert_eq!(upstream("2.5.0-1+deb12u2"), "2.5.0");
        assert_eq!(upstream("3"), "3");
    }
}
