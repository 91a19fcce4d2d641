//! What the crate under compilation is made of: told by the compiler's own command line and by the metadata files
//! of the crates it names, which hold all their types.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Options that may differ between a program and its module: they change no type and no convention of calls.
const OWN: [&str; 19] = [
    "metadata",
    "extra-filename",
    "incremental",
    "linker",
    "link-arg",
    "link-args",
    "linker-flavor",
    "link-dead-code",
    "opt-level",
    "debuginfo",
    "codegen-units",
    "embed-bitcode",
    "strip",
    "split-debuginfo",
    "debug-assertions",
    "overflow-checks",
    "lto",
    "linker-plugin-lto",
    "rpath",
];

/// The compiler's command line, as far as it matters here.
#[derive(Default)]
pub(crate) struct Made {
    name: String,
    metadata: Vec<String>,
    settings: BTreeSet<String>,
    externs: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    kinds: BTreeSet<String>,
}

impl Made {
    /// Of the crate that is compiled now.
    pub(crate) fn now() -> Self {
        Self::of(std::env::args().skip(1))
    }

    fn of(arguments: impl Iterator<Item = String>) -> Self {
        let mut made = Self::default();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let (option, joined) = match &argument {
                a if a.starts_with("--") => match a.split_once('=') {
                    Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
                    None => (a.clone(), None),
                },
                a if a.len() > 2 && a.starts_with('-') && a.is_char_boundary(2) => {
                    (a[..2].to_owned(), Some(a[2..].to_owned()))
                }
                a => (a.clone(), None),
            };
            if !matches!(
                option.as_str(),
                "--crate-name"
                    | "--crate-type"
                    | "--target"
                    | "--cfg"
                    | "--extern"
                    | "-C"
                    | "--codegen"
                    | "-Z"
                    | "-L"
            ) {
                continue;
            }
            let Some(value) = joined.or_else(|| arguments.next()) else { break };
            made.note(&option, value);
        }
        made
    }

    fn note(&mut self, option: &str, value: String) {
        match option {
            "--crate-name" => self.name = value,
            "--crate-type" => self.kinds.extend(value.split(',').map(str::to_owned)),
            "--target" => drop(self.settings.insert(format!("target={value}"))),
            "--cfg" if !value.starts_with("feature") => drop(self.settings.insert(format!("cfg {value}"))),
            "--extern" => self.externs.extend(value.split_once('=').map(|(_, path)| PathBuf::from(path))),
            "-L" => self.folders.extend(value.strip_prefix("dependency=").map(PathBuf::from)),
            "-C" | "--codegen" => {
                let name = value.split('=').next().unwrap_or_default();
                if name == "metadata" {
                    self.metadata.extend(value.split_once('=').map(|(_, text)| text.to_owned()));
                } else if !OWN.contains(&name) {
                    self.settings.insert(value);
                }
            }
            "-Z" => drop(self.settings.insert(format!("-Z{value}"))),
            _ => {}
        }
    }

    /// Whether a shared library that stands alone is made, and nothing else.
    pub(crate) fn is_module(&self) -> bool {
        self.kinds.len() == 1 && self.kinds.contains("cdylib")
    }

    /// The words that stand in the file: `liveline_control::fingerprint` reads them.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("liveline 1\nname {}\nbuild {}", self.name, self.name);
        for metadata in &self.metadata {
            text += &format!("+{metadata}");
        }
        text += "\n";
        let crates = self.crates();
        let compiler = crates.values().find_map(|file| compiler(&file.bytes)).unwrap_or_default();
        text += &format!("rustc {compiler}\n");
        for setting in &self.settings {
            text += &format!("setting {setting}\n");
        }
        for ((name, how), file) in &crates {
            text += &format!("crate {name} {how} {:016x}\n", hash(&file.bytes));
        }
        text
    }

    /// Every crate that this one is made of, by name and cargo's hash of how it is built. A metadata file names all
    /// crates it was made with, so those the compiler is told of lead to all.
    fn crates(&self) -> BTreeMap<(String, String), Metadata> {
        let mut found = BTreeMap::new();
        let mut named = BTreeSet::new();
        for path in &self.externs {
            if let Some((id, file)) = Metadata::read(path) {
                named.extend(hashes(&file.bytes));
                found.insert(id, file);
            }
        }
        let others = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        for path in others.map(|entry| entry.path()) {
            if path.extension() != Some(OsStr::new("rmeta")) {
                continue;
            }
            let Some(id) = id(&path) else { continue };
            if named.contains(&id.1) && !found.contains_key(&id) {
                found.extend(Metadata::read(&path));
            }
        }
        found
    }
}

