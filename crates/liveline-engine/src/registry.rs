//! The registry: every record in a process, read from the process itself, and what follows from them.
//!
//! What a function does now is not written down anywhere twice. The detour in its first bytes leads to the
//! stub of the patch that put it there (its *owner*), the owner's slot leads to the code that runs, and the
//! selectors say which patches count. [`Registry::wanted`] is what the slot must hold.

use liveline_process::{Mapping, MemoryError, Process};

use crate::image::description_check;
use crate::record::{Description, HEADER_SIZE, Header, Phase, Replaced};
use crate::safe_point::Forbidden;
use crate::table::{CLOSED, DETOUR_SIZE, NEW, STUB_SIZE, THUNK_DECIDED, THUNK_WAIT, detour_target};

/// How the name of every image's file ends, named file or memfd.
pub(crate) const FILE_SUFFIX: &str = ".liveline";

/// Whether a mapping is (part of) an image of ours.
pub(crate) fn is_image(mapping: &Mapping) -> bool {
    mapping.path.as_deref().is_some_and(|path| path.ends_with(FILE_SUFFIX))
}

/// A patch that is in a process.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    pub(crate) header: Header,
    pub(crate) description: Description,
}

impl Installed {
    /// Whether its new code is the one that counts.
    pub(crate) fn committed(&self) -> bool {
        self.header.selector % CLOSED == NEW
    }

    /// Run-time address of the detour of function `index`.
    pub(crate) fn detour(&self, index: usize) -> u64 {
        self.description.functions[index].detour_address().wrapping_add(self.header.bias)
    }

    pub(crate) fn stub(&self, index: usize) -> u64 {
        self.header.base + crate::layout::Layout::STUBS + STUB_SIZE * index as u64
    }

    pub(crate) fn thunk(&self, index: usize) -> u64 {
        let functions = self.header.functions;
        self.header.base
            + crate::layout::Layout::STUBS
            + STUB_SIZE * functions
            + crate::table::THUNK_SIZE * index as u64
    }

    /// Where the old code continues once the detour is in.
    pub(crate) fn continuation(&self, index: usize) -> u64 {
        let functions = self.header.functions;
        self.thunk(0)
            + crate::table::THUNK_SIZE * functions
            + crate::table::GATE_SIZE
            + crate::continuation::CONTINUATION_SIZE * index as u64
    }

    /// Entry of the new code of function `index`.
    pub(crate) fn new_code(&self, index: usize) -> u64 {
        let offset = self.description.functions[index].new.first().map_or(0, |(offset, _)| *offset);
        self.header.base + offset
    }

    /// Forbids the new code of one function.
    pub(crate) fn forbid_new_code(&self, index: usize, forbidden: &mut Forbidden) {
        let replaced = &self.description.functions[index];
        for (piece, (offset, size)) in replaced.new.iter().enumerate() {
            let start = self.header.base + offset;
            match piece {
                0 => forbidden.function(start, start + size, &replaced.name),
                _ => forbidden.piece(start, start + size, &replaced.name),
            }
        }
    }

    /// Forbids all new code, that of functions which replace nothing included.
    pub(crate) fn forbid_all(&self, forbidden: &mut Forbidden) {
        let code = self.continuation(self.description.functions.len());
        let end = self.header.base + self.description.text_end;
        let name = format!("new code of patch {}", self.description.name);
        for index in 0..self.description.functions.len() {
            self.forbid_new_code(index, forbidden);
        }
        forbidden.piece(code, end, &name);
    }

    /// Index of the function whose detour is at run-time address `detour`.
    pub(crate) fn index_of(&self, detour: u64) -> Option<usize> {
        (0..self.description.functions.len()).find(|index| self.detour(*index) == detour)
    }
}

/// The records of one process, in the order of installation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    pub(crate) patches: Vec<Installed>,
    /// Records of a layout this liveline does not know, or damaged ones: their addresses.
    pub(crate) unknown: Vec<u64>,
}

/// A place in the code where a detour is, or was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Index into [`Registry::patches`].
    pub(crate) patch: usize,
    /// Index of the function in that patch.
    pub(crate) function: usize,
}

impl Registry {
    /// Reads all records of a process.
    pub(crate) fn read(process: &Process, mappings: &[Mapping]) -> Registry {
        let mut registry = Registry::default();
        for mapping in mappings {
            if !is_image(mapping) || !mapping.read || !mapping.write || mapping.shared {
                continue;
            }
            match read_record(process, mapping.start) {
                Some(Ok(installed)) => registry.patches.push(installed),
                Some(Err(())) => registry.unknown.push(mapping.start),
                None => {}
            }
        }
        registry.patches.sort_by_key(|installed| installed.header.generation);
        registry
    }

    /// The generation the next patch gets.
    pub(crate) fn next_generation(&self) -> u64 {
        self.patches.last().map_or(1, |last| last.header.generation + 1)
    }

    /// The patch of this name that counts, or that a killed patcher left half-way.
    pub(crate) fn find(&self, name: &str) -> Option<&Installed> {
        let mut named = self.patches.iter().filter(|installed| installed.description.name == name);
        named.rfind(|installed| installed.header.phase != Phase::Retired)
    }

