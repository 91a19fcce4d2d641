//! Debug information of Rust crates that were compiled without.
//!
//! Debug information changes the code that rustc makes, so a program built by `cargo build --release` can be compared
//! with objects only that have as little. What differs between the sides is compiled once more, on either side, for the
//! layouts of its types.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use liveline_diff::crate_of_object;
use serde::{Deserialize, Serialize};

use crate::BuildError;
use crate::record::{Again, Compile, Link};
use crate::side::Side;

/// A crate to be compiled again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Work {
    /// The real compiler.
    compiler: OsString,
    again: Again,
    /// The object to write.
    output: PathBuf,
}

/// What of a program's crates differs between the sides and does not tell its types: for either side, what is to be
/// compiled into which folder. None if there is no such crate.
pub(crate) fn wanted(
    (old, before): (&Side, &Link),
    (new, after): (&Side, &Link),
    (into_old, into_new): (&Path, &Path),
) -> Option<[Vec<Work>; 2]> {
    let (had, has) = (contents(before), contents(after));
    let differing: BTreeSet<&String> =
        has.iter().filter(|(name, hashes)| had.get(*name) != Some(hashes)).map(|(name, _)| name).collect();
    let work = |side: &Side, into: &Path| -> Vec<Work> {
        let one = |name: &&String| {
            // A crate that only the program's link-time optimisation made another was not compiled again.
            let compile = compile(side, name).or_else(|| compile(old, name))?;
            let (again, compiler) = (compile.again.clone()?, compile.compiler.clone());
            Some(Work { compiler, again, output: into.join(format!("{name}.o")) })
        };
        differing.iter().filter_map(one).collect()
    };
    let both = [work(old, into_old), work(new, into_new)];
    both.iter().any(|work| !work.is_empty()).then_some(both)
}

/// By crate: the hashes of its objects or archives.
fn contents(link: &Link) -> BTreeMap<String, BTreeSet<&String>> {
    let mut out: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    for input in &link.inputs {
        if let Some(name) = crate_of_object(&input.path.to_string_lossy()) {
            out.entry(name.to_owned()).or_default().insert(&input.hash);
        }
    }
    out
}

/// The last compilation of a crate, by the name of the file that tells what it read.
fn compile<'s>(side: &'s Side, name: &str) -> Option<&'s Compile> {
    let same = |compile: &&Compile| {
        let file = Path::new(&compile.output);
        file.extension().is_some_and(|end| end == "d") && file.file_stem().is_some_and(|stem| stem == name)
    };
    side.compiles().filter(same).last()
}

/// Writes a list for [`compile`] to do.
pub(crate) fn write(list: &Path, work: &[Work]) -> Result<(), BuildError> {
    let failed = |source| BuildError::Copy { path: list.into(), source };
    for work in work {
        if let Some(folder) = work.output.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
    }
    let text = serde_json::to_vec(work).map_err(|error| failed(error.into()))?;
    fs::write(list, text).map_err(failed)
}

/// Compiles what a list says; runs where the tree seems to lie at its own path.
pub(crate) fn compile_list(list: &Path) -> io::Result<ExitStatus> {
    let work: Vec<Work> = serde_json::from_slice(&fs::read(list)?)?;
    for Work { compiler, again, output } in work {
        let mut rustc = Command::new(compiler);
        rustc.args(&again.words).current_dir(&again.folder).env_clear().envs(again.environment);
        rustc.args(["--emit=obj", "--cap-lints=allow", "-C", "debuginfo=2", "-C", "codegen-units=1"]);
        rustc
            .args(["-C", "lto=off", "-C", "linker-plugin-lto=no", "-C", "embed-bitcode=no", "-o"])
            .arg(output);
        let status = rustc.status()?;
        if !status.success() {
            return Ok(status);
        }
    }
    Ok(ExitStatus::from_raw(0))
}
