//! By what a rebuilt program is known to be the archive's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::{Object, ObjectSection, SectionFlags, SectionKind};
use serde::Serialize;

use super::error::{DebianError, Result, Tried};

const BUILD_ID: &str = ".note.gnu.build-id";

/// A loaded section that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionDifference {
    /// Its name.
    pub section: String,
    /// How many bytes differ.
    pub bytes: usize,
    /// The first of them, as an offset in the section; none if place or size differ.
    pub first: Option<usize>,
    /// Why it does no harm.
    pub harmless: Option<&'static str>,
}

/// What a rebuilt program and the stock one have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The build-id of the stock program.
    pub build_id: Option<String>,
    /// The rebuilt program has the same.
    pub same_build_id: bool,
    /// What differs of what is loaded.
    pub differ: Vec<SectionDifference>,
}

impl Proof {
    /// Compares what two ELF files load.
    pub fn of(stock: &Path, rebuilt: &Path) -> Result<Proof> {
        let (a, b) = (read(stock)?, read(rebuilt)?);
        let (a, b) = (Image::parse(stock, &a)?, Image::parse(rebuilt, &b)?);
        let names = a.sections.keys().chain(b.sections.keys().filter(|name| !a.sections.contains_key(*name)));
        let differ = names.filter_map(|name| difference(name, a.sections.get(name), b.sections.get(name)));
        let same_build_id = a.build_id.is_some() && a.build_id == b.build_id;
        Ok(Proof { differ: differ.collect(), same_build_id, build_id: a.build_id })
    }

    /// Whether one can be taken for the other.
    pub fn holds(&self) -> bool {
        self.differ.iter().all(|section| section.harmless.is_some())
    }

    /// In words.
    pub fn words(&self) -> String {
        match (&self.build_id, &self.differ[..]) {
            (Some(id), []) if self.same_build_id => format!("same build-id {id}, every loaded byte the same"),
            (_, []) => "every loaded byte is the same".into(),
            (_, differ) if self.holds() => {
                let words: Vec<String> = differ.iter().map(SectionDifference::words).collect();
                format!("every loaded byte is the same but those of {}", words.join(", "))
            }
            (_, differ) => differ.iter().map(SectionDifference::words).collect::<Vec<_>>().join(", "),
        }
    }
}

impl SectionDifference {
    fn words(&self) -> String {
        let place = match self.first {
            Some(first) => format!("{} bytes, the first at {first:#x}", self.bytes),
            None => "another place or size".into(),
        };
        match self.harmless {
            Some(why) => format!("{} ({place}): harmless, {why}", self.section),
            None => format!("{} ({place})", self.section),
        }
    }
}

/// Says by what the rebuilt program is proved to be the stock one.
pub fn prove(stock: &Path, rebuilt: &Path) -> Result<String> {
    let proof = Proof::of(stock, rebuilt)?;
    if proof.holds() {
        return Ok(proof.words());
    }
    Err(DebianError::NotStock { rebuilt: rebuilt.display().to_string(), differ: proof.words() })
}

/// The build-id of an ELF file, in hex.
pub fn build_id(file: &Path) -> Result<String> {
    let bytes = read(file)?;
    let image = Image::parse(file, &bytes)?;
    image.build_id.ok_or_else(|| DebianError::Failed(format!("{} has no build-id", file.display())))
}

/// Whether two programs load the same bytes, the build-id aside.
pub fn same_image(a: &Path, b: &Path) -> Result<bool> {
    Ok(Proof::of(a, b)?.holds())
}

/// Bytes of read-only data, in which a program's strings lie.
pub(super) fn strings(file: &Path) -> Result<Vec<u8>> {
    let bytes = read(file)?;
    let image = Image::parse(file, &bytes)?;
    let texts = image.sections.values().filter(|section| section.strings);
    Ok(texts.flat_map(|section| section.bytes.iter().copied().chain([0])).collect())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).tried(format!("read {}", file.display()))
}

struct Image<'a> {
    build_id: Option<String>,
    sections: BTreeMap<String, Section<'a>>,
}

struct Section<'a> {
    address: u64,
    size: u64,
    flags: object::elf::SectionFlags,
    strings: bool,
    bytes: &'a [u8],
}

impl<'a> Image<'a> {
    fn parse(path: &Path, bytes: &'a [u8]) -> Result<Image<'a>> {
        let file = object::File::parse(bytes).tried(path.display().to_string())?;
        let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
        let build_id = file.build_id().ok().flatten().map(hex);
        let mut sections = BTreeMap::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
            if !sh_flags.contains(object::elf::SHF_ALLOC) {
                continue;
            }
            let one = Section {
                address: section.address(),
                size: section.size(),
                flags: sh_flags,
                strings: matches!(section.kind(), SectionKind::ReadOnlyData | SectionKind::ReadOnlyString),
                bytes: section.data().tried(path.display().to_string())?,
            };
            sections.insert(section.name().tried(path.display().to_string())?.to_owned(), one);
        }
        Ok(Image { build_id, sections })
    }
}

fn difference(name: &str, a: Option<&Section<'_>>, b: Option<&Section<'_>>) -> Option<SectionDifference> {
    let placed = |s: &Section<'_>| (s.address, s.size, s.flags);
    let (bytes, first) = match (a, b) {
        (Some(a), Some(b)) if placed(a) == placed(b) && a.bytes.len() == b.bytes.len() => {
            let mut differ = a.bytes.iter().zip(b.bytes).enumerate().filter(|(_, (x, y))| x != y);
            let first = differ.next()?.0;
            (1 + differ.count(), Some(first))
        }
        (a, b) => {
            let size = |section: Option<&Section<'_>>| section.map_or(0, |s| s.bytes.len());
            (size(a).max(size(b)), None)
        }
    };
    let harmless = (name == BUILD_ID && first.is_some())
        .then_some("a hash that also counts debug information, which is not loaded");
    Some(SectionDifference { section: name.into(), bytes, first, harmless })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn program(folder: &Path, name: &str, text: &str, id: &str) -> std::path::PathBuf {
        let (source, output) = (folder.join("a.c"), folder.join(name));
        fs::write(&source, format!("const char *word(void) {{ return \"{text}\"; }}")).unwrap();
        let id = format!("-Wl,--build-id={id}");
        let status =
            Command::new("gcc").args(["-shared", "-fPIC", &id, "-o"]).args([&output, &source]).status();
        assert!(status.unwrap().success());
        output
    }

    #[test]
    fn what_differs_is_told_by_section_and_only_a_build_id_is_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let stock = program(folder.path(), "a", "built in May", "0x0102");
        let same = program(folder.path(), "b", "built in May", "0x0102");
        let other_id = program(folder.path(), "c", "built in May", "0x0103");
        let other = program(folder.path(), "d", "built in Mai", "0x0102");
        assert_eq!(prove(&stock, &same).unwrap(), "same build-id 0102, every loaded byte the same");
        let proof = Proof::of(&stock, &other_id).unwrap();
        assert!(proof.holds() && !proof.same_build_id && proof.differ[0].section == BUILD_ID, "{proof:?}");
        // A build-id can be given by hand: it does not outweigh a byte.
        let error = prove(&stock, &other).unwrap_err().to_string();
        assert!(error.ends_with("is not the stock binary: .rodata (1 bytes, the first at 0xb)"), "{error}");
        assert!(strings(&stock).unwrap().windows(12).any(|text| text == b"built in May"));
    }
}
