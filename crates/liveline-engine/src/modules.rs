//! The modules of a process: which files are mapped where, and which of them a patch is for.

use std::io::Read;

use liveline_elf::module::{Module, SymbolKind};
use liveline_patch::Target;
use liveline_process::{Mapping, Process};

/// Files larger than this are not read: 1 GiB.
const LIMIT: u64 = 1 << 30;

/// An executable or shared library that is mapped.
pub(crate) struct Loaded {
    pub(crate) module: Module,
    /// Run-time address less link-time address.
    pub(crate) bias: u64,
    /// Path as the process sees it.
    pub(crate) path: String,
    /// BLAKE3 (hex) over its executable segments, for modules without a build-id.
    text_hash: Option<String>,
}

impl Loaded {
    /// Run-time address range of all its segments.
    pub(crate) fn range(&self) -> (u64, u64) {
        let low = self.module.loads.iter().map(|load| load.address).min().unwrap_or(0);
        let high = self.module.loads.iter().map(|load| load.address + load.size).max().unwrap_or(0);
        (low.wrapping_add(self.bias), high.wrapping_add(self.bias))
    }

    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn build_id(&self) -> Option<String> {
        self.module.build_id.as_deref().map(hex)
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a process does not hold the program a patch is for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("{wanted} is not in this process: no mapped file has build-id {build_id}{seen}")]
    WrongBuild { wanted: String, build_id: String, seen: String },
    #[error("{wanted} is not in this process: no mapped file of that name has the same code")]
    WrongCode { wanted: String },
    #[error("{wanted} is mapped {count} times in this process; liveline cannot tell which copy to patch")]
    Twice { wanted: String, count: usize },
    #[error("{wanted} is mapped, but its file cannot be read: {reason}")]
    Unreadable { wanted: String, reason: String },
}

/// The mappings of files that hold code, in address order.
fn executables(mappings: &[Mapping]) -> impl Iterator<Item = &Mapping> {
    mappings.iter().filter(|mapping| {
        let file = mapping.path.as_deref().is_some_and(|path| path.starts_with('/'));
        mapping.exec && mapping.inode != 0 && file && !crate::registry::is_image(mapping)
    })
}

/// Path and contents of every file that is mapped to run, each once, as far as they can be read.
pub(crate) fn files<'a>(
    process: &'a Process,
    mappings: &'a [Mapping],
) -> impl Iterator<Item = (&'a str, Vec<u8>)> + 'a {
    let mut seen = Vec::new();
    executables(mappings).filter_map(move |mapping| {
        let identity = (mapping.dev, mapping.inode);
        if seen.contains(&identity) {
            return None;
        }
        seen.push(identity);
        let mut bytes = Vec::new();
        process.module_file(mapping).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
        Some((mapping.path.as_deref()?, bytes))
    })
}

/// Reads the module behind an executable mapping; none if it is no ELF module.
pub(crate) fn load(process: &Process, mapping: &Mapping) -> Result<Option<Loaded>, String> {
    let path = mapping.path.clone().unwrap_or_default();
    let file = process.module_file(mapping).map_err(|error| format!("{path}: {error}"))?;
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).map_err(|error| format!("{path}: {error}"))?;
    let Ok(module) = Module::parse(&bytes) else { return Ok(None) };
    let Some(load) = module.loads.iter().find(|load| {
        load.execute
            && load.offset & !(crate::layout::PAGE - 1) <= mapping.offset
            && mapping.offset < load.offset + load.file_size
    }) else {
        return Ok(None);
    };
    let bias =
        mapping.start.wrapping_sub(load.address.wrapping_add(mapping.offset).wrapping_sub(load.offset));
    let text_hash = module.build_id.is_none().then(|| text_hash(&module, &bytes)).flatten();
    Ok(Some(Loaded { module, bias, path, text_hash }))
}

