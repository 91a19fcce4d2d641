//! What the archive has, without a change to the system's own lists.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{DebianError, Result, Tried};
use super::quiet::Quiet;

/// How old the lists may be before they are fetched again.
const LISTS_LAST: Duration = Duration::from_secs(12 * 3600);

/// The archive, with sources: own lists from the addresses that the system has, in the cache.
pub struct Archive {
    cache: PathBuf,
    folder: PathBuf,
    say: Box<dyn Fn(&str)>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Archive").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens the archive, with everything that is kept below `cache`; fetches its lists if they are missing or old.
    /// What is being done is told to `say`, a line at a time.
    pub fn open(cache: PathBuf, say: impl Fn(&str) + 'static) -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        if !release.lines().any(|line| line == "ID=debian") {
            return Err(DebianError::NotDebian);
        }
        let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let folder = cache.join("apt");
        for part in ["sources", "lists/partial"] {
            fs::create_dir_all(folder.join(part)).tried("make a folder for apt")?;
        }
        let archive = Archive { cache, folder, say: Box::new(say) };
        let stamp = archive.folder.join("lists-complete");
        let fresh = fs::metadata(&stamp)
            .and_then(|m| m.modified())
            .is_ok_and(|t| t.elapsed().is_ok_and(|age| age < LISTS_LAST));
        if !fresh {
            archive.say("fetching the package lists");
            fs::write(archive.folder.join("sources/debian.sources"), sources(codename.unwrap_or("stable")))
                .tried("write the sources file")?;
            // Without this an address that does not answer is a mere warning.
            archive
                .apt(&archive.folder, "apt-get")
                .words("-o APT::Update::Error-Mode=any update -qq")
                .run()?;
            fs::write(&stamp, "").tried("write a stamp")?;
        }
        Ok(archive)
    }

    /// Tells what is being done.
    pub fn say(&self, line: &str) {
        (self.say)(line);
    }

    /// Where things of a source package are kept.
    pub fn kept(&self, package: &str) -> PathBuf {
        self.cache.join(package)
    }

    /// Where rooms are kept.
    pub(super) fn rooms(&self) -> PathBuf {
        self.cache.join("rooms")
    }

    /// Installs those of `packages` that are missing.
    pub fn install(&self, packages: &[&str]) -> Result<()> {
        let missing: Vec<_> = packages.iter().copied().filter(|p| installed(p).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.say(&format!("installing {}", missing.join(", ")));
        self.apt(&self.folder, "apt-get")
            .words(&format!("install -y -qq --no-install-recommends {}", missing.join(" ")))
            .run()
    }

    /// The binary package, unpacked into `into`, its scripts as `DEBIAN`.
    pub fn binary(&self, package: &str, version: &str, into: &Path) -> Result<()> {
        if !into.join("done").exists() {
            let _ = fs::remove_dir_all(into);
            fs::create_dir_all(into).tried(format!("make {}", into.display()))?;
            self.apt(into, "apt-get").words(&format!("download -qq {package}={version}")).run()?;
            Quiet::new(into, "dpkg-deb -x").argument(only(into, ".deb")?).argument(".").run()?;
            fs::write(into.join("done"), "").tried("write a stamp")?;
        }
        if !into.join("DEBIAN").exists() {
            Quiet::new(into, "dpkg-deb -e").argument(only(into, ".deb")?).argument("DEBIAN").run()?;
        }
        Ok(())
    }

    /// The source package, downloaded into `into`; gives its .dsc file.
    pub fn source(&self, package: &str, version: &str, into: &Path) -> Result<PathBuf> {
        if let Some(dsc) = kept_source(into) {
            return Ok(dsc);
        }
        fs::create_dir_all(into).tried(format!("make {}", into.display()))?;
        self.apt(into, "apt-get")
            .words(&format!("source -qq --only-source --download-only {package}={version}"))
            .run()?;
        only(into, ".dsc")
    }

    /// Options for apt: own sources file, own lists.
    pub(super) fn options(&self) -> [String; 4] {
        let folder = self.folder.display();
        [
            "-oDir::Etc::sourcelist=/dev/null".into(),
            format!("-oDir::Etc::sourceparts={folder}/sources"),
            format!("-oDir::State::lists={folder}/lists"),
            "-oAPT::Sandbox::User=root".into(),
        ]
    }

    /// Where sources file and lists are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the archive still has this version, as `binary`'s or `source`'s.
    pub fn has(&self, package: &str, version: &str) -> bool {
        let rows = self.rows(package).unwrap_or_default();
        rows.iter().any(|row| row.version == version)
    }

    /// The versions of a source package.
    pub fn sources(&self, package: &str) -> Result<Vec<String>> {
        let rows = self.rows(package)?.into_iter();
        Ok(rows.filter(|row| row.source).map(|row| row.version).collect())
    }

    /// The versions of a binary package.
    pub fn binaries(&self, package: &str) -> Result<Vec<String>> {
        let rows = self.rows(package)?.into_iter();
        let mut versions: Vec<String> = rows.filter(|row| !row.source).map(|row| row.version).collect();
        // The same one may be in several places.
        versions.sort();
        versions.dedup();
        Ok(versions)
    }

    /// The newest version of a source package.
    pub fn newest_source(&self, package: &str) -> Result<String> {
        // Rows come by place (release, updates, security), not by version.
        let newest =
            self.sources(package)?.into_iter().reduce(|best, v| if newer(&v, &best) { v } else { best });
        newest.ok_or_else(|| DebianError::Failed(format!("the archive has no source of {package}")))
    }

    /// One field of a binary package's record.
    pub(super) fn binary_field(&self, package: &str, version: &str, field: &str) -> Result<Option<String>> {
        let line = format!("show --no-all-versions {package}={version}");
        let text = self.apt(&self.folder, "apt-cache").words(&line).output()?;
        Ok(self::field(&text, field))
    }

    fn rows(&self, package: &str) -> Result<Vec<Row>> {
        let text = self.apt(&self.folder, "apt-cache").words(&format!("madison {package}")).output()?;
        Ok(text.lines().filter_map(Row::parse).filter(|row| row.package == package).collect())
    }

    pub(super) fn apt(&self, folder: &Path, program: &str) -> Quiet {
        let apt = self.options().into_iter().fold(Quiet::new(folder, program), Quiet::unsaid);
        // Without its own it reads all lists again for each question.
        let own = |name: &str| format!("-oDir::Cache::{name}={}/{name}.bin", self.folder.display());
        apt.unsaid(own("pkgcache")).unsaid(own("srcpkgcache"))
    }
}

