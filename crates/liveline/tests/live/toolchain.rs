//! Compilers, and a cache of what they made: reruns build nothing.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::Outcome;

/// The folder of this crate's tests.
pub(crate) fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Reads a file under `tests/targets`.
pub(crate) fn target_source(name: &str) -> Outcome<String> {
    let path = tests_folder().join("targets").join(name);
    std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Where built programs are kept: `$LIVELINE_CACHE`, or `~/.cache/liveline-tests`.
fn cache_root() -> PathBuf {
    match std::env::var_os("LIVELINE_CACHE") {
        Some(path) => path.into(),
        None => match std::env::var_os("HOME") {
            Some(home) => Path::new(&home).join(".cache/liveline-tests"),
            None => std::env::temp_dir().join("liveline-tests"),
        },
    }
}

/// The folder that `make` filled for exactly these `inputs`, now or in an earlier run.
///
/// `inputs` must name everything the result depends on but the compilers, which are always part of the key.
pub(crate) fn cached(inputs: &[&str], make: impl FnOnce(&Path) -> Outcome) -> Outcome<PathBuf> {
    let mut hasher = DefaultHasher::new();
    inputs.hash(&mut hasher);
    compilers().hash(&mut hasher);
    let root = cache_root();
    let place = root.join(format!("{:016x}", hasher.finish()));
    if place.is_dir() {
        return Ok(place);
    }
    std::fs::create_dir_all(&root).map_err(|e| format!("{}: {e}", root.display()))?;
    let fresh = tempfile::Builder::new().prefix(".building-").tempdir_in(&root).map_err(|e| e.to_string())?;
    make(fresh.path())?;
    let fresh = fresh.keep();
    match std::fs::rename(&fresh, &place) {
        Ok(()) => Ok(place),
        // Another test built the same thing meanwhile; its folder is as good.
        Err(_) if place.is_dir() => {
            std::fs::remove_dir_all(&fresh).map_err(|e| e.to_string())?;
            Ok(place)
        }
        Err(e) => Err(format!("{}: {e}", place.display())),
    }
}

/// First lines of what the compilers say of their version: another compiler means another build.
fn compilers() -> &'static str {
    static VERSIONS: OnceLock<String> = OnceLock::new();
    VERSIONS.get_or_init(|| {
        let mut versions = String::new();
        for compiler in ["gcc", "clang", "ld", "rustc"] {
            if let Ok(output) = Command::new(compiler).arg("--version").output() {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                versions.push_str(text.lines().next().unwrap_or_default());
            }
        }
        versions
    })
}

/// Runs one command line (words separated by blanks) in `folder`.
pub(crate) fn run(folder: &Path, line: &str) -> Outcome {
    let mut words = line.split_whitespace();
    let program = words.next().ok_or("an empty command")?;
    let output = Command::new(program)
        .args(words)
        .current_dir(folder)
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{line}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Writes a file into `folder`.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Outcome {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// A program and the two sets of objects a patch for it is made from.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    /// Program to start.
    pub(crate) program: PathBuf,
    /// What `--old` is given.
    pub(crate) old: PathBuf,
    /// What `--new` is given.
    pub(crate) new: PathBuf,
}

/// Builds `tests/targets/NAME`, in C or C++, as a program, and its old and new objects with `-DVERSION=1` and `-DVERSION=new`.
///
/// `flags` go to every compilation, `link` to the link only.
pub(crate) fn build_target(name: &str, new: u32, flags: &str, link: &str) -> Outcome<Build> {
    build_steps(name, 1, new, flags, link)
}

/// The files of its own folder that a source includes.
fn included(source: &str) -> Vec<&str> {
    source.lines().filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"')).collect()
}

/// As [`build_target`], from any version to any other; the program is always version 1.
pub(crate) fn build_steps(name: &str, old: u32, new: u32, flags: &str, link: &str) -> Outcome<Build> {
    let source = target_source(name)?;
    let beside = included(&source);
    let texts = beside.iter().map(|name| target_source(name)).collect::<Outcome<Vec<_>>>()?;
    let key = format!("{old} {new} {flags} | {link} | {texts:?}");
    let (compiler, file) = if name.ends_with(".cpp") { ("g++", "target.cpp") } else { ("gcc", "target.c") };
    let folder = cached(&[&source, &key], |folder| {
        write(folder, file, &source)?;
        for (name, text) in beside.iter().zip(&texts) {
            write(folder, name, text)?;
        }
        let common = format!("{compiler} -O2 -pthread {flags}");
        run(folder, &format!("{common} -DVERSION=1 -o target {file} {link}"))?;
        for (object, version) in [("old.o", old), ("new.o", new)] {
            let sections = "-ffunction-sections -fdata-sections -g";
            run(folder, &format!("{common} -DVERSION={version} {sections} -c -o {object} {file}"))?;
        }
        Ok(())
    })?;
    Ok(Build { program: folder.join("target"), old: folder.join("old.o"), new: folder.join("new.o") })
}
