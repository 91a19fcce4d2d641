//! The way into a module. All of these functions are those of the module's own copy of this library, so that a
//! panic in them is caught by the copy it began in.

use std::fmt::Display;

use liveline_control::message::Updated;

use crate::class::Options;
use crate::error::SwapError;
use crate::module::steps::{Module, Trouble};
use crate::shared::{Program, attach};
use crate::transfer::guarded;

/// What the entry of a module may give.
#[doc(hidden)]
pub trait Loaded {
    /// Whether the module may be loaded.
    fn loaded(self) -> Result<(), String>;
}

impl Loaded for () {
    fn loaded(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> Loaded for Result<(), E> {
    fn loaded(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// What the entry said, unless it panicked.
pub(crate) type Entered = Result<Result<(), String>, SwapError>;

/// What became of the classes, and what went wrong.
pub(crate) type Carried = (Vec<Updated>, Vec<Trouble>);

type Entry = fn(&mut Module) -> Result<(), String>;

/// What the program finds in a module under the name `LIVELINE_MODULE`.
#[doc(hidden)]
pub struct Entrance {
    entry: Entry,
    attach: fn(&'static Program) -> Result<(), String>,
    enter: fn(Entry, &mut Module) -> Entered,
    carry_out: fn(&mut Module, Options) -> Carried,
}

impl Entrance {
    /// Of a module with this entry.
    pub const fn new(entry: Entry) -> Self {
        Self { entry, attach, enter, carry_out }
    }

    /// Makes the module one of this program.
    pub(crate) fn attach(&self, program: &'static Program) -> Result<(), String> {
        (self.attach)(program)
    }

    /// Lets the module name what it brings.
    pub(crate) fn enter(&self, module: &mut Module) -> Entered {
        (self.enter)(self.entry, module)
    }

    /// Does what the module named.
    pub(crate) fn carry_out(&self, module: &mut Module, options: Options) -> Carried {
        (self.carry_out)(module, options)
    }
}

fn enter(entry: Entry, module: &mut Module) -> Entered {
    guarded(|| Ok(entry(module)))
}

fn carry_out(module: &mut Module, options: Options) -> Carried {
    let done = guarded(|| Ok(module.carry_out(options)));
    done.unwrap_or_else(|error| {
        (Vec::new(), vec![Trouble { is_busy: false, words: error.to_string(), stays: true }])
    })
}
