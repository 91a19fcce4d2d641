//! `liveline build --debian` on the archive's own updates: one that changes no compiled code, and one that does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use liveline_build::debian::Archive;
use liveline_demo::Words;
use liveline_demo::tool::{Made, Package, PackageProgram, PackageRequest, Tool};
use serde::Serialize;

use crate::redis;
use crate::shell::{Failure, Result, Tried, cache, liveline};
use crate::trial::{PatchFile, TrialReport, publish};

/// Debian compiles none of what this update changes.
const UNCHANGED: [&str; 3] = ["memcached", "1.6.18-1", "1.6.18-1+deb12u1"];
const CHANGED: [&str; 3] = ["redis", "5:7.0.15-1~deb12u7", "5:7.0.15-1~deb12u10"];
/// What of it is patched: a link to the file that server and checkers are.
const PROGRAM: &str = "/usr/bin/redis-server";
const STOCK: (&str, &str) = ("redis-tools", "usr/bin/redis-check-rdb");

/// What the task found.
#[derive(Serialize)]
struct Report {
    patches: Vec<String>,
    functions: Vec<String>,
    first_s: f64,
    second_s: f64,
    trials: Vec<TrialReport>,
}

/// Runs the trial, `times` applies and reverts.
pub(crate) fn real(times: usize, words: Words, json: bool) -> Result<()> {
    words.step("Preparing");
    let tool = liveline(words)?;
    let folder = tempfile::tempdir().tried("make a temporary folder")?;

    words.step("memcached: no compiled code changed");
    let (made, package, _) = make(&tool, UNCHANGED, None, folder.path())?;
    must(made == Made::Nothing && package.programs.is_empty(), "memcached's programs are the same in both")?;
    must(package.patches.len() == 3, "memcached's update has three patches")?;
    words.line(&format!("exit 3, which is right; patches of the update: {}", package.patches.join(", ")));

    words.step("A version that the archive has not");
    let unknown = make(&tool, [CHANGED[0], "0", CHANGED[2]], None, folder.path());
    let said = unknown.err().map(|failure| failure.to_string()).unwrap_or_default();
    must(
        said.contains("has no source of redis 0; it has "),
        &format!("the versions there are were named: {said}"),
    )?;
    words.line("refused, with the versions that there are");

    words.step("redis: rebuilt, proved, patched");
    let program = Some(Path::new(PROGRAM));
    let (made, package, first_s) = make(&tool, CHANGED, program, &folder.path().join("first"))?;
    let one = only(made, &package)?;
    words.line(&format!("{} functions in {first_s:.0} s: {}", one.functions.len(), one.functions.join(", ")));
    let (made, again, second_s) = make(&tool, CHANGED, program, &folder.path().join("second"))?;
    let two = only(made, &again)?;
    must(!again.said.contains("building"), &format!("the second run builds nothing: {}", again.said))?;
    let read = |program: &PackageProgram| {
        let file = program.patch.clone().unwrap_or_default();
        fs::read(&file).tried(format!("read {}", file.display()))
    };
    must(read(one)? == read(two)?, "both runs make the same patch")?;
    words.line(&format!("again, from what was kept, in {second_s:.0} s: the same patch"));

    words.step("The stock server and its replica, under load");
    let running = stock(words)?;
    let file = one.patch.clone().unwrap_or_default();
    let trial = PatchFile {
        trial: "redis, by build --debian",
        patch: &one.name,
        file: &file,
        functions: one.functions.len(),
    };
    let report = trial.run(&tool, times, words, |folder| redis::start(&running, folder, words))?;
    let trials = vec![report];
    let (patches, functions) = (package.patches.clone(), one.functions.clone());
    let report = Report { patches, functions, first_s, second_s, trials };
    publish(&report, &report.trials, json)
}

fn make(
    tool: &Tool,
    [source, old, new]: [&str; 3],
    program: Option<&Path>,
    output: &Path,
) -> Result<(Made, Package, f64)> {
    let began = Instant::now();
    let request = PackageRequest { source, old, new, program, output };
    let (made, package) = tool.package(&request).tried("liveline build --debian")?;
    Ok((made, package, began.elapsed().as_secs_f64()))
}

/// The one program that was asked for; its rebuilt twin must have the stock one's build-id.
fn only(made: Made, package: &Package) -> Result<&PackageProgram> {
    let [program] = &package.programs[..] else {
        return Err(Failure(format!("one program was asked for: {:?}", package.programs)));
    };
    must(made == Made::Patch && program.patch.is_some(), &format!("a patch was made: {:?}", package.said))?;
    must(program.proof.as_ref().is_some_and(|proof| proof.same_build_id), "the build-id is the same")?;
    Ok(program)
}

/// The archive's server, from where the command keeps it.
fn stock(words: Words) -> Result<PathBuf> {
    let archive = Archive::open(cache("debian")?, move |line| words.line(line))?;
    let [source, old, _] = CHANGED;
    let (package, path) = STOCK;
    let folder = archive.kept(source).join(format!("stock-{package}-{old}"));
    archive.binary(package, old, &folder)?;
    Ok(folder.join(path))
}

fn must(right: bool, words: &str) -> Result<()> {
    if right { Ok(()) } else { Err(Failure(format!("this does not hold: {words}"))) }
}