    /// Whether a killed patcher left something unfinished.
    pub(crate) fn unfinished(&self) -> bool {
        self.patches.iter().any(|installed| match installed.header.phase {
            Phase::Mapped | Phase::Staged => true,
            Phase::Active => !installed.committed(),
            Phase::Retired => false,
        })
    }

    /// Whose detour these bytes at run-time address `detour` are.
    pub(crate) fn owner(&self, detour: u64, bytes: &[u8]) -> Option<Owner> {
        let target = detour_target(detour, bytes)?;
        self.patches.iter().enumerate().find_map(|(patch, installed)| {
            let function = installed.index_of(detour)?;
            (installed.stub(function) == target).then_some(Owner { patch, function })
        })
    }

    /// The newest patch that counts for the function detoured at `detour`, of those that `counts` admits.
    pub(crate) fn top(
        &self,
        detour: u64,
        counts: impl Fn(&Installed) -> bool,
    ) -> Option<(&Installed, usize)> {
        self.patches
            .iter()
            .rev()
            .filter(|installed| counts(installed))
            .find_map(|installed| installed.index_of(detour).map(|index| (installed, index)))
    }

    /// What the slot of the function detoured at `detour` must hold: the newest committed code, else the
    /// owner's continuation.
    pub(crate) fn wanted(&self, detour: u64, owner: Owner) -> u64 {
        match self.top(detour, Installed::committed) {
            Some((installed, index)) => installed.new_code(index),
            None => self.patches[owner.patch].continuation(owner.function),
        }
    }

    /// Every detour place any patch names, once: run-time address and one record of it.
    pub(crate) fn detours(&self) -> Vec<(u64, &Replaced)> {
        let mut all: Vec<(u64, &Replaced)> = self
            .patches
            .iter()
            .flat_map(|installed| {
                installed
                    .description
                    .functions
                    .iter()
                    .enumerate()
                    .map(|(index, replaced)| (installed.detour(index), replaced))
            })
            .collect();
        all.sort_by_key(|(detour, _)| *detour);
        all.dedup_by_key(|(detour, _)| *detour);
        all
    }

    /// Forbids thunks and continuations: who stands there has decided where to go, but has not gone yet. Who
    /// waits in the gate has not.
    pub(crate) fn forbid_tables(&self, forbidden: &mut Forbidden) {
        for installed in &self.patches {
            let name = format!("update table of patch {}", installed.description.name);
            let functions = installed.description.functions.len();
            for index in 0..functions {
                let thunk = installed.thunk(index);
                forbidden.piece(thunk + u64::from(THUNK_DECIDED), thunk + u64::from(THUNK_WAIT), &name);
            }
            forbidden.piece(installed.continuation(0), installed.continuation(functions), &name);
        }
    }

    /// Puts the original bytes back into a copy of code read from run-time address `at`. A detour may reach
    /// beyond a short function into the padding behind it.
    pub(crate) fn hide_detours(
        &self,
        process: &Process,
        at: u64,
        code: &mut [u8],
    ) -> Result<(), MemoryError> {
        let end = at + code.len() as u64;
        for (detour, replaced) in self.detours() {
            if detour + DETOUR_SIZE <= at || end <= detour {
                continue;
            }
            let mut now = [0; DETOUR_SIZE as usize];
            process.read(detour, &mut now)?;
            if self.owner(detour, &now).is_some() {
                for (address, byte) in (detour..).zip(replaced.old_bytes) {
                    if let Some(place) =
                        address.checked_sub(at).and_then(|offset| code.get_mut(offset as usize))
                    {
                        *place = byte;
                    }
                }
            }
        }
        Ok(())
    }
}

/// None: no record here. `Err`: one that cannot be read.
fn read_record(process: &Process, at: u64) -> Option<Result<Installed, ()>> {
    let mut words = [0; HEADER_SIZE as usize];
    process.read(at, &mut words).ok()?;
    if words[..8] != crate::record::MAGIC.to_le_bytes() {
        return None;
    }
    let read = |address, bytes: &mut [u8]| process.read(address, bytes).ok();
    Some(read_whole(at, &words, read).ok_or(()))
}

/// Reads and checks the record at `at`, whose first words are at hand, from the memory that `read` reads.
pub(crate) fn read_whole(
    at: u64,
    words: &[u8],
    read: impl Fn(u64, &mut [u8]) -> Option<()>,
) -> Option<Installed> {
    let header = Header::decode(words)?;
    if header.record() != at {
        return None;
    }
    let mut bytes = vec![0; header.description_size as usize];
    read(at + header.description_offset(), &mut bytes)?;
    if description_check(&bytes) != header.check {
        return None;
    }
    let description: Description = ciborium::from_reader(&bytes[..]).ok()?;
    let places_ok = description.functions.len() as u64 == header.functions
        && description.text_end <= header.code_size
        && description.functions.iter().all(|function| {
            function.new.iter().all(|(offset, size)| {
                offset.checked_add(*size).is_some_and(|end| end <= description.text_end)
            }) && !function.new.is_empty()
                && function.detour <= 4096
                && [(function.address, function.size)]
                    .iter()
                    .chain(&function.parts)
                    .all(|(address, size)| address.checked_add(*size).is_some_and(|end| end < 1 << 47))
        });
    places_ok.then_some(Installed { header, description })
}
