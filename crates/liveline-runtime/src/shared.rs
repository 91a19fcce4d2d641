//! What a program and its modules share. A module is linked with a copy of this library, and so of its statics:
//! the program hands it its own.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::domain::Domain;
use crate::panics::Panics;
use crate::pool::Pool;
use crate::registry::Classes;
use crate::transfer::Known;

/// Every static of this library that all copies must see alike.
pub(crate) struct Shared {
    pub(crate) domain: Domain,
    pub(crate) classes: Classes,
    pub(crate) formats: Known,
    pub(crate) version_ids: AtomicU32,
    /// The objects without a class.
    pub(crate) singles: OnceLock<&'static Pool>,
}

static OWN: Shared = Shared {
    domain: Domain::new(),
    classes: Mutex::new(BTreeMap::new()),
    formats: Mutex::new(Vec::new()),
    version_ids: AtomicU32::new(1),
    singles: OnceLock::new(),
};

/// What a module gets of the program it is loaded into.
#[allow(unreachable_pub)] // It stands in the signature of `Entrance`.
pub struct Program {
    shared: &'static Shared,
    allocate: unsafe fn(Layout) -> *mut u8,
    allocate_zeroed: unsafe fn(Layout) -> *mut u8,
    free: unsafe fn(*mut u8, Layout),
    resize: unsafe fn(*mut u8, Layout, usize) -> *mut u8,
    pub(crate) panics: Panics,
}

/// What this copy hands to the modules it loads.
pub(crate) static PROGRAM: Program = Program {
    shared: &OWN,
    allocate: std::alloc::alloc,
    allocate_zeroed: std::alloc::alloc_zeroed,
    free: std::alloc::dealloc,
    resize: std::alloc::realloc,
    panics: crate::panics::OWN,
};

/// The program into which this copy was loaded; null: it is the program's own.
static HOST: AtomicPtr<Program> = AtomicPtr::new(ptr::null_mut());

#[inline(always)]
pub(crate) fn host() -> Option<&'static Program> {
    // SAFETY: only `attach` writes it, and programs live for ever.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
}

/// What all copies share.
pub(crate) fn shared() -> &'static Shared {
    host().map_or(&OWN, |program| program.shared)
}

/// Whether this copy is a module's.
#[inline(always)]
pub(crate) fn is_module() -> bool {
    host().is_some()
}

/// How much was allocated while this copy was nobody's.
static EARLY: AtomicUsize = AtomicUsize::new(0);

/// From here on this copy is a module of the program.
///
/// # Errors
/// What was allocated before could later be freed by the program's allocator.
pub(crate) fn attach(program: &'static Program) -> Result<(), String> {
    match EARLY.load(Ordering::Relaxed) {
        0 => {
            HOST.store(ptr::from_ref(program).cast_mut(), Ordering::Release);
            Ok(())
        }
        _ => Err("it allocates memory in a constructor, before it knows the program's allocator".to_string()),
    }
}

/// The allocator of the program that the module is loaded into: objects are made by one and dropped by another.
/// `#[module]` makes it the module's.
#[doc(hidden)]
#[derive(Debug)]
pub struct ProgramAllocator;

impl ProgramAllocator {
    fn early() {
        EARLY.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every function is the program's own global allocator's, or `System`'s until there is a program; `attach`
// sees to it that nothing lives across.
unsafe impl GlobalAlloc for ProgramAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match host() {
            // SAFETY: passed on.
            Some(program) => unsafe { (program.allocate)(layout) },
            None => {
                Self::early();
                // SAFETY: passed on.
                unsafe { System.alloc(layout) }
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match host() {
            // SAFETY: passed on.
            Some(program) => unsafe { (program.allocate_zeroed)(layout) },
            None => {
                Self::early();
                // SAFETY: passed on.
                unsafe { System.alloc_zeroed(layout) }
            }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match host() {
            // SAFETY: passed on.
            Some(program) => unsafe { (program.free)(memory, layout) },
            // SAFETY: passed on.
            None => unsafe { System.dealloc(memory, layout) },
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match host() {
            // SAFETY: passed on.
            Some(program) => unsafe { (program.resize)(memory, layout, size) },
            // SAFETY: passed on.
            None => unsafe { System.realloc(memory, layout, size) },
        }
    }
}
