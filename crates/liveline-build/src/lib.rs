//! Makes a patch from what people have: a source tree and a fix, two trees, a cargo workspace.
//!
//! [`build`] copies the running program's sources, builds the copy where it seems to lie at the tree's own path, with
//! [shims](run_as_tool) in front of compilers and linkers that add `-ffunction-sections -fdata-sections -g` and record what
//! really went into each link; makes the new side from it, compiling only what the change touches; and hands the objects
//! of both sides to `liveline-diff`, which proves that the old ones are the running program.
#![forbid(unsafe_code)]

mod cargo;
mod command;
mod compiler;
pub mod debian;
pub(crate) mod describe;
mod explain;
mod fix;
mod identity;
mod keeper;
mod record;
mod run;
mod rustc;
mod scratch;
mod shim;
mod side;
mod stage;
mod stop;
mod tree;
mod unseen;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use liveline_diff::{DiffError, Report};
use liveline_patch::{Requirement, VerdictKind};

pub use explain::{Difference, Fate, Touched};
pub use fix::Change;
pub use identity::Kept;
pub use shim::run as run_as_tool;
pub use stop::stop_flag;

use crate::scratch::Scratch;
use crate::side::{New, Plan, Products, Side};

/// What to make a patch from.
#[derive(Clone, Debug)]
pub struct Request {
    /// Sources of the running program.
    pub source: PathBuf,
    /// What makes the new side of it.
    pub change: Change,
    /// The path the program was built at, if not that of [`Self::source`].
    pub built_at: Option<PathBuf>,
    /// The command that builds, run in the tree.
    pub command: Vec<OsString>,
    /// It is cargo's: the whole workspace is built, and the folder of its products is no source.
    pub cargo: bool,
    /// The program or library as it runs.
    pub running: PathBuf,
    /// Its unstripped twin, where it is stripped.
    pub debug: Option<PathBuf>,
    /// Which product of the build it is, by the end of its path, where the name doesn't tell.
    pub product: Option<PathBuf>,
    /// Where old sides are kept: an absolute path without symbolic links.
    pub cache: PathBuf,
    /// Name of the patch.
    pub name: String,
    /// Version of the patch.
    pub version: String,
    /// Patches that must be there before it.
    pub requires: Vec<Requirement>,
    /// Types whose changed layout is accepted.
    pub assume: Vec<String>,
    /// Objects without debug information are accepted.
    pub no_types: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Made {
    /// The comparison, and the patch.
    pub report: Report,
    /// Files of the tree that the change touches, with what became of them.
    pub touched: Vec<Touched>,
    /// Objects that differ although nothing they were made from does: the build is not deterministic there.
    pub unstable: Vec<Difference>,
    /// Compilers that the running program names and this build does not.
    pub other_compilers: Vec<String>,
    /// Compilations on the old side; none if it was taken from the cache.
    pub compiled_old: Option<usize>,
    /// Compilations on the new side.
    pub compiled_new: usize,
    /// Objects whose making was not seen, and which the fix does not reach for all that is known.
    pub unseen: Vec<PathBuf>,
    /// Packages that the change raises to another version, and that are compiled under the one that runs.
    pub kept: Vec<Kept>,
    /// Why the change makes other crates of them, if it does.
    pub identity_lost: Option<String>,
    /// A compiler cache of the user's that was not asked: its server would not see the copies.
    pub cache_left_out: Option<OsString>,
    /// The product that was compared, from the root of the tree.
    pub product: PathBuf,
}

/// How far it has come.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// The tree is being copied.
    Copying,
    /// A side is being built.
    Building {
        /// `old` or `new`.
        side: &'static str,
        /// Steps of compilers and linkers that are done.
        steps: usize,
    },
    /// A side has been built, or could not be.
    Built {
        /// `old` or `new`.
        side: &'static str,
        /// Steps of compilers and linkers.
        steps: usize,
    },
    /// Both sides are being compared.
    Comparing,
}

