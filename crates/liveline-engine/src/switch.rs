//! The switch: one store that decides which code counts, and what is written before and after it.
//!
//! [`engage`] turns the functions to their thunks, [`select`] makes the store, [`settle`] tidies up. [`settle`] is the only place that writes slots and detours of patches that count. Apply and revert call it
//! right behind their store, recovery calls it for whoever was killed: it looks at the selectors and makes every
//! slot, detour and phase agree with them. Running it twice does nothing the second time.

use liveline_process::{MemoryError, Process};

use crate::record::{GENERATION, PHASE, Phase, SELECTOR, Start};
use crate::registry::{Installed, Owner, Registry};
use crate::table::{CLOSED, DETOUR_SIZE, NEW, OLD, detour};

/// Writes the selector of a record: the commit ([`NEW`]), the revert ([`OLD`]), or the gate before either.
///
/// The values differ in one byte only, so that no thread can see a torn one.
pub(crate) fn select(process: &Process, installed: &mut Installed, selector: u64) -> Result<(), MemoryError> {
    process.write(installed.header.record() + SELECTOR, &selector.to_le_bytes())?;
    installed.header.selector = selector;
    Ok(())
}

/// Which way a patch is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// New code in place of the old.
    In,
    /// The old code again.
    Out,
}

impl Direction {
    /// The selector before, and after.
    pub(crate) fn selectors(self) -> (u64, u64) {
        match self {
            Direction::In => (OLD, NEW),
            Direction::Out => (NEW, OLD),
        }
    }
}

/// Turns the functions of patch `index` to its thunks, which go on as before until the selector changes. All
/// threads must be held, none within the first bytes of a function that has no detour yet.
pub(crate) fn engage(
    process: &Process,
    registry: &mut Registry,
    index: usize,
    direction: Direction,
) -> Result<(), MemoryError> {
    match direction {
        Direction::In => engage_in(process, registry, index),
        Direction::Out => engage_out(process, registry, index),
    }
}

/// Writes the phase of a record.
pub(crate) fn set_phase(
    process: &Process,
    installed: &mut Installed,
    phase: Phase,
) -> Result<(), MemoryError> {
    if installed.header.phase != phase {
        process.write(installed.header.record() + PHASE, &phase.word().to_le_bytes())?;
        installed.header.phase = phase;
    }
    Ok(())
}

/// A detour that is in, with what its slot holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) owner: Owner,
    /// Address of the slot.
    pub(crate) slot: u64,
    /// What it holds.
    pub(crate) holds: u64,
}

/// The detour at a run-time address, if one is in.
pub(crate) fn live(process: &Process, registry: &Registry, detour: u64) -> Result<Option<Live>, MemoryError> {
    let mut bytes = [0; DETOUR_SIZE as usize];
    // A library that has been closed is gone, and its detours with it.
    if process.read(detour, &mut bytes).is_err() {
        return Ok(None);
    }
    let Some(owner) = registry.owner(detour, &bytes) else { return Ok(None) };
    let slot = registry.patches[owner.patch].header.slot(owner.function);
    Ok(Some(Live { owner, slot, holds: process.read_word(slot)? }))
}

/// Detours that are missing are written, slots that other patches own are taken over.
fn engage_in(process: &Process, registry: &mut Registry, index: usize) -> Result<(), MemoryError> {
    set_phase(process, &mut registry.patches[index], Phase::Staged)?;
    let installed = &registry.patches[index];
    for function in 0..installed.description.functions.len() {
        let at = installed.detour(function);
        match live(process, registry, at)? {
            Some(live) => {
                process.write(installed.header.old(function), &live.holds.to_le_bytes())?;
                process.write(live.slot, &installed.thunk(function).to_le_bytes())?;
            }
            None => {
                let jump = detour(at, installed.stub(function)).map_err(|error| MemoryError {
                    what: "detour",
                    address: at,
                    length: DETOUR_SIZE as usize,
                    error: std::io::Error::other(error),
                })?;
                // An image that was in before has other values in both.
                process
                    .write(installed.header.old(function), &installed.continuation(function).to_le_bytes())?;
                process.write(installed.header.slot(function), &installed.thunk(function).to_le_bytes())?;
                process.write(at, &jump)?;
            }
        }
    }
    Ok(())
}

