//! Where the code of an object gets its types from.

use liveline_types::{Place, Root, TypeId, Types};

use super::Object;
use crate::names;
use crate::unit::{Kind, Piece, To, Unit};

impl Object<'_, '_> {
    /// What the code of a new piece gets its types from: its own body, and all it refers to.
    pub(super) fn roots(&self, types: &Types, piece: usize) -> Vec<Root> {
        let Some(unit) = self.world.new_unit(self.pair) else { return Vec::new() };
        let code = &unit.pieces[piece];
        let mut out: Vec<Root> = described(types, code).into_iter().map(Root::Body).collect();
        for reloc in &code.relocs {
            let found = match reloc.to {
                To::Piece(target) if target == piece => continue,
                To::Piece(target) => described(types, &unit.pieces[target]),
                To::Extern(target) => types.named(names::versioned(unit.externs[target].name).0).collect(),
                To::Nowhere => continue,
            };
            for id in found {
                let root = if types.is_function(id) { Root::Called(id) } else { Root::Variable(id) };
                if !out.contains(&root) {
                    out.push(root);
                }
            }
        }
        out
    }

    /// The old variable that a variable used by new code is.
    pub(super) fn old_variable(&self, old: &Types, new: &Types, user: usize, id: TypeId) -> Option<TypeId> {
        let pair = &self.world.pairs[self.pair];
        let (before, after) = (pair.old.as_deref()?, pair.new.as_deref()?);
        for reloc in &after.pieces[user].relocs {
            match reloc.to {
                To::Piece(target) if described(new, &after.pieces[target]).contains(&id) => {
                    // New constants come along with all their readers.
                    if after.pieces[target].kind == Kind::Const {
                        return None;
                    }
                    let was = pair.comparison.old_of.get(target).copied().flatten()?;
                    return variable(old, before, was);
                }
                To::Extern(target) => {
                    let name = names::versioned(after.externs[target].name).0;
                    if new.named(name).any(|other| other == id) {
                        let defined = self.world.definitions.get(name).into_iter().flatten();
                        if defined.copied().any(|key| self.world.constants.contains(&key)) {
                            return None;
                        }
                        return old.named(name).find(|id| !old.is_function(*id));
                    }
                }
                _ => {}
            }
        }
        None
    }

    pub(super) fn old_function(&self, old: &Types, piece: usize) -> Option<TypeId> {
        function(old, self.world.pairs[self.pair].old.as_deref()?, piece)
    }

    pub(super) fn new_function(&self, new: &Types, piece: usize) -> Option<TypeId> {
        function(new, self.world.new_unit(self.pair)?, piece)
    }
}

fn function(types: &Types, unit: &Unit, piece: usize) -> Option<TypeId> {
    described(types, &unit.pieces[piece]).into_iter().find(|id| types.is_function(*id))
}

fn variable(types: &Types, unit: &Unit, piece: usize) -> Option<TypeId> {
    described(types, &unit.pieces[piece]).into_iter().find(|id| !types.is_function(*id))
}

/// What the debug information says of a piece: by its place, or else by its name.
fn described(types: &Types, piece: &Piece) -> Vec<TypeId> {
    let code = piece.kind == Kind::Code;
    let mut out: Vec<TypeId> = Vec::new();
    if piece.section_index != usize::MAX {
        out.extend(types.at(Place::new(piece.section_index, piece.start), piece.size));
    }
    out.retain(|id| types.is_function(*id) == code);
    if out.is_empty() {
        let names = piece.names.iter().map(|name| names::versioned(name.name).0);
        out.extend(names.flat_map(|name| types.named(name)).filter(|id| types.is_function(*id) == code));
    }
    out
}
