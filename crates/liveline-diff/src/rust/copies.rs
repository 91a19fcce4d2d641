//! Which copy of a function is which, where a crate has several.
//!
//! Each codegen unit that uses an `#[inline]` function may have a local copy of it, and LLVM gives every copy a
//! calling convention of its own: an argument that all callers of this copy pass as a constant is left out of it,
//! one that is only read through is passed by value. Names say nothing of that, nor does the unit, since rustc deals
//! functions to units anew. (A server ended of a copy that stood in for another one.) Callers do: one that is what
//! it was in the old build calls in the new build the copy that takes what it passes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::compare::{Comparison, Contents, Group};
use crate::unit::{Kind, To, Unit};

/// The copies of the functions of which there are several, and what is known of them.
struct Copies<'c, 'u, 'd> {
    old: &'u Unit<'d>,
    new: &'u Unit<'d>,
    groups: &'c [Group],
    /// For each old copy, its group.
    group_of: HashMap<usize, usize>,
    /// For each old copy that has no counterpart yet: how often unchanged callers call which class instead of it.
    asked: BTreeMap<usize, BTreeMap<usize, usize>>,
    /// Compares without regard to which copy is called.
    shallow: Contents<'u, 'd>,
    /// Pairs whose calls have not been looked at.
    open: VecDeque<(usize, usize)>,
}

/// Pairs copies of functions; expects all else to be paired.
pub(crate) fn pair_copies(old: &Unit, new: &Unit, groups: &[Group], out: &mut Comparison) {
    if groups.is_empty() {
        return;
    }
    out.alike = classes(new, groups);
    let mut group_of = HashMap::new();
    for (index, group) in groups.iter().enumerate() {
        group_of.extend(group.old.iter().map(|&piece| (piece, index)));
    }
    let asked = group_of.keys().map(|&piece| (piece, BTreeMap::new())).collect();
    let paired = |before: usize| Some((before, out.new_of[before]?));
    let open = (0..old.pieces.len()).filter_map(paired).collect();
    let shallow = Contents::of_any_line(old, new).of_any_copy();
    let mut copies = Copies { old, new, groups, group_of, asked, shallow, open };
    while !copies.asked.is_empty() {
        copies.ask(out);
        copies.settle(out);
    }
    for group in groups {
        let Some(&before) = group.old.first() else { continue };
        for &after in group.new.iter().filter(|&&after| out.old_of[after].is_none()) {
            let class = out.alike.get(&after);
            let same = group.old.iter().find(|&&old| {
                out.new_of[old].is_some_and(|new| class.is_some() && out.alike.get(&new) == class)
            });
            out.copies.push((*same.unwrap_or(&before), after));
        }
    }
}

