//! Which threads can hold a lock of the unwinder or the allocator, or stand amid their work: those may not call
//! into either.
//!
//! Who holds such a lock has a frame of the library it belongs to. The two frames at the bottom of every stack, in
//! which libc starts a thread, say nothing. Everything is judged by exact frames; where the walk has no end the
//! thread does not do.

use liveline_elf::module::{ModuleKind, SymbolKind};
use liveline_process::unwind::{End, Unwinder};
use liveline_process::{Mapping, Process, Registers};

use crate::modules::{self, Loaded};
use crate::registry::is_image;

/// A thread with more frames than this is not judged: it is held meanwhile.
const FRAME_LIMIT: usize = 256;
/// Frames in which libc starts a thread (`start_thread`, `clone3`) or `main`.
const START_FRAMES: usize = 2;
/// System calls that an allocator makes with its lock held, or that make a process or thread.
const CALLS_OF_ALLOCATORS: [i64; 10] = [
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_fork,
    libc::SYS_vfork,
];
/// Parts of names of allocator, unwinder and loader functions, where they are part of the program itself.
const SUSPICIOUS: [&str; 9] =
    ["alloc", "free", "Unwind", "frame_info", "_FDE", "fork", "dl_", "dlopen", "_Zn"];

/// What a module does for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The program's own code.
    Own,
    /// Has an allocator or an unwinder inside: its functions are told apart by name.
    OwnWithAllocator,
    /// The C or C++ library.
    Runtime,
    /// The dynamic linker, the unwinder, an allocator.
    Locking,
}

fn role(loaded: &Loaded) -> Role {
    let name = loaded.file_name();
    let begins = |with: &[&str]| with.iter().any(|with| name.starts_with(with));
    let runtimes =
        ["libc.so", "libc-2", "libstdc++", "libc++", "libm.so", "libpthread", "librt", "libm-2", "libdl"];
    let allocates = |name: &str| ["malloc", "_Unwind_RaiseException", "_Unwind_Resume"].contains(&name);
    let defined = loaded.module.dynamic_symbols.iter().filter(|symbol| symbol.defined);
    let mut names = defined.map(|symbol| &symbol.name).chain(loaded.module.symbols.iter().map(|s| &s.name));
    if begins(&["ld-linux", "ld-musl", "ld-2", "libgcc_s", "libunwind"]) {
        Role::Locking
    } else if begins(&runtimes) {
        Role::Runtime
    } else if begins(&["libjemalloc", "libtcmalloc", "libmimalloc"]) {
        Role::Locking
    } else if !names.any(|name| allocates(name)) {
        Role::Own
    } else if loaded.module.kind == ModuleKind::Library {
        Role::Locking
    } else {
        Role::OwnWithAllocator
    }
}

/// A module, with its functions in the order of their addresses: a judged thread waits for each lookup.
struct Known {
    role: Role,
    range: (u64, u64),
    file_name: String,
    /// Start and end in the process, name.
    functions: Vec<(u64, u64, String)>,
}

impl Known {
    fn new(loaded: Loaded) -> Known {
        let module = &loaded.module;
        let full = module.symbols.iter().map(|s| (s.kind, s.address, s.size, &s.name));
        let dynamic = module.dynamic_symbols.iter().filter(|symbol| symbol.defined);
        let dynamic = dynamic.map(|s| (s.kind, s.address, s.size, &s.name));
        let code = full
            .chain(dynamic)
            .filter(|(kind, ..)| matches!(kind, SymbolKind::Function | SymbolKind::IndirectFunction));
        let mut functions: Vec<(u64, u64, String)> = code
            .map(|(_, address, size, name)| {
                let start = address.wrapping_add(loaded.bias);
                (start, start.saturating_add(size), name.clone())
            })
            .collect();
        functions.sort_by_key(|(start, ..)| *start);
        Known {
            role: role(&loaded),
            range: loaded.range(),
            file_name: loaded.file_name().to_owned(),
            functions,
        }
    }

    /// The function nearest before `pc` that reaches it: a return address may lie right behind one. Symbols may lie
    /// within another's range.
    fn function(&self, pc: u64) -> Option<&str> {
        const NESTED: usize = 16;
        let behind = self.functions.partition_point(|(start, ..)| *start <= pc);
        let mut before = self.functions[..behind].iter().rev().take(NESTED);
        before.find(|(_, end, _)| pc <= *end).map(|(.., name)| name.as_str())
    }
}

/// Judges the threads of one process. Made while nobody is held: it reads every symbol table.
pub(crate) struct Judge<'p> {
    process: &'p Process,
    unwinder: Unwinder,
    modules: Vec<Known>,
    images: Vec<(u64, u64)>,
    entry: u64,
}

