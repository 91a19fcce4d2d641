//! Which piece of the old object is which of the new one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Comparison;
use super::context::in_order;
use super::scopes::{Scope, scopes};
use crate::unit::{Kind, To, Unit};
use crate::{names, rust};

/// Static locals: where each is declared.
type Known = HashMap<usize, (Scope, u64)>;

/// Pieces that may stand for each other.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) old: Vec<usize>,
    pub(crate) new: Vec<usize>,
}

/// Pairs named pieces: by name where names are unique, else by the functions that use them.
pub(crate) fn correlate(old: &Unit, new: &Unit) -> Comparison {
    let mut out = Comparison {
        new_of: vec![None; old.pieces.len()],
        old_of: vec![None; new.pieces.len()],
        ..Comparison::default()
    };
    let copies = rust::pair(old, new, &mut out);
    let mut groups: BTreeMap<(String, bool), Group> = BTreeMap::new();
    for (index, key) in keys(old) {
        groups.entry(key).or_default().old.push(index);
    }
    for (index, key) in keys(new) {
        groups.entry(key).or_default().new.push(index);
    }
    let mut open = Vec::new();
    for group in groups.into_values() {
        // Names without a number are the programmer's own and unique in an object.
        let mut rest = Group::default();
        for &before in &group.old {
            let name = old.pieces[before].label();
            let own = |&after: &usize| new.pieces[after].label() == name;
            match group.new.iter().copied().find(own) {
                Some(after) if !name.contains('.') => out.pair(before, after),
                _ => rest.old.push(before),
            }
        }
        rest.new.extend(group.new.iter().filter(|&&after| out.old_of[after].is_none()));
        if !rest.old.is_empty() && !rest.new.is_empty() {
            open.push(rest);
        }
    }
    let uses = (uses(old), uses(new));
    // Functions first: the order in which they use data tells the data apart.
    open.sort_by_key(|group| old.pieces[group.old[0]].kind != Kind::Code);
    let mut known = None;
    open.retain(|group| {
        let data = old.pieces[group.old[0]].kind != Kind::Code;
        if data {
            let known = known.get_or_insert_with(|| (scopes(old), scopes(new)));
            if by_scope((old, new), &mut out, known, group) {
                return false;
            }
        }
        single(old, new, &uses, &mut out, group);
        true
    });
    loop {
        let mut progress = false;
        for group in &open {
            progress |= by_use(old, new, &mut out, group);
        }
        if !progress {
            break;
        }
    }
    for group in &open {
        let left: Vec<usize> =
            group.old.iter().copied().filter(|&index| out.new_of[index].is_none()).collect();
        let live = |index: &usize| matches!(new.pieces[*index].kind, Kind::Data | Kind::Bss | Kind::Tls);
        let fresh: Vec<usize> = group.new.iter().copied().filter(|&i| out.old_of[i].is_none()).collect();
        if !left.is_empty() {
            out.ambiguous.extend(fresh.into_iter().filter(live));
        }
    }
    rust::pair_copies(old, new, &copies, &mut out);
    out
}

fn keys<'u>(unit: &'u Unit) -> impl Iterator<Item = (usize, (String, bool))> + 'u {
    unit.pieces.iter().enumerate().filter_map(|(index, piece)| {
        let name = piece.names.first().filter(|_| !rust::has_own_name(piece))?;
        Some((index, (names::stem(name.name), piece.kind == Kind::Code)))
    })
}

/// For each piece, the stems of the functions that refer to it.
fn uses(unit: &Unit) -> Vec<BTreeSet<String>> {
    let mut out = vec![BTreeSet::new(); unit.pieces.len()];
    for piece in &unit.pieces {
        let Some(name) = piece.names.first() else { continue };
        let owner = names::stem(names::part_of(name.name).unwrap_or(name.name));
        for reloc in &piece.relocs {
            if let To::Piece(target) = reloc.to
                && unit.pieces[target].names.first().is_some_and(|name| name.name.contains('.'))
            {
                out[target].insert(owner.clone());
            }
        }
    }
    out
}

