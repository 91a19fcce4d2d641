//! Functions that stay and are not what the old objects say: the program was built of other sources, or otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use liveline_elf::demangle;

use crate::close::{Pair, World};
use crate::compare::is_part;
use crate::program::Program;
use crate::rust;
use crate::unit::{Kind, Piece};

/// A function that stays: its name, and for a local one its source.
type Name = (String, Option<String>);

/// What is said of them; none if all that stay are as the old objects have them.
pub(crate) fn note(world: &mut World) -> Option<String> {
    const SHOWN: usize = 5;
    let staying = staying(world);
    let differing: Vec<&Name> = staying.iter().filter(|(_, same)| !**same).map(|(name, _)| name).collect();
    let mut names: Vec<String> =
        differing.iter().take(SHOWN).map(|(name, _)| demangle::name(name).into_owned()).collect();
    let more = differing.len().saturating_sub(SHOWN);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    (!names.is_empty()).then(|| {
        format!(
            "{} of {} functions that the patch does not replace differ in the running program from the old objects, and \
             stay as they run: {}; it was built of other sources, or otherwise",
            differing.len(),
            staying.len(),
            names.join(", ")
        )
    })
}

/// By name: whether it is in the target as an old object has it.
fn staying(world: &mut World) -> BTreeMap<Name, bool> {
    let replaced: BTreeSet<(usize, usize)> =
        world.replaced.iter().map(|(&(pair, _), &before)| (pair, before)).collect();
    let (program, found) = (&world.program, Mutex::new(BTreeMap::new()));
    let pairs = Mutex::new(world.pairs.iter_mut().enumerate());
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get());
    let next = || pairs.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((index, pair)) = next() {
                    let own = judged(pair, program, |piece| replaced.contains(&(index, piece)));
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    for (name, same) in own {
                        // Of a name in several objects one is linked.
                        *found.entry(name).or_default() |= same;
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn judged(pair: &mut Pair, program: &Program, replaced: impl Fn(usize) -> bool) -> Vec<(Name, bool)> {
    let Some(unit) = pair.old.clone() else { return Vec::new() };
    // Parts are their functions', and of what each object that uses it defines, any may be linked. Where an assembler's
    // functions and tables begin and end is not known: it has them all in one section (libcrypto's 29 that were "other ones").
    let own = |piece: &Piece| {
        piece.kind == Kind::Code
            && !is_part(piece)
            && piece.section != ".text"
            // With link-time optimisation rustc's functions are made for the program, not for the object.
            && piece.names.first().is_some_and(|name| !name.weak && !rust::is_rust(name.name))
    };
    let functions: BTreeSet<usize> = (0..unit.pieces.len())
        .filter(|&piece| own(&unit.pieces[piece]))
        .filter(|&piece| pair.places.possible(piece) && !replaced(piece))
        .collect();
    pair.places.settle(&unit, program, &functions);
    let named = |piece: usize| {
        let name = &unit.pieces[piece].names[0];
        (name.name.to_owned(), name.source.filter(|_| name.local).map(str::to_owned))
    };
    functions.into_iter().map(|piece| (named(piece), !pair.places.differs(piece))).collect()
}
