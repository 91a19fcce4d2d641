//! The plan: a patch resolved against one process, with nothing touched.

use std::time::{SystemTime, UNIX_EPOCH};

use liveline_patch::{Patch, Place};
use liveline_process::{Mapping, MemoryError, Process};

use crate::continuation::{self, Continuation};
use crate::image::{Image, ImageError, Inputs, Shape};
use crate::layout::Layout;
use crate::modules::{self, Loaded};
use crate::outcome::Problem;
use crate::record::{Description, Replaced};
use crate::registry::{Owner, Registry};
use crate::start;
use crate::table::DETOUR_SIZE;

/// Everything known about a patch in a process, before the first thing is changed.
pub(crate) struct Plan<'p> {
    pub(crate) patch: &'p Patch,
    pub(crate) shape: Shape,
    pub(crate) description: Description,
    pub(crate) bias: u64,
    /// Run-time range of the module.
    pub(crate) range: (u64, u64),
    /// By symbol of the patch: its address, unless it is in the patch.
    pub(crate) outer: Vec<u64>,
    /// IFUNC resolvers that must be called: symbol, address of the resolver.
    pub(crate) resolvers: Vec<(usize, u64)>,
    /// By function: who has the detour already.
    pub(crate) owners: Vec<Option<Owner>>,
    /// By function: its bytes from the detour on.
    bodies: Vec<Vec<u8>>,
    pub(crate) generation: u64,
}

impl<'p> Plan<'p> {
    /// Resolves a patch against a process. `hash` is the BLAKE3 (hex) of the patch file.
    pub(crate) fn new(
        process: &Process,
        mappings: &[Mapping],
        registry: &Registry,
        patch: &'p Patch,
        hash: &str,
    ) -> Result<Plan<'p>, Problem> {
        let refuse = |reason: String| Problem::Refused(reason);
        let loaded = modules::find_target(process, mappings, &patch.meta.target)
            .map_err(|error| refuse(error.to_string()))?;
        let bias = loaded.bias;
        let mut owners = Vec::new();
        let mut bodies = Vec::new();
        let mut old_bytes = Vec::new();
        for function in &patch.meta.functions {
            let body = check_code(process, registry, bias, function)?;
            let at = function.address.wrapping_add(bias) + function.detour;
            let mut now = [0; DETOUR_SIZE as usize];
            process.read(at, &mut now).map_err(|error| Problem::Failed(error.to_string()))?;
            let owner = registry.owner(at, &now);
            let mut original = now;
            if let Some(owner) = owner {
                original = registry.patches[owner.patch].description.functions[owner.function].old_bytes;
            } else {
                // The check is the same wherever the continuation goes.
                continuation::displace(&body, function.room, at, at & !0xfff)
                    .map_err(|error| refuse(format!("{}: no room for a detour: {error}", function.name)))?;
            }
            owners.push(owner);
            bodies.push(body);
            old_bytes.push(original);
        }
        let (outer, resolvers) = resolve(process, mappings, patch, &loaded)?;
        let installed_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        // A sandbox may kill for a system call it does not know.
        let sleeps = !process.is_sandboxed();
        let describe = |layout: &Layout| describe(patch, layout, hash, installed_at, &old_bytes);
        let starter = start::needed(process, mappings, patch)?;
        let (shape, description) =
            Shape::new(patch, sleeps, starter, describe).map_err(|error| refuse(error.to_string()))?;
        let generation = registry.next_generation();
        let range = loaded.range();
        Ok(Plan { patch, shape, description, bias, range, outer, resolvers, owners, bodies, generation })
    }

    /// Finds anew who has the detours.
    pub(crate) fn find_owners(&mut self, process: &Process, registry: &Registry) -> Result<(), MemoryError> {
        for index in 0..self.owners.len() {
            let at = self.detour(index);
            let mut now = [0; DETOUR_SIZE as usize];
            process.read(at, &mut now)?;
            self.owners[index] = registry.owner(at, &now);
        }
        Ok(())
    }

    /// Run-time address of the detour of function `index`.
    pub(crate) fn detour(&self, index: usize) -> u64 {
        self.description.functions[index].detour_address().wrapping_add(self.bias)
    }

    /// Size of the image in bytes of address space.
    pub(crate) fn size(&self) -> u64 {
        self.shape.layout.end
    }

    /// Makes the image for one base.
    pub(crate) fn image(&self, base: u64) -> Result<Image, ImageError> {
        let continuations: Vec<Option<Continuation>> = self
            .patch
            .meta
            .functions
            .iter()
            .enumerate()
            .map(|(index, function)| match self.owners[index] {
                Some(_) => Ok(None),
                None => continuation::displace(
                    &self.bodies[index],
                    function.room,
                    self.detour(index),
                    base + self.shape.layout.continuation(index),
                )
                .map(Some)
                .map_err(|error| ImageError::Displace(function.name.clone(), error)),
            })
            .collect::<Result<_, _>>()?;
        self.shape.build(
            base,
            &Inputs {
                patch: self.patch,
                outer: &self.outer,
                generation: self.generation,
                bias: self.bias,
                continuations: &continuations,
            },
        )
    }
}

