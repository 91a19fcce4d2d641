//! The whole way from a request to a report.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use liveline_elf::demangle;
use liveline_elf::module::ModuleKind;
use liveline_patch::{FORMAT, Function, Meta, Patch, Target, Verdict, VerdictKind};

use crate::close::{Pair, World};
use crate::compare::{Comparison, compare, is_part, language, parts, remainders};
use crate::constants::spread;
use crate::emit::{Emitter, Refusal};
use crate::input::{Build, Paired};
use crate::moved::moved;
use crate::program::Program;
use crate::prove::Identities;
use crate::stay::{self, stays};
use crate::types::{self, Checked};
use crate::unit::{Kind, Piece, Unit};
use crate::{Described, DiffError, Report, Request, entry, initializers, rust, unwind};

/// Makes a patch from two builds, or says why there is none.
///
/// Errors are inputs that cannot be read or compared at all; what cannot be carried by a patch is a verdict.
pub fn diff(request: &Request) -> Result<Report, DiffError> {
    compare_builds(request, None)
}

/// As [`diff`], with the debug information of crates in objects of their own.
pub fn diff_described(request: &Request, described: &Described) -> Result<Report, DiffError> {
    compare_builds(request, Some(described))
}

fn compare_builds(request: &Request, described: Option<&Described>) -> Result<Report, DiffError> {
    let mut old = Build::read(&request.old)?;
    let mut new = Build::read(&request.new)?;
    if let Some(folders) = described {
        old.describe(&folders.old)?;
        new.describe(&folders.new)?;
    }
    let read = |path: &Path| fs::read(path).map_err(|source| DiffError::Read { path: path.into(), source });
    let data = read(&request.target)?;
    let debug = request.debug.as_ref().map(|path| read(path).map(|data| (path, data))).transpose()?;
    let twin = debug.as_ref().map(|(path, data)| (path.as_path(), &**data));
    let program = Program::read(&request.target, &data, twin)?;
    let single = request.old.file_name().and_then(|name| name.to_str()).unwrap_or("object").to_owned();
    let pairs = match read_pairs(&Build::pair(&old, &new, &single), &program) {
        Err(error @ (DiffError::Lto { .. } | DiffError::NotX86 { .. })) => return Ok(refusal(&error)),
        pairs => pairs?,
    };
    let mut work = Work::new(program, pairs);
    work.judge();
    work.finish(request)
}

/// The report on objects that hold nothing to compare.
fn refusal(error: &DiffError) -> Report {
    let (DiffError::Lto { name } | DiffError::NotX86 { name }) = error else { return Report::default() };
    let verdict = Verdict {
        object: name.clone(),
        symbol: String::new(),
        verdict: VerdictKind::Refused,
        reason: error.to_string(),
    };
    Report { verdicts: vec![verdict], refused: true, objects: 1, ..Report::default() }
}

/// Reads and compares all pairs on all processors.
fn read_pairs<'d>(inputs: &[Paired<'d>], program: &Program) -> Result<Vec<Pair<'d>>, DiffError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Pair<'d>, DiffError>)>> = Mutex::new(Vec::new());
    let workers =
        std::thread::available_parallelism().map_or(1, |count| count.get()).min(inputs.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let index = inputs.iter().position(|other| std::ptr::eq(other, input)).unwrap_or(0);
                    let pair = read_pair(*input, program);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, pair));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, pair)| pair).collect()
}

fn read_pair<'d>(input: Paired<'d>, program: &Program) -> Result<Pair<'d>, DiffError> {
    let [before, after] = input.described;
    let read = |data, described| Unit::read_described(input.name, data, described);
    let old = input.old.map(|data| read(data, before)).transpose()?.map(Arc::new);
    let (new, comparison) = match (&old, input.new) {
        (Some(old), Some(data)) if input.old == Some(data) => {
            (Some(Arc::clone(old)), Comparison::identical(old.pieces.len()))
        }
        (Some(old), Some(data)) => {
            let new = read(data, after)?;
            let comparison = compare(old, &new);
            (Some(Arc::new(new)), comparison)
        }
        (None, Some(data)) => {
            let new = read(data, after)?;
            let fresh = Comparison { old_of: vec![None; new.pieces.len()], ..Comparison::default() };
            (Some(Arc::new(new)), fresh)
        }
        (old, None) => {
            let gone = old.as_ref().map_or(0, |old| old.pieces.len());
            (None, Comparison { new_of: vec![None; gone], ..Comparison::default() })
        }
    };
    let places = old.as_ref().map_or_else(Identities::none, |old| Identities::new(old, program));
    Ok(Pair { name: input.name, old, new, comparison, places })
}

/// Pieces of new objects: pair and piece.
type Pieces = Vec<(usize, usize)>;

