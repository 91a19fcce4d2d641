//! A package and its security update, to patches.

use std::path::{Path, PathBuf};

use liveline_diff::Report;
use liveline_patch::Requirement;

use super::archive::{kept_source, newer};
use super::contents::{self, Beyond, ChangedProgram, Changes};
use super::error::{DebianError, Result, Tried};
use super::pins::{Pins, pins};
use super::proof::Proof;
use super::rebuild::{Built, Recipe};
use super::source::patches;
use super::{Archive, Room};
use crate::stop;

/// What to make patches of.
#[derive(Clone, Debug)]
pub struct Request {
    /// Source package.
    pub source: String,
    /// The version that runs.
    pub old: String,
    /// The newer version.
    pub new: String,
    /// Only this program or library, by its path in the system.
    pub program: Option<PathBuf>,
    /// Name of the patch, where it is not to be that of program and version.
    pub name: Option<String>,
    /// Version of the patches.
    pub version: String,
    /// Patches that must be there before them.
    pub requires: Vec<Requirement>,
    /// Types whose changed layout is accepted.
    pub assume: Vec<String>,
    /// Objects without debug information are accepted.
    pub no_types: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Update {
    /// The programs and libraries that changed.
    pub programs: Vec<Patched>,
    /// Programs and libraries that load the same bytes in both versions.
    pub same: Vec<PathBuf>,
    /// What else it touches.
    pub beyond: Vec<Beyond>,
    /// Patches of the source package that only the newer version has.
    pub patches: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What came of one program or library.
#[derive(Debug)]
pub struct Patched {
    /// The binary package.
    pub package: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Links that lead to it.
    pub links: Vec<PathBuf>,
    /// Name of the patch: `redis-server-7.0.15-1~deb12u10`.
    pub name: String,
    /// Name for its file, without an ending: `redis-redis-server`.
    pub file: String,
    /// By what the rebuilt program is known to be the stock one; none if the build made nothing like it.
    pub proof: Option<Proof>,
    /// The comparison; an error says why there is none.
    pub report: std::result::Result<Report, String>,
}

/// Rebuilds both versions of a package and compares them. Nothing is written to the system.
pub fn update(request: &Request, archive: &Archive) -> Result<Update> {
    let made = update_unless_stopped(request, archive);
    // Whatever it was that noticed, and whether or not the rest could be done without.
    if stop::is_asked() { Err(DebianError::Stopped) } else { made }
}

fn update_unless_stopped(request: &Request, archive: &Archive) -> Result<Update> {
    let (source, old, new) = (&*request.source, &*request.old, &*request.new);
    let folder = |version: &str| archive.kept(source).join(format!("source-{version}"));
    let there = archive.sources(source)?;
    for version in [old, new] {
        // What was fetched before is good, even if the archive has moved on since.
        if kept_source(&folder(version)).is_none() && !there.iter().any(|own| own == version) {
            return Err(DebianError::NoSource { package: source.into(), version: version.into(), there });
        }
    }
    if !newer(new, old) {
        return Err(DebianError::NotNewer { old: old.into(), new: new.into() });
    }
    let _lock = lock(&archive.kept(source))?;
    archive.say(&format!("fetching the packages of {source} {old} and {new}"));
    let dsc = archive.source(source, old, &folder(old))?;
    let before = patches(&dsc)?;
    let after = patches(&archive.source(source, new, &folder(new))?)?;
    let patches = after.into_iter().filter(|patch| !before.contains(patch)).collect();
    let (packages, notes) = contents::fetch(archive, &dsc, (source, old, new))?;
    let Changes { programs, same, beyond } = contents::compare(&packages)?;
    let mut update = Update { programs: Vec::new(), same, beyond, patches, notes };
    let wanted = wanted(request, &programs, &update.same)?;
    if !wanted.is_empty() {
        build(request, archive, &dsc, (&programs, &wanted), &mut update)?;
    }
    Ok(update)
}

/// One update of a package at a time.
fn lock(folder: &Path) -> Result<nix::fcntl::Flock<std::fs::File>> {
    std::fs::create_dir_all(folder).tried(format!("make {}", folder.display()))?;
    let file = std::fs::File::create(folder.join("lock")).tried(format!("write {}", folder.display()))?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive)
        .map_err(|(_, error)| DebianError::Failed(format!("lock {}: {error}", folder.display())))
}

/// Those of the changed programs that were asked for.
fn wanted(request: &Request, programs: &[ChangedProgram], same: &[PathBuf]) -> Result<Vec<usize>> {
    let Some(path) = &request.program else { return Ok((0..programs.len()).collect()) };
    // What /bin and /lib lead to where these are links.
    let usr = |path: &Path| match path.strip_prefix("/usr") {
        Ok(rest) => Path::new("/").join(rest),
        Err(_) => path.to_owned(),
    };
    let named = |own: &PathBuf| usr(own) == usr(path);
    let found: Vec<usize> = (0..programs.len())
        .filter(|i| named(&programs[*i].path) || programs[*i].links.iter().any(named))
        .collect();
    if found.is_empty() && !same.iter().any(named) {
        let there = programs.iter().map(|program| &program.path).chain(same);
        return Err(DebianError::NoProgram {
            source_package: request.source.clone(),
            version: request.old.clone(),
            program: path.display().to_string(),
            there: there.map(|path| path.display().to_string()).collect(),
        });
    }
    Ok(found)
}

fn build(
    request: &Request,
    archive: &Archive,
    dsc: &Path,
    (programs, wanted): (&[ChangedProgram], &[usize]),
    update: &mut Update,
) -> Result<()> {
    Room::check()?;
    archive.install(&["dpkg-dev", "patch"])?;
    let stock: Vec<&Path> = programs.iter().map(|program| &*program.old).collect();
    let Pins { packages, place, notes, unknown } =
        pins(archive, dsc, (&request.source, &request.old), &stock)?;
    for note in &notes {
        archive.say(note);
    }
    update.notes.extend(notes);
    let room = Room::open(archive, &request.source, &request.old, &packages)?;
    let recipe = |version: &str| Recipe {
        name: format!("{version}-as-stock-{}", packages.join(",")),
        package: request.source.clone(),
        version: version.into(),
        leave_out: 0,
        place: place.clone(),
        changes: Vec::new(),
        sections: false,
        products: Vec::new(),
        rules: String::new(),
    };
    // All that changed, whatever was asked for: the next question is answered by the same builds.
    let (twin, products) = recipe(&request.old).build_like(archive, &room, &stock)?;
    let mut proofs = Vec::new();
    for (program, product) in programs.iter().zip(&products) {
        let proof = product.as_ref().map(|product| Proof::of(&program.old, &twin.program(product)));
        proofs.push(proof.transpose()?);
    }
    for &index in wanted {
        archive.say(&format!("{}: {}", programs[index].path.display(), proved(proofs[index].as_ref())));
    }
    // Where the same bytes came out, it does no harm that they were guessed.
    if !proofs.iter().all(|proof| proof.as_ref().is_some_and(Proof::holds)) {
        update.notes.extend(unknown);
    }
    // Without a proof nothing can come of the other builds.
    let proved = |index: &usize| proofs[*index].as_ref().is_some_and(Proof::holds);
    let sides = if wanted.iter().any(proved) {
        let mut made: Vec<String> = products.iter().flatten().cloned().collect();
        made.sort();
        made.dedup();
        let side = |version: &str| {
            let recipe = Recipe { products: made.clone(), ..recipe(version).with_sections() };
            recipe.build_partly(archive, &room)
        };
        Some((side(&request.old)?, side(&request.new)?))
    } else {
        None
    };
    for &index in wanted {
        let program = &programs[index];
        let name = name(request, program);
        let report = match (&products[index], &proofs[index], &sides) {
            (Some(product), Some(proof), Some((old, new))) if proof.holds() => {
                archive.say(&format!("comparing {}", program.path.display()));
                compare(request, program, product, &name, (&twin, old, new))
            }
            (_, proof, _) => Err(self::proved(proof.as_ref())),
        };
        update.programs.push(Patched {
            package: program.package.clone(),
            path: program.path.clone(),
            links: program.links.clone(),
            name,
            file: file(request, program, programs),
            proof: proofs[index].clone(),
            report,
        });
    }
    Ok(())
}

fn proved(proof: Option<&Proof>) -> String {
    match proof {
        None => "the build made nothing like the stock file".into(),
        Some(proof) if proof.holds() => format!("the rebuilt file is the stock one: {}", proof.words()),
        Some(proof) => format!("the rebuilt file is not the stock one; there differ {}", proof.words()),
    }
}

fn compare(
    request: &Request,
    program: &ChangedProgram,
    product: &str,
    name: &str,
    (twin, old, new): (&Built, &Built, &Built),
) -> std::result::Result<Report, String> {
    if let Some(why) = old.missing(product).or_else(|| new.missing(product)) {
        return Err(why);
    }
    let request = liveline_diff::Request {
        old: old.objects(product),
        new: new.objects(product),
        target: program.old.clone(),
        debug: Some(twin.program(product)),
        name: name.into(),
        version: request.version.clone(),
        requires: request.requires.clone(),
        assume: request.assume.clone(),
        no_types: request.no_types,
    };
    liveline_diff::diff(&request).map_err(|error| error.to_string())
}

/// By the name that was asked for, or the file's own.
fn name(request: &Request, program: &ChangedProgram) -> String {
    if let Some(name) = &request.name {
        return name.clone();
    }
    let version = request.new.split_once(':').map_or(&*request.new, |(_, rest)| rest);
    let path = request.program.as_ref().unwrap_or(&program.path);
    in_alphabet(&format!("{}-{version}", file_name(path)))
}

/// By the path in the system where two programs have one name.
fn file(request: &Request, program: &ChangedProgram, all: &[ChangedProgram]) -> String {
    let path = request.program.as_ref().unwrap_or(&program.path);
    let alike = all.iter().filter(|other| file_name(&other.path) == file_name(path)).count();
    let name = if alike > 1 {
        path.to_string_lossy().trim_start_matches('/').replace('/', "-")
    } else {
        file_name(path)
    };
    in_alphabet(&format!("{}-{name}", request.source))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A patch's name has an alphabet of its own.
fn in_alphabet(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._+~:-".contains(c) { c } else { '-' }).collect()
}
