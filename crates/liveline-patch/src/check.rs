//! The hash by which damage to a file is seen. It is no signature: whoever makes a patch makes it too.

use std::ops::Range;

use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSection};

use crate::CHECK_SECTION;

/// Size of the hash in bytes.
pub(crate) const SIZE: usize = blake3::OUT_LEN;

/// Where the hash lies in the file; none if it has no room for one.
fn place(file: &ElfFile64<'_, LittleEndian>, length: usize) -> Option<Range<usize>> {
    let (offset, size) = file.section_by_name(CHECK_SECTION)?.file_range()?;
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(SIZE)?;
    (size == SIZE as u64 && end <= length).then_some(start..end)
}

fn hash(bytes: &[u8], place: &Range<usize>) -> [u8; SIZE] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..place.start]).update(&[0; SIZE]).update(&bytes[place.end..]);
    *hasher.finalize().as_bytes()
}

/// Whether the file is as it was written; what is wrong if not.
pub(crate) fn verify(file: &ElfFile64<'_, LittleEndian>, bytes: &[u8]) -> Result<(), String> {
    let place = place(file, bytes.len()).ok_or("it has no hash of its contents")?;
    if bytes[place.clone()] == hash(bytes, &place) {
        Ok(())
    } else {
        Err("its contents are not those it was written with; copy it or make it again".into())
    }
}

/// Writes the hash into its section. Errors: there is no such section.
pub(crate) fn seal(bytes: &mut [u8]) -> object::read::Result<bool> {
    let file = ElfFile64::<LittleEndian>::parse(&*bytes)?;
    let Some(place) = place(&file, bytes.len()) else { return Ok(false) };
    let hash = hash(bytes, &place);
    bytes[place].copy_from_slice(&hash);
    Ok(true)
}
