//! What the archive has, without a change to the system's own lists.

use std::fs;
use std::path::{Path, PathBuf};

use super::command::{Failure, Quiet, Result, Tried, output_of};

/// The archive, with sources.
pub struct Archive {
    /// Options for apt: own sources file, own lists.
    options: String,
    folder: PathBuf,
    cache: PathBuf,
    say: Box<dyn Fn(&str)>,
}

/// How old the lists may be before they are fetched again.
const LISTS_LAST: std::time::Duration = std::time::Duration::from_secs(12 * 3600);

impl Archive {
    /// Opens the archive; fetches its lists if they are missing or old. What is fetched and built is kept in `cache`;
    /// what is being done is told to `say`, a line at a time.
    ///
    /// # Errors
    /// A [`Failure`] if this is not Debian 12, or the lists cannot be had.
    pub fn open(cache: PathBuf, say: impl Fn(&str) + 'static) -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        if !release.contains("VERSION_CODENAME=bookworm") {
            return Err(Failure("this needs Debian 12 (bookworm): its packages are the trial".into()));
        }
        let folder = cache.join("apt");
        for part in ["sources", "lists/partial"] {
            fs::create_dir_all(folder.join(part)).tried("make a folder for apt")?;
        }
        let stamp = folder.join("lists-complete");
        let archive = Archive {
            options: format!(
                "-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts={0}/sources \
                 -o Dir::State::lists={0}/lists -o APT::Sandbox::User=root",
                folder.display()
            ),
            folder,
            cache,
            say: Box::new(say),
        };
        let fresh = fs::metadata(&stamp)
            .and_then(|m| m.modified())
            .is_ok_and(|t| t.elapsed().is_ok_and(|age| age < LISTS_LAST));
        if !fresh {
            archive.say("fetching the package lists");
            fs::write(archive.folder.join("sources/debian.sources"), sources())
                .tried("write the sources file")?;
            archive.apt(&archive.folder, "apt-get", "update -qq")?;
            fs::write(&stamp, "").tried("write a stamp")?;
        }
        Ok(archive)
    }

    /// Installs those of `packages` that are missing.
    pub fn install(&self, packages: &[&str]) -> Result<()> {
        let missing: Vec<_> = packages.iter().copied().filter(|p| !installed(p)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.say(&format!("installing {}", missing.join(", ")));
        self.apt(
            &self.folder,
            "apt-get",
            &format!("install -y -qq --no-install-recommends {}", missing.join(" ")),
        )
    }

    /// The binary package, unpacked into `into`.
    pub fn binary(&self, package: &str, version: &str, into: &Path) -> Result<()> {
        if into.join("done").exists() {
            return Ok(());
        }
        let _ = fs::remove_dir_all(into);
        fs::create_dir_all(into).tried(format!("make {}", into.display()))?;
        self.apt(into, "apt-get", &format!("download -qq {package}={version}"))?;
        let file = only(into, ".deb")?;
        Quiet::new(into, &format!("dpkg-deb -x {} .", file.display())).run()?;
        fs::write(into.join("done"), "").tried("write a stamp")
    }

    /// The source package, downloaded into `into`; gives its .dsc file.
    pub fn source(&self, package: &str, version: &str, into: &Path) -> Result<PathBuf> {
        if let Ok(file) = only(into, ".dsc") {
            return Ok(file);
        }
        fs::create_dir_all(into).tried(format!("make {}", into.display()))?;
        self.apt(into, "apt-get", &format!("source -qq --download-only {package}={version}"))?;
        only(into, ".dsc")
    }

    /// Tells what is being done.
    pub(super) fn say(&self, line: &str) {
        (self.say)(line);
    }

    /// The folder `name` of the cache.
    pub(super) fn cache(&self, name: &str) -> Result<PathBuf> {
        let folder = self.cache.join(name);
        fs::create_dir_all(&folder).tried(format!("make {}", folder.display()))?;
        Ok(folder)
    }

    /// The options for apt: own sources file, own lists.
    pub(super) fn options(&self) -> &str {
        &self.options
    }

    /// Where sources file and lists are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the archive still has this version (as `binary`'s or `source`'s).
    pub fn has(&self, package: &str, version: &str) -> bool {
        let line = format!("apt-cache {} madison {package}", self.options);
        output_of(&line).is_ok_and(|text| {
            text.lines().any(|row| row.split('|').nth(1).is_some_and(|v| v.trim() == version))
        })
    }

    /// The newest version of a source package.
    pub fn newest_source(&self, package: &str) -> Result<String> {
        let text = output_of(&format!("apt-cache {} madison {package}", self.options))?;
        let rows = text.lines().filter(|row| row.ends_with("Sources"));
        let versions = rows.filter_map(|row| row.split('|').nth(1)).map(|v| v.trim().to_string());
        // Rows come by place (release, updates, security), not by version.
        versions
            .reduce(|best, v| {
                let newer = output_of(&format!("dpkg --compare-versions {v} gt {best}")).is_ok();
                if newer { v } else { best }
            })
            .ok_or_else(|| Failure(format!("the archive has no source of {package}")))
    }

    fn apt(&self, folder: &Path, program: &str, what: &str) -> Result<()> {
        Quiet::new(folder, &format!("{program} {} {what}", self.options)).run()
    }
}

fn installed(package: &str) -> bool {
    output_of(&format!("dpkg-query -W -f=${{db:Status-Status}} {package}")).is_ok_and(|s| s == "installed")
}

fn only(folder: &Path, ending: &str) -> Result<PathBuf> {
    fs::read_dir(folder)
        .tried(format!("read {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .find(|path| path.to_string_lossy().ends_with(ending))
        .ok_or_else(|| Failure(format!("no {ending} file in {}", folder.display())))
}

/// The system's own deb822 sources with deb-src, or Debian's own addresses where there are none.
fn sources() -> String {
    let own = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    if own.contains("Types:") {
        let lines = own.lines().map(|l| if l.starts_with("Types:") { "Types: deb deb-src" } else { l });
        return lines.collect::<Vec<_>>().join("\n") + "\n";
    }
    let keys = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg";
    let part = |uri: &str, suites: &str| {
        format!("Types: deb deb-src\nURIs: {uri}\nSuites: {suites}\nComponents: main\n{keys}\n\n")
    };
    part("http://deb.debian.org/debian", "bookworm bookworm-updates")
        + &part("http://deb.debian.org/debian-security", "bookworm-security")
}
