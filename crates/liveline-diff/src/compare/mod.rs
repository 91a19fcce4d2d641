//! Two builds of one object: which piece is which, and what differs.

mod content;
mod correlate;
pub(crate) mod language;
mod lines;
mod relocated;
mod scopes;

use std::collections::BTreeSet;

pub(crate) use content::Contents;

use crate::names;
use crate::unit::{Kind, Piece, Unit};

/// What became of the pieces of an object.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// For each old piece, the new one of the same meaning.
    pub(crate) new_of: Vec<Option<usize>>,
    /// For each new piece, the old one of the same meaning.
    pub(crate) old_of: Vec<Option<usize>>,
    /// New pieces of live data whose old counterpart cannot be told.
    pub(crate) ambiguous: BTreeSet<usize>,
    /// New functions (not parts) that exist in both builds and differ.
    pub(crate) changed: BTreeSet<usize>,
    /// New functions that differ in line numbers only.
    pub(crate) line_only: BTreeSet<usize>,
    /// Named data, new index, that exists in both builds and whose contents differ.
    pub(crate) data: BTreeSet<usize>,
    /// Old functions that are gone.
    pub(crate) removed: Vec<usize>,
}

impl Comparison {
    /// Two builds of the same bytes.
    pub(crate) fn identical(pieces: usize) -> Self {
        let own: Vec<Option<usize>> = (0..pieces).map(Some).collect();
        Self { new_of: own.clone(), old_of: own, ..Self::default() }
    }
}

/// Compares two builds of an object.
pub(crate) fn compare(old: &Unit, new: &Unit) -> Comparison {
    let mut out = correlate::correlate(old, new);
    let mut contents = Contents::new(old, new);
    let mut differing = BTreeSet::new();
    for (index, piece) in new.pieces.iter().enumerate() {
        if !piece.is_named() {
            continue;
        }
        let Some(before) = out.old_of[index] else {
            // A part that is new makes its function another one.
            if is_part(piece) {
                differing.extend(parent(new, piece));
            }
            continue;
        };
        if contents.same(&out, before, index) {
            continue;
        }
        if piece.kind == Kind::Code {
            differing.insert(if is_part(piece) { parent(new, piece).unwrap_or(index) } else { index });
        } else {
            out.data.insert(index);
        }
    }
    for (index, piece) in old.pieces.iter().enumerate() {
        if piece.kind == Kind::Code && piece.is_named() && out.new_of[index].is_none() {
            if is_part(piece) {
                differing.extend(parent(old, piece).and_then(|parent| out.new_of[parent]));
            } else {
                out.removed.push(index);
            }
        }
    }
    let mut tables = None;
    for index in differing {
        let Some(before) = out.old_of[index] else { continue };
        let tables = tables.get_or_insert_with(|| (lines::Lines::read(old), lines::Lines::read(new)));
        if lines::line_only(&out, &mut contents, (old, &tables.0), (new, &tables.1), before, index) {
            out.line_only.insert(index);
        } else {
            out.changed.insert(index);
        }
    }
    out
}

/// Whether the piece is a cold part of a function.
pub(crate) fn is_part(piece: &Piece) -> bool {
    piece.kind == Kind::Code && piece.names.first().is_some_and(|name| names::part_of(name.name).is_some())
}

/// The function a part belongs to.
pub(crate) fn parent(unit: &Unit, part: &Piece) -> Option<usize> {
    let name = names::part_of(part.names.first()?.name)?;
    unit.pieces
        .iter()
        .position(|piece| piece.kind == Kind::Code && piece.names.iter().any(|own| own.name == name))
}

/// The parts of a function.
pub(crate) fn parts<'u>(unit: &'u Unit, function: usize) -> impl Iterator<Item = usize> + 'u {
    unit.pieces.iter().enumerate().filter_map(move |(index, piece)| {
        let of = names::part_of(piece.names.first()?.name)?;
        let own = piece.kind == Kind::Code && unit.pieces[function].names.iter().any(|name| name.name == of);
        own.then_some(index)
    })
}
