//! What a reference of new code means in the running program, and what must come along.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use liveline_elf::module::SymbolKind;

use crate::compare::{Comparison, is_part, parts};
use crate::program::Program;
use crate::prove::Identities;
use crate::unit::{Kind, Piece, Reloc, To, Unit, is_near_branch_kind};
use crate::{names, rust};

/// What C++ tells a module apart by when it registers destructors. A stripped program does not name its own; a null pointer
/// means the end of the program (Itanium C++ ABI, 3.3.6.3).
pub(crate) const DSO_HANDLE: &str = "__dso_handle";

/// One object in both builds.
#[derive(Debug)]
pub(crate) struct Pair<'d> {
    pub(crate) name: &'d str,
    pub(crate) old: Option<Arc<Unit<'d>>>,
    pub(crate) new: Option<Arc<Unit<'d>>>,
    pub(crate) comparison: Comparison,
    /// Where the old pieces lie.
    pub(crate) places: Identities,
}

/// Everything that is known when references are resolved.
#[derive(Debug)]
pub(crate) struct World<'d> {
    pub(crate) program: Program<'d>,
    pub(crate) pairs: Vec<Pair<'d>>,
    /// Global definitions of the new build: name → (pair, new piece).
    pub(crate) definitions: HashMap<&'d str, Vec<(usize, usize)>>,
    /// Functions that are replaced: (pair, new piece) → old piece.
    pub(crate) replaced: BTreeMap<(usize, usize), usize>,
    /// Constants whose new copy comes along although they exist: (pair, new piece).
    pub(crate) constants: BTreeSet<(usize, usize)>,
}

/// Where a reference of new code goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// A piece that comes along.
    Here(usize, usize),
    /// An address of the target.
    At {
        address: u64,
        name: String,
        /// May be interposed by another module.
        open: bool,
    },
    /// What an IFUNC resolver chose, in this word.
    Chosen {
        slot: u64,
        name: String,
        /// The word may hold a binder's address until the first call: good for calls only.
        lazy: bool,
    },
    /// Another module.
    Import { name: String, version: Option<String>, weak: bool },
    /// A thread-local of the target: its offset in the image.
    Thread { value: u64, name: String },
    /// Nothing: an undefined weak symbol of a static program.
    Null(String),
}