/// Compares the code in memory with what the patch was made from; gives the bytes from the detour on.
fn check_code(
    process: &Process,
    registry: &Registry,
    bias: u64,
    function: &liveline_patch::Function,
) -> Result<Vec<u8>, Problem> {
    let parts = function.parts.iter().map(|part| (&part.name, part.address, part.size, &part.hash));
    let whole = (&function.name, function.address, function.size, &function.hash);
    let mut body = Vec::new();
    for (name, address, size, hash) in parts.chain([whole]) {
        let at = address.wrapping_add(bias);
        let mut code = vec![0; size as usize];
        let read = process.read(at, &mut code).and_then(|()| registry.hide_detours(process, at, &mut code));
        read.map_err(|error| Problem::Failed(format!("{name}: {error}")))?;
        if blake3::hash(&code).to_hex().as_str() != hash {
            return Err(Problem::Refused(format!(
                "{name}: the code in memory at {at:#x} is not the code this patch was made from; \
                 something else (a debugger, a tracer, another patcher) has changed it"
            )));
        }
        body = code;
    }
    body.drain(..function.detour.min(function.size) as usize);
    Ok(body)
}

type Resolved = (Vec<u64>, Vec<(usize, u64)>);

fn resolve(
    process: &Process,
    mappings: &[Mapping],
    patch: &Patch,
    target: &Loaded,
) -> Result<Resolved, Problem> {
    let mut outer = vec![0; patch.symbols.len()];
    let mut resolvers = Vec::new();
    // Reading every module costs milliseconds: only for patches that import.
    let mut modules = None;
    for (index, symbol) in patch.symbols.iter().enumerate() {
        outer[index] = match &symbol.place {
            Place::Here { .. } => 0,
            Place::Absolute { value } => *value,
            Place::Target { address } => address.wrapping_add(target.bias),
            Place::TargetWord { address, unless_interposed } => {
                if let Some(name) = unless_interposed {
                    let modules = modules.get_or_insert_with(|| modules::all(process, mappings));
                    if let Some(other) = modules::exports_thread_local(modules, name, target.bias) {
                        return Err(Problem::Refused(format!(
                            "{other} exports a thread-local {name} of its own in place of that of {}, through \
                             which the patch would find others",
                            patch.meta.target.file_name
                        )));
                    }
                }
                let mut word = [0; 8];
                process
                    .read(address.wrapping_add(target.bias), &mut word)
                    .map_err(|error| Problem::Failed(format!("{}: {error}", symbol.name)))?;
                u64::from_le_bytes(word)
            }
            Place::Import { version, weak } => {
                let modules = modules.get_or_insert_with(|| modules::all(process, mappings));
                match modules::find_export(modules, &symbol.name, version.as_deref()) {
                    Some(export) if export.indirect => {
                        resolvers.push((index, export.address));
                        0
                    }
                    Some(export) => export.address,
                    None if *weak => 0,
                    None => {
                        let version = version.as_ref().map_or(String::new(), |version| format!("@{version}"));
                        return Err(Problem::Refused(format!(
                            "the patch needs {}{version}, which no library in this process exports",
                            symbol.name
                        )));
                    }
                }
            }
        };
    }
    Ok((outer, resolvers))
}

pub(crate) fn describe(
    patch: &Patch,
    layout: &Layout,
    hash: &str,
    installed_at: u64,
    old_bytes: &[[u8; 5]],
) -> Description {
    let meta = &patch.meta;
    let functions = meta.functions.iter().zip(old_bytes).map(|(function, old_bytes)| {
        let cold = format!("{}.cold", function.name);
        let own_section = match patch.symbols[function.new].place {
            Place::Here { section, .. } => Some(section),
            _ => None,
        };
        let is_part = |symbol: &liveline_patch::Symbol| match symbol.place {
            // Two functions of one name in different files each bring a cold part; without a way to tell
            // them apart both count for both, which only makes the check stricter.
            Place::Here { section, function: true, .. } => {
                symbol.name.starts_with(&cold) && Some(section) != own_section
            }
            _ => false,
        };
        let parts =
            patch.symbols.iter().enumerate().filter(|(_, symbol)| is_part(symbol)).map(|(index, _)| index);
        Replaced {
            name: function.name.clone(),
            address: function.address,
            size: function.size,
            parts: function.parts.iter().map(|part| (part.address, part.size)).collect(),
            detour: function.detour,
            old_bytes: *old_bytes,
            new: [function.new]
                .into_iter()
                .chain(parts)
                .filter_map(|index| layout.symbol(patch, index))
                .collect(),
        }
    });
    Description {
        name: meta.name.clone(),
        version: meta.version.clone(),
        hash: hash.to_owned(),
        module: meta.target.file_name.clone(),
        build_id: meta.target.build_id.clone(),
        requires: meta.requires.clone(),
        installed_at,
        text_end: layout.text_end,
        functions: functions.collect(),
    }
}