/// Of an engaged patch, leaves only the functions that `gated` names in their thunks, and sends calls of the others
/// straight to where their thunks go now: a thread inside one function must be able to call another.
pub(crate) fn engage_only(
    process: &Process,
    registry: &Registry,
    index: usize,
    gated: impl Fn(&str) -> bool,
) -> Result<(), MemoryError> {
    let installed = &registry.patches[index];
    for (function, replaced) in installed.description.functions.iter().enumerate() {
        let Some(live) = live(process, registry, installed.detour(function))? else { continue };
        if live.holds != installed.thunk(function) && live.holds != ungated(process, installed, function)? {
            // A newer patch has it.
            continue;
        }
        let wanted = if gated(&replaced.name) {
            installed.thunk(function)
        } else {
            ungated(process, installed, function)?
        };
        if live.holds != wanted {
            process.write(live.slot, &wanted.to_le_bytes())?;
        }
    }
    Ok(())
}

/// Where the thunk of a function goes, the gate left aside.
fn ungated(process: &Process, installed: &Installed, function: usize) -> Result<u64, MemoryError> {
    match installed.committed() {
        true => Ok(installed.new_code(function)),
        false => process.read_word(installed.header.old(function)),
    }
}

/// Makes a patch the newest: it is about to go in again.
pub(crate) fn renew(
    process: &Process,
    installed: &mut Installed,
    generation: u64,
) -> Result<(), MemoryError> {
    process.write(installed.header.record() + GENERATION, &generation.to_le_bytes())?;
    installed.header.generation = generation;
    Ok(())
}

/// Where the patch is the newest, its thunks are told what lies below and put in.
fn engage_out(process: &Process, registry: &Registry, index: usize) -> Result<(), MemoryError> {
    let installed = &registry.patches[index];
    for function in 0..installed.description.functions.len() {
        let at = installed.detour(function);
        let Some(live) = live(process, registry, at)? else { continue };
        let is_top = |top: Option<(&Installed, usize)>| {
            top.is_some_and(|(top, _)| top.header.base == installed.header.base)
        };
        if !is_top(registry.top(at, Installed::committed)) {
            continue;
        }
        let below = registry.top(at, |other| other.committed() && other.header.base != installed.header.base);
        let below = match below {
            Some((below, function)) => below.new_code(function),
            None => registry.patches[live.owner.patch].continuation(live.owner.function),
        };
        process.write(installed.header.old(function), &below.to_le_bytes())?;
        process.write(live.slot, &installed.thunk(function).to_le_bytes())?;
    }
    Ok(())
}

/// Makes slots, detours and phases agree with the selectors. All threads must be held. None can stand within the
/// bytes of a detour: it is one instruction, and nobody stood there when it was written.
pub(crate) fn settle(process: &Process, registry: &mut Registry) -> Result<(), MemoryError> {
    let places: Vec<(u64, [u8; 5])> =
        registry.detours().into_iter().map(|(detour, replaced)| (detour, replaced.old_bytes)).collect();
    for (detour, old_bytes) in places {
        let Some(live) = live(process, registry, detour)? else { continue };
        if registry.top(detour, Installed::committed).is_none() {
            // The detour goes first: behind it the slot may say anything.
            process.write(detour, &old_bytes)?;
        }
        let wanted = registry.wanted(detour, live.owner);
        if live.holds != wanted {
            process.write(live.slot, &wanted.to_le_bytes())?;
        }
    }
    for installed in &mut registry.patches {
        if installed.header.selector >= CLOSED {
            let open = installed.header.selector % CLOSED;
            select(process, installed, open)?;
        }
        let phase = match (installed.committed(), installed.header.phase) {
            (true, _) => Phase::Active,
            // Once its unwind records may be known to the program, an image stays.
            (false, Phase::Mapped) if installed.header.start == Start::NotBegun => Phase::Mapped,
            (false, _) => Phase::Retired,
        };
        set_phase(process, installed, phase)?;
    }
    Ok(())
}
