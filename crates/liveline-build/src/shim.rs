//! What stands in front of compilers and linkers: the `liveline` program itself, under their names.
//!
//! It runs the real tool with the flags that patches need, and notes what was read and written. It must never be
//! the reason that a build fails: whatever it cannot note, it leaves out, and the builder finds that out later.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode, ExitStatus, Stdio};

use crate::command::{Command, Task, expand, prerequisites};
use crate::describe;
use crate::keeper;
use crate::record::{self, Again, Compile, Event, Input, Link, RECORD};
use crate::rustc;

/// The folders a driver would have searched for its linker.
const PREFIXES: &str = "LIVELINE_BUILD_PREFIXES";
/// The folder of the shims.
pub(crate) const SHIMS: &str = "LIVELINE_BUILD_SHIMS";
/// Added to each compilation: `-ffile-prefix-map` where the tree could not be put in its place.
pub(crate) const MAP: &str = "LIVELINE_BUILD_MAP";

/// The rustc that the user asked for, if not that of PATH.
pub(crate) const RUSTC: &str = "LIVELINE_BUILD_RUSTC";
/// The name under which crates are compiled again for their debug information.
pub(crate) const DESCRIBE: &str = "liveline-describe";
/// The mount namespace in which the copy lies at the tree's path.
const ROOM: &str = "LIVELINE_BUILD_ROOM";

/// Names of linkers.
const LINKERS: [&str; 6] = ["ld", "ld.bfd", "ld.gold", "ld.lld", "ld.mold", "mold"];

/// One section a function and a data object, and types: nothing that changes code.
const COMPILE: [&str; 5] = ["-ffunction-sections", "-fdata-sections", "-g", "-gno-split-dwarf", "-gz=none"];

/// Whether a program of this name is one to stand in front of.
pub(crate) fn is_tool(name: &str) -> bool {
    let bare = name.strip_prefix("x86_64-linux-gnu-").or_else(|| name.strip_prefix("x86_64-pc-linux-gnu-"));
    let bare = bare.unwrap_or(name);
    let stem = match bare.rsplit_once('-') {
        Some((stem, version)) if version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => stem,
        _ => bare,
    };
    matches!(stem, "cc" | "c++" | "gcc" | "g++" | "clang" | "clang++" | "c99" | "c89" | "rustc")
        || LINKERS.contains(&stem)
}

/// Whether a wrapper of compilers answers from earlier compilations: then it gives what the compiler would.
pub(crate) fn is_cache(wrapper: &OsStr) -> bool {
    let name = Path::new(wrapper).file_name().unwrap_or_default();
    ["sccache", "ccache", "cachepot"].iter().any(|cache| name == *cache)
}

/// If this process was started by a build, as its keeper or under the name of a compiler or linker: does that one's work.
pub fn run() -> Option<ExitCode> {
    let mut words = env::args_os();
    let own = PathBuf::from(words.next()?);
    let name = own.file_name()?.to_str()?.to_owned();
    let words: Vec<OsString> = words.collect();
    if name == keeper::NAME {
        return Some(keeper::keep(&words));
    }
    let record = PathBuf::from(env::var_os(RECORD)?);
    let shim = Shim { record, folder: env::current_dir().unwrap_or_default(), name };
    let done = match &*shim.name {
        DESCRIBE => describe::compile_list(Path::new(words.first()?)),
        _ if !is_tool(&shim.name) => return None,
        "rustc" => shim.real_rustc().and_then(|real| shim.rustc(real, &words)),
        name if LINKERS.iter().any(|linker| name.ends_with(linker)) => shim.link(&words),
        _ => shim.drive(&words),
    };
    Some(match done {
        Ok(status) => ExitCode::from(
            status.code().map_or_else(|| 128 + status.signal().unwrap_or_default() as u8, |code| code as u8),
        ),
        Err(error) => {
            eprintln!("liveline: cannot run the real {}: {error}", shim.name);
            ExitCode::from(127)
        }
    })
}

struct Shim {
    record: PathBuf,
    folder: PathBuf,
    name: String,
}

impl Shim {
    /// The program that would have been found without us.
    fn real(&self, name: &str) -> io::Result<PathBuf> {
        let own = fs::canonicalize("/proc/self/exe")?;
        let prefixes = env::var_os(PREFIXES).unwrap_or_default();
        let path = env::var_os("PATH").unwrap_or_default();
        // gcc looks for its linker in folders of its own, which are not in PATH for a build with a clean one.
        let folders = env::split_paths(&prefixes).chain(env::split_paths(&path)).chain(["/usr/bin".into()]);
        for folder in folders {
            let file = folder.join(name);
            let executable =
                fs::metadata(&file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
            if executable && fs::canonicalize(&file).is_ok_and(|target| target != own) {
                return Ok(file);
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("no {name} in PATH")))
    }

    fn real_rustc(&self) -> io::Result<PathBuf> {
        if let Some(room) = env::var_os(ROOM)
            && fs::read_link("/proc/self/ns/mnt").is_ok_and(|own| own.as_os_str() != room)
        {
            return Err(io::Error::other(
                "it was started outside this build, by the server of a compiler cache: unset RUSTC_WRAPPER and \
                 build.rustc-wrapper for this command",
            ));
        }
        match env::var_os(RUSTC) {
            Some(named) if Path::new(&named).components().count() > 1 => Ok(named.into()),
            Some(named) => self.real(&named.to_string_lossy()),
            None => self.real("rustc"),
        }
    }

    fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        clean(&self.folder.join(path))
    }

