//! Suspended coroutines: stacks that belong to no thread, on which old code may go on later.
//!
//! No list of them exists. Where a program can switch stacks by itself, all memory that it can write is searched
//! for return addresses into the code that is about to be switched. What is found may be stale; it counts all
//! the same. Programs that switch stacks by code of their own, under names nobody knows, are not recognised.

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use liveline_elf::module::{Module, ModuleKind};
use liveline_process::{Mapping, Process};

use crate::modules;
use crate::outcome::Blocker;
use crate::safe_point::Forbidden;

/// Functions that make or enter another stack: libc's, Boost's, libco's, libtask's.
const SWITCHERS: [&str; 7] =
    ["makecontext", "swapcontext", "jump_fcontext", "make_fcontext", "co_switch", "coro_transfer", "swapctx"];
/// More memory than this is not searched: 4 GiB.
const LIMIT: u64 = 4 << 30;
/// Read at a time.
const CHUNK: usize = 1 << 20;
/// A call instruction is no longer than this, with prefixes that compilers write.
const LONGEST_CALL: u64 = 8;

/// Whether the program may have suspended stacks.
pub(crate) fn switches_stacks(process: &Process, mappings: &[Mapping]) -> bool {
    modules::files(process, mappings).any(|(path, bytes)| {
        let name = path.rsplit('/').next().unwrap_or_default();
        // libc only offers them. Most files do not even hold the names: taking those apart would be for nothing.
        let libc = name.starts_with("libc.so") || name.starts_with("libc-") || name.starts_with("ld-");
        if libc || !SWITCHERS.iter().any(|known| memchr::memmem::find(&bytes, known.as_bytes()).is_some()) {
            return false;
        }
        let Ok(module) = Module::parse(&bytes) else { return false };
        let known = |name: &str| SWITCHERS.contains(&name);
        let imports = module.dynamic_symbols.iter().any(|symbol| !symbol.defined && known(&symbol.name));
        let has = module.symbols.iter().any(|symbol| known(&symbol.name));
        imports || (has && module.kind != ModuleKind::Library) || name.starts_with("libboost_context")
    })
}

/// Searches the process's writable memory, except for the mappings that hold one of the stack pointers given.
/// None: nothing found.
pub(crate) fn find(
    process: &Process,
    mappings: &[Mapping],
    forbidden: &Forbidden,
    stack_pointers: &[u64],
) -> Option<Blocker> {
    let searched = mappings.iter().filter(|mapping| {
        let stack = mapping.path.as_deref() == Some("[stack]");
        let own = stack || stack_pointers.iter().any(|pointer| mapping.contains(*pointer));
        mapping.read && mapping.write && !mapping.shared && !own && !crate::registry::is_image(mapping)
    });
    let mut left = LIMIT;
    let mut chunk = vec![0; CHUNK];
    for mapping in searched {
        let size = mapping.end - mapping.start;
        let Some(rest) = left.checked_sub(size) else {
            return Some(blocker(
                "memory",
                "more than 4 GiB, which is not searched for suspended stacks".into(),
            ));
        };
        left = rest;
        for at in (mapping.start..mapping.end).step_by(CHUNK) {
            let bytes = &mut chunk[..CHUNK.min((mapping.end - at) as usize)];
            // Unmapped meanwhile: then nothing is suspended there.
            if process.read(at, bytes).is_err() {
                continue;
            }
            let (words, _) = bytes.as_chunks::<8>();
            for (index, word) in words.iter().enumerate() {
                let word = u64::from_le_bytes(*word);
                if let Some(function) = forbidden.goes_on_in(word)
                    && follows_call(process, word)
                {
                    let place = at + 8 * index as u64;
                    let whose = format!("suspended stack at {place:#x}");
                    return Some(blocker(&whose, function.to_owned()));
                }
            }
        }
    }
    None
}

fn blocker(thread: &str, function: String) -> Blocker {
    Blocker { tid: 0, thread: thread.to_owned(), function, backtrace: Vec::new() }
}

/// Whether a call instruction ends at this address.
fn follows_call(process: &Process, address: u64) -> bool {
    let mut code = [0; LONGEST_CALL as usize];
    if process.read(address.wrapping_sub(LONGEST_CALL), &mut code).is_err() {
        return false;
    }
    (2..=LONGEST_CALL as usize).any(|length| {
        let start = code.len() - length;
        let instruction = Decoder::with_ip(64, &code[start..], 0, DecoderOptions::NONE).decode();
        let calls = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
        calls && instruction.len() == length
    })
}
