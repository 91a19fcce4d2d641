//! What is in a process, read from the process itself.

use liveline_process::Process;
use serde::Serialize;

use crate::modules::hex;
use crate::operation::open_problem;
use crate::outcome::Problem;
use crate::record::Phase;
use crate::registry::Registry;

/// What one process holds.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Process id.
    pub pid: i32,
    /// Name of the program.
    pub program: String,
    /// The patches that are in, oldest first; those taken back are not listed.
    pub patches: Vec<PatchStatus>,
    /// Why the process could not be read, if it could not.
    pub error: Option<String>,
}

/// A patch in a process.
#[derive(Clone, Debug, Serialize)]
pub struct PatchStatus {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// `active`; `unfinished`: a killed liveline left it, its new code counts or not as `effective` says.
    pub state: &'static str,
    /// Whether calls reach the new code.
    pub effective: bool,
    /// BLAKE3 of the patch file.
    pub hash: String,
    /// The module it is for.
    pub module: String,
    /// Its build-id.
    pub build_id: Option<String>,
    /// Seconds since the epoch.
    pub installed_at: u64,
    /// Order of installation in this process.
    pub generation: u64,
    /// Functions replaced.
    pub functions: Vec<FunctionStatus>,
    /// Patches it needs.
    pub requires: Vec<String>,
    /// Address of the image, and its size in bytes.
    pub image: (u64, u64),
    /// The file the image is mapped from: `add-symbol-file` it in gdb. None for a memfd, which
    /// `/proc/PID/map_files` gives.
    pub symbols: String,
}

/// A replaced function.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionStatus {
    /// Symbol name.
    pub name: String,
    /// Run-time address of the old entry.
    pub old: u64,
    /// Run-time address of the new code.
    pub new: u64,
    /// The bytes that the detour overwrote, hex.
    pub old_bytes: String,
    /// Whether a newer patch replaces it, too.
    pub covered: bool,
}

/// Reads the registry of one process; changes and stops nothing.
pub fn status(pid: i32) -> Status {
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let mut status = Status { pid, program: program.trim_end().to_owned(), patches: Vec::new(), error: None };
    match read(pid) {
        Ok(patches) => status.patches = patches,
        Err(problem) => status.error = Some(problem.to_string()),
    }
    status
}

fn read(pid: i32) -> Result<Vec<PatchStatus>, Problem> {
    let process = Process::open_to_read(pid).map_err(open_problem)?;
    let mappings = process.mappings().map_err(|error| Problem::Failed(error.to_string()))?;
    let registry = Registry::read(&process, &mappings);
    if let Some(at) = registry.unknown.first() {
        return Err(Problem::Failed(format!("the registry record at {at:#x} cannot be read")));
    }
    let listed = registry.patches.iter().filter(|installed| installed.header.phase != Phase::Retired);
    let patches = listed.map(|installed| {
        let header = &installed.header;
        let description = &installed.description;
        let image = mappings.iter().find(|mapping| mapping.start == header.base);
        let symbols = match image.and_then(|mapping| mapping.path.as_deref().filter(|_| !mapping.deleted)) {
            Some(path) => path.to_owned(),
            None => format!("/proc/{pid}/map_files/{:x}-{:x}", header.base, header.record()),
        };
        let functions = description.functions.iter().enumerate().map(|(index, function)| {
            let top = registry.top(installed.detour(index), |other| other.committed());
            FunctionStatus {
                name: function.name.clone(),
                old: function.address.wrapping_add(header.bias),
                new: installed.new_code(index),
                old_bytes: hex(&function.old_bytes),
                covered: top.is_some_and(|(top, _)| top.header.generation > header.generation),
            }
        });
        let tidy = header.phase == Phase::Active && installed.committed();
        PatchStatus {
            name: description.name.clone(),
            version: description.version.clone(),
            state: if tidy { "active" } else { "unfinished" },
            effective: installed.committed(),
            hash: description.hash.clone(),
            module: description.module.clone(),
            build_id: description.build_id.clone(),
            installed_at: description.installed_at,
            generation: header.generation,
            functions: functions.collect(),
            requires: description
                .requires
                .iter()
                .map(|needed| format!("{}@{}", needed.name, needed.version))
                .collect(),
            image: (header.base, header.code_size + header.data_size),
            symbols,
        }
    });
    Ok(patches.collect())
}
