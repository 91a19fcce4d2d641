//! Short jumps out of a function, as the thunks of virtual functions end with: the assembler makes them where the function lies
//! right behind, which it does not any more once both come along.

use liveline_patch::RelocationKind;

use crate::emit::Emitter;
use crate::unit::{Piece, Reloc};

/// `jmp rel8`.
const SHORT: u8 = 0xeb;
/// `jmp rel32`, which has three bytes more.
const NEAR: [u8; 5] = [0xe9, 0, 0, 0, 0];

/// Makes the short jump with which a piece ends a near one; the kind and the addend of its relocation. None where it is
/// something else, or where something follows it.
pub(crate) fn lengthen(
    emitter: &mut Emitter,
    key: (usize, usize),
    piece: &Piece,
    reloc: &Reloc,
) -> Option<(RelocationKind, i64)> {
    let field = usize::try_from(reloc.offset).ok()?;
    let start = field.checked_sub(1)?;
    let last = reloc.width() == 1 && reloc.offset + 1 == piece.size;
    if !last || piece.bytes.get(start) != Some(&SHORT) {
        return None;
    }
    let &(section, base) = emitter.placed.get(&key)?;
    let section = emitter.maker.sections.get_mut(section)?;
    if base + piece.size != section.size {
        return None;
    }
    section.bytes.truncate(usize::try_from(base).ok()? + start);
    section.bytes.extend(NEAR);
    section.size = section.bytes.len() as u64;
    // It counts from the end of its field, and so does the other.
    Some((RelocationKind::Pc32, reloc.effective() - 4))
}
