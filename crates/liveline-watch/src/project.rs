//! The package that is a module: which one, what it is made of here, and how it is built.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cargo_metadata::{CrateType, Message, Metadata, MetadataCommand, Package, PackageId, TargetKind};

use crate::WatchError;

const MANIFEST: &str = "Cargo.toml";

/// A package that is built as a module.
#[derive(Debug)]
pub struct Project {
    package: String,
    manifest: PathBuf,
    /// The folders of the package and of all that it is made of and that lies here, not in a registry.
    folders: Vec<PathBuf>,
    /// The workspace's own manifest, which may lie in none of them.
    workspace: PathBuf,
    /// Where cargo builds.
    products: PathBuf,
    /// What the user says to cargo.
    words: Vec<OsString>,
    /// The packages that it is made of and that lie here, by the names of their crates.
    locals: BTreeMap<String, String>,
    /// Of those, the ones that are told apart from earlier builds, and by which number.
    apart: BTreeMap<String, u32>,
}

/// A module that was built.
#[derive(Debug)]
pub struct Built {
    /// The shared library.
    pub module: PathBuf,
}

impl Project {
    /// Finds the package, or the only one of the workspace that is a shared library. `words` go to cargo with each build.
    ///
    /// # Errors
    /// There is no workspace, or it does not tell which package it is.
    pub fn find(folder: &Path, package: Option<&str>, words: &[OsString]) -> Result<Self, WatchError> {
        let mut command = MetadataCommand::new();
        // What other systems need need not be here.
        let mut options = of_workspace(words);
        options.extend(host(folder)?.map(|host| format!("--filter-platform={host}")));
        command.current_dir(folder).other_options(options);
        let metadata = command.exec().map_err(|error| {
            let said = match error {
                cargo_metadata::Error::CargoMetadata { stderr } => {
                    let words = stderr.trim_end();
                    words.strip_prefix("error: ").unwrap_or(words).to_owned()
                }
                other => other.to_string(),
            };
            WatchError::NoWorkspace { folder: folder.to_path_buf(), said }
        })?;
        let own = chosen(&metadata, package)?;
        if !own.targets.iter().any(|target| target.kind.iter().any(is_library)) {
            return Err(WatchError::NoPackage(format!("{} has no library", own.name)));
        }
        Ok(Self {
            package: own.name.to_string(),
            manifest: own.manifest_path.clone().into(),
            folders: folders(&metadata, &own.id),
            workspace: metadata.workspace_root.join(MANIFEST).into(),
            products: metadata.target_directory.clone().into(),
            words: words.to_vec(),
            locals: local(&metadata, &own.id).into_iter().filter_map(library).collect(),
            apart: BTreeMap::new(),
        })
    }

    /// From here on these crates are built under other names than any build before, as far as they lie here; whether any
    /// does. Two builds of one crate in a program would have types of one name.
    pub fn tell_apart(&mut self, crates: &[String]) -> bool {
        let number = now().as_secs().try_into().unwrap_or(u32::MAX);
        let packages: Vec<String> = crates.iter().filter_map(|name| self.locals.get(name).cloned()).collect();
        let are_any = !packages.is_empty();
        for package in packages {
            let last = self.apart.entry(package).or_default();
            *last = number.max(last.saturating_add(1));
        }
        are_any
    }

    /// What was told apart before its manifests changed still is.
    pub fn follows(&mut self, before: Self) {
        self.apart = before.apart;
    }

    /// Its name.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// The folders of sources whose change is a reason to build.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Whether a change of the file may change what the package is made of.
    pub fn is_manifest(file: &Path) -> bool {
        file.file_name().is_some_and(|name| name == MANIFEST)
    }

    pub(crate) fn workspace(&self) -> &Path {
        &self.workspace
    }

    pub(crate) fn products(&self) -> &Path {
        &self.products
    }

    /// Builds the module, under another `-C metadata` than any build before it: two builds of one crate in a program
    /// would have types of one name. What cargo says goes to standard error.
    ///
    /// # Errors
    /// It does not build, or is no shared library.
    pub fn build(&self) -> Result<Built, WatchError> {
        let number = now().as_micros();
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args([
            "rustc",
            "--lib",
            "--crate-type",
            "cdylib",
            "--message-format",
            "json-render-diagnostics",
        ]);
        command.arg("--manifest-path").arg(&self.manifest);
        // Each build is another crate to rustc: what it keeps for the next one would only pile up.
        command.arg("--config").arg(format!(
            "profile.{}.package.{}.incremental=false",
            profile(&self.words),
            self.package
        ));
        // Cargo's names for a build come of its profile too, and all else in it would change more: so many units a crate of
        // usual size does not have, so it is compiled module by module.
        for (package, number) in &self.apart {
            let profile = profile(&self.words);
            command
                .arg("--config")
                .arg(format!("profile.{profile}.package.{package}.codegen-units={number}"))
                .arg("--config")
                .arg(format!("profile.{profile}.package.{package}.incremental=false"));
        }
        command.args(&self.words);
        // What comes behind the user's own `--` is rustc's, and so is ours.
        if !self.words.iter().any(|word| word == "--") {
            command.arg("--");
        }
        command.args(["-C", &format!("metadata=liveline-{number}")]);
        // The program keeps the file of each build for backtraces.
        command.args(["-C", "link-arg=-Wl,--compress-debug-sections=zlib"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(WatchError::Cargo)?;
        let output = child.stdout.take().expect("a pipe");
        let mut module = None;
        for message in Message::parse_stream(BufReader::new(output)) {
            let Ok(Message::CompilerArtifact(artifact)) = message else { continue };
            if artifact.manifest_path == *self.manifest && artifact.target.kind.iter().any(is_library) {
                let shared = artifact.filenames.iter().find(|file| file.extension() == Some("so"));
                module = shared.map(|file| PathBuf::from(file.clone())).or(module);
            }
        }
        let status = child.wait().map_err(WatchError::Cargo)?;
        if !status.success() {
            return Err(WatchError::Build { package: self.package.clone() });
        }
        let module = module.ok_or_else(|| WatchError::NoModule { package: self.package.clone() })?;
        Ok(Built { module })
    }
}

/// The package that is meant.
fn chosen<'m>(metadata: &'m Metadata, name: Option<&str>) -> Result<&'m Package, WatchError> {
    let members = metadata.workspace_packages();
    if let Some(name) = name {
        let found = members.iter().find(|package| *package.name == name);
        return found
            .copied()
            .ok_or_else(|| WatchError::NoPackage(format!("there is no {name} in this workspace")));
    }
    let shared: Vec<&Package> = members.into_iter().filter(|package| is_shared(package)).collect();
    let here = metadata.root_package().filter(|root| shared.iter().any(|package| package.id == root.id));
    match (here, shared.as_slice()) {
        (Some(package), _) => Ok(package),
        (None, [package]) => Ok(*package),
        (None, []) => Err(WatchError::NoPackage("none here has crate-type = [\"cdylib\"]".to_owned())),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|package| package.name.as_str()).collect();
            Err(WatchError::NoPackage(format!("there are {}", names.join(", "))))
        }
    }
}

