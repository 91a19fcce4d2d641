//! Whether two pieces mean the same: bytes without relocated fields, and relocations by what they refer to.

use std::collections::HashMap;

use super::Comparison;
use crate::unit::{Piece, Reloc, To, Unit};
use crate::{names, rust, unwind};

/// Compares contents, remembering what it found.
#[derive(Debug)]
pub(crate) struct Contents<'u, 'd> {
    old: &'u Unit<'d>,
    new: &'u Unit<'d>,
    known: HashMap<(usize, usize), bool>,
    /// What functions catch and clean up where: pieces of their tables.
    tables: (HashMap<usize, usize>, HashMap<usize, usize>),
    /// Places that panics name are the same if they lie in the same file.
    any_line: bool,
    /// Copies of a function are the same, whichever is called.
    any_copy: bool,
}

impl<'u, 'd> Contents<'u, 'd> {
    pub(crate) fn new(old: &'u Unit<'d>, new: &'u Unit<'d>) -> Self {
        let tables = (unwind::tables(old), unwind::tables(new));
        Self { old, new, known: HashMap::new(), tables, any_line: false, any_copy: false }
    }

    /// Compares without regard to the lines that panics name.
    pub(crate) fn of_any_line(old: &'u Unit<'d>, new: &'u Unit<'d>) -> Self {
        Self { any_line: true, ..Self::new(old, new) }
    }

    /// Compares without regard to which copy of a function is called.
    pub(crate) fn of_any_copy(self) -> Self {
        Self { any_copy: true, ..self }
    }

    /// Whether the two pieces have the same contents.
    pub(crate) fn same(&mut self, pairs: &Comparison, old: usize, new: usize) -> bool {
        if let Some(known) = self.known.get(&(old, new)) {
            return *known;
        }
        // A cycle of constants is the same unless something in it differs.
        self.known.insert((old, new), true);
        let (before, after) = (&self.old.pieces[old], &self.new.pieces[new]);
        if self.any_line && rust::same_file((self.old, before), (self.new, after)) {
            return true;
        }
        let same = before.kind == after.kind
            && before.size == after.size
            && before.relocs.len() == after.relocs.len()
            && same_plain_bytes(before, after)
            && before.relocs.iter().zip(&after.relocs).all(|(a, b)| {
                a.offset == b.offset && same_kind(a.kind, b.kind) && self.same_target(pairs, a, b)
            })
            && self.same_table(pairs, old, new);
        self.known.insert((old, new), same);
        same
    }

    /// Whether an old function catches or cleans up.
    pub(crate) fn catches(&self, old: usize) -> bool {
        self.tables.0.contains_key(&old)
    }

    /// Whether two functions catch and clean up the same in the same places.
    pub(crate) fn same_table(&mut self, pairs: &Comparison, old: usize, new: usize) -> bool {
        match (self.tables.0.get(&old).copied(), self.tables.1.get(&new).copied()) {
            (Some(a), Some(b)) => self.same(pairs, a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether two relocations mean the same place.
    pub(crate) fn same_target(&mut self, pairs: &Comparison, old: &Reloc, new: &Reloc) -> bool {
        if old.addend != new.addend {
            return false;
        }
        match (old.to, new.to) {
            (To::Extern(a), To::Extern(b)) => {
                let (a, b) = (&self.old.externs[a], &self.new.externs[b]);
                a.name == b.name && a.weak == b.weak
            }
            (To::Piece(a), To::Piece(b)) => {
                let (before, after) = (&self.old.pieces[a], &self.new.pieces[b]);
                match (before.is_named(), after.is_named()) {
                    (true, true) => {
                        pairs.new_of[a].is_some_and(|paired| pairs.alike(paired, b))
                            || self.any_copy && rust::same_function(before, after)
                    }
                    (false, false) => self.same(pairs, a, b),
                    _ => false,
                }
            }
            // A function or variable that moved between files keeps its name.
            (To::Extern(a), To::Piece(b)) => global(&self.new.pieces[b]) == Some(self.old.externs[a].name),
            (To::Piece(a), To::Extern(b)) => global(&self.old.pieces[a]) == Some(self.new.externs[b].name),
            (To::Nowhere, _) | (_, To::Nowhere) => false,
        }
    }
}

/// The name by which other objects know a piece, without its version.
pub(crate) fn global<'p>(piece: &'p Piece) -> Option<&'p str> {
    piece.global_name().map(|name| names::versioned(name.name).0)
}

/// `call f` is `PC32` from some assemblers and `PLT32` from others.
pub(crate) fn same_kind(a: u32, b: u32) -> bool {
    let plain =
        |kind| if kind == object::elf::R_X86_64_PLT32.0 { object::elf::R_X86_64_PC32.0 } else { kind };
    plain(a) == plain(b)
}

/// Whether the bytes outside relocated fields are the same; expects relocations at the same offsets.
pub(crate) fn same_plain_bytes(a: &Piece, b: &Piece) -> bool {
    if a.bytes.len() != b.bytes.len() {
        return false;
    }
    let mut at = 0usize;
    for (left, right) in a.relocs.iter().zip(&b.relocs) {
        if left.offset != right.offset || left.width() != right.width() {
            return false;
        }
        let Ok(field) = usize::try_from(left.offset) else { return false };
        let field = field.min(a.bytes.len());
        if field > at && a.bytes[at..field] != b.bytes[at..field] {
            return false;
        }
        at = at.max(field + left.width() as usize).min(a.bytes.len());
    }
    a.bytes[at..] == b.bytes[at..]
}
