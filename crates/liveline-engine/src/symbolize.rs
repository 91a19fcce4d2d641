//! Names for addresses, for people who read which thread stands in the way.

use liveline_elf::module::SymbolKind;
use liveline_process::{Mapping, Process};

use crate::modules::{self, Loaded};
use crate::outcome::Blocker;
use crate::registry::Registry;
use crate::safe_point::Obstacle;

/// Frames shown of one stack.
const FRAMES: usize = 64;

/// Looks addresses up in the symbol tables of everything that is mapped.
pub(crate) struct Symbolizer<'a> {
    process: &'a Process,
    modules: Vec<Loaded>,
    registry: &'a Registry,
}

impl<'a> Symbolizer<'a> {
    pub(crate) fn new(process: &'a Process, mappings: &[Mapping], registry: &'a Registry) -> Symbolizer<'a> {
        Symbolizer { process, modules: modules::all(process, mappings), registry }
    }

    /// An obstacle in words.
    pub(crate) fn blocker(&mut self, obstacle: &Obstacle) -> Blocker {
        let path = format!("/proc/{}/task/{}/comm", self.process.pid(), obstacle.tid);
        let thread = std::fs::read_to_string(path).unwrap_or_default();
        let function = match (&obstacle.function, &obstacle.why) {
            (Some(function), _) => function.clone(),
            (None, Some(why)) => why.clone(),
            (None, None) => "?".to_owned(),
        };
        let mut backtrace: Vec<String> =
            obstacle.frames.iter().take(FRAMES).map(|pc| self.name(*pc)).collect();
        if obstacle.frames.len() > FRAMES {
            backtrace.push(format!("… {} more", obstacle.frames.len() - FRAMES));
        }
        Blocker { tid: obstacle.tid, thread: thread.trim_end().to_owned(), function, backtrace }
    }

    fn name(&self, pc: u64) -> String {
        for installed in &self.registry.patches {
            let place = pc.wrapping_sub(installed.header.base);
            if place < installed.continuation(0).wrapping_sub(installed.header.base) {
                return format!("update table (patch {})", installed.description.name);
            }
            for function in &installed.description.functions {
                if let Some((offset, _)) =
                    function.new.iter().find(|(offset, size)| (*offset..offset + size).contains(&place))
                {
                    let patch = &installed.description.name;
                    return format!("{}+{:#x} (patch {patch})", function.name, place - offset);
                }
            }
        }
        let Some(loaded) =
            self.modules.iter().find(|loaded| (loaded.range().0..loaded.range().1).contains(&pc))
        else {
            return format!("{pc:#x}");
        };
        let address = pc.wrapping_sub(loaded.bias);
        let module = loaded.file_name();
        let full = loaded
            .module
            .symbols
            .iter()
            .map(|symbol| (symbol.kind, symbol.address, symbol.size, &symbol.name));
        let dynamic = loaded.module.dynamic_symbols.iter().filter(|symbol| symbol.defined);
        let dynamic = dynamic.map(|symbol| (symbol.kind, symbol.address, symbol.size, &symbol.name));
        let inside = full.chain(dynamic).find(|(kind, start, size, _)| {
            matches!(kind, SymbolKind::Function | SymbolKind::IndirectFunction)
                && (*start..start + size).contains(&address)
        });
        match inside {
            Some((_, start, _, name)) => format!("{name}+{:#x} ({module})", address - start),
            None => format!("{pc:#x} ({module}+{address:#x})"),
        }
    }
}