impl<'d> World<'d> {
    /// A new object.
    pub(crate) fn new_unit(&self, pair: usize) -> Option<&Unit<'d>> {
        self.pairs.get(pair)?.new.as_deref()
    }

    /// A piece of a new object.
    pub(crate) fn piece(&self, (pair, piece): (usize, usize)) -> Option<&Piece<'d>> {
        self.new_unit(pair)?.pieces.get(piece)
    }

    /// Resolves a relocation of the new piece `from`.
    pub(crate) fn resolve(&self, from: (usize, usize), reloc: &Reloc) -> Result<Where, String> {
        let unit = self.new_unit(from.0).ok_or("no new object")?;
        match reloc.to {
            To::Piece(target) => self.own(from, target, reloc),
            To::Extern(symbol) => {
                let symbol = &unit.externs[symbol];
                self.outer(symbol.name, symbol.weak, symbol.hidden)
            }
            To::Nowhere => Err(format!("a relocation at +{:#x} refers to an unknown place", reloc.offset)),
        }
    }

    /// A reference within the object.
    fn own(&self, from: (usize, usize), target: usize, reloc: &Reloc) -> Result<Where, String> {
        let key = (from.0, target);
        let piece = self.piece(key).ok_or("no such piece")?;
        let here = Ok(Where::Here(key.0, key.1));
        if self.constants.contains(&key) {
            return here;
        }
        if !piece.is_named() {
            return match piece.kind {
                Kind::Code | Kind::Const => here,
                _ => Err(format!(
                    "it refers to live data without a name in {}; give it a symbol",
                    piece.section
                )),
            };
        }
        if is_part(piece) {
            return here;
        }
        let pair = &self.pairs[from.0];
        let before = pair.comparison.old_of.get(target).copied().flatten();
        let name = piece.label().to_owned();
        let Some(before) = before else {
            if pair.comparison.ambiguous.contains(&target) {
                return Err(format!(
                    "which of the running variables named {} the new {name} is cannot be told; rename it in the \
                     new source, or keep the functions that use it as they were",
                    names::stem(&name)
                ));
            }
            // A definition that moved here from another file is still the one that runs.
            if !pair.comparison.parted.contains(&target)
                && let Some(global) = piece.global_name()
                && self.program.global(global.name).is_some()
                && !piece.names[0].local
            {
                return self.outer(global.name, global.weak, global.hidden);
            }
            if piece.kind == Kind::Tls {
                return Err(new_thread_local(&name));
            }
            let (pair, piece) = self.shared(key, piece);
            return Ok(Where::Here(pair, piece));
        };
        let place = pair.places.of(before);
        match piece.kind {
            Kind::Code => {
                let interior = self.is_interior(from, reloc, piece);
                if self.replaced.contains_key(&key) {
                    if interior || (key == from && is_near_branch_kind(reloc)) {
                        return here;
                    }
                } else if interior {
                    return Err(format!("it refers into the middle of {name}, which is not replaced"));
                }
                match place {
                    Some(place) if place.indirect => self.chosen(place.address, &name),
                    Some(place) => Ok(self.at(place.address, &name, piece)),
                    None if pair.places.ambiguous(before) => Err(ambiguous(&name)),
                    None => here,
                }
            }
            Kind::Const => match place {
                Some(place) if !pair.comparison.data.contains(&target) => {
                    Ok(self.at(place.address, &name, piece))
                }
                None if pair.places.ambiguous(before) && !pair.comparison.data.contains(&target) => here,
                _ => here,
            },
            Kind::Data | Kind::Bss => match place {
                Some(place) => {
                    self.check_layout(&name, place.size, piece.size)?;
                    Ok(self.at(place.address, &name, piece))
                }
                None if pair.places.ambiguous(before) => Err(ambiguous(&name)),
                None => Err(format!(
                    "its variable {name} is not in the target's symbol table; give --debug an unstripped twin"
                )),
            },
            Kind::Tls => match place {
                Some(place) => {
                    self.check_layout(&name, place.size, piece.size)?;
                    Ok(Where::Thread { value: place.address, name })
                }
                None => Err(new_thread_local(&name)),
            },
        }
    }

    /// Of something new that several objects define, as inline functions and variables are, the copy that is taken for
    /// all of them.
    fn shared(&self, key: (usize, usize), piece: &Piece) -> (usize, usize) {
        let Some(name) = piece.global_name() else { return key };
        let changed = |pair: usize| self.replaced.range((pair, 0)..(pair + 1, 0)).next().is_some();
        let fresh = |&(pair, piece): &(usize, usize)| {
            let comparison = &self.pairs[pair].comparison;
            let known = comparison.old_of.get(piece).copied().flatten().is_some();
            !known && !comparison.parted.contains(&piece)
        };
        // A folder may hold the objects of other programs, too: those are none of this one's.
        let copies = self.definitions.get(names::versioned(name.name).0).into_iter().flatten();
        let mut copies = copies.copied().filter(|copy| changed(copy.0)).filter(fresh);
        copies.next().filter(|_| fresh(&key)).unwrap_or(key)
    }

    /// Whether a reference means a label inside a function rather than the function.
    pub(crate) fn is_interior(&self, from: (usize, usize), reloc: &Reloc, target: &Piece) -> bool {
        let Some(source) = self.piece(from) else { return false };
        let label = label_of(source, reloc);
        label != 0 && !target.names.iter().any(|name| name.offset as i64 == label && !name.local)
    }

    fn check_layout(&self, name: &str, old: u64, new: u64) -> Result<(), String> {
        if old == 0 || old == new {
            return Ok(());
        }
        Err(format!(
            "the layout of live data changed: {name} has {old} bytes in the running program and {new} in the new \
             build; keep its size, or put the new part into a variable of its own"
        ))
    }

    fn at(&self, address: u64, name: &str, piece: &Piece) -> Where {
        let visible = piece.names.first().is_some_and(|name| !name.local && !name.hidden);
        let open = visible && self.program.is_library() && self.program.is_exported(name);
        Where::At { address, name: name.to_owned(), open }
    }

    fn chosen(&self, resolver: u64, name: &str) -> Result<Where, String> {
        let slots = self.program.slots(name);
        let found = self.program.indirect_slot(resolver).or(slots.data).map(|slot| (slot, false));
        match found.or(slots.jump.map(|slot| (slot, true))) {
            Some((slot, lazy)) => Ok(Where::Chosen { slot, name: name.to_owned(), lazy }),
            None => Err(format!(
                "{name} is chosen at start-up (IFUNC) and the target never asked for it; call another function"
            )),
        }
    }

    /// A reference to another object, by name.
    pub(crate) fn outer(&self, name: &str, weak: bool, hidden: bool) -> Result<Where, String> {
        let (base, version) = names::versioned(name);
        let defined = self.definitions.get(base).map_or(&[][..], Vec::as_slice);
        if let Some(&(pair, piece)) = defined.iter().find(|key| self.constants.contains(key)) {
            return Ok(Where::Here(pair, piece));
        }
        if base == DSO_HANDLE {
            let own = self.program.locals(base).next().or_else(|| self.program.global(base));
            return Ok(match own {
                Some(symbol) => Where::At { address: symbol.address, name: base.to_owned(), open: false },
                None => Where::Null(base.to_owned()),
            });
        }
        let found = self.program.global(base).or_else(|| self.hidden_global(base));
        if let Some(symbol) = found {
            for &(pair, piece) in defined {
                let Some(target) = self.piece((pair, piece)) else { continue };
                let live = matches!(target.kind, Kind::Data | Kind::Bss | Kind::Tls);
                let same = self.pairs[pair].comparison.old_of.get(piece).copied().flatten().is_some();
                if live && same && defined.len() == 1 {
                    self.check_layout(base, symbol.size, target.size)?;
                }
            }
            return match symbol.kind {
                SymbolKind::IndirectFunction => self.chosen(symbol.address, base),
                SymbolKind::Tls => Ok(Where::Thread { value: symbol.address, name: base.to_owned() }),
                _ => Ok(Where::At {
                    address: symbol.address,
                    name: base.to_owned(),
                    open: !hidden && self.program.is_library() && self.program.is_exported(base),
                }),
            };
        }
        match *defined {
            [] => {}
            [(pair, piece)] => return self.shown(pair, piece, base),
            _ => {
                // Several programs may share a folder: prefer the object that has to do with this one.
                let own = |&&(pair, _): &&(usize, usize)| self.replaced.keys().any(|key| key.0 == pair);
                let mut near = defined.iter().filter(own);
                return match (near.next(), near.next()) {
                    (Some(&(pair, piece)), None) => self.fresh(pair, piece, base),
                    _ => Err(format!(
                        "several new objects define {base}, and none of them is known to be linked"
                    )),
                };
            }
        }
        if let Some(symbol) = self.program.dynamic(base) {
            return Ok(Where::At { address: symbol.address, name: base.to_owned(), open: false });
        }
        if rust::is_anonymous(base) {
            return Err("it needs a constant that thin link-time optimisation shares between crates, under a number that \
                 means nothing in another build; build both with -C lto=off (cargo: lto = \"off\" in the profile)"
                .into());
        }
        if rust::is_rust(base) && !self.program.imports_rust() {
            return Err(format!(
                "it needs {}, which the running program does not contain: the linker leaves out what nothing uses;                  write the fix with functions that the program uses already",
                rust::readable(base)
            ));
        }
        let known = self.program.import(base);
        if self.program.is_static() && known.is_none() {
            if weak {
                return Ok(Where::Null(base.to_owned()));
            }
            return Err(format!(
                "it needs {base}, which the static program does not contain; use something it has, or bring the \
                 code along in the new objects"
            ));
        }
        let version = version.map(str::to_owned).or_else(|| known.and_then(|(version, _)| version.clone()));
        Ok(Where::Import { name: base.to_owned(), version, weak })
    }

    /// The only definition of a name that the running program does not show. It may have been its file's own so far: then it
    /// is what runs.
    fn shown(&self, pair: usize, piece: usize, name: &str) -> Result<Where, String> {
        if self.pairs[pair].comparison.old_of.get(piece).copied().flatten().is_none() {
            return self.fresh(pair, piece, name);
        }
        let (offset, kind) = (0, object::elf::R_X86_64_64.0);
        let whole = Reloc { offset, kind, addend: 0, tail: 0, to: To::Piece(piece), made: false };
        self.own((pair, piece), piece, &whole)
    }

    fn fresh(&self, pair: usize, piece: usize, name: &str) -> Result<Where, String> {
        match self.piece((pair, piece)) {
            Some(target) if target.kind == Kind::Tls => Err(new_thread_local(name)),
            _ => Ok(Where::Here(pair, piece)),
        }
    }

    /// A hidden global, which the linker made local. One of Rust's may be of a library that was not given; names of the
    /// unwinder are libgcc's own, in a static program too; and what a static program chooses at its start is its C
    /// library's, which the linker makes local where the program is position-independent.
    fn hidden_global(&self, name: &str) -> Option<&liveline_elf::module::Symbol> {
        let mut found = self.program.locals(name);
        let only = found.next()?;
        let unwinder = name.starts_with("_Unwind_") && self.program.is_static();
        let chosen = only.kind == SymbolKind::IndirectFunction && self.program.is_static();
        // What the old objects took from elsewhere is in a static program, and this is the only one.
        let taken = |old: &Unit| old.externs.iter().any(|symbol| names::versioned(symbol.name).0 == name);
        let used =
            self.program.is_static() && self.pairs.iter().filter_map(|pair| pair.old.as_deref()).any(taken);
        if !rust::is_rust(name) && !unwinder && !chosen && !used {
            self.definitions.get(name)?;
            // A local of the old build that is its own is another one.
            self.was_global(name).then_some(())?;
        }
        found.next().is_none().then_some(only)
    }

    /// Whether an object of the old build defines this name for others.
    pub(crate) fn was_global(&self, name: &str) -> bool {
        let global =
            |piece: &Piece| piece.names.iter().any(|own| !own.local && names::versioned(own.name).0 == name);
        self.pairs.iter().filter_map(|pair| pair.old.as_ref()).any(|old| old.pieces.iter().any(global))
    }

    /// The function parts that come with a new function.
    pub(crate) fn parts_of(&self, (pair, piece): (usize, usize)) -> Vec<(usize, usize)> {
        let Some(unit) = self.new_unit(pair) else { return Vec::new() };
        parts(unit, piece).map(|part| (pair, part)).collect()
    }
}

/// The offset in its target that a relocation of `source` means.
pub(crate) fn label_of(source: &Piece, reloc: &Reloc) -> i64 {
    let table = source.kind != Kind::Code && reloc.is_relative();
    let shift = if table { (reloc.offset as i64).wrapping_neg() } else { 0 };
    reloc.effective().wrapping_add(shift)
}

fn ambiguous(name: &str) -> String {
    format!("the target has several {name} and none could be proved to be this one")
}

fn new_thread_local(name: &str) -> String {
    format!(
        "{name} is a new thread-local, and running threads have no room for it; keep the value in a structure that \
         exists, or in a table by thread id"
    )
}
