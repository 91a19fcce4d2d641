//! The identity of crates, kept as the running program has it.
//!
//! cargo makes `-C metadata` of each package's version, and rustc every symbol's name of that: with one version raised,
//! no name of one build means anything in the other. So the sources of the new version are compiled under the old one:
//! members keep their manifests, and the new sources of a package of a registry are put in the place of the old ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cargo::values;
use crate::{BuildError, tree};

/// A package whose new sources are compiled under the version that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// The version that runs.
    pub running: String,
    /// The version whose sources it is.
    pub sources: String,
}

/// What is done so that names stay as they are.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) kept: Vec<Kept>,
    /// Folders, and where each must seem to lie.
    pub(crate) overlays: Vec<(PathBuf, PathBuf)>,
    /// Why names cannot stay as they are.
    pub(crate) lost: Option<String>,
}

/// What `cargo metadata` says of a package.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    manifest_path: PathBuf,
    edition: String,
    links: Option<String>,
    dependencies: Vec<Value>,
    features: Value,
    targets: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// Whether a file says which packages a workspace is made of.
fn names_packages(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "Cargo.toml" || name == "Cargo.lock")
}

/// Both trees, and what is common to their builds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trees<'a> {
    pub(crate) old: &'a Path,
    pub(crate) new: &'a Path,
    /// Where either seems to lie.
    pub(crate) place: &'a Path,
    /// Where in it the command is run.
    pub(crate) folder: &'a Path,
    pub(crate) command: &'a [OsString],
}

/// Looks at what a change does to versions, and takes that back in the new sources. `scratch` is where sources may be
/// put together.
pub(crate) fn keep(
    trees: Trees,
    touched: &BTreeSet<PathBuf>,
    scratch: &Path,
) -> Result<Identity, BuildError> {
    let Trees { old, new, folder, command, .. } = trees;
    let mut out = Identity::default();
    if !touched.iter().any(|path| names_packages(path)) {
        return Ok(out);
    }
    let (before, after) = (packages(&old.join(folder), command)?, packages(&new.join(folder), command)?);
    let key = |package: &Package| (package.name.clone(), package.version.clone(), package.source.clone());
    let (had, has): (BTreeSet<_>, BTreeSet<_>) =
        (before.iter().map(key).collect(), after.iter().map(key).collect());
    if had == has {
        return Ok(out);
    }
    let by_name = |all: &'_ [Package], others: &BTreeSet<_>| -> BTreeMap<String, Vec<usize>> {
        let mut out: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, package) in all.iter().enumerate().filter(|(_, package)| !others.contains(&key(package)))
        {
            out.entry(package.name.clone()).or_default().push(index);
        }
        out
    };
    let (gone, come) = (by_name(&before, &has), by_name(&after, &had));
    let names: BTreeSet<&String> = gone.keys().chain(come.keys()).collect();
    let mut raised = Vec::new();
    for name in names {
        match (gone.get(name).map(Vec::as_slice), come.get(name).map(Vec::as_slice)) {
            (Some(&[a]), Some(&[b])) => raised.push((&before[a], &after[b])),
            _ => {
                out.lost = Some(format!("{name} is not one package before and one after"));
                return Ok(out);
            }
        }
    }
    for (was, is) in &raised {
        if was.source != is.source || shape(was) != shape(is) {
            let (name, from, to) = (&was.name, &was.version, &is.version);
            out.lost = Some(format!(
                "{name} {to} has other dependencies, features or targets than {from}, or comes from elsewhere"
            ));
            return Ok(out);
        }
    }
    // The manifests of vendored packages have been looked at as such.
    let vendored = |path: &Path| {
        let of = |package: &Package| package.source.is_some() && package.manifest_path == new.join(path);
        after.iter().any(of)
    };
    let manifests: Vec<&PathBuf> =
        touched.iter().filter(|path| names_packages(path) && !vendored(path)).collect();
    if let Some(path) = manifests.iter().find(|path| !same_settings(&old.join(path), &new.join(path))) {
        out.lost = Some(format!("{} changes profiles, patches or the resolver", path.display()));
        return Ok(out);
    }
    for path in manifests {
        let copied = |source| BuildError::Copy { path: new.join(path), source };
        fs::copy(old.join(path), new.join(path)).map_err(copied)?;
    }
    for (was, is) in raised {
        if was.source.is_some()
            && let (Some(place), Some(sources)) = (was.manifest_path.parent(), is.manifest_path.parent())
        {
            let mixed = scratch.join(format!("{}-{}", was.name, is.version));
            tree::copy(sources, &mixed, None)?;
            under_old_name(place, &mixed)?;
            // Vendored packages lie in the tree.
            let place = place.strip_prefix(old).map_or(place.to_owned(), |inner| trees.place.join(inner));
            out.overlays.push((mixed, place));
        }
        out.kept.push(Kept {
            name: was.name.clone(),
            running: was.version.clone(),
            sources: is.version.clone(),
        });
    }
    Ok(out)
}