/// What is known and decided so far.
struct Work<'d> {
    world: World<'d>,
    verdicts: Vec<Verdict>,
    notes: BTreeSet<String>,
    refused: bool,
    /// By new piece: one for each copy that the target has of the function.
    records: BTreeMap<(usize, usize), Vec<Function>>,
}

impl<'d> Work<'d> {
    fn new(program: Program<'d>, pairs: Vec<Pair<'d>>) -> Self {
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
        Self { world, verdicts: Vec::new(), notes: BTreeSet::new(), refused: false, records: BTreeMap::new() }
    }

    fn say(&mut self, pair: usize, symbol: &str, verdict: VerdictKind, reason: impl Into<String>) {
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
    fn judge(&mut self) {
        self.judge_crates();
        for pair in 0..self.world.pairs.len() {
            let mut changed = self.world.pairs[pair].comparison.changed.clone();
            self.leave_initializers(pair, &mut changed);
            self.replace(pair, &changed, VerdictKind::Changed, "its code differs");
        }
        self.other_verdicts();
        for finding in moved(&self.world) {
            let (index, piece) = finding.piece;
            let Some(new) = self.world.pairs[index].new.clone() else { continue };
            let kind = if finding.refused { VerdictKind::Refused } else { VerdictKind::DataValue };
            self.say(index, new.pieces[piece].label(), kind, finding.reason);
        }
        // Constants that differ bring their readers along, and their readers may bring constants along.
        loop {
            let found = spread(&self.world);
            let constants = found.constants.len() > self.world.constants.len();
            self.world.constants = found.constants;
            for (pair, symbol, reason) in found.refused {
                self.say(pair, &symbol, VerdictKind::Refused, reason);
            }
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
        self.note_constants(&constants);
        for key in constants {
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
    fn note_constants(&mut self, constants: &[(usize, usize)]) {
        let named = |key: &(usize, usize)| {
            // Objects of a class keep the table that they were made with, as they should.
            let own = |piece: &&Piece| piece.is_named() && !piece.label().starts_with("_ZT");
            let piece = self.world.piece(*key).filter(own)?;
            let running = self.world.pairs[key.0].comparison.old_of.get(key.1).copied().flatten();
            running.is_some().then(|| piece.label().to_owned())
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
                let reason = format!(
                    "it is gone in the new build but may still be called through a pointer, and calls {callee}, which \
                     the compiler may have made for its callers: keep it in the new sources, as it was"
                );
                self.say(index, name, VerdictKind::Refused, reason);
                continue;
            }
            let mut code = Vec::new();
            for piece in std::iter::once(caller).chain(parts(&old, caller)) {
                let place = pair.places.of(piece).ok_or_else(|| "it has no certain address".to_owned());
                match place.and_then(|place| entry::part(&old, piece, &self.world.program, place)) {
                    Ok(part) => code.push(part),
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

    /// Gathers the patch.
    fn finish(mut self, request: &Request) -> Result<Report, DiffError> {
        let objects = self.world.pairs.len();
        let functions = self.world.pairs.iter().filter_map(|pair| pair.new.as_ref()).map(|unit| {
            unit.pieces.iter().filter(|piece| piece.kind == Kind::Code && piece.is_named()).count()
        });
        let functions = functions.sum();
        let mut patch = None;
        let mut types = Checked::default();
        self.note_closures();
        if !self.world.replaced.is_empty() {
            let mut pieces: BTreeSet<(usize, usize)> = self.world.replaced.keys().copied().collect();
            match self.gather(request) {
                Ok((made, placed)) => {
                    patch = Some(made);
                    pieces.extend(placed);
                }
                Err(refusals) => {
                    for Refusal { piece, reason } in refusals {
                        let name = self.world.piece(piece).map_or("", |piece| piece.label()).to_owned();
                        self.say(piece.0, &name, VerdictKind::Refused, reason);
                    }
                }
            }
            types = types::check(&self.world, &pieces, &request.assume, request.no_types);
            self.judge_types(&mut types);
        }
        self.verdicts
            .sort_by(|a, b| (&a.object, a.verdict, &a.symbol).cmp(&(&b.object, b.verdict, &b.symbol)));
        let notes: Vec<String> = self.notes.iter().map(|note| demangle::text(note).into_owned()).collect();
        if let Some(patch) = &mut patch {
            patch.meta.verdicts.clone_from(&self.verdicts);
            patch.meta.notes.clone_from(&notes);
            let assumed = types.changes.iter().filter(|change| change.assumed);
            patch.meta.assumed = assumed.map(|change| change.change.title.clone()).collect();
            patch.meta.types_unchecked = types.unchecked;
        }
        let patch = patch.filter(|_| !self.refused);
        let (verdicts, types) = (self.verdicts, types.changes);
        Ok(Report { patch, verdicts, types, notes, refused: self.refused, objects, functions })
    }

    /// Tells of closures whose name means another one now.
    fn note_closures(&mut self) {
        const SHOWN: usize = 3;
        for pair in &self.world.pairs {
            let Some(new) = &pair.new else { continue };
            let parted = &pair.comparison.parted;
            let mut names: Vec<&str> =
                parted.iter().take(SHOWN).map(|&piece| new.pieces[piece].label()).collect();
            if names.is_empty() {
                continue;
            }
            let more = format!("{} more", parted.len().saturating_sub(SHOWN));
            if parted.len() > SHOWN {
                names.push(&more);
            }
            self.notes.insert(format!(
                "{}: closures made before the update keep the code they had, since others have their names now: {}",
                pair.name,
                names.join(", ")
            ));
        }
    }

    /// Verdicts on the types that new code gets at.
    fn judge_types(&mut self, types: &mut Checked) {
        for change in &types.changes {
            let kind = if change.assumed { VerdictKind::AssumedType } else { VerdictKind::Refused };
            let pair = self.world.pairs.iter().position(|pair| pair.name == change.object).unwrap_or(0);
            self.say(pair, &change.change.title, kind, change.reason());
        }
        for (pair, name, reason) in std::mem::take(&mut types.refused) {
            self.say(pair, &name, VerdictKind::Refused, reason);
        }
        self.notes.append(&mut types.notes);
    }

    /// The patch, and the pieces that are in it.
    fn gather(&mut self, request: &Request) -> Result<(Patch, Pieces), Vec<Refusal>> {
        let mut emitter = Emitter::new(&self.world);
        let mut refusals = Vec::new();
        let mut records = std::mem::take(&mut self.records);
        let mut functions = Vec::new();
        for &key in self.world.replaced.keys() {
            match emitter.include(key) {
                Ok(symbol) => {
                    for record in records.remove(&key).unwrap_or_default() {
                        functions.push(Function { new: symbol, ..record });
                    }
                }
                Err(refusal) => {
                    emitter.abandon();
                    refusals.push(refusal);
                }
            }
        }
        let constructors = match initializers::add(&mut emitter) {
            Ok(symbols) => symbols,
            Err(refusal) => {
                emitter.abandon();
                refusals.push(refusal);
                Vec::new()
            }
        };
        if refusals.is_empty()
            && let Err(reason) = unwind::add(&mut emitter)
        {
            let piece = self.world.replaced.keys().next().copied().unwrap_or_default();
            refusals.push(Refusal { piece, reason });
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        functions.sort_by_key(|function| function.address);
        let placed: Vec<(usize, usize)> = emitter.placed.keys().copied().collect();
        let panics = self.world.program.panics_unwind()
            && placed.iter().filter_map(|&key| self.world.piece(key)).any(rust::has_own_name);
        let carried: BTreeSet<usize> = placed.iter().map(|key| key.0).collect();
        let is_static = self.world.program.is_static();
        let mut units = carried.into_iter().filter_map(|pair| self.world.new_unit(pair));
        let unwinds = panics || units.any(|unit| language::throws(unit, is_static));
        let notes = std::mem::take(&mut emitter.notes);
        let (sections, symbols) = (emitter.maker.sections, emitter.maker.symbols);
        self.notes.extend(notes);
        for &key in &placed {
            self.arrival(key);
        }
        let meta = Meta {
            format: FORMAT,
            name: request.name.clone(),
            version: request.version.clone(),
            requires: request.requires.clone(),
            target: self.target(&request.target),
            functions,
            verdicts: Vec::new(),
            notes: Vec::new(),
            unwinds,
            initializers: constructors,
            assumed: Vec::new(),
            types_unchecked: false,
            made_by: concat!("liveline ", env!("CARGO_PKG_VERSION")).into(),
        };
        Ok((Patch { meta, sections, symbols }, placed))
    }

    /// The verdict on a piece that comes along and is not replaced.
    fn arrival(&mut self, key: (usize, usize)) {
        if self.world.replaced.contains_key(&key) || self.world.constants.contains(&key) {
            return;
        }
        let Some(piece) = self.world.piece(key) else { return };
        if !piece.is_named() || is_part(piece) {
            return;
        }
        let name = piece.label().to_owned();
        if piece.kind == Kind::Code {
            self.say(key.0, &name, VerdictKind::New, "it does not exist in the running program");
        } else {
            self.say(key.0, &name, VerdictKind::NewData, "it does not exist in the running program");
        }
    }

    fn target(&self, path: &Path) -> Target {
        let program = &self.world.program;
        let (low, high) = program.module.span();
        Target {
            file_name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            build_id: program.module.build_id_hex(),
            text_hash: program.module.text_hash(program.data).unwrap_or_default(),
            low,
            high,
            fixed: program.module.kind == ModuleKind::Fixed,
            executable: program.module.kind != ModuleKind::Library,
        }
    }
}
