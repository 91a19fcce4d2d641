//! `build`: a patch from sources and a fix.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use liveline_build::{BuildError, Change, Difference, Fate, Kept, Made, Progress, Request, Touched};
use serde_json::json;

use super::{debian, diff, patch_file};
use crate::args::BuildArgs;
use crate::failure::{Code, Failure, Result};
use crate::{interrupt, print};

pub(crate) fn run(args: &BuildArgs) -> Result {
    interrupt::set_by_signals(&liveline_build::stop_flag())?;
    if let Some(words) = &args.debian {
        return debian::run(args, words);
    }
    let output = args.output.clone().unwrap_or_else(|| default_output(args));
    let name = patch_file::name(args.patch.name.as_deref(), &output)?;
    patch_file::check_version(&args.patch.version)?;
    patch_file::check_place(&output)?;
    let source = args.old.clone().or_else(|| args.source.clone()).unwrap_or_else(|| ".".into());
    let change = match &args.new {
        Some(tree) => Change::Tree(tree.clone()),
        None => Change::Fixes(args.fix.clone()),
    };
    let mut command: Vec<OsString> = Vec::new();
    if args.cargo {
        command.extend(["cargo".into(), "build".into()]);
    }
    command.extend(args.command.iter().cloned());
    let request = Request {
        source,
        change,
        built_at: args.built_at.clone(),
        command,
        cargo: args.cargo,
        running: args.running.clone().unwrap_or_default(),
        debug: args.patch.debug.clone(),
        product: args.product.clone(),
        cache: cache("build")?,
        name,
        version: args.patch.version.clone(),
        requires: args.patch.requires.clone(),
        assume: args.patch.assume.clone(),
        no_types: args.patch.no_types,
    };
    let mut bar = Bar::new();
    let made = liveline_build::build(&request, &mut |progress| bar.show(progress));
    bar.clear();
    let made = match made {
        Ok(made) => made,
        Err(BuildError::SameTrees) => {
            return nothing(args.json, "nothing to do: both sides have the same sources");
        }
        Err(error) => return Err(explain(error, &request)),
    };
    let more = json!({
        "product": made.product,
        "touched": made.touched,
        "unstable": made.unstable,
        "compiled_old": made.compiled_old,
        "compiled_new": made.compiled_new,
        "other_compilers": made.other_compilers,
        "unseen": made.unseen,
        "kept": made.kept,
        "identity_lost": made.identity_lost,
        "cache_left_out": made.cache_left_out.as_ref().map(|cache| cache.to_string_lossy()),
    });
    diff::deliver(&made.report, &output, args.json, (&request.name, &request.version), more, || show(&made))
}

/// The end of a build that was not needed.
pub(super) fn nothing(as_json: bool, why: &str) -> Result {
    if as_json {
        print::json(&json!({ "patch": null, "refused": false, "notes": [why] }))?;
    } else {
        print::line(why);
    }
    Ok(Code::Nothing)
}

/// A folder of the cache: of `$LIVELINE_CACHE`, `$XDG_CACHE_HOME/liveline` or `~/.cache/liveline`.
pub(super) fn cache(name: &str) -> std::result::Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("LIVELINE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("liveline")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/liveline")))
        .ok_or_else(|| {
            Failure::failed("no place for the cache: HOME is not set").hint("set LIVELINE_CACHE to a folder")
        })?;
    let folder = std::path::absolute(folder.join(name)).map_err(|error| Failure::file(&folder, error))?;
    // Nothing is made yet: it may be no place for a cache.
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let real = there.canonicalize().map_err(|error| Failure::file(there, error))?;
    Ok(folder.strip_prefix(there).map_or(real.clone(), |rest| real.join(rest)))
}

fn default_output(args: &BuildArgs) -> PathBuf {
    let from = args.new.as_deref().or(args.fix.first().map(PathBuf::as_path)).unwrap_or(Path::new("fix"));
    let stem = if args.new.is_some() { from.file_name() } else { from.file_stem() };
    // A patch's name has an alphabet of its own.
    let name: String = stem
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_else(|| "fix".into())
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._+~:-".contains(c) { c } else { '-' })
        .collect();
    format!("{}.llp", name.trim_start_matches(['.', '-'])).into()
}

fn show(made: &Made) {
    let old = match made.compiled_old {
        Some(count) => format!("{} compiled", print::count(count, "file")),
        None => "as built before".into(),
    };
    print::line(&format!(
        "{}: old side {old}, new side {} compiled",
        made.product.display(),
        print::count(made.compiled_new, "file")
    ));
    for kept in &made.kept {
        let Kept { name, running, sources } = kept;
        print::line(&format!(
            "note: {name} is compiled from the sources of {sources} as version {running}, which all its symbols are \
             named by; it goes on calling itself {running}"
        ));
    }
    if let Some(why) = &made.identity_lost {
        print::line(&format!("note: the versions that run cannot be kept: {why}"));
    }
    if !made.unseen.is_empty() {
        let names = liveline_diff::list_in_brief(made.unseen.iter().map(|path| path.display()), 5);
        print::line(&format!(
            "note: how these objects are made was not seen, a path leads to their compiler: {names}"
        ));
    }
    if let Some(cache) = &made.cache_left_out {
        print::line(&format!("note: both sides were compiled without {}", Path::new(cache).display()));
    }
    if made.report.refused && !made.other_compilers.is_empty() {
        let named = made.other_compilers.join(", ");
        print::line(&format!(
            "note: the running program also names {named}, which compiled nothing of this build: if that made the \
             program, build with it, e.g. by CC=clang"
        ));
    }
    for touched in &made.touched {
        // What stands in it is told above.
        let versions = touched.path.ends_with("Cargo.toml") || touched.path.ends_with("Cargo.lock");
        if versions && !made.kept.is_empty() {
            continue;
        }
        if let Some(words) = fate(touched) {
            print::line(&format!("note: {} {words}", touched.path.display()));
        }
    }
    for difference in &made.unstable {
        print::line(&format!("note: {}", unstable(difference)));
    }
}

