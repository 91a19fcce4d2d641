//! The types of all objects, each read when it is first asked for.

use std::sync::OnceLock;

use liveline_types::{TypeId, Types};
use object::read::{Object as _, ObjectSection as _};

use crate::close::World;
use crate::rust;
use crate::unit::Unit;

/// Which build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Old,
    New,
}

type Cell = OnceLock<Result<Types, String>>;

/// The types of all objects.
pub(crate) struct Library<'c, 'd> {
    world: &'c World<'d>,
    old: Vec<Cell>,
    new: Vec<Cell>,
}

impl<'c, 'd> Library<'c, 'd> {
    pub(crate) fn new(world: &'c World<'d>) -> Self {
        let cells = || world.pairs.iter().map(|_| Cell::new()).collect();
        Self { world, old: cells(), new: cells() }
    }

    fn cell(&self, side: Side, pair: usize) -> (&Cell, Option<&Unit<'d>>) {
        let units = &self.world.pairs[pair];
        match side {
            Side::Old => (&self.old[pair], units.old.as_deref()),
            Side::New => (&self.new[pair], units.new.as_deref()),
        }
    }

    /// The types of an object, or why there are none.
    pub(crate) fn types(&self, side: Side, pair: usize) -> Result<&Types, &str> {
        let (cell, unit) = self.cell(side, pair);
        let read = || {
            let which = if side == Side::Old { "old" } else { "new" };
            let unit = unit.ok_or_else(|| format!("there is no {which} object"))?;
            if !unit.debug {
                return Err(format!("the {which} object has no debug information; compile with -g"));
            }
            let types = match &unit.described {
                Some(file) => Types::read_apart(file),
                None => Types::read(&unit.file),
            };
            let types = types.map_err(|error| format!("the {which} object: {error}"))?;
            if types.is_bare() && unit.pieces.iter().any(rust::has_own_name) {
                return Err(format!("the {which} object tells no types; compile with -C debuginfo=2"));
            }
            Ok(types)
        };
        cell.get_or_init(read).as_ref().map_err(String::as_str)
    }

    /// Looks through all objects of a build that define a type of this name, until `judge` answers.
    pub(crate) fn find<T>(
        &self,
        side: Side,
        name: &str,
        mut judge: impl FnMut(&Types, TypeId) -> Option<T>,
    ) -> Option<T> {
        let own = name.rsplit("::").next().unwrap_or(name);
        for parsed in [true, false] {
            for pair in 0..self.world.pairs.len() {
                let (cell, unit) = self.cell(side, pair);
                if cell.get().is_some() != parsed || !parsed && !unit.is_some_and(|unit| mentions(unit, own))
                {
                    continue;
                }
                let Ok(types) = self.types(side, pair) else { continue };
                let found = types.defined(name).iter().find_map(|id| judge(types, *id));
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}

/// Whether the debug information of an object holds a text: searching is far quicker than reading it all.
fn mentions(unit: &Unit, text: &str) -> bool {
    let mut wanted = text.as_bytes().to_vec();
    wanted.push(0);
    let finder = memchr::memmem::Finder::new(&wanted);
    [".debug_str", ".debug_info"].into_iter().any(|name| {
        let section = unit.debug_file().section_by_name(name);
        let data = section.and_then(|section| section.uncompressed_data().ok()).unwrap_or_default();
        finder.find(&data).is_some()
    })
}
