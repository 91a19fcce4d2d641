//! The places that panics name: constants that change with every line that moves.

use object::elf;

use crate::unit::{Kind, Piece, To, Unit};

/// Bytes of a `core::panic::Location`: file (address and length), line, column.
const SIZE: u64 = 24;

/// Whether two constants are places in the same source file.
pub(crate) fn same_file(old: (&Unit, &Piece), new: (&Unit, &Piece)) -> bool {
    file(old.0, old.1).is_some_and(|name| file(new.0, new.1) == Some(name))
}

/// The source file of a place. rustc ends a place's file name with a zero byte that its length does not count,
/// which it does with no string of the source: what only looks like a place is not taken for one.
fn file<'d>(unit: &Unit<'d>, piece: &Piece<'d>) -> Option<&'d [u8]> {
    let [reloc] = &*piece.relocs else { return None };
    let plain = piece.kind == Kind::Const && !piece.is_named() && piece.size == SIZE;
    if !plain || reloc.offset != 0 || reloc.addend != 0 || reloc.kind != elf::R_X86_64_64.0 {
        return None;
    }
    let To::Piece(name) = reloc.to else { return None };
    let name = &unit.pieces[name];
    let length = usize::try_from(u64::from_le_bytes(piece.bytes.get(8..16)?.try_into().ok()?)).ok()?;
    let text = name.bytes.strip_suffix(b"\0").filter(|text| text.len() == length)?;
    let plain = name.kind == Kind::Const && !name.is_named() && name.relocs.is_empty();
    (plain && text.ends_with(b".rs")).then_some(text)
}
