//! The patch, gathered of what was decided, and the report on it.

use std::collections::BTreeSet;
use std::path::Path;

use liveline_elf::demangle;
use liveline_elf::module::ModuleKind;
use liveline_patch::{FORMAT, Function, Meta, Patch, Target, VerdictKind};

use crate::compare::{is_part, language};
use crate::emit::{Emitter, Refusal};
use crate::judge::{Open, Work};
use crate::types::{self, Checked};
use crate::unit::Kind;
use crate::{DiffError, Report, Request, differing, initializers, list_in_brief, rust, unwind};

/// Pieces of new objects: pair and piece.
type Pieces = Vec<(usize, usize)>;

impl Work<'_> {
    /// Gathers the patch.
    pub(crate) fn finish(mut self, request: &Request) -> Result<Report, DiffError> {
        let objects = self.world.pairs.len();
        let functions = self.world.pairs.iter().filter_map(|pair| pair.new.as_ref()).map(|unit| {
            unit.pieces.iter().filter(|piece| piece.kind == Kind::Code && piece.is_named()).count()
        });
        let functions = functions.sum();
        let mut patch = None;
        let mut types = Checked::default();
        let mut assumed = BTreeSet::new();
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
            let accepted = self.judge_open(&request.assume);
            types = types::check(&self.world, &pieces, request.no_types);
            types.assume(&request.assume, &accepted);
            self.judge_types(&mut types);
            assumed = accepted;
        }
        self.verdicts
            .sort_by(|a, b| (&a.object, a.verdict, &a.symbol).cmp(&(&b.object, b.verdict, &b.symbol)));
        if patch.is_some() && !self.refused {
            self.notes.extend(differing::note(&mut self.world));
        }
        let notes: Vec<String> = self.notes.iter().map(|note| demangle::text(note).into_owned()).collect();
        if let Some(patch) = &mut patch {
            patch.meta.verdicts.clone_from(&self.verdicts);
            patch.meta.notes.clone_from(&notes);
            let changes = types.changes.iter().filter(|change| change.assumed);
            assumed.extend(changes.map(|change| change.change.title.clone()));
            patch.meta.assumed = assumed.into_iter().collect();
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
            if parted.is_empty() {
                continue;
            }
            let names = list_in_brief(parted.iter().map(|&piece| new.pieces[piece].label()), SHOWN);
            self.notes.insert(format!(
                "{}: closures made before the update keep the code they had, since others have their names now: {}",
                pair.name, names
            ));
        }
    }

    /// Refuses what is open unless a person accepts it. The names that were accepted.
    fn judge_open(&mut self, assume: &[String]) -> BTreeSet<String> {
        let mut accepted = BTreeSet::new();
        for Open { pair, symbol, name, reason, way, condition } in std::mem::take(&mut self.open) {
            if assume.contains(&name) {
                self.say(pair, &symbol, VerdictKind::Assumed, format!("{reason}; accepted with --assume"));
                accepted.insert(name);
            } else {
                let reason =
                    format!("{reason}; {way}, or accept it with --assume '{name}' if it {condition}");
                self.say(pair, &symbol, VerdictKind::Refused, reason);
            }
        }
        accepted
    }

    /// Verdicts on the types that new code gets at.
    fn judge_types(&mut self, types: &mut Checked) {
        for change in &types.changes {
            let kind = if change.assumed { VerdictKind::Assumed } else { VerdictKind::Refused };
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
