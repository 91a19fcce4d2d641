//! Versions that the lists no longer name, while the archive's pool still has their files.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{Archive, kept_source, source_field};
use super::error::{DebianError, Result, Tried};
use super::quiet::Quiet;

/// apt's own downloader, with its proxies and retries.
const HELPER: &str = "/usr/lib/apt/apt-helper -oAPT::Sandbox::User=root download-file";

impl Archive {
    /// As [`Archive::source`]; a version that the lists do not name is looked for beside those they do. Nothing but its
    /// place vouches for such a one: for trials, not for what goes to others.
    pub fn source_or_pool(&self, package: &str, version: &str, into: &Path) -> Result<PathBuf> {
        let failure = match self.source(package, version, into) {
            Ok(dsc) => return Ok(dsc),
            Err(failure) => failure,
        };
        for listed in self.sources(package)? {
            let Some(place) = self.place(package, &listed)? else { continue };
            if let Some(dsc) = from_pool(&place, package, version, into)? {
                self.say(&format!(
                    "the lists do not have {package} {version} any more, but the pool still has its source"
                ));
                return Ok(dsc);
            }
        }
        Err(failure)
    }

    /// The address of the folder in which a listed version's files are.
    fn place(&self, package: &str, listed: &str) -> Result<Option<String>> {
        let line = format!("source --print-uris -qq --only-source --download-only {package}={listed}");
        let text = self.apt(self.folder(), "apt-get").words(&line).output()?;
        Ok(text.lines().find_map(folder_of).map(String::from))
    }
}

/// The folder of a line of `--print-uris` that names a .dsc file.
fn folder_of(line: &str) -> Option<&str> {
    let address = line.strip_prefix('\'')?.split_once('\'')?.0;
    let (folder, file) = address.rsplit_once('/')?;
    file.ends_with(".dsc").then_some(folder)
}

/// Downloads a source package out of a folder of the pool; none if it is not there.
fn from_pool(place: &str, package: &str, version: &str, into: &Path) -> Result<Option<PathBuf>> {
    fs::create_dir_all(into).tried(format!("make {}", into.display()))?;
    // The epoch is no part of a file's name, and a plus is written otherwise in an address.
    let bare = version.split_once(':').map_or(version, |(_, rest)| rest);
    let fetch = |name: &str, sum: &str| {
        let address = format!("{place}/{}", name.replace('+', "%2b"));
        let helper = Quiet::new(into, HELPER).argument(address).argument(into.join(name));
        if sum.is_empty() { helper.run() } else { helper.argument(format!("SHA256:{sum}")).run() }
    };
    let name = format!("{package}_{bare}.dsc");
    let dsc = into.join(&name);
    if fetch(&name, "").is_err() {
        let _ = fs::remove_file(&dsc);
        return Ok(None);
    }
    let files = source_field(&dsc, "Checksums-Sha256")?.unwrap_or_default();
    let words: Vec<&str> = files.split_whitespace().collect();
    for file in words.chunks(3) {
        let [sum, _, name] = file else {
            return Err(DebianError::Failed(format!("{} names no files", dsc.display())));
        };
        if !into.join(name).exists() && fetch(name, sum).is_err() {
            let _ = fs::remove_file(&dsc);
            return Ok(None);
        }
    }
    Ok(kept_source(into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_source_is_where_its_dsc_is() {
        let line = "'http://x/pool/main/n/nginx/nginx_1%2b2.dsc' nginx_1+2.dsc 3581 SHA256:87";
        assert_eq!(folder_of(line), Some("http://x/pool/main/n/nginx"));
        assert_eq!(folder_of(&line.replace(".dsc", ".tar.xz")), None);
    }
}
