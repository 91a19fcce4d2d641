//! What modules and programs say of themselves, read from their files without running them.

use std::collections::{BTreeMap, BTreeSet};

/// The section in which a module describes itself.
pub const SECTION: &str = ".liveline";

/// The section that has all interfaces a file was compiled with.
pub const INTERFACES: &str = ".liveline.interfaces";

const HEADER: usize = 64;
const SEGMENT_HEADER: usize = 56;
/// `PT_LOAD` and `PT_DYNAMIC`.
const LOAD: usize = 1;
const DYNAMIC: usize = 2;
/// `e_machine` of what runs here.
const MACHINE: usize = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
const SECTION_HEADER: usize = 64;

/// What a module says of itself, if the file is one.
pub fn description(file: &[u8]) -> Option<&str> {
    text(file, SECTION)
}

/// Whether a module's file is whole, as far as its headers tell: the dynamic linker believes them.
///
/// # Errors
/// The words say what is wrong with it.
pub fn check(file: &[u8]) -> Result<(), String> {
    let cut =
        || format!("its file is cut or damaged: its headers tell of more than its {} bytes", file.len());
    let header = file.get(..HEADER).ok_or_else(cut)?;
    let machine = half(header, 0x12);
    if machine != Some(MACHINE) {
        return Err(format!(
            "it is for another machine (ELF machine {}, not {MACHINE})",
            machine.unwrap_or(0)
        ));
    }
    let table = |at, size, count, each: usize| -> Option<&[u8]> {
        let start = usize::try_from(word(header, at)?).ok()?;
        (half(header, size)? == each).then_some(())?;
        file.get(start..start.checked_add(half(header, count)?.checked_mul(each)?)?)
    };
    let sections = table(0x28, 0x3a, 0x3c, SECTION_HEADER);
    let segments = table(0x20, 0x36, 0x38, SEGMENT_HEADER).filter(|_| sections.is_some()).ok_or_else(cut)?;
    for segment in segments.chunks_exact(SEGMENT_HEADER) {
        let value = |at| word(segment, at).unwrap_or(u64::MAX);
        let (offset, address, size, memory, align) = (value(8), value(16), value(32), value(40), value(48));
        let end = offset.checked_add(size).and_then(|end| usize::try_from(end).ok());
        let bytes = end.and_then(|end| file.get(usize::try_from(offset).ok()?..end)).ok_or_else(cut)?;
        let is_sound = match quad(segment, 0) {
            Some(LOAD) => {
                let congruent = |align: u64| offset & (align - 1) == address & (align - 1);
                size <= memory && align.is_power_of_two() && congruent(align)
            }
            Some(DYNAMIC) => is_dynamic(bytes),
            _ => true,
        };
        if !is_sound {
            return Err("its file is damaged: a segment makes no sense".to_owned());
        }
    }
    Ok(())
}

/// Whether these are entries of a dynamic section that ends: each of a kind that generic or GNU tools make.
fn is_dynamic(bytes: &[u8]) -> bool {
    for entry in bytes.chunks_exact(16) {
        match word(entry, 0) {
            Some(0) => return true,
            Some(1..64 | 0x6000_0000..0x8000_0000) => {}
            _ => return false,
        }
    }
    false
}

/// How interfaces that a program and a module both have differ, in words.
pub fn changed_interfaces(program: &[u8], module: &[u8]) -> Vec<String> {
    let (have, offered) = (interfaces(program), interfaces(module));
    let mut changes = Vec::new();
    for ((own, name), methods) in offered {
        let Some(before) = have.get(&(own, name)) else { continue };
        let only = |who: &str, these: &BTreeSet<&str>, those: &BTreeSet<&str>| -> Option<String> {
            let all: Vec<&str> = these.difference(those).copied().collect();
            (!all.is_empty()).then(|| format!("only the {who} has: {}", all.join("; ")))
        };
        if *before != methods {
            let sides = [only("program", before, &methods), only("module", &methods, before)];
            let words: Vec<String> = sides.into_iter().flatten().collect();
            changes.push(format!("interface {name} of crate {own}: {}", words.join("; ")));
        }
    }
    changes
}

/// The interfaces that a file was compiled with: crate and name of each, with its methods.
pub type Interfaces<'file> = BTreeMap<(&'file str, &'file str), BTreeSet<&'file str>>;

/// The interfaces that a file was compiled with; none if it does not say.
pub fn interfaces(file: &[u8]) -> Interfaces<'_> {
    let mut found = Interfaces::new();
    let mut current = None;
    // Between what crates wrote the linker may have put zeros.
    for line in text(file, INTERFACES).unwrap_or_default().split(['\n', '\0']) {
        match line.split_once(' ') {
            Some(("interface", words)) => {
                current = words.split_once(' ');
                found.extend(current.map(|key| (key, BTreeSet::new())));
            }
            Some(("method", words)) => {
                if let Some(methods) = current.and_then(|key| found.get_mut(&key)) {
                    methods.insert(words);
                }
            }
            _ => {}
        }
    }
    found
}