fn is_shared(package: &Package) -> bool {
    package
        .targets
        .iter()
        .any(|target| target.crate_types.contains(&CrateType::CDyLib) && target.kind.iter().any(is_library))
}

fn is_library(kind: &TargetKind) -> bool {
    matches!(
        kind,
        TargetKind::Lib | TargetKind::RLib | TargetKind::CDyLib | TargetKind::DyLib | TargetKind::StaticLib
    )
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The names of a package's library, as a crate, and of the package.
fn library(package: &Package) -> Option<(String, String)> {
    let library = package.targets.iter().find(|target| target.kind.iter().any(is_library))?;
    Some((library.name.replace('-', "_"), package.name.to_string()))
}

/// The folders of a package and of those it needs, as far as they are no registry's.
fn folders(metadata: &Metadata, own: &PackageId) -> Vec<PathBuf> {
    let manifests = local(metadata, own).into_iter().map(|package| &package.manifest_path);
    let mut out: Vec<PathBuf> = manifests.filter_map(|path| path.parent()).map(PathBuf::from).collect();
    out.sort();
    out
}

/// A package and those it needs, as far as they are no registry's.
fn local<'m>(metadata: &'m Metadata, own: &'m PackageId) -> Vec<&'m Package> {
    let packages: BTreeMap<&PackageId, &Package> =
        metadata.packages.iter().map(|one| (&one.id, one)).collect();
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let needs: BTreeMap<&PackageId, &Vec<PackageId>> =
        nodes.map(|node| (&node.id, &node.dependencies)).collect();
    let (mut seen, mut open, mut out) = (BTreeSet::from([own]), vec![own], Vec::new());
    while let Some(id) = open.pop() {
        out.extend(packages.get(id).filter(|package| package.source.is_none()));
        open.extend(needs.get(id).into_iter().copied().flatten().filter(|next| seen.insert(next)));
    }
    out
}

/// Of the words for a build, those that cargo does not pass on to rustc.
fn of_cargo(words: &[OsString]) -> impl Iterator<Item = &str> {
    words.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str())
}

/// Of the words for a build, those that say which workspace it is of, and how it is found.
fn of_workspace(words: &[OsString]) -> Vec<String> {
    let mut out = Vec::new();
    let mut words = of_cargo(words);
    while let Some(word) = words.next() {
        match word {
            "--offline" | "--locked" | "--frozen" => out.push(word.to_owned()),
            "--config" | "--manifest-path" => {
                out.push(word.to_owned());
                out.extend(words.next().map(str::to_owned));
            }
            _ if word.starts_with("--config=") || word.starts_with("--manifest-path=") => {
                out.push(word.to_owned())
            }
            _ => {}
        }
    }
    out
}

/// The system that is built for, in rustc's words; a folder may choose a toolchain of its own.
fn host(folder: &Path) -> Result<Option<String>, WatchError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("-vV").current_dir(folder).output().map_err(WatchError::Cargo)?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(said.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned))
}

/// The profile that the words for a build choose.
fn profile(words: &[OsString]) -> &str {
    let mut chosen = "dev";
    let mut words = of_cargo(words);
    while let Some(word) = words.next() {
        match word {
            "--release" | "-r" => chosen = "release",
            "--profile" => chosen = words.next().unwrap_or(chosen),
            _ => chosen = word.strip_prefix("--profile=").unwrap_or(chosen),
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_profile_is_the_one_that_cargo_is_told() {
        assert_eq!(profile(&words(&[])), "dev");
        assert_eq!(profile(&words(&["--features", "x", "-r"])), "release");
        assert_eq!(profile(&words(&["--profile=slow"])), "slow");
        assert_eq!(profile(&words(&["--profile", "slow"])), "slow");
        assert_eq!(profile(&words(&["--", "--release"])), "dev");
    }

    #[test]
    fn a_workspace_is_looked_for_as_the_build_does() {
        let build = words(&["--release", "--offline", "--config", "a=1", "--config=b=2"]);
        assert_eq!(of_workspace(&build), ["--offline", "--config", "a=1", "--config=b=2"]);
    }
}