impl<'p> Judge<'p> {
    pub(crate) fn new(process: &'p Process, mappings: &[Mapping], entry: u64) -> Judge<'p> {
        let modules = modules::all(process, mappings).into_iter().map(Known::new);
        let images = mappings.iter().filter(|mapping| is_image(mapping) && mapping.exec);
        Judge {
            process,
            unwinder: Unwinder::of_process(process, mappings),
            modules: modules.collect(),
            images: images.map(|mapping| (mapping.start, mapping.end)).collect(),
            entry,
        }
    }

    /// Whether a thread with these registers certainly holds no such lock; a reason if not.
    pub(crate) fn judge(&self, regs: &Registers) -> Result<(), String> {
        let read = |address: u64| self.process.read_word(address).ok();
        let walk = self.unwinder.walk(regs, &read, FRAME_LIMIT);
        if let End::Unknown { why } = walk.end {
            return Err(format!("has a stack that cannot be read: {why}"));
        }
        if walk.frames.iter().any(|frame| frame.is_signal_frame) {
            return Err("is in a signal handler".to_owned());
        }
        let mut frames: Vec<u64> = walk.frames.iter().map(|frame| frame.pc).collect();
        // `_start`, which main's starter returns to.
        frames.pop_if(|pc| frames_of_start(self.entry, *pc));
        let mut starts = 0;
        while starts < START_FRAMES && frames.last().is_some_and(|pc| self.role(*pc) == Some(Role::Runtime)) {
            frames.pop();
            starts += 1;
        }
        // The routine with which the C++ library begins a thread.
        if frames.len() > 1 && frames.last().is_some_and(|pc| self.is_in(*pc, "libstdc++")) {
            frames.pop();
        }
        let mut own_seen = false;
        let mut waits = false;
        for pc in frames {
            let name = || self.name(pc);
            match self.role(pc) {
                Some(Role::Own) => own_seen = true,
                Some(Role::OwnWithAllocator) => {
                    let Some(name) = self.symbol(pc) else {
                        return Err(format!("is in {}, which has no name", name()));
                    };
                    if SUSPICIOUS.iter().any(|part| name.contains(part)) {
                        return Err(format!("is in {name}"));
                    }
                    own_seen = true;
                }
                // Between frames of the program a library may hold anything.
                Some(Role::Runtime) if !own_seen => {
                    let Some(number) = regs.system_call() else { return Err(format!("is in {}", name())) };
                    if CALLS_OF_ALLOCATORS.contains(&(number as i64)) {
                        return Err(format!("is in {}", name()));
                    }
                    let symbol = self.symbol(pc).unwrap_or_default();
                    if SUSPICIOUS.iter().any(|part| symbol.contains(part)) {
                        return Err(format!("is in {symbol}"));
                    }
                    let lock_free = ["pthread_cond", "pthread_mutex", "pthread_join", "pthread_rwlock"];
                    let waiting = lock_free.iter().chain(&["pthread_barrier", "sem_", "syscall"]);
                    waits |= waiting.into_iter().any(|begin| symbol.starts_with(begin));
                }
                _ => return Err(format!("is in {}", name())),
            }
        }
        let sleeps_on_lock = regs.system_call() == Some(libc::SYS_futex as u64);
        let runtime_top = self.role(regs.rip) == Some(Role::Runtime);
        if sleeps_on_lock && runtime_top && !waits {
            return Err(format!("waits for a lock in {}", self.name(regs.rip)));
        }
        Ok(())
    }

    fn module(&self, pc: u64) -> Option<&Known> {
        self.modules.iter().find(|known| (known.range.0..known.range.1).contains(&pc))
    }

    fn is_in(&self, pc: u64, begin: &str) -> bool {
        self.module(pc).is_some_and(|known| known.file_name.starts_with(begin))
    }

    fn role(&self, pc: u64) -> Option<Role> {
        if self.images.iter().any(|(start, end)| (*start..*end).contains(&pc)) {
            return Some(Role::Own);
        }
        self.module(pc).map(|known| known.role)
    }

    /// The function that an instruction, or a return address, is in.
    fn symbol(&self, pc: u64) -> Option<&str> {
        self.module(pc)?.function(pc)
    }

    fn name(&self, pc: u64) -> String {
        match (self.symbol(pc), self.module(pc)) {
            (Some(symbol), Some(known)) => format!("{symbol} ({})", known.file_name),
            (_, Some(known)) => format!("{pc:#x} ({})", known.file_name),
            (_, None) => format!("{pc:#x}"),
        }
    }
}

/// Whether this is in the program's first function, which is short.
fn frames_of_start(entry: u64, pc: u64) -> bool {
    (entry..entry + 64).contains(&pc)
}
