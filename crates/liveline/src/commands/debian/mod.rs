//! `build --debian`: patches from a Debian package and its update.

mod report;

use std::path::{Path, PathBuf};

use liveline_build::debian::{self, Archive, DebianError, Patched, Request};
use serde_json::json;

use super::{build, diff, patch_file};
use crate::args::BuildArgs;
use crate::failure::{Code, Failure, Result};
use crate::print;

pub(super) fn run(args: &BuildArgs, words: &[String]) -> Result {
    let [source, old, new] = words else {
        return Err(Failure::failed("--debian takes a source package and two versions"));
    };
    if old == new {
        return build::nothing(args.json, "nothing to do: both versions are the same");
    }
    if let Some(name) = &args.patch.name {
        patch_file::check_name(name)?;
    }
    patch_file::check_version(&args.patch.version)?;
    let request = Request {
        source: source.clone(),
        old: old.clone(),
        new: new.clone(),
        program: args.program.clone(),
        name: args.patch.name.clone(),
        version: args.patch.version.clone(),
        requires: args.patch.requires.clone(),
        assume: args.patch.assume.clone(),
        no_types: args.patch.no_types,
    };
    // Before minutes of building: a patch must have a place.
    let place = Place::of(args.output.as_deref())?;
    let made = Archive::open(build::cache("debian")?, |line| eprintln!("{line}"))
        .and_then(|archive| debian::update(&request, &archive));
    let update = made.map_err(|error| explain(&error))?;
    if let Place::File(file) = &place
        && update.programs.len() > 1
    {
        let names: Vec<String> = update.programs.iter().map(|p| p.path.display().to_string()).collect();
        return Err(Failure::failed(format!(
            "{} programs changed ({}), and {} can hold one patch",
            names.len(),
            names.join(", "),
            file.display()
        ))
        .hint("name one by --program, or give a folder to -o; what was built is kept"));
    }
    let mut results = Vec::new();
    for program in update.programs {
        let output = place.file(&program.file);
        let delivered = match &program.report {
            Ok(report) => diff::write_patch(report, &output, (&program.name, &request.version))?,
            Err(why) => {
                let value = json!({ "name": program.name, "refused": true, "reason": why });
                diff::Delivered { code: Code::Refused, value }
            }
        };
        results.push(Outcome { program, output, delivered });
    }
    let code = overall(&results);
    if args.json {
        let programs: Vec<_> = results.iter().map(report::value).collect();
        print::json(&json!({
            "source": source,
            "old": old,
            "new": new,
            "programs": programs,
            "same": update.same,
            "beyond": update.beyond,
            "patches": update.patches,
            "notes": update.notes,
        }))?;
    } else {
        report::show(&results);
        report::rest(&update.beyond, &update.patches, &update.notes);
    }
    Ok(code)
}

/// A program, and what was done about it.
struct Outcome {
    program: Patched,
    /// The patch's file, where there is one.
    output: PathBuf,
    delivered: diff::Delivered,
}

/// Refused outweighs done: somebody must look at it.
fn overall(results: &[Outcome]) -> Code {
    let any = |code: &Code| results.iter().any(|outcome| outcome.delivered.code == *code);
    [Code::Refused, Code::Done].into_iter().find(any).unwrap_or(Code::Nothing)
}

/// Where patches go.
enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

impl Place {
    fn of(output: Option<&Path>) -> std::result::Result<Place, Failure> {
        let Some(output) = output else { return Ok(Place::Folder(PathBuf::new())) };
        if output.extension().is_some_and(|end| end == "llp") && !output.is_dir() {
            patch_file::check_place(output)?;
            return Ok(Place::File(output.into()));
        }
        if output.exists() && !output.is_dir() {
            return Err(Failure::new(
                Code::Usage,
                format!("{} is no folder, and no FILE.llp", output.display()),
            ));
        }
        std::fs::create_dir_all(output).map_err(|error| Failure::file(output, error))?;
        patch_file::check_folder(output, output)?;
        Ok(Place::Folder(output.into()))
    }

    fn file(&self, name: &str) -> PathBuf {
        match self {
            Place::File(file) => file.clone(),
            Place::Folder(folder) => folder.join(format!("{name}.llp")),
        }
    }
}

fn explain(error: &DebianError) -> Failure {
    let failure = Failure::failed(error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