    /// A compiler driver.
    fn drive(&self, words: &[OsString]) -> io::Result<ExitStatus> {
        let real = self.real(&self.name)?;
        let command = Command::new(words, &self.folder);
        let task = command.task();
        let mut process = Process::new(&real);
        // Several objects, temporary ones or none: what is read must be asked for by itself.
        let asks = match task {
            Task::Compile => command.sources().len() > 1,
            Task::Link | Task::Assembly => !command.sources().is_empty(),
            Task::Other => false,
        };
        if task == Task::Assembly {
            let status = process.args(words).status()?;
            if status.success() {
                self.note_sources(&real, &command);
            }
            return Ok(status);
        }
        if task == Task::Other {
            return Err(process.args(words).exec());
        }
        if task == Task::Link {
            // First, so that no -B of the command's own comes before it.
            if let Some(shims) = env::var_os(SHIMS) {
                let mut prefix = OsString::from("-B");
                prefix.push(shims);
                process.arg(prefix);
            }
            if let Ok(prefixes) = env::join_paths(command.prefixes()) {
                process.env(PREFIXES, prefixes);
            }
        }
        // Headers found through -isystem belong to the tree, too: the compiler must name them.
        process.args(words.iter().map(|word| match word.as_bytes() {
            b"-MMD" => OsStr::new("-MD"),
            _ => word,
        }));
        process.args(COMPILE).args(env::var_os(MAP));
        let mut written = None;
        let depends = match (task, command.dependency_file()) {
            (Task::Compile, Some(file)) => Some(file),
            (Task::Compile, None) if command.sources().len() == 1 => {
                let file = tempfile::Builder::new().prefix("depends-").tempfile_in(&self.record)?;
                process.arg("-MD").arg("-MF").arg(file.path());
                Some(written.insert(file).path().to_owned())
            }
            _ => None,
        };
        let status = process.status()?;
        if status.success() && asks {
            self.note_sources(&real, &command);
        } else if status.success()
            && task == Task::Compile
            && let Some(output) = command.object()
        {
            let depends = depends.and_then(|file| fs::read(self.absolute(file)).ok());
            self.note_compile(&real, &output, depends.map(|text| prerequisites(&text)), None);
        }
        Ok(status)
    }

    /// Notes what a command read that does not leave one object.
    fn note_sources(&self, real: &Path, command: &Command) {
        let told = Process::new(real).args(command.asking()).stdin(Stdio::null()).output();
        let Ok(told) = told.map_err(|error| eprintln!("liveline: cannot ask what was read: {error}")) else {
            return;
        };
        // A driver writes nothing where it cannot tell: a build without sources that are known is refused later.
        let depends = told.status.success().then(|| prerequisites(&told.stdout));
        for output in command.outputs() {
            self.note_compile(real, &output, depends.clone(), None);
        }
    }

    fn note_compile(&self, real: &Path, output: &Path, depends: Option<Vec<OsString>>, again: Option<Again>) {
        let output = self.absolute(output);
        let Ok(hash) = record::hash(&output) else { return };
        let depends = depends.map(|files| files.iter().map(|file| self.absolute(file).into()).collect());
        let event = Compile { compiler: real.into(), output: output.into(), hash, depends, again };
        self.note(&Event::Compile(event));
    }

    fn note(&self, event: &Event) {
        if let Err(error) = record::write(&self.record, event) {
            // Leaves a trace that the builder finds: a build that cannot be recorded must not look like one that did
            // nothing.
            eprintln!("liveline: cannot record this step: {error}");
        }
    }

    /// rustc.
    fn rustc(&self, real: PathBuf, words: &[OsString]) -> io::Result<ExitStatus> {
        let mut process = Process::new(&real);
        process.args(words);
        let compiles = words.iter().any(|word| Path::new(word).extension().is_some_and(|end| end == "rs"));
        let asks = words.iter().any(|word| word.as_bytes().starts_with(b"--print") || word == "-vV");
        if !compiles || asks {
            return Err(process.exec());
        }
        // The last one counts, and changes nothing but what the linker leaves out. Debug information does change code:
        // where types are needed, what matters is compiled again for them.
        process.args(["-C", "strip=none"]);
        let status = process.status()?;
        let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        if status.success()
            && let Some((folder, name)) = value("--out-dir").zip(value("--crate-name"))
        {
            let extra = words.iter().find_map(|word| word.as_bytes().strip_prefix(b"extra-filename="));
            let mut base = name.clone();
            base.push(OsStr::from_bytes(extra.unwrap_or_default()));
            base.push(".d");
            let file = self.absolute(Path::new(folder).join(base));
            if let Ok(text) = fs::read(&file) {
                let again = (!rustc::tells_types(words)).then(|| Again {
                    folder: self.folder.clone().into(),
                    words: rustc::without_outputs(words),
                    environment: env::vars_os().filter(|(name, _)| rustc::needs(name, &text)).collect(),
                });
                self.note_compile(&real, &file, Some(prerequisites(&text)), again);
            }
        }
        Ok(status)
    }

