//! Which function or static of the old build is which of the new one, by Rust's own names.

use std::collections::BTreeMap;

use super::symbols::{is_rust, meaning};
use crate::compare::Comparison;
use crate::unit::{Kind, Piece, Unit};

/// Pieces that mean the same.
#[derive(Debug, Default)]
struct Group {
    old: Vec<usize>,
    new: Vec<usize>,
}

/// Whether a piece has one of Rust's names, which [`pair`] pairs by.
pub(crate) fn has_own_name(piece: &Piece) -> bool {
    piece.names.first().is_some_and(|name| is_rust(name.name))
}

/// Whether two pieces are the same function by name, perhaps in another codegen unit.
pub(crate) fn same_function(old: &Piece, new: &Piece) -> bool {
    old.kind == Kind::Code
        && new.kind == Kind::Code
        && has_own_name(old)
        && meaning(old.label()) == meaning(new.label())
}

/// Pairs what has one of Rust's names. A function may lie in several codegen units: every old one has a new one
/// then, and a new one without an old one of its own is noted as a copy.
pub(crate) fn pair(old: &Unit, new: &Unit, out: &mut Comparison) {
    let mut groups: BTreeMap<(&str, bool), Group> = BTreeMap::new();
    let key = |piece: &'_ Piece<'_>| piece.kind == Kind::Code;
    for (index, piece) in old.pieces.iter().enumerate().filter(|(_, piece)| has_own_name(piece)) {
        groups.entry((meaning(piece.names[0].name), key(piece))).or_default().old.push(index);
    }
    for (index, piece) in new.pieces.iter().enumerate().filter(|(_, piece)| has_own_name(piece)) {
        groups.entry((meaning(piece.names[0].name), key(piece))).or_default().new.push(index);
    }
    for ((_, code), group) in groups {
        pair_group(old, new, out, &group, code);
    }
}

fn pair_group(old: &Unit, new: &Unit, out: &mut Comparison, group: &Group, code: bool) {
    let unit_of = |piece: &Piece| piece.names[0].source.map(str::to_owned);
    let mut rest: Vec<usize> = group.new.clone();
    let mut left = Vec::new();
    for &before in &group.old {
        let own = rest.iter().position(|&after| unit_of(&new.pieces[after]) == unit_of(&old.pieces[before]));
        match own {
            Some(at) => out.pair(before, rest.remove(at)),
            None => left.push(before),
        }
    }
    if !code && (left.len() > 1 || rest.len() > 1) {
        // Data of one name is one thing; where it is not, nobody knows which is which.
        out.ambiguous.extend(rest);
        return;
    }
    let mut rest = rest.into_iter();
    for before in left {
        match rest.next() {
            Some(after) => out.pair(before, after),
            None if code => out.new_of[before] = group.new.first().copied(),
            None => {}
        }
    }
    if let (true, Some(&before)) = (code, group.old.first()) {
        out.copies.extend(rest.map(|after| (before, after)));
    }
}