/// The objects of one side of a product.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) objects: PathBuf,
    pub(crate) count: usize,
    pub(crate) comments: BTreeSet<String>,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A copy could not be made.
    #[error("cannot write {path}: {source}")]
    Copy {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {tool}: {source}")]
    Tool {
        /// Which.
        tool: String,
        /// Why.
        source: io::Error,
    },
    /// No command was given.
    #[error("no build command was given")]
    NoCommand,
    /// A patch does not fit the sources.
    #[error("{fix} does not apply to these sources:\n{said}")]
    Fix {
        /// Which.
        fix: PathBuf,
        /// What `patch` said.
        said: String,
    },
    /// What is named as a fix is no file.
    #[error("{fix} is no regular file")]
    FixIsNoFile {
        /// Which.
        fix: PathBuf,
    },
    /// A fix names binary files and nothing else.
    #[error("the fix only says that binary files differ, and does not hold what is in them: {}", list(.files))]
    OnlyBinary {
        /// Which.
        files: Vec<PathBuf>,
    },
    /// A fix holds a binary file as git encodes it.
    #[error("{fix} holds the binary file {path}, which patch cannot apply")]
    BinaryFix {
        /// Which fix.
        fix: PathBuf,
        /// Which file.
        path: PathBuf,
    },
    /// The two sides have the same sources.
    #[error("the change touches nothing: both sides have the same sources")]
    SameTrees,
    /// The build failed.
    #[error("the build of the {side} side failed ({status}); its last words, from {log}:\n{tail}")]
    Build {
        /// `old` or `new`.
        side: &'static str,
        /// How it ended.
        status: String,
        /// The end of its output.
        tail: String,
        /// All of its output.
        log: PathBuf,
        /// There is no disk space left.
        full: bool,
    },
    /// Nothing was seen of the build.
    #[error("the build ran {compiled} compilations and no link that could be recorded (its output: {log})")]
    NothingLinked {
        /// Compilations that were seen.
        compiled: usize,
        /// Its output.
        log: PathBuf,
    },
    /// cargo knows no workspace there.
    #[error("cargo finds no workspace in {folder}:\n{said}")]
    NoWorkspace {
        /// Where.
        folder: PathBuf,
        /// What cargo said.
        said: String,
    },
    /// Sources cannot be put in the place of others.
    #[error(
        "{folder} can be stood in for only where mount namespaces can be made, and here they cannot: {reason}"
    )]
    NoNamespace {
        /// Which folder.
        folder: PathBuf,
        /// What was said.
        reason: String,
    },
    /// The folder cargo would build in is not there to be stood in for.
    #[error("{folder}, where cargo would put what it builds, does not exist")]
    NoProducts {
        /// Which.
        folder: PathBuf,
    },
    /// The build made several things, or none, that the running program could be.
    #[error("which product of the build {running} is cannot be told; it made: {}", .products.join(", "))]
    WhichProduct {
        /// The running program.
        running: PathBuf,
        /// What it could be.
        products: Vec<String>,
    },
    /// A product was named that was not made.
    #[error("this build links no {product}; it made: {}", .products.join(", "))]
    NoSuchProduct {
        /// Which.
        product: PathBuf,
        /// What was linked.
        products: Vec<String>,
    },
    /// Nothing tells who reads a file of the change.
    #[error(
        "part of the fix, and read by no compilation that was seen: {files}; how these objects are made was not seen: \
         {objects}"
    )]
    Unseen {
        /// Files of the change.
        files: String,
        /// Objects of the product.
        objects: String,
    },
    /// The same program, built otherwise.
    #[error("{product} is another build than {running}, which runs: that has no {function}")]
    OtherBuild {
        /// The running program.
        running: PathBuf,
        /// What was built.
        product: String,
        /// A changed function.
        function: String,
    },
    /// The new side lacks it.
    #[error("the new side did not link {product} (its output: {log})")]
    NotLinkedAgain {
        /// Which.
        product: String,
        /// The new side's output.
        log: PathBuf,
    },
    /// The new build leaves out a file that the old one compiled.
    #[error("{path} is part of the change and of the old build, but the new build did not compile it")]
    NotCompiled {
        /// Which.
        path: PathBuf,
    },
    /// Another compiler.
    #[error("the running program was made by {running}; this build was made by {built}")]
    OtherCompiler {
        /// What the program's `.comment` says.
        running: String,
        /// What the objects' say.
        built: String,
    },
    /// Another program.
    #[error(
        "{running} is another program than {product}: of {all} functions that either has, both have {common}"
    )]
    OtherProgram {
        /// The running program.
        running: PathBuf,
        /// What was built.
        product: String,
        /// Functions that both have.
        common: usize,
        /// Functions that either has.
        all: usize,
    },
    /// An archive is damaged.
    #[error("{path} is not a readable archive: {reason}")]
    Archive {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The cache is among what is to be copied to it.
    #[error("the cache {cache} lies in {tree}, which is copied to the cache and stood in for by the copy")]
    CacheInTree {
        /// Where old sides are kept.
        cache: PathBuf,
        /// Sources.
        tree: PathBuf,
    },
    /// It was asked to stop.
    #[error("stopped: no patch was written, and nothing was changed")]
    Stopped,
    /// The comparison could not be made.
    #[error(transparent)]
    Diff(#[from] DiffError),
}

impl BuildError {
    /// Whether a log of the build is named in it, which has to be there to be read.
    fn names_log(&self) -> bool {
        !stop::is_asked() && matches!(self, BuildError::Build { .. })
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Builds both sides and compares them. Nothing is written to the user's tree, nor to the system.
pub fn build(request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Made, BuildError> {
    // Whatever it was that noticed.
    build_unless_stopped(request, progress)
        .map_err(|error| if stop::is_asked() { BuildError::Stopped } else { error })
}

fn build_unless_stopped(request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Made, BuildError> {
    if request.command.is_empty() {
        return Err(BuildError::NoCommand);
    }
    // Before minutes of building.
    let not_in_fix = request.change.check()?;
    let canonical =
        |path: &Path| path.canonicalize().map_err(|source| BuildError::Read { path: path.into(), source });
    let mut source = canonical(&request.source)?;
    canonical(&request.running)?;
    let (mut folder, mut products) = (PathBuf::new(), Products::Mixed);
    if request.cargo {
        let found = cargo::workspace(&source, &request.command)?;
        folder = source.strip_prefix(&found.root).map(Path::to_owned).unwrap_or_default();
        products = match found.products.strip_prefix(&found.root) {
            Ok(inner) => Products::Inside(inner.into()),
            Err(_) if found.products.is_dir() => Products::Outside(found.products),
            Err(_) => return Err(BuildError::NoProducts { folder: found.products }),
        };
        source = found.root;
    }
    // Who names the place of a member means the workspace around it.
    let depth = folder.components().count();
    let place = request.built_at.as_deref().map(|at| at.ancestors().nth(depth).unwrap_or(at));
    let plan = Plan {
        source: &source,
        place: place.unwrap_or(&source),
        folder: &folder,
        command: &request.command,
        products,
        cache: &request.cache,
    };
    for tree in [Some(plan.source), Some(plan.place), request.change.tree()].into_iter().flatten() {
        let tree = tree.canonicalize().unwrap_or_else(|_| tree.to_owned());
        if request.cache.starts_with(&tree) {
            return Err(BuildError::CacheInTree { cache: request.cache.clone(), tree });
        }
    }
    std::fs::create_dir_all(&request.cache)
        .map_err(|source| BuildError::Copy { path: request.cache.clone(), source })?;
    scratch::sweep(&request.cache);
    let old = plan.old(progress)?;
    // Before the new side is built: what is wrong with the old one needs no waiting.
    let link = stage::choose(&plan, &old, &request.running, request.product.as_deref())?;
    let work = Scratch::new(&request.cache)
        .map_err(|source| BuildError::Copy { path: request.cache.clone(), source })?;
    let before = stage::stage(&plan, &old, link, &work.path().join("objects-old"))?;
    let other_compilers = compiler::check(&request.running, &before.comments)?;
    let New { side: new, touched, identity } =
        match plan.new_side(&old, link, &request.change, work.path(), progress) {
            Ok(made) => made,
            Err(error) => {
                if error.names_log() {
                    work.keep();
                }
                return Err(error);
            }
        };
    let unseen = unseen::find(&plan, &old, link)?;
    unseen::check(&plan, (&old, &new), &unseen, &touched)?;
    let again = stage::counterpart(&plan, &old, link, &new)?;
    let after = stage::stage(&plan, &new, again, &work.path().join("objects-new"))?;
    let described = plan.describe((&old, link), (&new, again), &identity, work.path(), progress)?;
    let twin = plan.in_copy(&link.output, &old.tree).filter(|_| request.cargo);
    let compared = liveline_diff::Request {
        old: before.objects,
        new: after.objects,
        target: request.running.clone(),
        // cargo strips last: what it stripped is what the old side has.
        debug: request.debug.clone().or(twin.filter(|_| compiler::is_stripped(&request.running))),
        name: request.name.clone(),
        version: request.version.clone(),
        requires: request.requires.clone(),
        assume: request.assume.clone(),
        no_types: request.no_types,
    };
    progress(Progress::Comparing);
    let debug = compared.debug.clone();
    let report = stop::unless_asked(move || match &described {
        Some(described) => liveline_diff::diff_described(&compared, described),
        None => liveline_diff::diff(&compared),
    })
    .map_err(|source| BuildError::Tool { tool: "the comparison".into(), source })??;
    let absent = report.verdicts.iter().filter(|verdict| verdict.verdict == VerdictKind::NotLinked);
    let absent: Vec<&str> = absent.map(|verdict| verdict.symbol.as_str()).collect();
    if report.patch.is_none() && !report.refused && !absent.is_empty() {
        let running = debug.as_deref().unwrap_or(&request.running);
        stage::check_same_program(&plan, &old, link, running, &absent)?;
    }
    Ok(Made {
        report,
        touched: explain::touched(&plan, (&old, &new), &unseen, &touched, not_in_fix),
        unstable: explain::unstable(&plan, &old, &new, &touched),
        other_compilers,
        compiled_old: (!old.cached).then(|| old.compiles().count()),
        compiled_new: new.compiles().count(),
        unseen: unseen::paths(&unseen),
        kept: identity.kept,
        identity_lost: identity.lost,
        cache_left_out: run::cache_left_out(),
        product: plan.relative(&link.output, &old.tree).unwrap_or_default(),
    })
}

impl Side {
    /// Where a file of the tree lies in this side's copy.
    pub(crate) fn file(&self, relative: &Path) -> PathBuf {
        self.tree.join(relative)
    }
}