/// Pairs static locals by the function and name they are declared with. False if the debug information does not
/// know them all.
fn by_scope(
    (old, new): (&Unit, &Unit),
    out: &mut Comparison,
    (before, after): &(Known, Known),
    group: &Group,
) -> bool {
    let all = group.old.iter().all(|piece| before.contains_key(piece))
        && group.new.iter().all(|piece| after.contains_key(piece));
    if !all {
        return false;
    }
    // By line, old and new.
    type Declared = Vec<(u64, usize)>;
    let mut declared: BTreeMap<&Scope, (Declared, Declared)> = BTreeMap::new();
    for &piece in &group.old {
        let (scope, line) = &before[&piece];
        declared.entry(scope).or_default().0.push((*line, piece));
    }
    for &piece in &group.new {
        let (scope, line) = &after[&piece];
        declared.entry(scope).or_default().1.push((*line, piece));
    }
    let in_lines = |mut declared: Declared| -> Vec<usize> {
        declared.sort_unstable();
        declared.into_iter().map(|(_, piece)| piece).collect()
    };
    for (was, is) in declared.into_values() {
        let (was, is) = (in_lines(was), in_lines(is));
        if was.len() == is.len() && in_order((old, &was), (new, &is)) {
            was.into_iter().zip(is).for_each(|(was, is)| out.pair(was, is));
        } else if !was.is_empty() {
            // Several blocks of a function declare the name, and not as many as before, or perhaps in another order.
            out.ambiguous.extend(is);
        }
    }
    true
}

/// One on either side: the same if a function of the same name uses both (or nothing does).
fn single(
    old: &Unit,
    new: &Unit,
    (before, after): &(Vec<BTreeSet<String>>, Vec<BTreeSet<String>>),
    out: &mut Comparison,
    group: &Group,
) {
    let ([a], [b]) = (&*group.old, &*group.new) else { return };
    let code = old.pieces[*a].kind == Kind::Code;
    let exact = old.pieces[*a].label() == new.pieces[*b].label();
    let shared = before[*a].intersection(&after[*b]).next().is_some();
    if code || shared || (exact && before[*a].is_empty() && after[*b].is_empty()) {
        out.pair(*a, *b);
    }
}

/// Pairs members of a group by the order in which functions that are already paired use them.
fn by_use(old: &Unit, new: &Unit, out: &mut Comparison, group: &Group) -> bool {
    let mut progress = false;
    for before in 0..old.pieces.len() {
        let Some(after) = out.new_of[before] else { continue };
        if !old.pieces[before].is_named() {
            continue;
        }
        let open_old = used(old, before, &group.old);
        let open_new = used(new, after, &group.new);
        // Both lists as used; what is paired already must agree, and the rest must line up.
        if open_old.len() != open_new.len() {
            continue;
        }
        let agree = open_old.iter().zip(&open_new).all(|(&a, &b)| {
            out.new_of[a].is_none_or(|paired| paired == b) && out.old_of[b].is_none_or(|paired| paired == a)
        });
        if !agree {
            continue;
        }
        // The numbers that compilers give out say nothing of which is which, nor does the order alone.
        let (left, right): (Vec<usize>, Vec<usize>) = open_old
            .iter()
            .zip(&open_new)
            .filter(|&(&a, _)| out.new_of[a].is_none() && old.pieces[a].kind != Kind::Code)
            .unzip();
        if !in_order((old, &left), (new, &right)) {
            continue;
        }
        for (a, b) in open_old.into_iter().zip(open_new) {
            if out.new_of[a].is_none() && old.pieces[a].size == new.pieces[b].size
                || out.new_of[a].is_none() && old.pieces[a].kind == Kind::Code
            {
                out.pair(a, b);
                progress = true;
            }
        }
    }
    progress
}

/// Members of a group in the order a piece uses them, each once.
fn used(unit: &Unit, piece: usize, members: &[usize]) -> Vec<usize> {
    let mut out = Vec::new();
    for reloc in &unit.pieces[piece].relocs {
        if let To::Piece(target) = reloc.to
            && members.contains(&target)
            && !out.contains(&target)
        {
            out.push(target);
        }
    }
    out
}
