//! Two builds of one object: which piece is which, and what differs.

mod content;
mod context;
mod correlate;
mod lambdas;
pub(crate) mod language;
mod lines;
mod relocated;
mod remainder;
mod scopes;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) use content::{Contents, global, same_kind, same_plain_bytes};
pub(crate) use correlate::Group;
pub(crate) use relocated::Sections;
pub(crate) use remainder::remainders;

use crate::unit::{Kind, Piece, Unit};
use crate::{names, rust};

/// What became of the pieces of an object.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// For each old piece, the new one of the same meaning.
    pub(crate) new_of: Vec<Option<usize>>,
    /// For each new piece, the old one of the same meaning.
    pub(crate) old_of: Vec<Option<usize>>,
    /// New pieces of live data whose old counterpart cannot be told.
    pub(crate) ambiguous: BTreeSet<usize>,
    /// New functions that have the name of an old one and are another.
    pub(crate) parted: BTreeSet<usize>,
    /// New functions (not parts) that exist in both builds and differ.
    pub(crate) changed: BTreeSet<usize>,
    /// New functions that differ in line numbers only.
    pub(crate) line_only: BTreeSet<usize>,
    /// Named data, new index, that exists in both builds and whose contents differ.
    pub(crate) data: BTreeSet<usize>,
    /// Old functions that are gone.
    pub(crate) removed: Vec<usize>,
    /// Functions of which the new build has more copies than the old one: an old copy, and the new one.
    pub(crate) copies: Vec<(usize, usize)>,
    /// New copies of functions of which there are several, by class: those of a class are the same code.
    pub(crate) alike: HashMap<usize, usize>,
    /// Further old copies of a function, by the new one that takes their place.
    pub(crate) twins: BTreeMap<usize, Vec<usize>>,
}

impl Comparison {
    /// Two builds of the same bytes.
    pub(crate) fn identical(pieces: usize) -> Self {
        let own: Vec<Option<usize>> = (0..pieces).map(Some).collect();
        Self { new_of: own.clone(), old_of: own, ..Self::default() }
    }

    /// The old copies of a function of the new build.
    pub(crate) fn copies_of(&self, new: usize) -> impl Iterator<Item = usize> + '_ {
        let own = self.old_of.get(new).copied().flatten();
        let others = self.twins.get(&new).into_iter().flatten().copied();
        own.into_iter().chain(others.filter(move |&other| Some(other) != own))
    }

    /// Whether two new pieces are one, or copies of a function that are the same code.
    pub(crate) fn alike(&self, one: usize, other: usize) -> bool {
        one == other || self.alike.get(&one).is_some_and(|class| self.alike.get(&other) == Some(class))
    }

    /// Takes functions whose name means another thing in the new build for new ones, unless they are what they
    /// were. Whether there was one.
    fn part(&mut self, functions: &BTreeSet<usize>, contents: &mut Contents) -> bool {
        let mut parted = false;
        for &after in functions {
            let Some(before) = self.old_of[after] else { continue };
            if !contents.same(self, before, after) {
                self.separate(after);
                self.parted.insert(after);
                parted = true;
            }
        }
        self.copies.retain(|(before, _)| self.new_of[*before].is_some());
        parted
    }

    /// Takes a new variable for one of which it is not known what it was.
    fn lose(&mut self, variable: usize) {
        if self.old_of[variable].is_some() {
            self.separate(variable);
            self.ambiguous.insert(variable);
        }
    }

    fn separate(&mut self, after: usize) {
        self.old_of[after] = None;
        self.new_of.iter_mut().filter(|new| **new == Some(after)).for_each(|new| *new = None);
    }

    /// Notes that two pieces mean the same.
    pub(crate) fn pair(&mut self, old: usize, new: usize) {
        self.new_of[old] = Some(new);
        self.old_of[new] = Some(old);
    }
}

/// Compares two builds of an object.
pub(crate) fn compare(old: &Unit, new: &Unit) -> Comparison {
    let mut out = correlate::correlate(old, new);
    let mut renumbered = rust::renumbered(old, new);
    let lambdas = lambdas::renumbered(old, new);
    for &piece in &lambdas {
        match new.pieces[piece].kind {
            Kind::Code => drop(renumbered.insert(piece)),
            Kind::Data | Kind::Bss | Kind::Tls => out.lose(piece),
            Kind::Const => {}
        }
    }
    while out.part(&renumbered, &mut Contents::new(old, new)) {}
    let mut contents = Contents::new(old, new);
    let mut differing = BTreeSet::new();
    for (before, after) in std::mem::take(&mut out.copies) {
        // A copy that is replaced would bring another one than the new code means.
        let stays = out.new_of[before].is_some_and(|new| contents.same(&out, before, new));
        if stays && contents.same(&out, before, after) {
            out.old_of[after] = Some(before);
        }
    }
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
    for before in 0..old.pieces.len() {
        if let Some(after) = out.new_of[before]
            && out.old_of[after] != Some(before)
        {
            if !contents.same(&out, before, after) {
                differing.insert(after);
            }
            out.twins.entry(after).or_default().push(before);
        }
    }
    let mut tables = None;
    let mut any_line = Contents::of_any_line(old, new);
    for index in differing {
        let copies: Vec<usize> = out.copies_of(index).collect();
        let tables = tables.get_or_insert_with(|| (lines::Lines::read(old), lines::Lines::read(new)));
        let line_only = |&before: &usize| {
            lines::line_only(&out, &mut any_line, (old, &tables.0), (new, &tables.1), before, index)
        };
        if copies.is_empty() {
            continue;
        }
        if copies.iter().all(line_only) {
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
