//! What one object defined in the old build and another one defines in the new: the running program has it where it was.
//!
//! Objects are compared each with its own new form, so nothing else would look at such a definition. If it is the same,
//! what runs serves the new callers. If it is not, new callers were compiled for another function than the one that runs
//! (gcc's `-fipa-ra` lets them keep values in registers that the old one overwrites: a target died of that), or the
//! fix would be lost without a word.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::close::World;
use crate::compare::{global, same_kind, same_plain_bytes};
use crate::unit::{Kind, Piece, To, Unit};
use crate::{initializers, names, rust, unwind};

/// What is found of a definition.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Object and new piece.
    pub(crate) piece: (usize, usize),
    pub(crate) fate: Fate,
    pub(crate) reason: String,
}

/// What becomes of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It cannot be carried.
    Refused,
    /// It is not applied, as a variable's first value.
    Left,
    /// A constant, which comes along with its readers.
    Constant,
}

/// Looks at all definitions of the new build whose name another object defined in the old one, or names otherwise.
pub(crate) fn moved(world: &World) -> Vec<Finding> {
    let mut before: BTreeMap<&str, Vec<(usize, usize, bool)>> = BTreeMap::new();
    let mut wished: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, pair) in world.pairs.iter().enumerate() {
        let Some(old) = &pair.old else { continue };
        for (piece, name, weak) in globals(old) {
            before.entry(name).or_default().push((index, piece, weak));
        }
        for symbol in old.externs.iter().filter(|symbol| symbol.weak) {
            wished.entry(base(symbol.name)).or_insert(pair.name);
        }
    }
    let mut out = Vec::new();
    for (index, pair) in world.pairs.iter().enumerate() {
        let Some(new) = &pair.new else { continue };
        out.extend(started(world, index).into_iter().chain(listed(world, index)));
        for symbol in &new.externs {
            let name = base(symbol.name);
            let gone = |&(owner, old, _): &(usize, usize, bool)| {
                world.pairs[owner].new.is_some() && world.pairs[owner].comparison.new_of[old].is_none()
            };
            let own = before.get(name).filter(|owners| owners.iter().all(gone));
            let elsewhere =
                own.filter(|_| !world.definitions.contains_key(name) && world.program.global(name).is_some());
            let Some(&(owner, ..)) = elsewhere.and_then(|owners| owners.first()) else { continue };
            let user = new.pieces.iter().position(|piece| {
                piece
                    .relocs
                    .iter()
                    .any(|reloc| matches!(reloc.to, To::Extern(at) if new.externs[at].name == symbol.name))
            });
            let Some(user) = user else { continue };
            let reason = format!(
                "it uses {name}, which {} defines in the running program and another module in the new build: keep it",
                world.pairs[owner].name
            );
            out.push(Finding { piece: (index, user), fate: Fate::Refused, reason });
        }
        for (piece, name, weak) in globals(new) {
            let of = pair.comparison.old_of[piece];
            let key = (index, piece);
            let Some(owners) = before.get(name) else {
                if let Some(user) =
                    wished.get(name).filter(|_| of.is_none() && world.program.global(name).is_none())
                {
                    let reason =
                        format!("{user} uses it if it is there, and found at the start that it was not");
                    out.push(Finding { piece: key, fate: Fate::Refused, reason });
                }
                continue;
            };
            if let Some(&(_, old, _)) = owners.iter().find(|owner| owner.0 == index) {
                let same = pair.comparison.new_of[old].is_some_and(|to| pair.comparison.alike(to, piece));
                let other = of.is_some_and(|of| of != old);
                // Rust's names mean the same wherever they stand, and a function may lie in several units.
                if !same && other && !rust::is_rust(name) {
                    let was = pair.old.as_ref().map_or("", |unit| unit.pieces[old].label());
                    let reason = format!("the name {name} stood for {was} and stands for another one now");
                    out.push(Finding { piece: key, fate: Fate::Refused, reason });
                }
                continue;
            }
            // Of what several objects have, as inline functions, any copy may run; that it is gone from all is a move.
            let stays =
                owners.iter().any(|&(owner, old, _)| world.pairs[owner].comparison.new_of[old].is_some());
            let overridden = !weak && owners.iter().all(|owner| owner.2);
            let there = world.program.global(name).is_some() || world.program.locals(name).next().is_some();
            let running = of.is_none() && there;
            if !running || stays && !overridden || rust::is_rust(name) {
                continue;
            }
            let &(owner, old, _) = &owners[0];
            let Some(unit) = &world.pairs[owner].old else { continue };
            let was = world.pairs[owner].name;
            let (a, b) = (&unit.pieces[old], &new.pieces[piece]);
            let live = matches!(b.kind, Kind::Data | Kind::Bss | Kind::Tls);
            if live && a.size == b.size {
                if a.bytes != b.bytes {
                    let reason = format!(
                        "it came here from {was}, and its initial value differs; the running value is kept"
                    );
                    out.push(Finding { piece: key, fate: Fate::Left, reason });
                }
            } else if a.kind == Kind::Const
                && b.kind == Kind::Const
                && world.definitions[base(name)].len() == 1
            {
                if !Across::new(unit, new).same(old, piece) {
                    let reason = format!("it came here from {was}, and is another one now");
                    out.push(Finding { piece: key, fate: Fate::Constant, reason });
                }
            } else if !Across::new(unit, new).same(old, piece) {
                let reason = format!(
                    "it came here from {was} and is not what it was there: leave it there, and the change can be carried"
                );
                out.push(Finding { piece: key, fate: Fate::Refused, reason });
            }
        }
    }
    out
}

