//! Rust cases, under `tests/cases/rust`: one file each, built by rustc as it comes, in every variant it asks for.
//! `docs/testing.md` lists the directives.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::builder::{check_answers, check_built};
use crate::case::{Case, CaseBuild, Goal};
use crate::command::{diff, exit, text};
use crate::toolchain::{Build, cached, run, target_source, tests_folder, write};
use crate::{Outcome, trial};

/// How a case is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variant {
    /// `0` to `3`.
    opt: String,
    /// A number of codegen units, or `incremental`.
    units: String,
    /// `unwind` or `abort`.
    panic: String,
    /// `legacy` or `v0`.
    mangling: String,
}

impl Variant {
    fn name(&self) -> String {
        format!("opt{}-units-{}-{}-{}", self.opt, self.units, self.panic, self.mangling)
    }

    fn flags(&self, folder: &Path) -> String {
        let units = match self.units.as_str() {
            "incremental" => format!("-C incremental={}/incremental", folder.display()),
            number => format!("-C codegen-units={number}"),
        };
        // What rustc does by itself need not, and on stable may not, be asked for.
        let mangling = if self.mangling == "v0" { "-C symbol-mangling-version=v0" } else { "" };
        format!("-C opt-level={} {units} -C panic={} {mangling}", self.opt, self.panic)
    }
}

/// A case with what only Rust's have.
#[derive(Clone, Debug)]
struct RustCase {
    case: Case,
    source: String,
    flags: String,
    new_flags: String,
    /// The standard library's objects are not given.
    without_std: bool,
    variants: Vec<Variant>,
}

/// One trial for each case and variant.
pub(crate) fn trials() -> Outcome<Vec<Trial>> {
    let folder = tests_folder().join("cases/rust");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        paths.push(entry.map_err(|e| e.to_string())?.path());
    }
    paths.sort();
    let mut trials = Vec::new();
    for path in paths {
        let case = RustCase::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        for variant in case.variants.clone() {
            let case = case.clone();
            let name = format!("rust::{}::{}", case.case.name, variant.name());
            trials.push(Trial::test(name, move || case.check(&variant).map_err(Failed::from)));
        }
    }
    trials.push(trial("rust::another_rustc_refused", another_rustc));
    Ok(trials)
}

/// Objects that say they are another compiler's: of the new build, and of both.
fn another_rustc() -> Outcome {
    let case = RustCase::read(&tests_folder().join("cases/rust/core.rs"))?;
    let variant = case.variants.first().ok_or("no variant")?;
    let folder = case.built(variant)?;
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let place = scratch.path();
    write(place, "comment", "rustc version 1.2.3 (another one)\0")?;
    for side in ["old", "new"] {
        run(Path::new("/"), &format!("cp -r {} {}", text(&folder.join(side)), text(place)))?;
    }
    let relabel = |side: &str| -> Outcome {
        let objects = std::fs::read_dir(place.join(side)).map_err(|e| e.to_string())?;
        for object in objects
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|it| it == "o"))
        {
            run(place, &format!("objcopy --update-section .comment=comment {}", text(&object)))?;
        }
        Ok(())
    };
    let program = folder.join("old/program");
    let compare = || {
        let patch = place.join("other.llp");
        diff(&place.join("old"), &place.join("new"), &program, &patch, &[])?.expect(exit::REFUSED)
    };
    relabel("new")?;
    compare()?.says("the new one by rustc 1.2.3")?;
    relabel("old")?;
    compare()?.says("the objects were compiled by rustc 1.2.3")
}

