//! A package and its security update: what runs, its twin with symbols, and the objects of both sides.

use std::path::PathBuf;

use serde::Serialize;

use liveline_build::debian::{Archive, Recipe, Room, TextChange, patches, prove};

use crate::shell::Result;
use crate::trial::{TrialReport, Update, publish};

/// A program or library of the package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    /// Binary package that has it.
    pub(crate) package: &'static str,
    /// Its path in there.
    pub(crate) path: &'static str,
    /// Its path in the build tree.
    pub(crate) product: &'static str,
}

/// A source package at the version that runs and at a newer one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecurityUpdate {
    /// Source package.
    pub(crate) package: &'static str,
    /// The version that runs.
    pub(crate) old: &'static str,
    /// The newer version.
    pub(crate) new: &'static str,
    /// How many of the last patches of `new` the old version has not, for when the archive has lost it.
    pub(crate) patches: usize,
    /// What of it is to be patched.
    pub(crate) programs: &'static [Program],
    /// Versions of build dependencies, as the stock binary tells them.
    pub(crate) pins: &'static [&'static str],
    /// Rules in place of the package's own, so that only what is wanted is built.
    pub(crate) rules: &'static str,
}

/// One program, ready to be updated.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// What runs: the archive's binary, or where that is gone ours, stripped.
    pub(crate) running: PathBuf,
    /// The rebuilt program with its symbols.
    pub(crate) twin: PathBuf,
    /// The objects it was linked from, one section a function.
    pub(crate) old: PathBuf,
    /// The objects of the newer version.
    pub(crate) new: PathBuf,
    /// How the twin was proved to be what runs.
    pub(crate) proof: String,
}

/// All that was built.
pub(crate) struct Prepared {
    /// The programs, in the order of [`SecurityUpdate::programs`].
    pub(crate) sides: Vec<Side>,
    /// The patches by which the newer version differs.
    pub(crate) patches: Vec<String>,
}

impl Side {
    /// The update of it. `assume` are types taken as compatible on our word.
    pub(crate) fn update<'a>(&'a self, name: &'a str, patch: &'a str, assume: &'a [&'a str]) -> Update<'a> {
        let (target, debug, old, new) = (&self.running, &self.twin, &self.old, &self.new);
        Update { name, patch, target, debug, old, new, assume }
    }
}

/// What a task found.
#[derive(Serialize)]
struct Report {
    /// How each twin was proved.
    proofs: Vec<String>,
    patches: Vec<String>,
    trials: Vec<TrialReport>,
}

impl Prepared {
    /// Prints the report; an error if anything is not as it should be.
    pub(crate) fn publish(self, trials: Vec<TrialReport>, json: bool) -> Result<()> {
        let proofs = self.sides.into_iter().map(|side| side.proof).collect();
        let report = Report { proofs, patches: self.patches, trials };
        publish(&report, &report.trials, json)
    }
}

impl SecurityUpdate {
    /// As [`Self::prepare`]; where the archive has not the newer version's source, the newer side is the old one
    /// with `changes`.
    pub(crate) fn prepare_or(&self, archive: &Archive, changes: &[TextChange]) -> Result<Prepared> {
        let folder = self.source(archive, self.new);
        match archive.source(self.package, self.new, &folder) {
            Ok(_) => self.prepare(archive),
            Err(_) => {
                archive.say(&format!(
                    "the archive has no source of {}: upstream's fix is put into {} instead",
                    self.new, self.old
                ));
                let own = SecurityUpdate { new: self.old, ..*self };
                own.build(archive, changes)
            }
        }
    }

    /// Builds both sides, or takes what was built before.
    pub(crate) fn prepare(&self, archive: &Archive) -> Result<Prepared> {
        self.build(archive, &[])
    }

    fn build(&self, archive: &Archive, changes: &[TextChange]) -> Result<Prepared> {
        archive.install(&["dpkg-dev", "binutils", "patch"])?;
        let new_version = &self.new_version(archive)?;
        let stock = self.programs.iter().all(|p| archive.has(p.package, self.old))
            && archive.has(self.package, self.old);
        if !stock {
            archive.say(&format!(
                "{} is no longer in the archive: the old side is {new_version} without its last {} patches, built here",
                self.old, self.patches
            ));
        }
        let new = Recipe { changes: changes.to_vec(), ..self.recipe("new", new_version, 0) };
        let old = if stock {
            self.recipe("old", self.old, 0)
        } else {
            self.recipe("old", new_version, self.patches)
        };
        // The program that runs is built as the archive built it; the rest with its headers, to be comparable.
        let room = Room::open(archive, self.package, &old.version, self.pins)?;
        let twin = old.build(archive, &room)?;
        let (old, new) =
            (old.with_sections().build(archive, &room)?, new.with_sections().build(archive, &room)?);
        let mut sides = Vec::new();
        for program in self.programs {
            let rebuilt = twin.program(program.product);
            let (running, proof) = if stock {
                let running = self.stock(archive, program)?;
                let proof = prove(&running, &rebuilt)?;
                archive.say(&format!("the rebuilt {} is the stock binary: {proof}", program.path));
                (running, proof)
            } else {
                (twin.stripped(program.product)?, "built here".into())
            };
            sides.push(Side {
                running,
                twin: rebuilt,
                old: old.objects(program.product),
                new: new.objects(program.product),
                proof,
            });
        }
        let patches =
            patches(&archive.source(self.package, new_version, &self.source(archive, new_version))?)?;
        let before = if stock {
            patches_before(archive, self, &patches)?
        } else {
            patches.len().saturating_sub(self.patches)
        };
        Ok(Prepared { sides, patches: patches[before.min(patches.len())..].to_vec() })
    }

    /// The newer version; where its source is gone for good, the newest one that is there.
    fn new_version(&self, archive: &Archive) -> Result<String> {
        let gone = match archive.source_or_pool(self.package, self.new, &self.source(archive, self.new)) {
            Ok(_) => return Ok(self.new.into()),
            Err(gone) => gone,
        };
        let newest = archive.newest_source(self.package)?;
        archive.say(&format!("the archive has no source of {}, so {newest} is taken: {gone}", self.new));
        Ok(newest)
    }

    /// The archive's binary of the old version.
    pub(crate) fn stock(&self, archive: &Archive, program: &Program) -> Result<PathBuf> {
        let folder = archive.kept(self.package).join(format!("stock-{}-{}", program.package, self.old));
        archive.binary(program.package, self.old, &folder)?;
        Ok(folder.join(program.path))
    }

    fn source(&self, archive: &Archive, version: &str) -> PathBuf {
        archive.kept(self.package).join(format!("source-{version}"))
    }

    fn recipe(&self, name: &str, version: &str, leave_out: usize) -> Recipe {
        Recipe {
            name: name.into(),
            package: self.package.into(),
            version: version.into(),
            leave_out,
            place: None,
            changes: Vec::new(),
            sections: false,
            products: self.programs.iter().map(|p| p.product.into()).collect(),
            rules: self.rules.into(),
        }
    }
}

fn patches_before(archive: &Archive, update: &SecurityUpdate, all: &[String]) -> Result<usize> {
    let old = patches(&archive.source(update.package, update.old, &update.source(archive, update.old))?)?;
    Ok(all.iter().zip(&old).take_while(|(a, b)| a == b).count())
}