impl Copies<'_, '_, '_> {
    /// Asks the callers that did not change, as far as they are known.
    fn ask(&mut self, out: &Comparison) {
        while let Some((before, after)) = self.open.pop_front() {
            if !self.shallow.same(out, before, after) {
                continue;
            }
            let (a, b) = (references(self.old, before), references(self.new, after));
            if a.len() != b.len() {
                continue;
            }
            for (old, new) in a.into_iter().zip(b) {
                let Some(asked) = self.asked.get_mut(&old) else { continue };
                if let Some(&class) = out.alike.get(&new) {
                    *asked.entry(class).or_default() += 1;
                }
            }
        }
    }

    /// Settles what the callers agree on; if there is nothing of that kind, one copy of which they do not.
    fn settle(&mut self, out: &mut Comparison) {
        let agreed = |(&copy, asked): (&usize, &BTreeMap<usize, usize>)| {
            let mut classes = asked.keys();
            let class = classes.next().copied()?;
            classes.next().is_none().then_some((copy, class))
        };
        let agreed: Vec<(usize, usize)> = self.asked.iter().filter_map(agreed).collect();
        if !agreed.is_empty() {
            for (copy, class) in agreed {
                let after = self.member(copy, out, |new| out.alike.get(&new) == Some(&class));
                self.take(copy, after, out);
            }
            return;
        }
        let disputed = self.asked.iter().find(|(_, asked)| !asked.is_empty());
        let Some((&copy, asked)) = disputed.or_else(|| self.asked.iter().next()) else { return };
        // What is not called as before is replaced together with its callers: any choice is sound, and the one
        // that leaves most as it is is best.
        let most = asked.iter().max_by_key(|(class, times)| (**times, std::cmp::Reverse(**class)));
        let most = most.map(|(class, _)| *class);
        let candidates = self.groups[self.group_of[&copy]].new.clone();
        let wanted = |new: usize, asked: &BTreeMap<usize, usize>| {
            asked.is_empty() || out.alike.get(&new).is_some_and(|class| asked.contains_key(class))
        };
        let asked = asked.clone();
        let same: BTreeSet<usize> = candidates
            .into_iter()
            .filter(|&new| wanted(new, &asked) && self.shallow.same(out, copy, new))
            .collect();
        let after = self
            .member(copy, out, |new| same.contains(&new))
            .or_else(|| self.member(copy, out, |new| most.is_some() && out.alike.get(&new).copied() == most))
            .or_else(|| self.member(copy, out, |_| true));
        self.take(copy, after, out);
    }

    /// A new copy of this kind: of the same codegen unit if there is one, else one that is still free.
    fn member(&self, copy: usize, out: &Comparison, is: impl Fn(usize) -> bool) -> Option<usize> {
        let source = self.old.pieces[copy].names[0].source;
        let group = &self.groups[self.group_of[&copy]];
        let own = |new: usize| self.new.pieces[new].names[0].source == source;
        let rank = |&new: &usize| (out.old_of[new].is_some(), !own(new));
        group.new.iter().copied().filter(|&new| is(new)).min_by_key(rank)
    }

    fn take(&mut self, copy: usize, after: Option<usize>, out: &mut Comparison) {
        self.asked.remove(&copy);
        let Some(after) = after else { return };
        out.new_of[copy] = Some(after);
        out.old_of[after].get_or_insert(copy);
        self.open.push_back((copy, after));
    }
}

/// Copies of the new build by what they do: for each its class, the index of the first of those that are the same
/// code and call the same code.
fn classes(new: &Unit, groups: &[Group]) -> HashMap<usize, usize> {
    let pairs = Comparison::identical(new.pieces.len());
    let mut shallow = Contents::new(new, new).of_any_copy();
    let mut class: HashMap<usize, usize> = HashMap::new();
    for group in groups {
        let mut firsts: Vec<usize> = Vec::new();
        for &piece in &group.new {
            let first = firsts.iter().copied().find(|&first| shallow.same(&pairs, first, piece));
            class.insert(piece, first.unwrap_or(piece));
            if first.is_none() {
                firsts.push(piece);
            }
        }
    }
    let calls: HashMap<usize, Vec<usize>> =
        class.keys().map(|&piece| (piece, references(new, piece))).collect();
    // Those that call different copies are different, until nothing is parted any more.
    loop {
        let mut next: HashMap<usize, usize> = HashMap::new();
        for group in groups {
            let mut firsts: HashMap<(usize, Vec<usize>), usize> = HashMap::new();
            for &piece in &group.new {
                let called = calls[&piece].iter().map(|target| *class.get(target).unwrap_or(target));
                let first = *firsts.entry((class[&piece], called.collect())).or_insert(piece);
                next.insert(piece, first);
            }
        }
        if next == class {
            return class;
        }
        class = next;
    }
}

/// The functions that a piece names in order, by itself or in constants that it reads.
fn references(unit: &Unit, piece: usize) -> Vec<usize> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::from([piece]);
    let mut open = vec![piece];
    while let Some(piece) = open.pop() {
        for reloc in &unit.pieces[piece].relocs {
            let To::Piece(target) = reloc.to else { continue };
            let to = &unit.pieces[target];
            if !to.is_named() {
                if seen.insert(target) {
                    open.push(target);
                }
            } else if to.kind == Kind::Code {
                out.push(target);
            }
        }
    }
    out
}
