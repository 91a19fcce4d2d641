//! Constructors of global objects. They run once, when a program starts: those of old objects never again, those of new
//! objects once, when the patch is put in.

use std::collections::BTreeSet;

use object::read::{Object as _, ObjectSection as _};

use crate::close::{DSO_HANDLE, World};
use crate::emit::{Emitter, Refusal};
use crate::unit::{Kind, To, Unit};
use crate::unwind::{FrameReloc, relocations};

/// Whether a function of this name is one that a C++ compiler makes to construct global objects.
pub(crate) fn is_initializer(name: &str) -> bool {
    [
        "_GLOBAL__sub_I_",
        "_GLOBAL__I_",
        "__cxx_global_var_init",
        "_Z41__static_initialization_and_destruction_0",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

/// The global objects that a function constructs, in words.
pub(crate) fn constructs(unit: &Unit, function: usize) -> String {
    let mut names: Vec<&str> = Vec::new();
    for reloc in &unit.pieces[function].relocs {
        let To::Piece(object) = reloc.to else { continue };
        let piece = &unit.pieces[object];
        let live = matches!(piece.kind, Kind::Data | Kind::Bss | Kind::Tls) && piece.is_named();
        // The dynamic linker's handle is no object.
        if live && piece.label() != DSO_HANDLE && !names.contains(&piece.label()) {
            names.push(piece.label());
        }
    }
    if names.is_empty() { "global objects".into() } else { names.join(", ") }
}

/// Functions that the start-up code of an object runs, in their order.
pub(crate) fn entries(unit: &Unit) -> Vec<usize> {
    let mut found: Vec<(u32, u64, usize)> = Vec::new();
    for section in unit.file.sections() {
        let Some(rest) = section.name().ok().and_then(|name| name.strip_prefix(".init_array")) else {
            continue;
        };
        // Without a number they run last.
        let priority = rest.trim_start_matches('.').parse().unwrap_or(u32::MAX);
        for FrameReloc { offset, reloc } in relocations(unit, &section) {
            if let To::Piece(function) = reloc.to {
                found.push((priority, offset, function));
            }
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, _, function)| function).collect()
}

/// Brings along the constructors of new objects that come along; symbols of the functions, in the order they run.
pub(crate) fn add(emitter: &mut Emitter) -> Result<Vec<usize>, Refusal> {
    let world = emitter.world;
    let mut done = BTreeSet::new();
    let mut symbols = Vec::new();
    // A constructor may bring more files along.
    loop {
        let pairs: BTreeSet<usize> = emitter.placed.keys().map(|key| key.0).collect();
        let Some(pair) = pairs.into_iter().find(|pair| !done.contains(pair)) else { break };
        done.insert(pair);
        let Some(new) = world.new_unit(pair) else { continue };
        let old = world.pairs[pair].old.as_deref();
        if old.is_some_and(|old| !entries(old).is_empty()) {
            continue;
        }
        for function in entries(new) {
            symbols.push(emitter.include((pair, function))?);
        }
    }
    for &pair in &done {
        check(world, emitter, pair)?;
    }
    Ok(symbols)
}

/// Refuses new objects whose constructor is part of a function that has run already.
fn check(world: &World, emitter: &Emitter, pair: usize) -> Result<(), Refusal> {
    let Some(new) = world.new_unit(pair) else { return Ok(()) };
    let comparison = &world.pairs[pair].comparison;
    for function in &new.pieces {
        let carried = new
            .pieces
            .iter()
            .position(|own| std::ptr::eq(own, function))
            .is_some_and(|index| emitter.placed.contains_key(&(pair, index)));
        if carried || !function.names.iter().any(|name| is_initializer(name.name)) {
            continue;
        }
        for reloc in &function.relocs {
            let To::Piece(object) = reloc.to else { continue };
            let piece = &new.pieces[object];
            let fresh = matches!(piece.kind, Kind::Data | Kind::Bss)
                && piece.is_named()
                && comparison.old_of.get(object).copied().flatten().is_none()
                && emitter.placed.contains_key(&(pair, object));
            if fresh {
                let reason = format!(
                    "{} is a new global object, and its file's constructors have run already; put it into a source file \
                     of its own, or make it a static variable of the function that uses it",
                    piece.label()
                );
                return Err(Refusal { piece: (pair, object), reason });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_initializer;

    #[test]
    fn names() {
        assert!(is_initializer("_GLOBAL__sub_I_main.cpp"));
        assert!(is_initializer("__cxx_global_var_init.3"));
        assert!(is_initializer("_Z41__static_initialization_and_destruction_0ii"));
        assert!(!is_initializer("main"));
    }
}