/// The text of a section, if the file is a 64-bit little-endian ELF file that has it.
fn text<'file>(file: &'file [u8], wanted: &str) -> Option<&'file str> {
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let header = file.get(..HEADER)?;
    let table = usize::try_from(word(header, 0x28)?).ok()?;
    let (size, count, names) = (half(header, 0x3a)?, half(header, 0x3c)?, half(header, 0x3e)?);
    if size != SECTION_HEADER {
        return None;
    }
    let section = |number: usize| -> Option<&[u8]> {
        let at = table.checked_add(number.checked_mul(SECTION_HEADER)?)?;
        file.get(at..at.checked_add(SECTION_HEADER)?)
    };
    let names = contents(file, section(names)?)?;
    let found = (0..count).filter_map(section).find(|header| {
        let name = quad(header, 0).and_then(|at| names.get(at..));
        name.is_some_and(|name| name.starts_with(wanted.as_bytes()) && name.get(wanted.len()) == Some(&0))
    })?;
    std::str::from_utf8(contents(file, found)?).ok()
}

fn contents<'file>(file: &'file [u8], header: &[u8]) -> Option<&'file [u8]> {
    let start = usize::try_from(word(header, 0x18)?).ok()?;
    let size = usize::try_from(word(header, 0x20)?).ok()?;
    file.get(start..start.checked_add(size)?)
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

fn quad(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with the sections: none, names, ours.
    fn file(text: &[u8]) -> Vec<u8> {
        file_with(b"\0.names\0.liveline\0", text)
    }

    fn file_with(names: &[u8], text: &[u8]) -> Vec<u8> {
        let mut file = vec![0; HEADER];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let (names_at, text_at) = (file.len(), file.len() + names.len());
        file.extend(names);
        file.extend(text);
        let table = file.len() as u64;
        file[0x28..0x30].copy_from_slice(&table.to_le_bytes());
        file[0x3a..0x40].copy_from_slice(&[64, 0, 3, 0, 1, 0]);
        for (name, at, size) in [(0_u32, 0, 0), (1, names_at, names.len()), (8, text_at, text.len())] {
            let mut header = [0; SECTION_HEADER];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(at as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
            file.extend(header);
        }
        file
    }

    /// A file as whole as its headers tell, with a segment of each kind.
    fn sound() -> Vec<u8> {
        let mut file = file(b"words");
        file[0x12] = MACHINE as u8;
        let (table, dynamic) = (file.len() as u64, file.len() as u64 + 112);
        file[0x20..0x28].copy_from_slice(&table.to_le_bytes());
        file[0x36..0x3a].copy_from_slice(&[SEGMENT_HEADER as u8, 0, 2, 0]);
        for (kind, offset, size) in [(LOAD, 0, dynamic), (DYNAMIC, dynamic, 32)] {
            let mut header = [0; SEGMENT_HEADER];
            header[0] = kind as u8;
            for (at, value) in [(8, offset), (16, offset), (32, size), (40, size), (48, 0x1000)] {
                header[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            file.extend(header);
        }
        file.extend([[1_u8, 0, 0, 0, 0, 0, 0, 0], [0; 8], [0; 8], [0; 8]].concat());
        file
    }

    #[test]
    fn a_damaged_file_is_told() {
        let whole = sound();
        assert_eq!(check(&whole), Ok(()));
        let cut = |end: usize| check(&whole[..end]).unwrap_err();
        assert!((0..whole.len()).all(|end| cut(end).starts_with("its file is cut or damaged")));
        let with = |at: usize, byte: u8| {
            let mut file = whole.clone();
            file[at] = byte;
            check(&file).unwrap_err()
        };
        assert!(with(0x12, 183).starts_with("it is for another machine"));
        let segments = whole.len() - 32 - 112;
        // Where the first segment begins in the file, its alignment, its size in memory.
        for (at, words) in [(8 + 7, "cut or damaged"), (8, "no sense"), (48, "no sense"), (41, "no sense")] {
            let why = with(segments + at, if at == 41 { 0 } else { 1 });
            assert!(why.contains(words), "{at}: {why}");
        }
        // An entry of no kind, and no end.
        assert!(with(whole.len() - 32 + 7, 0xff).contains("no sense"));
        assert!(with(whole.len() - 16, 1).contains("no sense"));
    }

    #[test]
    fn the_section_is_found() {
        assert_eq!(description(&file(b"words")), Some("words"));
    }

    #[test]
    fn interfaces_are_told_apart_by_their_methods() {
        let file = |text: &str| file_with(b"\0.names\0.liveline.interfaces\0", text.as_bytes());
        let program = file(
            "interface shop Policy\nmethod fn a ()\nmethod fn b ()\n\0\0interface shop Same\nmethod fn c ()\n",
        );
        let module = file(
            "interface shop Same\nmethod fn c ()\ninterface shop Policy\nmethod fn a ()\nmethod fn b (n : u64)\ninterface own New\n",
        );
        assert_eq!(
            changed_interfaces(&program, &module),
            [
                "interface Policy of crate shop: only the program has: fn b (); only the module has: fn b (n : u64)"
            ]
        );
        assert!(changed_interfaces(b"", &module).is_empty());
    }

    #[test]
    fn files_that_are_cut_or_changed_are_no_modules_and_do_no_harm() {
        let whole = file(b"words");
        for end in 0..whole.len() {
            assert_eq!(description(&whole[..end]), None);
        }
        for at in 0..whole.len() {
            for value in [0x00, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                // Whatever it says, it ends.
                let _ = description(&changed);
            }
        }
    }
}