/// Gives new sources the manifest of the old ones, and where cargo checks files, the old ones' entry in the lock file.
fn under_old_name(old: &Path, mixed: &Path) -> Result<(), BuildError> {
    let written = |source| BuildError::Copy { path: mixed.into(), source };
    fs::copy(old.join("Cargo.toml"), mixed.join("Cargo.toml")).map_err(written)?;
    const SUMS: &str = ".cargo-checksum.json";
    if let Ok(text) = fs::read(old.join(SUMS)) {
        let was: Value = serde_json::from_slice(&text).unwrap_or_default();
        let mut sums = json!({ "files": {} });
        if let Some(package) = was.get("package") {
            sums["package"] = package.clone();
        }
        fs::write(mixed.join(SUMS), sums.to_string()).map_err(written)?;
    }
    Ok(())
}

/// All packages that a build in this folder may compile.
fn packages(folder: &Path, command: &[OsString]) -> Result<Vec<Package>, BuildError> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1"]).current_dir(folder).stdin(Stdio::null());
    for flag in ["--offline", "--locked", "--frozen"] {
        if command.iter().any(|word| word == flag) {
            cargo.arg(flag);
        }
    }
    for value in values(command, "--config") {
        cargo.arg("--config").arg(value);
    }
    let output = cargo.output().map_err(|source| BuildError::Tool { tool: "cargo".into(), source })?;
    let unknown = |said: &[u8]| BuildError::NoWorkspace {
        folder: folder.into(),
        said: String::from_utf8_lossy(said).trim_end().to_owned(),
    };
    if !output.status.success() {
        return Err(unknown(&output.stderr));
    }
    let found: Result<Metadata, _> = serde_json::from_slice(&output.stdout);
    found.map(|found| found.packages).map_err(|error| unknown(error.to_string().as_bytes()))
}

/// All of a package that decides how it is compiled, but for versions.
fn shape(package: &Package) -> Value {
    let dependencies = package.dependencies.iter().filter(|one| one["kind"] != "dev").map(|one| {
        let mut one = one.clone();
        if let Some(fields) = one.as_object_mut() {
            fields.retain(|name, _| name != "req" && name != "path");
        }
        one.to_string()
    });
    let dependencies: BTreeSet<String> = dependencies.collect();
    let folder = package.manifest_path.parent().unwrap_or(Path::new(""));
    let built = |one: &&Value| {
        let kinds = one["kind"].as_array().into_iter().flatten();
        kinds.into_iter().all(|kind| kind != "test" && kind != "bench" && kind != "example")
    };
    let targets = package.targets.iter().filter(built).map(|one| {
        let path = one["src_path"].as_str().map(|path| Path::new(path).strip_prefix(folder).ok());
        json!([one["name"], one["kind"], one["crate_types"], one["edition"], path]).to_string()
    });
    let targets: BTreeSet<String> = targets.collect();
    json!([dependencies, targets, package.features, package.edition, package.links])
}

/// Whether two manifests give a build the same settings. Packages, with their dependencies, features and targets, are
/// compared by what cargo says of them.
fn same_settings(old: &Path, new: &Path) -> bool {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    old.file_name().is_some_and(|name| name == "Cargo.lock") || settings(&read(old)) == settings(&read(new))
}

/// The lines of a manifest that decide how everything is built: profiles, patches of dependencies, the resolver.
fn settings(manifest: &str) -> Vec<&str> {
    const SECTIONS: [&str; 3] = ["profile", "patch", "replace"];
    let mut inside = false;
    let mut out = Vec::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(section) = line.strip_prefix('[') {
            inside = SECTIONS.iter().any(|name| section.trim_start_matches('[').starts_with(name));
        }
        let dotted =
            || SECTIONS.iter().any(|name| line.starts_with(name) && line[name.len()..].starts_with('.'));
        if inside || dotted() || line.starts_with("resolver") || line.starts_with("cargo-features") {
            out.push(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_manifests() {
        let one =
            "[package]\nversion = \"1\"\n# profile.x\n[profile.release]\nlto = true\n\n[features]\na = []\n";
        let two = "[package]\nversion = \"2\"\nautolib = false\n[features]\na = []\n[profile.release]\nlto = true\n";
        assert_eq!(settings(one), settings(two));
        for other in [
            "[profile.release]\nlto = false",
            "",
            "profile.release.lto = true",
            "[patch.crates-io]\na = \"1\"",
        ] {
            assert_ne!(settings(one), settings(other), "{other}");
        }
        assert_ne!(settings("[workspace]\nresolver = \"2\""), settings("[workspace]\nresolver = \"3\""));
    }
}