/// A crate's metadata file.
struct Metadata {
    bytes: Vec<u8>,
}

impl Metadata {
    /// The metadata of the crate in that file; of a library, the file beside it.
    fn read(path: &Path) -> Option<((String, String), Self)> {
        // The macros of a crate are not part of what it becomes.
        if !matches!(path.extension().and_then(OsStr::to_str), Some("rmeta" | "rlib")) {
            return None;
        }
        let bytes = fs::read(path.with_extension("rmeta")).or_else(|_| fs::read(path)).unwrap_or_default();
        Some((id(path)?, Self { bytes }))
    }
}

/// A crate's name and hash, out of a file name like `libserde-0123456789abcdef.rmeta`.
fn id(path: &Path) -> Option<(String, String)> {
    let stem = path.file_stem()?.to_str()?.strip_prefix("lib")?;
    let (name, how) = stem.rsplit_once('-').unwrap_or((stem, "-"));
    Some((name.to_owned(), how.to_owned()))
}

/// Everything in a metadata file that looks like cargo's hash of a crate.
fn hashes(bytes: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut rest, mut skipped) = (bytes, Vec::new());
    // The standard library's search is compiled to be fast, this crate mostly is not.
    while rest.read_until(b'-', &mut skipped).is_ok_and(|length| length > 0) {
        skipped.clear();
        if let Some(digits) =
            rest.get(..16).filter(|d| d.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        {
            found.extend(std::str::from_utf8(digits).map(str::to_owned));
        }
    }
    found
}

/// The compiler's version: it stands at the beginning of each metadata file.
fn compiler(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(256)];
    let at = head.windows(6).position(|window| window == b"rustc ")?;
    let text = head[at..].iter().take_while(|byte| matches!(byte, 0x20..=0x7e)).map(|byte| char::from(*byte));
    let text: String = text.collect();
    // Behind the version stands whatever comes next in the file.
    Some(text.split_inclusive(')').next().unwrap_or_default().to_owned())
}

fn hash(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        return 0;
    }
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(line: &str) -> Made {
        Made::of(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn the_command_line_is_read_in_both_spellings() {
        let one = made(
            "--crate-name m --crate-type cdylib -C metadata=1 -C panic=abort -Copt-level=3 -C metadata=2",
        );
        let two = made("--crate-name=m --crate-type=cdylib -Cmetadata=1 --codegen=panic=abort -Cmetadata=2");
        for made in [one, two] {
            assert!(made.is_module());
            assert_eq!(made.describe(), "liveline 1\nname m\nbuild m+1+2\nrustc \nsetting panic=abort\n");
        }
        assert!(!made("--crate-type cdylib --crate-type rlib").is_module());
    }

    #[test]
    fn crates_are_found_through_those_that_name_them() {
        let folder = std::env::temp_dir().join(format!("liveline-made-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("liba-00000000000000aa.rmeta", "rust rustc 1.95.0 (5 2026)x libb -00000000000000bb;");
        write("liba-00000000000000aa.rlib", "other words");
        write("libb-00000000000000bb.rmeta", "b");
        write("libc-00000000000000cc.rmeta", "nobody names it");
        let place = folder.display();
        let made = made(&format!("--extern a={place}/liba-00000000000000aa.rlib -L dependency={place}"));
        let text = made.describe();
        fs::remove_dir_all(&folder).unwrap();
        assert!(text.contains("rustc rustc 1.95.0 (5 2026)\ncrate a 00000000000000aa "), "{text}");
        assert!(text.contains("\ncrate b 00000000000000bb "), "{text}");
        assert!(!text.contains("crate c"), "{text}");
    }
}