/// All modules whose files can be read.
pub(crate) fn all(process: &Process, mappings: &[Mapping]) -> Vec<Loaded> {
    let mut seen = Vec::new();
    let mut loaded = Vec::new();
    for mapping in executables(mappings) {
        if let Ok(Some(module)) = load(process, mapping)
            && !seen.contains(&(mapping.dev, mapping.inode, module.bias))
        {
            seen.push((mapping.dev, mapping.inode, module.bias));
            loaded.push(module);
        }
    }
    loaded
}

/// Finds the module a patch is for: by build-id, or where there is none by name and code.
pub(crate) fn find_target(
    process: &Process,
    mappings: &[Mapping],
    target: &Target,
) -> Result<Loaded, TargetError> {
    let wanted = || target.file_name.clone();
    let mut found: Vec<Loaded> = Vec::new();
    let mut seen = Vec::new();
    let mut unreadable = None;
    for mapping in executables(mappings) {
        let same_name =
            mapping.path.as_deref().and_then(|path| path.rsplit('/').next()) == Some(&target.file_name);
        match load(process, mapping) {
            Ok(Some(module)) => {
                let same = match &target.build_id {
                    Some(build_id) => module.build_id().as_ref() == Some(build_id),
                    None => module.text_hash.as_ref() == Some(&target.text_hash),
                };
                if same && !found.iter().any(|other| other.bias == module.bias) {
                    found.push(module);
                } else if same_name && !same {
                    seen.push(module.build_id().unwrap_or_else(|| "none".into()));
                }
            }
            Ok(None) => {}
            Err(reason) if same_name => unreadable = Some(reason),
            Err(_) => {}
        }
    }
    match (found.len(), unreadable) {
        (1, _) => Ok(found.remove(0)),
        (0, Some(reason)) => Err(TargetError::Unreadable { wanted: wanted(), reason }),
        (0, None) => match &target.build_id {
            Some(build_id) => {
                seen.dedup();
                let seen = if seen.is_empty() {
                    String::new()
                } else {
                    format!(" (the {} here has {})", target.file_name, seen.join(", "))
                };
                Err(TargetError::WrongBuild { wanted: wanted(), build_id: build_id.clone(), seen })
            }
            None => Err(TargetError::WrongCode { wanted: wanted() }),
        },
        (count, _) => Err(TargetError::Twice { wanted: wanted(), count }),
    }
}

fn text_hash(module: &Module, file: &[u8]) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    for load in module.loads.iter().filter(|load| load.execute) {
        let end = load.offset.checked_add(load.file_size)?;
        hasher.update(file.get(load.offset as usize..end as usize)?);
    }
    Some(hasher.finalize().to_hex().to_string())
}

/// A function or data object that another module exports.
pub(crate) struct Export {
    pub(crate) address: u64,
    pub(crate) indirect: bool,
}

/// Looks a name up as the dynamic linker would: modules in load order, the first definition with a matching
/// version wins.
pub(crate) fn find_export(modules: &[Loaded], name: &str, version: Option<&str>) -> Option<Export> {
    modules.iter().find_map(|loaded| {
        let matching = |symbol: &&liveline_elf::module::DynamicSymbol| {
            let version_fits = match (version, &symbol.version) {
                (Some(wanted), Some(has)) => wanted == has,
                (Some(_), None) => true,
                (None, _) => symbol.default,
            };
            symbol.defined && symbol.kind != SymbolKind::Tls && symbol.name == name && version_fits
        };
        let symbol = loaded.module.dynamic_symbols.iter().find(matching)?;
        Some(Export {
            address: symbol.address.wrapping_add(loaded.bias),
            indirect: symbol.kind == SymbolKind::IndirectFunction,
        })
    })
}

/// The file name of a module, other than the one loaded at `bias`, that exports a thread-local of this name.
pub(crate) fn exports_thread_local<'m>(modules: &'m [Loaded], name: &str, bias: u64) -> Option<&'m str> {
    let exports = |loaded: &&Loaded| {
        let mut symbols = loaded.module.dynamic_symbols.iter();
        loaded.bias != bias
            && symbols.any(|symbol| symbol.defined && symbol.kind == SymbolKind::Tls && symbol.name == name)
    };
    modules.iter().find(exports).map(Loaded::file_name)
}