    /// A linker.
    fn link(&self, words: &[OsString]) -> io::Result<ExitStatus> {
        let real = self.real(&self.name)?;
        let mut all = Vec::new();
        expand(words, &self.folder, 0, &mut all);
        // Before it runs: a driver may remove its temporary objects at once.
        let inputs = self.inputs(&all);
        let status = Process::new(real).args(words).status()?;
        if status.success() && !inputs.is_empty() {
            let output = all.iter().position(|word| word == "-o").and_then(|at| all.get(at + 1));
            let output = self.absolute(output.map_or(Path::new("a.out"), Path::new));
            self.note(&Event::Link(Link { output: output.into(), inputs }));
        }
        Ok(status)
    }

    /// The objects and archives of a link that are not the system's.
    fn inputs(&self, words: &[OsString]) -> Vec<Input> {
        let mut folders: Vec<PathBuf> = Vec::new();
        let mut out = Vec::new();
        let mut fixed = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            let path = match bytes {
                b"-o" => {
                    words.next();
                    continue;
                }
                b"-L" => {
                    folders.extend(words.next().map(|folder| self.absolute(folder)));
                    continue;
                }
                b"-static" | b"-Bstatic" | b"-dn" | b"-non_shared" => {
                    fixed = true;
                    continue;
                }
                b"-Bdynamic" | b"-dy" | b"-call_shared" => {
                    fixed = false;
                    continue;
                }
                _ if bytes.starts_with(b"-L") => {
                    folders.push(self.absolute(OsStr::from_bytes(&bytes[2..])));
                    continue;
                }
                _ if bytes.starts_with(b"-l") => match library(&folders, &bytes[2..], fixed) {
                    Some(path) => path,
                    None => continue,
                },
                _ if bytes.starts_with(b"-") => continue,
                _ => self.absolute(word),
            };
            if !is_system(&path) && is_linkable(&path) {
                match record::keep(&self.record, &path) {
                    Ok(hash) => out.push(Input { path: path.into(), hash }),
                    Err(error) => eprintln!("liveline: cannot keep {}: {error}", path.display()),
                }
            }
        }
        out
    }
}

/// The archive a `-l` means; none if it is a shared library.
fn library(folders: &[PathBuf], name: &[u8], fixed: bool) -> Option<PathBuf> {
    let file = |start: &[u8], end: &[u8]| OsStr::from_bytes(&[start, name, end].concat()).to_owned();
    for folder in folders {
        if let Some(exact) = name.strip_prefix(b":") {
            let path = folder.join(OsStr::from_bytes(exact));
            if path.exists() {
                return Some(path);
            }
            continue;
        }
        if !fixed && folder.join(file(b"lib", b".so")).exists() {
            return None;
        }
        let archive = folder.join(file(b"lib", b".a"));
        if archive.exists() {
            return Some(archive);
        }
    }
    None
}

/// Start-up files and libraries of the system: the same on both sides. Of Rust's standard library a program has only what
/// it uses, and a fix may use more.
fn is_system(path: &Path) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let of_rust = real.components().any(|part| part.as_os_str() == "rustlib");
    ["/usr/lib", "/lib", "/lib64", "/usr/lib64"].iter().any(|folder| real.starts_with(folder)) && !of_rust
        || of_rust && real.extension().is_none_or(|end| end != "rlib")
}

/// A relocatable object or an archive.
fn is_linkable(path: &Path) -> bool {
    let mut head = [0; 18];
    let Ok(mut file) = fs::File::open(path) else { return false };
    if io::Read::read_exact(&mut file, &mut head).is_err() {
        return false;
    }
    head.starts_with(b"!<arch>\n")
        || head.starts_with(b"!<thin>\n")
        || (head.starts_with(b"\x7fELF") && head[16..18] == [1, 0])
}

/// The path without `.` and `..`, whether or not it exists.
pub(crate) fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools() {
        for name in
            ["gcc", "gcc-12", "x86_64-linux-gnu-g++-12", "clang-14", "ld.lld", "cc", "rustc", "clang++"]
        {
            assert!(is_tool(name), "{name}");
        }
        for name in ["gcc-ar", "ldd", "gccgo-12", "clang-format", "rustc-x", "cargo"] {
            assert!(!is_tool(name), "{name}");
        }
    }
}