fn base(name: &str) -> &str {
    names::versioned(name).0
}

/// Functions that would run when a program starts, of objects whose start is over.
fn started(world: &World, index: usize) -> Vec<Finding> {
    let pair = &world.pairs[index];
    let (Some(_), Some(new)) = (&pair.old, &pair.new) else { return Vec::new() };
    let fresh = |function: &usize| pair.comparison.old_of[*function].is_none();
    let entries = initializers::entries(new).into_iter().filter(fresh);
    let reason = "it runs when a program starts, which this one did before: not applied";
    let found = entries.filter(|&function| !initializers::is_initializer(new.pieces[function].label()));
    found.map(|piece| Finding { piece: (index, piece), fate: Fate::Left, reason: reason.into() }).collect()
}

/// New members of a section that its readers find by where it begins and ends.
fn listed(world: &World, index: usize) -> Vec<Finding> {
    let pair = &world.pairs[index];
    let Some(new) = &pair.new else { return Vec::new() };
    let mut out = Vec::new();
    for (index_of, piece) in new.pieces.iter().enumerate() {
        let identifier = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        let data = piece.kind != Kind::Code && identifier(piece.section);
        if data && piece.is_named() && pair.comparison.old_of[index_of].is_none() {
            let reason = format!(
                "it is a new member of the section {}, whose readers do not see it: not applied",
                piece.section
            );
            out.push(Finding { piece: (index, index_of), fate: Fate::Left, reason });
        }
    }
    out
}

/// Global names of a unit, with their pieces.
fn globals<'u>(unit: &'u Unit<'_>) -> impl Iterator<Item = (usize, &'u str, bool)> {
    unit.pieces.iter().enumerate().flat_map(|(index, piece)| {
        let names = piece.names.iter().filter(|name| !name.local && name.offset == 0);
        // With its version: a library may have several of one name.
        names.map(move |name| (index, name.name, name.weak))
    })
}

/// Compares pieces of different objects.
struct Across<'u, 'd> {
    old: &'u Unit<'d>,
    new: &'u Unit<'d>,
    seen: BTreeSet<(usize, usize)>,
    /// What functions catch and clean up where: pieces of their tables.
    tables: (HashMap<usize, usize>, HashMap<usize, usize>),
}

impl<'u, 'd> Across<'u, 'd> {
    fn new(old: &'u Unit<'d>, new: &'u Unit<'d>) -> Self {
        Self { old, new, seen: BTreeSet::new(), tables: (unwind::tables(old), unwind::tables(new)) }
    }

    /// Whether two pieces, and all of their own that they refer to, are the same.
    fn same(&mut self, old: usize, new: usize) -> bool {
        if !self.seen.insert((old, new)) {
            return true;
        }
        let (a, b) = (&self.old.pieces[old], &self.new.pieces[new]);
        let fixed = |piece: &Piece| matches!(piece.kind, Kind::Code | Kind::Const);
        let plain = fixed(a)
            && a.kind == b.kind
            && a.size == b.size
            && a.relocs.len() == b.relocs.len()
            && same_plain_bytes(a, b);
        if !plain {
            return false;
        }
        let tables = (self.tables.0.get(&old).copied(), self.tables.1.get(&new).copied());
        let tables = match tables {
            (Some(a), Some(b)) => self.same(a, b),
            (None, None) => true,
            _ => false,
        };
        tables
            && a.relocs.iter().zip(&b.relocs).all(|(left, right)| {
                left.offset == right.offset
                    && same_kind(left.kind, right.kind)
                    && left.addend == right.addend
                    && self.same_target(left.to, right.to)
            })
    }

    fn same_target(&mut self, left: To, right: To) -> bool {
        let outer = |unit: &'u Unit<'d>, to| match to {
            To::Piece(piece) => global(&unit.pieces[piece]),
            To::Extern(symbol) => Some(names::versioned(unit.externs[symbol].name).0),
            To::Nowhere => None,
        };
        match (outer(self.old, left), outer(self.new, right), left, right) {
            (Some(a), Some(b), ..) => a == b,
            (None, None, To::Piece(a), To::Piece(b)) => {
                let (left, right) = (&self.old.pieces[a], &self.new.pieces[b]);
                left.is_named() == right.is_named()
                    && (!left.is_named() || names::stem(left.label()) == names::stem(right.label()))
                    && self.same(a, b)
            }
            _ => false,
        }
    }
}
