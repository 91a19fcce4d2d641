//! The start of an image: what the program itself has to do once, before its new code is switched on.
//!
//! The unwinder of a C++ or Rust program finds unwind records through the dynamic linker, which does not know
//! our images: `__register_frame_info` tells it. Constructors of new objects run behind that. One thread of the
//! program does both by the image's starter ([`crate::starter`]), and nothing is switched before it is done.

use std::time::{Duration, Instant};

use liveline_elf::module::SymbolKind;
use liveline_patch::Patch;
use liveline_process::{CallError, Mapping, Process};

use crate::lock_holder::Judge;
use crate::modules::{self, Loaded};
use crate::operation::Operation;
use crate::outcome::Problem;
use crate::record::{START, Start};
use crate::starter::Starter;

const REGISTER: &str = "__register_frame_info";
/// How long a thread is looked for where new code works without unwind records, too.
const IF_EASY: Duration = Duration::from_millis(50);

/// What must be done for this patch in this process; none if nothing.
pub(crate) fn needed(
    process: &Process,
    mappings: &[Mapping],
    patch: &Patch,
) -> Result<Option<Starter>, Problem> {
    let libgcc = |mapping: &&Mapping| {
        let name = mapping.path.as_deref().and_then(|path| path.rsplit('/').next());
        name.is_some_and(|name| name.starts_with("libgcc_s"))
    };
    let (unwinds, initializes) = (patch.meta.unwinds, !patch.meta.initializers.is_empty());
    let modules = if unwinds || initializes {
        modules::all(process, mappings)
    } else {
        let only: Vec<Mapping> = mappings.iter().filter(libgcc).cloned().collect();
        modules::all(process, &only)
    };
    let registrars = registrars(&modules);
    if unwinds && registrars.is_empty() {
        let why = if modules.iter().any(is_llvm) {
            "its unwinder is LLVM's, which cannot be told of new code"
        } else {
            "it has no __register_frame_info (libgcc_s.so.1 is not loaded, or it is linked statically and \
             stripped)"
        };
        return Err(Problem::Refused(format!(
            "the new code throws, catches or cleans up, but this program's unwinder would not find it: {why}; \
             restart the program with the new build"
        )));
    }
    if registrars.is_empty() && !initializes {
        return Ok(None);
    }
    let errno = modules::find_export(&modules, "__errno_location", None).filter(|export| !export.indirect);
    Ok(Some(Starter { registrars, errno: errno.map(|export| export.address) }))
}

fn defines(loaded: &Loaded, name: &str) -> Option<u64> {
    let dynamic = loaded.module.dynamic_symbols.iter().filter(|symbol| symbol.defined);
    let dynamic = dynamic.map(|symbol| (symbol.kind, symbol.address, &symbol.name));
    let full = loaded.module.symbols.iter().map(|symbol| (symbol.kind, symbol.address, &symbol.name));
    let mut all = dynamic.chain(full);
    let found = all.find(|(kind, _, symbol)| *kind == SymbolKind::Function && *symbol == name);
    found.map(|(_, address, _)| address.wrapping_add(loaded.bias))
}

/// LLVM's unwinder has functions of the same names that do nothing.
fn is_llvm(loaded: &Loaded) -> bool {
    ["__unw_step", "unw_step"].iter().any(|name| defines(loaded, name).is_some())
}

fn registrars(modules: &[Loaded]) -> Vec<u64> {
    modules.iter().filter(|loaded| !is_llvm(loaded)).filter_map(|loaded| defines(loaded, REGISTER)).collect()
}

/// Has the program do it, unless it is done; `record` is the address of the image's record, `starter` of its
/// starter. Returns when it is done.
pub(crate) fn run(
    operation: &mut Operation<'_>,
    patch: &Patch,
    starter: u64,
    record: u64,
) -> Result<(), Problem> {
    let required = patch.meta.unwinds || !patch.meta.initializers.is_empty();
    let whole = operation.begun + operation.options.timeout;
    let deadline = if required { whole } else { whole.min(Instant::now() + IF_EASY) };
    match attempt(operation, starter, record, deadline) {
        Err(_) if !required => Ok(()),
        other => other,
    }
}

fn attempt(
    operation: &mut Operation<'_>,
    starter: u64,
    record: u64,
    deadline: Instant,
) -> Result<(), Problem> {
    let process = operation.process;
    let failed = |error: liveline_process::MemoryError| Problem::Failed(error.to_string());
    let state = || process.read_word(record + START).map(Start::of).map_err(failed);
    let before = state()?;
    if matches!(before, Some(Start::NotBegun | Start::Handed)) {
        let entry = operation.mounter()?.entry;
        let mappings = process.mappings().map_err(|error| Problem::Failed(error.to_string()))?;
        let judge = Judge::new(process, &mappings, entry);
        // From here on the image stays: should we die, nobody knows whether a thread was asked.
        process.write(record + START, &Start::Handed.word().to_le_bytes()).map_err(failed)?;
        let left = deadline.saturating_duration_since(Instant::now());
        match process.call_function_where(starter, entry, left, &|regs| judge.judge(regs)) {
            Ok(stop) => operation.note_stop(stop),
            Err(error @ CallError::NoThread(_)) => {
                if before == Some(Start::NotBegun) {
                    process.write(record + START, &Start::NotBegun.word().to_le_bytes()).map_err(failed)?;
                }
                return Err(Problem::Timeout(format!(
                    "the new code has to be made known to the program's unwinder or allocates, and every thread \
                     may hold a lock for that: {error}"
                )));
            }
            Err(CallError::Unfinished { .. }) => {}
            Err(error) => return Err(Problem::Failed(error.to_string())),
        }
    }
    loop {
        match state()? {
            Some(Start::Done) => return Ok(()),
            _ if !process.is_alive() => return Err(Problem::Failed("the process has ended".into())),
            _ if Instant::now() >= deadline => {
                return Err(Problem::Timeout(
                    "the constructors of new objects have not returned in time; they go on, and the patch is not \
                     switched on: apply it again"
                        .into(),
                ));
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
