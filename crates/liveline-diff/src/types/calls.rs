//! Whether old code may go on calling a function that is replaced.

use std::collections::BTreeSet;

use crate::close::{World, label_of};
use crate::compare::is_part;
use crate::names;
use crate::unit::{Kind, Piece, Reloc, To, Unit, find_instruction, is_near_branch};

/// Whether something that the patch leaves alone may call an old function as it was. Code that stays was compiled
/// against the new signature, too, and came out the same; what is left are pointers to the function, code that is
/// gone from the sources and may still run, and other modules.
pub(super) fn outlive(world: &World, pair: usize, function: usize) -> bool {
    let mut seen = BTreeSet::new();
    may_be_called(world, (pair, function), &mut seen)
}

fn may_be_called(world: &World, key: (usize, usize), seen: &mut BTreeSet<(usize, usize)>) -> bool {
    if !seen.insert(key) {
        return false;
    }
    let Some(unit) = world.pairs[key.0].old.as_deref() else { return false };
    let function = &unit.pieces[key.1];
    let global = function.global_name().map(|name| names::versioned(name.name).0);
    if world.program.is_library() && global.is_some_and(|name| world.program.is_exported(name)) {
        return true;
    }
    for (index, pair) in world.pairs.iter().enumerate() {
        let Some(unit) = pair.old.as_deref() else { continue };
        for (caller, piece) in unit.pieces.iter().enumerate() {
            for reloc in &piece.relocs {
                // A jump table refers to places inside the function, which nobody calls.
                let own = (index, caller) == key || label_of(piece, reloc) != 0;
                if own || !refers(unit, index, reloc, key, global) {
                    continue;
                }
                if !is_call(piece, reloc) {
                    return true;
                }
                let gone = pair.comparison.new_of.get(caller).copied().flatten().is_none();
                if gone
                    && !is_part(piece)
                    && is_there(world, index, caller, piece)
                    && may_be_called(world, (index, caller), seen)
                {
                    return true;
                }
            }
        }
    }
    false
}

/// Whether a reference is that of a direct call or jump: it leaves no pointer behind.
fn is_call(piece: &Piece, reloc: &Reloc) -> bool {
    piece.kind == Kind::Code
        && find_instruction(piece, reloc.offset).is_some_and(|instruction| is_near_branch(&instruction))
}

fn refers(unit: &Unit, index: usize, reloc: &Reloc, key: (usize, usize), global: Option<&str>) -> bool {
    match reloc.to {
        To::Piece(target) => (index, target) == key,
        To::Extern(target) => global == Some(names::versioned(unit.externs[target].name).0),
        To::Nowhere => false,
    }
}

/// Whether the running program has a function that the new build does not.
fn is_there(world: &World, pair: usize, piece: usize, code: &Piece) -> bool {
    code.is_named() && world.pairs[pair].places.possible(piece)
}