impl RustCase {
    fn read(path: &Path) -> Outcome<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a file name that is not UTF-8")?;
        let [mut opt, mut units, mut panic, mut mangling] =
            ["0,2", "4", "unwind", "legacy"].map(str::to_owned);
        let (mut flags, mut new_flags) = (String::new(), String::new());
        let mut without_std = false;
        let (mut common, mut source) = (String::new(), String::new());
        for line in text.lines() {
            let Some(directive) = line.strip_prefix("//#") else {
                source.push_str(line);
                source.push('\n');
                continue;
            };
            let (key, value) = directive.split_once(':').unwrap_or((directive, ""));
            let value = value.trim().to_owned();
            match key.trim() {
                "opt" => opt = value,
                "units" => units = value,
                "panic" => panic = value,
                "mangling" => mangling = value,
                "rustc" => flags = value,
                "rustc-new" => new_flags = value,
                "without-std" => without_std = true,
                "matrix" => {
                    [opt, units, panic, mangling] =
                        ["0,1,2,3", "1,4", "unwind,abort", "legacy,v0"].map(str::to_owned);
                }
                _ => {
                    common.push_str(line);
                    common.push('\n');
                }
            }
        }
        // What cargo's own profiles ask for: dev, with debug assertions, and release.
        let profile = |opt: &str, units: &str| {
            let [opt, units, panic, mangling] = [opt, units, "unwind", "legacy"].map(str::to_owned);
            Variant { opt, units, panic, mangling }
        };
        let mut variants = vec![profile("0", "incremental"), profile("3", "16")];
        if flags.contains("lto") {
            variants.clear();
        }
        for opt in opt.split(',') {
            for units in units.split(',') {
                for panic in panic.split(',') {
                    for mangling in mangling.split(',') {
                        let [opt, units, panic, mangling] = [opt, units, panic, mangling].map(str::to_owned);
                        let variant = Variant { opt, units, panic, mangling };
                        if !variants.contains(&variant) {
                            variants.push(variant);
                        }
                    }
                }
            }
        }
        Ok(Self { case: Case::parse(name, &common, false)?, source, flags, new_flags, without_std, variants })
    }

    /// The folder with both builds.
    fn built(&self, variant: &Variant) -> Outcome<PathBuf> {
        let driver = target_source("driver.rs")?;
        let recipe = format!("{self:?} {variant:?}");
        cached(&[&driver, &recipe], |folder| self.make(&driver, variant, folder))
    }

    fn check(&self, variant: &Variant) -> Outcome {
        let folder = self.built(variant)?;
        let program = folder.join("old/program");
        let build = Build { program: program.clone(), old: folder.join("old"), new: folder.join("new") };
        let built = CaseBuild { build, target: program, library: None, debug: None };
        if self.case.goal == Goal::Patched && !self.case.stateful {
            check_answers(&folder.join("new/program"), &self.case.after)?;
        }
        check_built(&self.case, &built)
    }

    fn make(&self, driver: &str, variant: &Variant, folder: &Path) -> Outcome {
        write(folder, "driver.rs", driver)?;
        write(folder, "case.rs", &self.source)?;
        let common = format!(
            "rustc --edition 2024 --crate-name program --cap-lints allow -g -C save-temps {} {}",
            variant.flags(folder),
            self.flags
        );
        for (side, flags) in [("old", "-C metadata=1"), ("new", "--cfg v2")] {
            std::fs::create_dir(folder.join(side)).map_err(|e| e.to_string())?;
            let more = if side == "old" { "" } else { self.new_flags.as_str() };
            let metadata = if more.contains("metadata") || side == "old" { "" } else { "-C metadata=1" };
            run(folder, &format!("{common} {flags} {metadata} {more} -o {side}/program driver.rs"))?;
            tidy(&folder.join(side))?;
            if !self.without_std {
                link_std(&folder.join(side))?;
            }
        }
        Ok(())
    }
}

/// Puts the objects of the standard library beside a build's own.
fn link_std(folder: &Path) -> Outcome {
    let output =
        Command::new("rustc").args(["--print", "target-libdir"]).output().map_err(|e| e.to_string())?;
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    for entry in std::fs::read_dir(&library).map_err(|e| format!("{library}: {e}"))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|it| it == "rlib")) {
            symlink(&path, folder.join(name)).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(())
}

/// Leaves the objects and the program only: what rustc saves besides is large.
fn tidy(folder: &Path) -> Outcome {
    for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let kept = path.extension().is_none_or(|extension| extension == "o");
        let removed = match (path.is_dir(), kept) {
            (true, _) => std::fs::remove_dir_all(&path),
            (false, false) => std::fs::remove_file(&path),
            (false, true) => Ok(()),
        };
        removed.map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}
