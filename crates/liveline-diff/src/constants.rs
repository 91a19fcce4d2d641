//! Constants that differ, and everything that reads them.

use std::collections::{BTreeSet, HashMap};

use crate::close::World;
use crate::judge::Open;
use crate::names;
use crate::unit::{Kind, Piece, To};

type PieceKey = (usize, usize);

/// What changed constants drag along.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    /// Constants whose new copy is used.
    pub(crate) constants: BTreeSet<PieceKey>,
    /// Functions of both builds that read one of them.
    pub(crate) readers: BTreeSet<PieceKey>,
    /// Live data that holds the address of one.
    pub(crate) open: Vec<Open>,
}

/// Who refers to a piece, in the new build.
struct Readers<'w> {
    own: HashMap<PieceKey, Vec<PieceKey>>,
    outer: HashMap<&'w str, Vec<PieceKey>>,
}

/// Finds all constants that must come along, and the functions that read them.
pub(crate) fn spread(world: &World) -> Spread {
    let mut out = Spread { constants: world.constants.clone(), ..Spread::default() };
    let mut open: Vec<PieceKey> = seeds(world);
    if open.is_empty() {
        return out;
    }
    let readers = readers(world);
    let mut seen: BTreeSet<PieceKey> = BTreeSet::new();
    while let Some(key) = open.pop() {
        if !seen.insert(key) {
            continue;
        }
        let Some(piece) = world.piece(key) else { continue };
        out.constants.insert(key);
        let mut from: Vec<PieceKey> = readers.own.get(&key).cloned().unwrap_or_default();
        for name in piece.names.iter().filter(|name| !name.local) {
            from.extend(readers.outer.get(names::versioned(name.name).0).into_iter().flatten());
        }
        for reader in from {
            let Some(source) = world.piece(reader) else { continue };
            let exists = old_place(world, reader).is_some();
            match source.kind {
                Kind::Code if exists => _ = out.readers.insert(function_of(world, reader, source)),
                Kind::Const if !source.is_named() || exists => open.push(reader),
                Kind::Data | Kind::Tls if exists => {
                    let constant = piece.label();
                    out.open.push(Open {
                        pair: reader.0,
                        symbol: source.label().to_owned(),
                        name: constant.to_owned(),
                        reason: format!("live data holds the address of {constant}, which changed"),
                        way: format!("keep {constant} as it was and add a new constant"),
                        condition: "may go on with the old one",
                    });
                }
                _ => {}
            }
        }
    }
    out
}

/// Where the old form of a new piece lies in the target.
fn old_place(world: &World, (pair, piece): PieceKey) -> Option<crate::prove::Identity> {
    let pair = &world.pairs[pair];
    pair.places.of(pair.comparison.old_of.get(piece).copied().flatten()?)
}

/// Named constants that differ, and constants that hold labels of replaced functions.
fn seeds(world: &World) -> Vec<PieceKey> {
    let mut out: Vec<PieceKey> = Vec::new();
    for (index, pair) in world.pairs.iter().enumerate() {
        let Some(unit) = &pair.new else { continue };
        for &piece in &pair.comparison.data {
            let constant = |piece: &Piece| piece.kind == Kind::Const;
            let before = pair.comparison.old_of[piece];
            let was = before.and_then(|before| pair.old.as_ref().map(|old| &old.pieces[before]));
            if constant(&unit.pieces[piece])
                && was.is_some_and(constant)
                && old_place(world, (index, piece)).is_some()
            {
                out.push((index, piece));
            }
        }
        if !world.replaced.keys().any(|key| key.0 == index) {
            continue;
        }
        for (at, piece) in unit.pieces.iter().enumerate() {
            if piece.is_named() && holds_labels(world, index, at, piece) {
                out.push((index, at));
            }
        }
    }
    out.extend(&world.constants);
    out
}

/// Whether data holds label addresses of a replaced function: constants, or a table that nothing else uses.
fn holds_labels(world: &World, pair: usize, index: usize, piece: &Piece) -> bool {
    if !matches!(piece.kind, Kind::Const | Kind::Data) {
        return false;
    }
    let label = |reloc: &crate::unit::Reloc| match reloc.to {
        To::Piece(target) if world.replaced.contains_key(&(pair, target)) => world
            .piece((pair, target))
            .filter(|to| world.is_interior((pair, index), reloc, to))
            .map(|_| target),
        _ => None,
    };
    let labels: Vec<Option<usize>> = piece.relocs.iter().map(label).collect();
    if piece.kind == Kind::Const {
        return labels.iter().any(Option::is_some);
    }
    // A `static void *table[] = { &&a, &&b }` that is not const: only if it is nothing but labels of one
    // function that alone uses it.
    let Some(&Some(owner)) = labels.first() else { return false };
    let whole = labels.iter().all(|label| *label == Some(owner)) && piece.size == 8 * labels.len() as u64;
    let Some(unit) = world.new_unit(pair) else { return false };
    let alone =
        unit.pieces.iter().enumerate().all(|(from, other)| {
            from == owner || other.relocs.iter().all(|reloc| reloc.to != To::Piece(index))
        });
    whole && alone && piece.names.iter().all(|name| name.local)
}

/// The function that a reader is, or is a part of.
fn function_of(world: &World, key: PieceKey, piece: &Piece) -> PieceKey {
    let parent = world.new_unit(key.0).and_then(|unit| crate::compare::parent(unit, piece));
    (key.0, parent.unwrap_or(key.1))
}

fn readers<'w>(world: &'w World) -> Readers<'w> {
    let mut out = Readers { own: HashMap::new(), outer: HashMap::new() };
    for (index, pair) in world.pairs.iter().enumerate() {
        let Some(unit) = &pair.new else { continue };
        for (at, piece) in unit.pieces.iter().enumerate() {
            for reloc in &piece.relocs {
                match reloc.to {
                    To::Piece(target) => out.own.entry((index, target)).or_default().push((index, at)),
                    To::Extern(symbol) => {
                        let name = names::versioned(unit.externs[symbol].name).0;
                        out.outer.entry(name).or_default().push((index, at));
                    }
                    To::Nowhere => {}
                }
            }
        }
    }
    out
}
