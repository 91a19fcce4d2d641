//! Which part of a type's old definition is which of the new one.

use crate::change::Mark;
use crate::fields::{Field, Role};

/// A part before, the part after, and what became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    pub(crate) old: Option<usize>,
    pub(crate) new: Option<usize>,
    pub(crate) mark: Mark,
}

/// Matches the parts of two definitions: by name, then what was renamed by its place. `same` tells whether the
/// types of two parts are the same; `strict`, whether a name and the number of variants are part of the layout, as
/// they are in a suspended coroutine. The result is in the order of the new definition, with what is gone before
/// what follows it.
pub(crate) fn matching(
    old: &[Field],
    new: &[Field],
    strict: bool,
    mut same: impl FnMut(&Field, &Field) -> bool,
) -> Vec<Match> {
    let mut of_new: Vec<Option<usize>> = vec![None; new.len()];
    let mut of_old: Vec<Option<usize>> = vec![None; old.len()];
    let mut renamed = vec![false; new.len()];
    for (after, field) in new.iter().enumerate().filter(|(_, field)| !field.name.is_empty()) {
        let kind = std::mem::discriminant(&field.role);
        let before = old.iter().enumerate().position(|(before, other)| {
            of_old[before].is_none()
                && other.name == field.name
                && std::mem::discriminant(&other.role) == kind
        });
        if let Some(before) = before {
            (of_new[after], of_old[before]) = (Some(before), Some(after));
        }
    }
    for (after, field) in new.iter().enumerate() {
        if of_new[after].is_some() {
            continue;
        }
        let nameless = field.name.is_empty();
        let fits = |before: &usize| {
            let other = &old[*before];
            of_old[*before].is_none()
                && other.at == field.at
                && other.bits == field.bits
                && std::mem::discriminant(&other.role) == std::mem::discriminant(&field.role)
        };
        let candidates: Vec<usize> = (0..old.len()).filter(fits).collect();
        let alike = candidates.iter().copied().find(|&before| same(&old[before], field));
        // A member without a name is known by its place; so is a renamed one, if it is still of the same type.
        let only = candidates.first().copied().filter(|&before| nameless && old[before].name.is_empty());
        if let Some(before) = alike.or(only) {
            (of_new[after], of_old[before]) = (Some(before), Some(after));
            renamed[after] = !nameless;
        }
    }
    let mut out = Vec::new();
    let mut next_old = 0;
    for (after, field) in new.iter().enumerate() {
        let Some(before) = of_new[after] else {
            let harmless = matches!(field.role, Role::Variant(Some(_))) && !strict;
            let mark = if harmless { Mark::Compatible } else { Mark::Added };
            out.push(Match { old: None, new: Some(after), mark });
            continue;
        };
        out.extend(gone(&of_old, next_old..before));
        next_old = next_old.max(before + 1);
        let other = &old[before];
        let still = other.at == field.at
            && other.bits == field.bits
            && other.role == field.role
            && !(strict && renamed[after])
            && same(other, field);
        let mark = if still { Mark::Same } else { Mark::Changed };
        out.push(Match { old: Some(before), new: Some(after), mark });
    }
    out.extend(gone(&of_old, next_old..old.len()));
    out
}

/// The old parts of a range that are no longer there.
fn gone(of_old: &[Option<usize>], range: std::ops::Range<usize>) -> impl Iterator<Item = Match> {
    let alone = range.filter(|&old| of_old[old].is_none());
    alone.map(|old| Match { old: Some(old), new: None, mark: Mark::Removed })
}
