//! Versions of build-dependencies, as far as the stock binaries tell them.

use std::path::Path;

use super::Archive;
use super::archive::{installed, source_field};
use super::error::Result;
use super::proof::strings;
use super::rebuild::upstream;

/// What is known of the packages that a source was built with.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// `libssl-dev=3.0.20-1~deb12u2`.
    pub(super) packages: Vec<String>,
    /// Where its tree lay, below `/build`.
    pub(super) place: Option<String>,
    /// What was told, for people.
    pub(super) notes: Vec<String>,
    /// What was not told, for people.
    pub(super) unknown: Vec<String>,
}

/// Looks for the versions of build-dependencies that the archive has several of in the strings of `stock`.
pub(super) fn pins(
    archive: &Archive,
    dsc: &Path,
    (source, version): (&str, &str),
    stock: &[&Path],
) -> Result<Pins> {
    let mut pins = Pins::default();
    let mut texts = Vec::new();
    for file in stock {
        texts.push(strings(file)?);
    }
    let tree = format!("{source}-{}", upstream(version));
    pins.place = texts.iter().find_map(|text| place(text, &tree));
    if let Some(place) = &pins.place {
        pins.notes.push(format!("built at /build/{place}: told by the stock binary's strings"));
    }
    for dependency in build_dependencies(dsc)? {
        let versions = archive.binaries(&dependency)?;
        let own = installed(&dependency);
        let others = versions.iter().filter(|v| own.as_ref().is_some_and(|own| own != *v)).count();
        if versions.len() < 2 && others == 0 {
            continue;
        }
        let is_told = |version: &&String| texts.iter().any(|text| mentions(text, upstream(version)));
        let told: Vec<&String> = versions.iter().filter(is_told).collect();
        match told[..] {
            [one] => {
                pins.notes.push(format!("{dependency} {one}: told by the stock binary's strings"));
                pins.packages.push(format!("{dependency}={one}"));
                // What must be of the very same version.
                let needs = archive.binary_field(&dependency, one, "Depends")?.unwrap_or_default();
                let exact = needs.split(',').filter_map(|need| need.trim().split_once(' '));
                let exact = exact.filter(|(_, rest)| *rest == format!("(= {one})"));
                pins.packages.extend(exact.map(|(name, _)| format!("{}={one}", bare(name))));
            }
            _ => pins.unknown.push(format!(
                "{dependency}: the stock binary does not tell which of {} it was built with",
                versions.join(", ")
            )),
        }
    }
    Ok(pins)
}

/// `/build/reproducible-path/nginx-1.22.1` in a text tells where `nginx-1.22.1` was built.
fn place(text: &[u8], tree: &str) -> Option<String> {
    const START: &[u8] = b"/build/";
    let starts = text.windows(START.len()).enumerate().filter(|(_, part)| *part == START);
    starts.map(|(at, _)| &text[at + START.len()..]).find_map(|rest| {
        let folder =
            rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"-+.~_".contains(byte))?;
        let rest_of = rest.get(folder..)?.strip_prefix(b"/")?.strip_prefix(tree.as_bytes())?;
        let ends =
            rest_of.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b".-+~".contains(byte));
        let folder = std::str::from_utf8(&rest[..folder]).ok().filter(|folder| !folder.starts_with('.'))?;
        ends.then(|| format!("{folder}/{tree}"))
    })
}

fn build_dependencies(dsc: &Path) -> Result<Vec<String>> {
    let mut out: Vec<String> = Vec::new();
    for field in ["Build-Depends", "Build-Depends-Arch"] {
        let text = source_field(dsc, field)?.unwrap_or_default();
        for need in text.split(',').filter(|need| !need.contains("!nocheck")) {
            let word = need.split('|').next().and_then(|first| first.split_whitespace().next());
            let name = bare(word.unwrap_or_default());
            // Only what is compiled against leaves a version in a program.
            if name.ends_with("-dev") && name != "dpkg-dev" && !out.iter().any(|own| own == name) {
                out.push(name.to_owned());
            }
        }
    }
    Ok(out)
}

/// `libssl3:amd64` → `libssl3`.
fn bare(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// Whether a text holds this version, not as a part of another. A version of less than three numbers may be anything.
fn mentions(text: &[u8], version: &str) -> bool {
    let own = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.');
    version.matches('.').count() >= 2
        && text.windows(version.len()).enumerate().any(|(at, part)| {
            part == version.as_bytes()
                && !(at > 0 && own(text.get(at - 1)))
                && !own(text.get(at + version.len()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_tree_is_told_only_for_this_tree() {
        let text =
            b"/build/reproducible-path/zlib-1.2/x\0-ffile-prefix-map=/build/reproducible-path/nginx-1.22.1=.";
        assert_eq!(place(text, "nginx-1.22.1").as_deref(), Some("reproducible-path/nginx-1.22.1"));
        assert_eq!(place(text, "nginx-1.22"), None);
        assert_eq!(place(b"/build/../nginx-1.22.1\0", "nginx-1.22.1"), None);
        assert_eq!(
            place(b"/build/memcached-Ab12/memcached-1/a.c", "memcached-1").as_deref(),
            Some("memcached-Ab12/memcached-1")
        );
    }

    #[test]
    fn a_version_is_told_only_as_a_whole() {
        let text = b"built with OpenSSL 3.0.20 7 Apr 2026\0nginx/1.22.1";
        assert!(mentions(text, "3.0.20"));
        assert!(!mentions(text, "3.0.2"));
        assert!(!mentions(text, "1.2"));
        assert!(mentions(text, "1.22.1"));
    }
}
