//! Which function or static of the old build is which of the new one, by Rust's own names.

use std::collections::BTreeMap;

use super::symbols::{is_rust, meaning, variable};
use crate::compare::{Comparison, Group};
use crate::unit::{Kind, Piece, Unit};

/// Whether a piece has one of Rust's names, which [`pair`] pairs by.
pub(crate) fn has_own_name(piece: &Piece) -> bool {
    piece.names.first().is_some_and(|_| is_rust(key(piece).0))
}

/// What a piece is known by: its name, and whether it is code.
fn key<'p>(piece: &'p Piece) -> (&'p str, bool) {
    let code = piece.kind == Kind::Code;
    (if code { meaning(piece.label()) } else { variable(piece.label()) }, code)
}

/// Whether two pieces are the same function by name, perhaps in another codegen unit.
pub(crate) fn same_function(old: &Piece, new: &Piece) -> bool {
    old.kind == Kind::Code
        && new.kind == Kind::Code
        && has_own_name(old)
        && meaning(old.label()) == meaning(new.label())
}

/// Pairs what has one of Rust's names, but for functions that lie in several codegen units: those are given back.
pub(crate) fn pair(old: &Unit, new: &Unit, out: &mut Comparison) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, bool), Group> = BTreeMap::new();
    for (index, piece) in old.pieces.iter().enumerate().filter(|(_, piece)| has_own_name(piece)) {
        groups.entry(key(piece)).or_default().old.push(index);
    }
    for (index, piece) in new.pieces.iter().enumerate().filter(|(_, piece)| has_own_name(piece)) {
        groups.entry(key(piece)).or_default().new.push(index);
    }
    let mut several = Vec::new();
    for ((_, code), group) in groups {
        match (code, &*group.old, &*group.new) {
            (false, ..) => pair_data(old, new, out, &group),
            (true, [before], [after]) => out.pair(*before, *after),
            (true, [], _) | (true, _, []) => {}
            (true, ..) => several.push(group),
        }
    }
    several
}

/// Pairs a static, or the parts it was split into if they are the same ones.
fn pair_data(old: &Unit, new: &Unit, out: &mut Comparison, group: &Group) {
    let sorted = |unit: &Unit, pieces: &[usize]| -> Vec<(String, u64, usize)> {
        let one = |&index: &usize| {
            let piece = &unit.pieces[index];
            (meaning(piece.label()).to_owned(), piece.size, index)
        };
        let mut all: Vec<_> = pieces.iter().map(one).collect();
        all.sort();
        all
    };
    let (before, after) = (sorted(old, &group.old), sorted(new, &group.new));
    let same = match (&*before, &*after) {
        // The only part, if as large as the whole, is the whole.
        ([a], [b]) => a.0 == b.0 || a.1 == b.1,
        (a, b) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (&a.0, a.1) == (&b.0, b.1)),
    };
    let unique = before.windows(2).all(|two| two[0].0 != two[1].0);
    if same && unique {
        for ((_, _, before), (_, _, after)) in before.into_iter().zip(after) {
            out.pair(before, after);
        }
    } else if !before.is_empty() {
        out.ambiguous.extend(group.new.iter().copied());
    }
}
