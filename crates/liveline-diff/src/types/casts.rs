//! Types that C code may get at without the debug information saying so.
//!
//! `((struct conn *) data)->deadline` leaves no trace of `struct conn` in the function's own entries. What it does
//! leave is an access at the member's offset.

use std::ops::Range;

use iced_x86::{Mnemonic, OpKind, Register};
use liveline_types::{Change, Compare, Outcome, Reach, Types};

use super::{Checked, Object, counterpart};
use crate::unit::{Piece, instructions};

impl Object<'_, '_> {
    /// Looks for changed types that the code is not known to reach, among all that this object defines.
    pub(super) fn by_cast(
        &self,
        old: &Types,
        new: &Types,
        compare: &mut Compare,
        (pieces, reach): (&[usize], &Reach),
        out: &mut Checked,
    ) {
        for id in new.all_defined().filter(|&id| new.is_c(id)) {
            let Some(name) = new.qualified(id) else { continue };
            if reach.defined.binary_search(&id).is_ok() {
                continue;
            }
            let Some(Outcome::Changed(mut change)) = counterpart(compare, old, new, &name, id) else {
                continue;
            };
            let Some(touched) = change.touched() else {
                enumeration(&change, out);
                continue;
            };
            let suspects: Vec<String> = pieces
                .iter()
                .filter(|&&piece| {
                    self.world.piece((self.pair, piece)).is_some_and(|piece| accesses(piece, &touched))
                })
                .map(|&piece| self.name(piece))
                .collect();
            if !suspects.is_empty() {
                change
                    .reason
                    .push_str(" (it may be got at by a cast, which debug information does not show)");
                self.add(change, suspects, out);
            }
        }
    }
}

/// An enumeration whose values changed: its numbers may be kept in plain integers.
fn enumeration(change: &Change, out: &mut Checked) {
    if change.kind == liveline_types::Kind::Enum {
        let Change { title, reason, .. } = change;
        out.notes
            .insert(format!("{title}: {reason}; integers of the running program may hold the old numbers"));
    }
}

/// Whether code accesses memory behind some pointer at an offset of this range, or computes such an address.
fn accesses(piece: &Piece, range: &Range<u64>) -> bool {
    let inside = |from: u64, width: u64| from < range.end && from.saturating_add(width) > range.start;
    let mut found = false;
    instructions(piece.bytes, 0, |_, instruction| {
        let base = instruction.memory_base();
        for operand in 0..instruction.op_count() {
            match instruction.op_kind(operand) {
                OpKind::Memory if !matches!(base, Register::None | Register::RIP | Register::RSP) => {
                    let at = instruction.memory_displacement64();
                    // Below the frame pointer are locals.
                    let width = instruction.memory_size().size().max(1) as u64;
                    found |= (at as i64) >= 0 && inside(at, width);
                }
                OpKind::Immediate8to64 | OpKind::Immediate32to64
                    if instruction.mnemonic() == Mnemonic::Add
                        && instruction.op0_register() != Register::RSP =>
                {
                    found |= inside(instruction.immediate(operand), 1);
                }
                _ => {}
            }
        }
    });
    found
}