/// One line of `apt-cache madison`.
#[derive(Debug, PartialEq)]
struct Row {
    package: String,
    version: String,
    source: bool,
}

impl Row {
    fn parse(line: &str) -> Option<Row> {
        let mut parts = line.split('|').map(str::trim);
        let (package, version, place) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Row { package: package.into(), version: version.into(), source: place.ends_with("Sources") })
    }
}

/// The .dsc file of a source package that was downloaded wholly.
pub(super) fn kept_source(folder: &Path) -> Option<PathBuf> {
    let dsc = only(folder, ".dsc").ok()?;
    let files = source_field(&dsc, "Files").ok()??;
    // Sum, size and name of each.
    let words: Vec<&str> = files.split_whitespace().collect();
    let whole = words.chunks(3).all(|file| match file {
        [_, size, name] => fs::metadata(folder.join(name)).is_ok_and(|m| size.parse() == Ok(m.len())),
        _ => false,
    });
    (whole && !words.is_empty()).then_some(dsc)
}

/// One field of a .dsc file.
pub(super) fn source_field(dsc: &Path, name: &str) -> Result<Option<String>> {
    let text = fs::read_to_string(dsc).tried(format!("read {}", dsc.display()))?;
    Ok(field(&text, name))
}

/// A field of a record, its continuation lines joined by spaces.
fn field(record: &str, name: &str) -> Option<String> {
    let mut lines = record
        .lines()
        .skip_while(|line| line.split_once(':').is_none_or(|(own, _)| own != name) || line.starts_with(' '));
    let mut text = lines.next()?.split_once(':')?.1.trim().to_owned();
    for line in lines.take_while(|line| line.starts_with(' ')) {
        text.push(' ');
        text.push_str(line.trim());
    }
    Some(text.trim().to_owned())
}

/// Whether version `a` is newer than `b`.
pub(super) fn newer(a: &str, b: &str) -> bool {
    Quiet::new(Path::new("/"), &format!("dpkg --compare-versions {a} gt {b}")).output().is_ok()
}

/// The installed version of a package.
pub(super) fn installed(package: &str) -> Option<String> {
    let line = format!("dpkg-query -W -f=${{db:Status-Status}}=${{Version}}\\n {package}");
    let text = Quiet::new(Path::new("/"), &line).output().ok()?;
    text.lines().find_map(|line| line.strip_prefix("installed=").map(String::from))
}

fn only(folder: &Path, ending: &str) -> Result<PathBuf> {
    fs::read_dir(folder)
        .tried(format!("read {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .find(|path| path.to_string_lossy().ends_with(ending))
        .ok_or_else(|| DebianError::Failed(format!("no {ending} file in {}", folder.display())))
}

/// The system's own deb822 sources with deb-src, or Debian's own addresses where there are none.
fn sources(codename: &str) -> String {
    let own = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    if own.contains("Types:") {
        let lines = own.lines().map(|l| if l.starts_with("Types:") { "Types: deb deb-src" } else { l });
        return lines.collect::<Vec<_>>().join("\n") + "\n";
    }
    let keys = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg";
    let part = |uri: &str, suites: &str| {
        format!("Types: deb deb-src\nURIs: {uri}\nSuites: {suites}\nComponents: main\n{keys}\n\n")
    };
    part("http://deb.debian.org/debian", &format!("{codename} {codename}-updates"))
        + &part("http://deb.debian.org/debian-security", &format!("{codename}-security"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_was_downloaded_in_part_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        assert_eq!(kept_source(folder.path()), None);
        fs::write(
            file("x.dsc"),
            "Format: 3.0 (quilt)\nFiles:\n 0cc1 4 x.orig.tar.gz\n 92eb 2 x.debian.tar.xz\n",
        )
        .unwrap();
        fs::write(file("x.orig.tar.gz"), "four").unwrap();
        assert_eq!(kept_source(folder.path()), None);
        fs::write(file("x.debian.tar.xz"), "2").unwrap();
        assert_eq!(kept_source(folder.path()), None);
        fs::write(file("x.debian.tar.xz"), "22").unwrap();
        assert_eq!(kept_source(folder.path()), Some(file("x.dsc")));
    }

    #[test]
    fn rows_and_records_are_read() {
        let row =
            Row::parse(" redis | 5:7.0.15-1~deb12u7 | http://deb.debian.org/debian bookworm/main Sources");
        let wanted = Row { package: "redis".into(), version: "5:7.0.15-1~deb12u7".into(), source: true };
        assert_eq!(row, Some(wanted));
        let record = "Package: x\nFiles:\n a b\n c d\nBinary: x, y\n z\nHomepage: http://x";
        assert_eq!(field(record, "Binary").as_deref(), Some("x, y z"));
        assert_eq!(field(record, "Files").as_deref(), Some("a b c d"));
        assert_eq!(field(record, "Version"), None);
    }
}
