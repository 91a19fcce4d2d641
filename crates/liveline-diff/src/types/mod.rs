//! The types that new code can get at: laid out as the objects are that live in the running program?

mod calls;
mod casts;
mod coroutines;
mod library;
mod roots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use liveline_types::{Change, Compare, Kind as ChangeKind, Outcome, Root, TypeId, Types};
use serde::Serialize;

use crate::close::World;
use crate::unit::Kind;
use crate::{list_in_brief, names};
use library::{Library, Side};

/// A type that new code gets at and that is laid out in another way than in the running program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeChange {
    /// What differs, with a picture.
    #[serde(flatten)]
    pub change: Change,
    /// New or changed functions that get at it.
    pub functions: Vec<String>,
    /// The first object it was found in.
    pub object: String,
    /// A person took the responsibility for it (`--assume`).
    pub assumed: bool,
}

/// What the comparison of types came to.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) changes: Vec<TypeChange>,
    /// Functions whose types cannot be compared: pair, name and reason.
    pub(crate) refused: Vec<(usize, String, String)>,
    pub(crate) notes: BTreeSet<String>,
    /// Something was left unchecked, at a person's wish.
    pub(crate) unchecked: bool,
}

/// A function or piece of data: pair and new piece.
type Key = (usize, usize);

/// Compares what the code of these pieces can get at.
pub(crate) fn check(world: &World, pieces: &BTreeSet<Key>, no_types: bool) -> Checked {
    let mut by_pair: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(pair, piece) in pieces {
        if world.piece((pair, piece)).is_some_and(|piece| piece.kind == Kind::Code) {
            by_pair.entry(pair).or_default().push(piece);
        }
    }
    let work: Vec<(usize, Vec<usize>)> = by_pair.into_iter().collect();
    let library = Library::new(world);
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, Checked>> = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get()).min(work.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((pair, pieces)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = Object { world, library: &library, pair: *pair }.check(pieces, no_types);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(*pair, found);
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut out = Checked::default();
    for found in done.into_values() {
        out.merge(found);
    }
    if no_types && !out.unchecked {
        out.notes
            .insert("--no-types: not needed, the types of all changed functions could be compared".into());
    }
    out
}

impl Checked {
    /// Adds what another object showed. A type of a header is one type, however many objects have it.
    fn merge(&mut self, other: Checked) {
        for change in other.changes {
            let known = self.changes.iter_mut().find(|known| {
                known.change.name == change.change.name
                    && known.change.kind == change.change.kind
                    && known.change.rows == change.change.rows
            });
            match known {
                Some(known) => {
                    for function in change.functions {
                        if !known.functions.contains(&function) {
                            known.functions.push(function);
                        }
                    }
                }
                None => self.changes.push(change),
            }
        }
        self.refused.extend(other.refused);
        self.notes.extend(other.notes);
        self.unchecked |= other.unchecked;
    }

    /// Marks the changes that a person accepts; `accepted` are names that are so for another reason.
    pub(crate) fn assume(&mut self, names: &[String], accepted: &BTreeSet<String>) {
        for name in names {
            let mut used = accepted.contains(name);
            for change in &mut self.changes {
                if change.change.title == *name || change.change.name == *name {
                    change.assumed = true;
                    used = true;
                }
            }
            if !used {
                self.notes
                    .insert(format!("--assume {name}: no type of that name changed; nothing is assumed"));
            }
        }
    }
}

impl TypeChange {
    /// What a reviewer reads.
    pub(crate) fn reason(&self) -> String {
        const SHOWN: usize = 3;
        let who = list_in_brief(&self.functions, SHOWN);
        let Change { title, kind, reason, .. } = &self.change;
        let part = if self.change.is_vtable() { "vtable" } else { "layout" };
        let what = match kind {
            ChangeKind::Function => "its signature changed, and old code can still call it: ",
            ChangeKind::Variable => "the type of live data changed: ",
            ChangeKind::Coroutine => "the code of an `async` function or block changed: ",
            // The class is named with the slot.
            _ if part == "vtable" => "",
            _ => "its layout changed: ",
        };
        let end = match (kind, self.assumed) {
            (_, true) => "accepted with --assume".to_owned(),
            (ChangeKind::Function, _) => format!("keep it, or accept it with --assume '{title}'"),
            (ChangeKind::Coroutine, _) => format!(
                "move the fix into a function that is not `async`, or accept it with --assume '{title}' if its awaits are \
                 what they were or no task of it outlives the update"
            ),
            _ => format!(
                "keep its {part}, or accept it with --assume '{title}' if no object of it outlives the update"
            ),
        };
        format!("{what}{reason}; new code gets at it in {who}; {end}")
    }
}

/// One object in both builds.
struct Object<'c, 'd> {
    world: &'c World<'d>,
    library: &'c Library<'c, 'd>,
    pair: usize,
}

impl Object<'_, '_> {
    fn check(&self, pieces: &[usize], no_types: bool) -> Checked {
        let pair = &self.world.pairs[self.pair];
        let mut out = Checked::default();
        // What is the same to the byte has the same types.
        if let (Some(old), Some(new)) = (&pair.old, &pair.new)
            && Arc::ptr_eq(old, new)
        {
            return out;
        }
        let sides = [(Side::New, pair.new.is_some()), (Side::Old, pair.old.is_some())];
        for (side, _) in sides.iter().filter(|(_, there)| *there) {
            let Err(why) = self.library.types(*side, self.pair) else { continue };
            if no_types {
                out.unchecked = true;
                let name = pair.name;
                out.notes.insert(format!("{name}: types were not compared, as --no-types asks: {why}"));
                return out;
            }
            for name in pieces.iter().filter_map(|&piece| self.world.piece((self.pair, piece))) {
                out.refused.push((self.pair, name.label().to_owned(), format!("{why}, or give --no-types")));
            }
            return out;
        }
        let Ok(new) = self.library.types(Side::New, self.pair) else { return out };
        match self.library.types(Side::Old, self.pair) {
            Ok(old) => self.compare(Some(old), new, pieces, &mut out),
            Err(_) => self.compare(None, new, pieces, &mut out),
        }
        out
    }

    fn compare(&self, old: Option<&Types>, new: &Types, pieces: &[usize], out: &mut Checked) {
        let roots: Vec<(usize, Vec<Root>)> =
            pieces.iter().map(|&piece| (piece, self.roots(new, piece))).collect();
        let all: Vec<Root> = roots.iter().flat_map(|(_, roots)| roots).copied().collect();
        let mut reach = new.reach(&all);
        if new.is_apart() {
            // Other functions are inlined there: what each of them gets at cannot be told. A closure's number may mean
            // another one, whose code is new then and not given what lives.
            let closure = |id: &TypeId| new.qualified(*id).is_some_and(|name| name.contains("{closure_env#"));
            reach.defined.extend(new.all_defined().filter(|id| !closure(id)));
        }
        let mut changed: Vec<(TypeId, Change)> = Vec::new();
        let mut compare = old.map(|old| (old, Compare::new(old, new)));
        for &id in &reach.defined {
            let Some(name) = new.qualified(id) else { continue };
            let own = compare.as_mut().and_then(|(old, compare)| counterpart(compare, old, new, &name, id));
            let outcome = own.or_else(|| self.elsewhere(new, &name, id));
            note(outcome.unwrap_or(Outcome::Same), id, &mut changed, out);
        }
        for &id in &reach.declared {
            // C++ compilers may define a class in the debug information of one object only.
            let Some(name) = new.qualified(id).filter(|_| !new.is_c(id)) else { continue };
            note(self.declared(&name).unwrap_or(Outcome::Same), id, &mut changed, out);
        }
        for (id, change) in changed {
            let gets_at = |roots: &[Root]| {
                let reach = new.reach(roots);
                reach.defined.contains(&id) || reach.declared.contains(&id)
            };
            let functions = roots.iter().filter(|(_, roots)| gets_at(roots) || new.is_apart());
            let functions = functions.map(|(piece, _)| self.name(*piece)).collect();
            self.add(change, functions, out);
        }
        if let Some((old, compare)) = &mut compare {
            self.by_cast(old, new, compare, (pieces, &reach), out);
            self.variables(old, new, compare, &roots, out);
            self.signatures(old, new, compare, pieces, out);
            self.coroutines(old, new, pieces, out);
        }
    }

    fn name(&self, piece: usize) -> String {
        let name = self.world.piece((self.pair, piece)).map_or("", |piece| piece.label());
        names::part_of(name).unwrap_or(name).to_owned()
    }

    fn add(&self, change: Change, functions: Vec<String>, out: &mut Checked) {
        let object = self.world.pairs[self.pair].name.to_owned();
        let change = TypeChange { change, functions, object, assumed: false };
        out.merge(Checked { changes: vec![change], ..Checked::default() });
    }

    /// A type that this object did not know before: another old object may have it.
    fn elsewhere(&self, new: &Types, name: &str, id: TypeId) -> Option<Outcome> {
        let file = new.source(id).map(|(file, _)| base(file).to_owned());
        self.library.find(Side::Old, name, |old, found| {
            // Another file's type of this name is another type, unless the language says otherwise.
            let same = old.source(found).map(|(file, _)| base(file)) == file.as_deref() || !new.is_c(id);
            same.then(|| Compare::new(old, new).defined(found, id))
        })
    }

    /// A type that is defined in other objects only.
    fn declared(&self, name: &str) -> Option<Outcome> {
        self.library.find(Side::New, name, |new, id| {
            self.library.find(Side::Old, name, |old, found| Some(Compare::new(old, new).defined(found, id)))
        })
    }

    /// Compares the variables that the code uses with what lives in the program.
    fn variables(
        &self,
        old: &Types,
        new: &Types,
        compare: &mut Compare,
        roots: &[(usize, Vec<Root>)],
        out: &mut Checked,
    ) {
        let mut seen: BTreeMap<TypeId, Option<Change>> = BTreeMap::new();
        for (piece, roots) in roots {
            for root in roots {
                let Root::Variable(id) = root else { continue };
                let change = seen.entry(*id).or_insert_with(|| {
                    let before = self.old_variable(old, new, *piece, *id)?;
                    match compare.variable(before, *id) {
                        Outcome::Changed(change) => Some(change),
                        _ => None,
                    }
                });
                if let Some(change) = change {
                    self.add(change.clone(), vec![self.name(*piece)], out);
                }
            }
        }
    }

    /// Compares what replaced functions take, where old code may go on calling them.
    fn signatures(
        &self,
        old: &Types,
        new: &Types,
        compare: &mut Compare,
        pieces: &[usize],
        out: &mut Checked,
    ) {
        for &piece in pieces {
            let Some(&before) = self.world.replaced.get(&(self.pair, piece)) else { continue };
            let (Some(was), Some(is)) = (self.old_function(old, before), self.new_function(new, piece))
            else {
                continue;
            };
            if let Outcome::Changed(change) = compare.signature(was, is)
                && calls::outlive(self.world, self.pair, before)
            {
                self.add(change, vec![self.name(piece)], out);
            }
        }
    }
}

fn note(outcome: Outcome, id: TypeId, changed: &mut Vec<(TypeId, Change)>, out: &mut Checked) {
    match outcome {
        Outcome::Same => {}
        Outcome::Compatible(change) => {
            let end = if change.is_vtable() { "" } else { "; its layout is as it was" };
            out.notes.insert(format!("{}: {}{end}", change.heading, change.reason));
        }
        Outcome::Changed(change) => changed.push((id, change)),
    }
}

/// The comparison with the old definition of the same name in the same object; of several, the one in the same
/// place in their order, or else any that is the same.
fn counterpart(compare: &mut Compare, old: &Types, new: &Types, name: &str, id: TypeId) -> Option<Outcome> {
    let (before, after) = (old.defined(name), new.defined(name));
    if before.len() == after.len() {
        let place = after.iter().position(|other| *other == id)?;
        return Some(compare.defined(before[place], id));
    }
    let mut first = None;
    for &other in before {
        match compare.defined(other, id) {
            Outcome::Same => return Some(Outcome::Same),
            outcome => first = first.or(Some(outcome)),
        }
    }
    first
}

/// The file's own name in a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
