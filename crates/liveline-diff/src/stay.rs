//! Old functions that the new build has not, and what they call.
//!
//! The compiler may give a function that it sees all callers of a calling convention of its own: clang and rustc leave
//! arguments out that are the same in all calls, gcc lets callers keep values in registers that the function happens not
//! to use (`-fipa-ra`). A caller that is the same in both builds calls the new function as it wants to be called, and one
//! that is replaced does, too. One that is gone was compiled for the old function only: it must not run any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::close::World;
use crate::compare::{is_part, parts};
use crate::initializers;
use crate::rust;
use crate::unit::{Kind, Piece, Reloc, To, Unit};

/// A function that is gone, and one that it calls, which is replaced.
#[derive(Debug)]
pub(crate) struct Stay {
    /// Object and old piece of the caller.
    pub(crate) caller: (usize, usize),
    /// Object and new piece of what it calls.
    pub(crate) callee: (usize, usize),
    /// Something in the target has the caller's address: it may be called at any time.
    pub(crate) held: bool,
}

/// Functions of an object that are gone, as old pieces, with what they call that is replaced, as new ones.
pub(crate) fn callers(world: &World, index: usize) -> Vec<(usize, BTreeSet<usize>)> {
    let pair = &world.pairs[index];
    let Some(old) = &pair.old else { return Vec::new() };
    let mut replaced: BTreeMap<usize, usize> = BTreeMap::new();
    for &(_, new) in world.replaced.keys().filter(|(owner, _)| *owner == index) {
        replaced.extend(pair.comparison.copies_of(new).map(|before| (before, new)));
    }
    if replaced.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for (caller, piece) in old.pieces.iter().enumerate() {
        let gone = piece.kind == Kind::Code
            && piece.is_named()
            && !is_part(piece)
            && pair.comparison.new_of[caller].is_none()
            && pair.places.possible(caller)
            && !initializers::is_initializer(piece.label());
        if !gone {
            continue;
        }
        let callees: BTreeSet<usize> = std::iter::once(caller)
            .chain(parts(old, caller))
            .flat_map(|part| calls(&old.pieces[part]))
            .filter(|&callee| callee != caller && own_convention(&old.pieces[callee]))
            .filter_map(|callee| replaced.get(&callee).copied())
            .collect();
        if !callees.is_empty() {
            out.push((caller, callees));
        }
    }
    out
}

/// What is to be done of the callers of each object; expects their places to be settled.
pub(crate) fn stays(world: &World, found: Vec<Vec<(usize, BTreeSet<usize>)>>) -> Vec<Stay> {
    let mut out = Vec::new();
    let mut addresses = BTreeMap::new();
    for (index, callers) in found.into_iter().enumerate() {
        for (caller, callees) in callers {
            let place = world.pairs[index].places.of(caller);
            if let Some(place) = place {
                addresses.insert(place.address, (index, caller));
            }
            // What cannot be found cannot be kept out.
            let held = place.is_none();
            out.extend(callees.into_iter().map(|callee| Stay {
                caller: (index, caller),
                callee: (index, callee),
                held,
            }));
        }
    }
    let held = world.program.held(&addresses.keys().copied().collect());
    let held: BTreeSet<(usize, usize)> = held.iter().map(|address| addresses[address]).collect();
    for stay in &mut out {
        stay.held |= held.contains(&stay.caller);
    }
    out
}

/// Whether the compiler may have given a function a calling convention of its own.
fn own_convention(piece: &Piece) -> bool {
    let Some(name) = piece.names.first() else { return false };
    name.local || !name.weak && !rust::has_own_name(piece)
}

/// What a piece calls or jumps to by itself.
fn calls<'u>(piece: &'u Piece) -> impl Iterator<Item = usize> + 'u {
    piece.relocs.iter().filter_map(|reloc| match reloc.to {
        To::Piece(target) if is_branch(piece, reloc) => Some(target),
        _ => None,
    })
}

fn is_branch(piece: &Piece, reloc: &Reloc) -> bool {
    let Ok(field) = usize::try_from(reloc.offset) else { return false };
    piece.bytes.get(..field).is_some_and(ends_in_branch)
}

/// Whether code ends with the opcode of a call or jump by 32 bits. No other instruction with an address relative to it
/// has these bytes there: its ModRM byte is below 0x40 (Intel SDM, volume 2, table 2-2).
fn ends_in_branch(code: &[u8]) -> bool {
    matches!(code, [.., 0x0f, 0x80..=0x8f] | [.., 0xe8 | 0xe9])
}

/// Names of the two, for a verdict.
pub(crate) fn names<'u>(old: &'u Unit, new: &'u Unit, stay: &Stay) -> (&'u str, &'u str) {
    (old.pieces[stay.caller.1].label(), new.pieces[stay.callee.1].label())
}