fn fate(touched: &Touched) -> Option<&'static str> {
    match touched.fate {
        Fate::Compiled => None,
        Fate::BuildFile => Some("tells how to build: both sides were built by it, and compared"),
        Fate::NotCarried => Some(
            "is part of the fix and no compiled source: a live patch does not carry it; install it yourself",
        ),
        Fate::NotInFix => Some(
            "is a binary file that differs, and the fix does not hold what is in it: it is not carried; give both trees \
             with --old and --new if the program is built of it",
        ),
    }
}

fn unstable(difference: &Difference) -> String {
    let object = difference.object.display();
    if difference.generated.is_empty() {
        return format!(
            "{object} comes out different from the same sources: its compiler puts in something of the moment"
        );
    }
    let files: Vec<String> = difference.generated.iter().map(|path| path.display().to_string()).collect();
    format!("{object} differs because the build generates {} anew each time", files.join(", "))
}

/// An error with what to do next.
fn explain(error: BuildError, request: &Request) -> Failure {
    let words = error.to_string();
    let refused = |hint: &str| Failure::new(Code::Refused, words.clone()).hint(hint);
    match error {
        BuildError::Fix { .. } => {
            Failure::failed(words.trim_end()).hint("the sources must be those of the running program, without the fix")
        }
        BuildError::Build { full: true, .. } => Failure::failed(words).hint("the disk is full"),
        BuildError::Build { side: "new", .. } => Failure::failed(words)
            .hint("without the fix the sources compile: the fix needs more than it brings, or is for another version"),
        BuildError::Build { .. } => {
            Failure::failed(words).hint("the command must build the sources as they are, run in their top folder")
        }
        BuildError::NothingLinked { .. } => Failure::failed(words).hint(
            "compilers are found by the names gcc, g++, clang, cc, c++, ld and rustc in PATH or CC/CXX; a tree that was \
             configured before names them by absolute paths: configure it in the command, e.g. -- sh -c './configure && make'",
        ),
        BuildError::NoProducts { .. } => Failure::failed(words)
            .hint("it comes from CARGO_TARGET_DIR, --target-dir or cargo's configuration: name the folder that the program was built in"),
        BuildError::WhichProduct { .. } => Failure::failed(words).hint("name it with --product PATH"),
        BuildError::NoSuchProduct { .. } => Failure::failed(words).hint("name one of these with --product PATH"),
        BuildError::Unseen { .. } => refused(
            "their compiler is called by a path, or is none that is known: give it by name, e.g. -- make CC=gcc, or \
             configure the tree in the command, e.g. -- sh -c './configure && make'",
        ),
        BuildError::OtherBuild { .. } if request.cargo => {
            refused("give cargo the words the running program was built with, e.g. -- --release")
        }
        BuildError::OtherBuild { .. } => refused("build with the command and flags that the running program was built with"),
        BuildError::OtherCompiler { .. } => refused("build with the running program's compiler, e.g. by CC=gcc-12"),
        BuildError::OtherProgram { .. } => refused("--running is the program as it runs, --product which product of the build it is"),
        BuildError::NotCompiled { .. } => refused("let the command build everything that the running program is made of"),
        BuildError::CacheInTree { .. } => {
            Failure::failed(words).hint("set LIVELINE_CACHE to a folder outside the sources")
        }
        BuildError::OnlyBinary { .. } | BuildError::BinaryFix { .. } => {
            refused("give the sources with and without the fix instead: --old DIR --new DIR")
        }
        BuildError::FixIsNoFile { .. } => Failure::new(Code::Usage, words),
        BuildError::Read { ref path, .. } if *path == request.running => {
            Failure::failed(words).hint("--running names the program's file")
        }
        BuildError::Copy { ref source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Failure::failed(words).hint("the cache is in $LIVELINE_CACHE or ~/.cache/liveline; its folders may be removed")
        }
        _ => Failure::failed(words),
    }
}

/// One line on a terminal that tells how far it is.
struct Bar {
    terminal: bool,
}

impl Bar {
    fn new() -> Self {
        Bar { terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: Progress) {
        if !self.terminal {
            return;
        }
        let words = match progress {
            Progress::Copying => "copying the sources".to_owned(),
            Progress::Building { side, steps } => format!("building the {side} side: {steps} steps"),
            Progress::Built { side, steps } => format!("built the {side} side: {steps} steps"),
            Progress::Comparing => "comparing".to_owned(),
        };
        let _ = write!(std::io::stderr(), "\r\x1b[K{words}");
    }

    fn clear(&mut self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
