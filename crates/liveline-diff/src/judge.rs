//! Verdicts: what is replaced, what comes along, and what is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use liveline_elf::demangle;
use liveline_patch::{Function, Verdict, VerdictKind};

use crate::close::{Pair, World};
use crate::compare::{Comparison, language, parts, remainders};
use crate::constants::spread;
use crate::moved::{self, Fate};
use crate::program::Program;
use crate::stay::{self, stays};
use crate::unit::{Kind, Piece, Unit};
use crate::{entry, initializers, rust};

/// What is known and decided so far.
pub(crate) struct Work<'d> {
    pub(crate) world: World<'d>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) notes: BTreeSet<String>,
    pub(crate) refused: bool,
    /// By new piece: one for each copy that the target has of the function.
    pub(crate) records: BTreeMap<(usize, usize), Vec<Function>>,
    pub(crate) open: BTreeSet<Open>,
}

/// What is refused unless a person accepts it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Open {
    pub(crate) pair: usize,
    pub(crate) symbol: String,
    /// By what name it is accepted.
    pub(crate) name: String,
    pub(crate) reason: String,
    /// What else can be done.
    pub(crate) way: String,
    /// What a person who accepts it says of the symbol.
    pub(crate) condition: &'static str,
}

impl<'d> Work<'d> {
    pub(crate) fn new(program: Program<'d>, pairs: Vec<Pair<'d>>) -> Self {
        let mut definitions: HashMap<&'d str, Vec<(usize, usize)>> = HashMap::new();
        for (index, pair) in pairs.iter().enumerate() {
            let Some(unit) = &pair.new else { continue };
            for (piece_index, piece) in unit.pieces.iter().enumerate() {
                for name in piece.names.iter().filter(|name| !name.local && name.offset == 0) {
                    let base = crate::names::versioned(name.name).0;
                    definitions.entry(base).or_default().push((index, piece_index));
                }
            }
        }
        let world =
            World { program, pairs, definitions, replaced: BTreeMap::new(), constants: BTreeSet::new() };
        Self {
            world,
            verdicts: Vec::new(),
            notes: BTreeSet::new(),
            refused: false,
            records: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    pub(crate) fn say(&mut self, pair: usize, symbol: &str, verdict: VerdictKind, reason: impl Into<String>) {
        self.refused |= verdict == VerdictKind::Refused;
        let object = self.world.pairs[pair].name.to_owned();
        let reason = demangle::text(&reason.into()).into_owned();
        let verdict = Verdict { object, symbol: symbol.to_owned(), verdict, reason };
        if verdict.verdict == VerdictKind::Refused {
            // What cannot be carried is nothing else besides.
            let same = |other: &Verdict| other.object == verdict.object && other.symbol == verdict.symbol;
            self.verdicts.retain(|other| !same(other) || other.verdict == VerdictKind::Refused);
        }
        if !self.verdicts.contains(&verdict) {
            self.verdicts.push(verdict);
        }
    }

    /// Refuses crates of which nothing can be compared.
    fn judge_crates(&mut self) {
        for index in 0..self.world.pairs.len() {
            let pair = &self.world.pairs[index];
            let (Some(old), Some(new)) = (&pair.old, &pair.new) else { continue };
            if Arc::ptr_eq(old, new) {
                continue;
            }
            if let Some(reason) = rust::mismatch(old, new, self.world.program.data) {
                let comparison = &mut self.world.pairs[index].comparison;
                *comparison = Comparison {
                    new_of: vec![None; comparison.new_of.len()],
                    old_of: vec![None; comparison.old_of.len()],
                    ..Comparison::default()
                };
                self.say(index, "", VerdictKind::Refused, reason);
            }
        }
    }

    /// Decides what is replaced.
    pub(crate) fn judge(&mut self) {
        self.judge_crates();
        for pair in 0..self.world.pairs.len() {
            let mut changed = self.world.pairs[pair].comparison.changed.clone();
            self.leave_initializers(pair, &mut changed);
            self.replace(pair, &changed, VerdictKind::Changed, "its code differs");
        }
        self.other_verdicts();
        let mut moved = BTreeSet::new();
        for finding in moved::moved(&self.world) {
            let (index, piece) = finding.piece;
            let Some(new) = self.world.pairs[index].new.clone() else { continue };
            let kind = match finding.fate {
                Fate::Refused => VerdictKind::Refused,
                Fate::Left => VerdictKind::DataValue,
                Fate::Constant => VerdictKind::ConstData,
            };
            if finding.fate == Fate::Constant {
                self.world.constants.insert(finding.piece);
                moved.insert(finding.piece);
            }
            self.say(index, new.pieces[piece].label(), kind, finding.reason);
        }
        // Constants that differ bring their readers along, and their readers may bring constants along.
        loop {
            let found = spread(&self.world);
            let constants = found.constants.len() > self.world.constants.len();
            self.world.constants = found.constants;
            self.open.extend(found.open);
            let before = self.world.replaced.len();
            let mut by_pair: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
            for (pair, piece) in found.readers {
                by_pair.entry(pair).or_default().insert(piece);
            }
            for (pair, pieces) in by_pair {
                self.replace(pair, &pieces, VerdictKind::PulledIn, "it reads constant data that changed");
            }
            if !constants && self.world.replaced.len() == before {
                break;
            }
        }
        self.keep_out();
        let constants: Vec<_> = self.world.constants.iter().copied().collect();
        self.note_constants(&constants, &moved);
        for key in constants.into_iter().filter(|key| !moved.contains(key)) {
            if let Some(piece) = self.world.piece(key).filter(|piece| piece.is_named()) {
                let name = piece.label().to_owned();
                self.say(
                    key.0,
                    &name,
                    VerdictKind::ConstData,
                    "constant data that comes along with its readers",
                );
            }
        }
    }

    /// Tells of named constants of which the process then has two.
    fn note_constants(&mut self, constants: &[(usize, usize)], moved: &BTreeSet<(usize, usize)>) {
        let named = |key: &(usize, usize)| {
            // Objects of a class keep the table that they were made with, as they should.
            let own = |piece: &&Piece| piece.is_named() && !piece.label().starts_with("_ZT");
            let piece = self.world.piece(*key).filter(own)?;
            let running = self.world.pairs[key.0].comparison.old_of.get(key.1).copied().flatten();
            (running.is_some() || moved.contains(key)).then(|| piece.label().to_owned())
        };
        let names: BTreeSet<String> = constants.iter().filter_map(named).collect();
        if !names.is_empty() {
            let names: Vec<String> = names.into_iter().collect();
            self.notes.insert(format!(
                "{}: pointers that the running program has stored lead to the old values, and are not equal to new ones",
                names.join(", ")
            ));
        }
    }

    /// Keeps threads out of functions that are gone and call what is replaced; refuses where that is not enough.
    fn keep_out(&mut self) {
        let found: Vec<_> =
            (0..self.world.pairs.len()).map(|index| stay::callers(&self.world, index)).collect();
        for (pair, callers) in self.world.pairs.iter_mut().zip(&found) {
            let callers: BTreeSet<usize> = callers.iter().map(|one| one.0).collect();
            if let Some(old) = pair.old.clone().filter(|_| !callers.is_empty()) {
                pair.places.settle(&old, &self.world.program, &callers);
            }
        }
        for stay in stays(&self.world, found) {
            let (index, caller) = stay.caller;
            let pair = &self.world.pairs[index];
            let (Some(old), Some(new)) = (pair.old.clone(), pair.new.clone()) else { continue };
            let (name, callee) = stay::names(&old, &new, &stay);
            if stay.held {
                self.open.insert(Open {
                    pair: index,
                    symbol: name.to_owned(),
                    // Of a clone, the function in the source.
                    name: callee.split('.').next().unwrap_or(callee).to_owned(),
                    reason: format!(
                        "it is gone in the new build but may still be called through a pointer, and calls {callee}, \
                         which the compiler may have made for its callers"
                    ),
                    way: "keep it in the new sources, as it was".to_owned(),
                    condition: "is not called any more",
                });
            }
            let mut code = Vec::new();
            for piece in std::iter::once(caller).chain(parts(&old, caller)) {
                let place = pair.places.of(piece).ok_or_else(|| "it has no certain address".to_owned());
                match place.and_then(|place| entry::part(&old, piece, &self.world.program, place)) {
                    Ok(part) => code.push(part),
                    // Where it is not known where it lies it is held, which is judged by itself.
                    Err(_) if stay.held => break,
                    Err(reason) => {
                        self.say(index, name, VerdictKind::Refused, reason);
                        break;
                    }
                }
            }
            for record in self.records.get_mut(&stay.callee).into_iter().flatten() {
                record.parts.extend(code.iter().cloned());
            }
        }
    }

    /// What constructs global objects has run, and will not again: its changes are reported, as initial values are.
    fn leave_initializers(&mut self, pair: usize, changed: &mut BTreeSet<usize>) {
        let Some(new) = self.world.pairs[pair].new.clone() else { return };
        changed.retain(|&piece| {
            let name = new.pieces[piece].label();
            let leave = initializers::is_initializer(name);
            if leave {
                let objects = initializers::constructs(&new, piece);
                let why =
                    format!("it constructs {objects}, which was done when the program started: not applied");
                self.say(pair, name, VerdictKind::DataValue, why);
            }
            !leave
        });
    }

    /// Proves functions of a pair and marks them as replaced.
    fn replace(&mut self, index: usize, pieces: &BTreeSet<usize>, kind: VerdictKind, why: &str) {
        let world = &mut self.world;
        let pair = &mut world.pairs[index];
        let (Some(old), Some(new)) = (pair.old.clone(), pair.new.clone()) else { return };
        let wanted: BTreeMap<usize, usize> = pieces
            .iter()
            .filter(|&&piece| !world.replaced.contains_key(&(index, piece)))
            .flat_map(|&piece| pair.comparison.copies_of(piece).map(move |before| (before, piece)))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let mut to_prove: BTreeSet<usize> = wanted.keys().copied().collect();
        for &before in wanted.keys() {
            to_prove.extend(parts(&old, before));
        }
        pair.places.settle(&old, &world.program, &to_prove);
        for (before, after) in wanted {
            let name = new.pieces[after].label().to_owned();
            let pair = &self.world.pairs[index];
            if !pair.places.possible(before) {
                self.say(
                    index,
                    &name,
                    VerdictKind::NotLinked,
                    "the target has no such function: it was inlined everywhere, dropped, or is of another program",
                );
                continue;
            }
            let failed = std::iter::once(before)
                .chain(parts(&old, before))
                .find_map(|piece| pair.places.proof(piece).err().map(str::to_owned));
            if let Some(reason) = failed {
                self.unproved(index, &old, before, &name, &reason);
                continue;
            }
            match self.record(index, (&old, before), (&new, after)) {
                Ok(record) => {
                    let same = |other: &Function| other.address == record.address;
                    let twin = self.records.iter().find(|(_, others)| others.iter().any(same));
                    if let Some((&(other, piece), _)) = twin {
                        let same = self.world.piece((other, piece)).map(|piece| piece.bytes)
                            == Some(new.pieces[after].bytes);
                        if !same {
                            let reason = format!(
                                "{} brings other new code for the same function; give one of them only",
                                self.world.pairs[other].name
                            );
                            self.say(index, &name, VerdictKind::Refused, reason);
                        }
                        continue;
                    }
                    if let Some(language) = language::foreign(&new) {
                        let reason = format!("it is {language}; patches carry C, C++ and Rust");
                        self.say(index, &name, VerdictKind::Refused, reason);
                        continue;
                    }
                    self.records.entry((index, after)).or_default().push(record);
                    self.world.replaced.entry((index, after)).or_insert(before);
                    self.say(index, &name, kind, why);
                }
                Err(reason) => self.say(index, &name, VerdictKind::Refused, reason),
            }
        }
    }

    fn record(
        &self,
        index: usize,
        (old, before): (&Unit, usize),
        (new, after): (&Unit, usize),
    ) -> Result<Function, String> {
        let places = &self.world.pairs[index].places;
        let identity = places.of(before).ok_or("it has no certain address")?;
        if identity.indirect {
            return Err(
                "it is an IFUNC resolver, which has run already; change what it chooses instead".into()
            );
        }
        let proof = places.proof(before)?;
        let mut record = entry::function(old, before, &self.world.program, identity, proof)?;
        for part in parts(old, before) {
            let identity = places.of(part).ok_or("its cold part has no certain address")?;
            record.parts.push(entry::part(old, part, &self.world.program, identity)?);
        }
        // Any other function is left some day; waiting for that is enough.
        if record.name == "main" {
            let all = remainders(&self.world.pairs[index].comparison, (old, before), (new, after));
            record.remainders = all.into_iter().filter(|&at| at >= record.detour + entry::DETOUR).collect();
        }
        Ok(record)
    }

    /// The verdict on a function that is not in the target as the old object has it.
    fn unproved(&mut self, index: usize, old: &Unit, before: usize, name: &str, reason: &str) {
        // The name may belong to another object of the folder.
        let global = old.pieces[before].global_name().map(|name| crate::names::versioned(name.name).0);
        if let Some(global) = global {
            for other in 0..self.world.pairs.len() {
                if other == index {
                    continue;
                }
                let pair = &mut self.world.pairs[other];
                let Some(unit) = pair.old.clone() else { continue };
                let own = unit.pieces.iter().position(|piece| {
                    piece.kind == Kind::Code
                        && piece.names.iter().any(|name| !name.local && name.name == global)
                });
                let Some(own) = own else { continue };
                pair.places.settle(&unit, &self.world.program, &BTreeSet::from([own]));
                if pair.places.proof(own).is_ok() {
                    let why = format!("the target has the {global} of {}", pair.name);
                    self.say(index, name, VerdictKind::NotLinked, why);
                    return;
                }
            }
        }
        let all: BTreeSet<usize> = (0..old.pieces.len())
            .filter(|&piece| old.pieces[piece].kind == Kind::Code && old.pieces[piece].is_named())
            .collect();
        let pair = &mut self.world.pairs[index];
        pair.places.settle(old, &self.world.program, &all);
        let proved = all.iter().filter(|&&piece| pair.places.proof(piece).is_ok()).count();
        let reason = if proved == 0 {
            format!(
                "the old object is not what is running ({reason}; none of its functions is in the target); give the \
                 objects the target was linked from"
            )
        } else {
            format!(
                "the old object is not what is running: {reason}; rebuild it exactly as the target was built"
            )
        };
        self.say(index, name, VerdictKind::Refused, reason);
    }

    /// Verdicts on what is neither replaced nor new.
    fn other_verdicts(&mut self) {
        for index in 0..self.world.pairs.len() {
            let pair = &self.world.pairs[index];
            let (Some(old), Some(new)) = (pair.old.clone(), pair.new.clone()) else { continue };
            let lines: Vec<usize> = pair.comparison.line_only.iter().copied().collect();
            let removed = pair.comparison.removed.clone();
            let data: Vec<usize> = pair.comparison.data.iter().copied().collect();
            for piece in lines {
                let name = new.pieces[piece].label();
                self.say(index, name, VerdictKind::LineOnly, "only line numbers differ");
            }
            for piece in removed {
                if self.world.pairs[index].places.of(piece).is_some() {
                    let name = old.pieces[piece].label();
                    self.say(
                        index,
                        name,
                        VerdictKind::Removed,
                        "it is gone in the new build; it stays in memory",
                    );
                }
            }
            for piece in data {
                self.data_verdict(index, &old, &new, piece);
            }
        }
    }

    fn data_verdict(&mut self, index: usize, old: &Unit, new: &Unit, piece: usize) {
        let pair = &self.world.pairs[index];
        let Some(before) = pair.comparison.old_of[piece] else { return };
        let (a, b) = (&old.pieces[before], &new.pieces[piece]);
        if b.kind == Kind::Const && a.kind == Kind::Const || pair.places.of(before).is_none() {
            return;
        }
        let name = b.label();
        let why = if a.size == b.size {
            "its initial value differs; the running value is kept"
        } else {
            "its size differs; the running data is kept, and new code that uses it is refused"
        };
        self.notes.insert(format!("{}: {name}: {why}", pair.name));
        self.say(index, name, VerdictKind::DataValue, why);
    }
}
