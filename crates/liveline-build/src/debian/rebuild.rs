//! One build of a source package.

use std::fs;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

use super::contents::is_linked;
use super::error::{DebianError, Result, Tried};
use super::proof::{Proof, build_id};
use super::quiet::Quiet;
use super::source::unpack;
use super::{Archive, Room};
use crate::record::{self, Event};
use crate::side::{Plan, Products, Side};
use crate::stage;
use crate::tree::Manifest;

/// What to build.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Name under which the result is kept.
    pub name: String,
    /// Source package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// How many of the last patches of the series are left out.
    pub leave_out: usize,
    /// Where its tree lies while it is built, below `/build`; if that of the archive's builders since 2024 is not it.
    pub place: Option<String>,
    /// What is changed in the tree before it is built.
    pub changes: Vec<TextChange>,
    /// One section a function and a data object: for the objects to compare.
    pub sections: bool,
    /// Programs and libraries to keep, by their path in the tree.
    pub products: Vec<String>,
    /// Rules added to `debian/rules` in place of its own, so that only what is wanted is built.
    pub rules: String,
}

/// A change of the unpacked sources: one text for another in a file.
#[derive(Clone, Debug)]
pub struct TextChange {
    /// The file, by its path in the tree.
    pub file: &'static str,
    /// What stands there.
    pub from: &'static str,
    /// What is to stand there.
    pub to: &'static str,
}

impl TextChange {
    fn make(&self, tree: &Path) -> Result<()> {
        let file = tree.join(self.file);
        let text = fs::read_to_string(&file).tried(format!("read {}", file.display()))?;
        if !text.contains(self.from) {
            return Err(DebianError::Failed(format!("{} does not hold {:?}", file.display(), self.from)));
        }
        fs::write(&file, text.replace(self.from, self.to)).tried(format!("write {}", file.display()))
    }
}

/// What a build gave.
#[derive(Debug)]
pub struct Built {
    folder: PathBuf,
    products: Vec<String>,
}

impl Built {
    /// A product as it was linked, with its symbols.
    pub fn program(&self, product: &str) -> PathBuf {
        self.folder.join(self.key(product))
    }

    /// The objects a product was linked from, by their paths in the tree. Only of a build with sections.
    pub fn objects(&self, product: &str) -> PathBuf {
        self.folder.join(format!("{}.objects", self.key(product)))
    }

    /// Why the objects of a product could not be told.
    pub(super) fn missing(&self, product: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(format!("{}.missing", self.key(product)))).ok()
    }

    /// The name under which a product is kept: its last part, unless two have the same.
    fn key(&self, product: &str) -> String {
        let last = |product: &str| product.rsplit('/').next().unwrap_or(product).to_owned();
        let name = last(product);
        let alike = self.products.iter().filter(|other| last(other) == name).count();
        if alike > 1 { product.replace('/', "%") } else { name }
    }

    /// A product without its symbols.
    pub fn stripped(&self, product: &str) -> Result<PathBuf> {
        let to = self.folder.join(format!("{}.stripped", self.key(product)));
        Quiet::new(&self.folder, "strip -o").argument(&to).argument(self.program(product)).run()?;
        Ok(to)
    }
}

/// A tree in which `debian/rules build-arch` was run.
struct Tree {
    /// The folder that is `/build` in the room.
    build: PathBuf,
    record: PathBuf,
    outside: PathBuf,
    inside: PathBuf,
}

impl Recipe {
    /// The same with one section a function and a data object.
    pub fn with_sections(&self) -> Self {
        Recipe { sections: true, name: format!("{}-sections", self.name), ..self.clone() }
    }

    /// Builds it in `room`, or takes what was built before. An error if a product was not made.
    pub fn build(&self, archive: &Archive, room: &Room<'_>) -> Result<Built> {
        let built = self.build_partly(archive, room)?;
        match self.products.iter().find_map(|product| built.missing(product)) {
            Some(why) => Err(DebianError::Failed(why)),
            None => Ok(built),
        }
    }

    /// As [`Self::build`], where products may be [missing](Built::missing).
    pub(super) fn build_partly(&self, archive: &Archive, room: &Room<'_>) -> Result<Built> {
        if let Some(built) = self.kept(archive, self.products.clone(), "") {
            return Ok(built);
        }
        let (built, tree) = self.run(archive, room, self.products.clone())?;
        let made = tree.programs()?;
        for product in &self.products {
            if let Err(error) = tree.keep(self, &built, product, &made) {
                fs::write(built.folder.join(format!("{}.missing", built.key(product))), error.to_string())
                    .tried("keep the build")?;
            }
        }
        self.done(&built, &tree, "")?;
        Ok(built)
    }

    /// As [`Self::build`], keeping those products that are like stock programs: their paths in the tree, in this
    /// order; none where the build made nothing like it.
    pub(super) fn build_like(
        &self,
        archive: &Archive,
        room: &Room<'_>,
        stock: &[&Path],
    ) -> Result<(Built, Vec<Option<String>>)> {
        let like = format!("{stock:?}");
        let list = archive.kept(&self.package).join("builds").join(&self.name).join("products");
        if let Ok(text) = fs::read_to_string(&list) {
            let products: Vec<_> = text.lines().map(|l| (!l.is_empty()).then(|| l.to_owned())).collect();
            if let Some(built) = self.kept(archive, distinct(&products), &like) {
                return Ok((built, products));
            }
        }
        let (mut built, tree) = self.run(archive, room, Vec::new())?;
        let made = tree.programs()?;
        let products = stock.iter().map(|stock| tree.like(stock, &made)).collect::<Vec<_>>();
        built.products = distinct(&products);
        for product in &built.products {
            tree.keep(self, &built, product, &made)?;
        }
        let lines: String =
            products.iter().map(|p| format!("{}\n", p.as_deref().unwrap_or_default())).collect();
        fs::write(&list, lines).tried("keep the list of products")?;
        self.done(&built, &tree, &like)?;
        Ok((built, products))
    }

    /// What was built before by this very recipe.
    fn kept(&self, archive: &Archive, products: Vec<String>, more: &str) -> Option<Built> {
        let folder = archive.kept(&self.package).join("builds").join(&self.name);
        let text = fs::read_to_string(folder.join("done")).ok()?;
        (text == format!("{self:?}{more}")).then_some(Built { folder, products })
    }

    fn done(&self, built: &Built, tree: &Tree, more: &str) -> Result<()> {
        for folder in [&tree.build, &tree.record] {
            fs::remove_dir_all(folder).tried("clear the build")?;
        }
        fs::write(built.folder.join("done"), format!("{self:?}{more}")).tried("write a stamp")
    }

    fn run(&self, archive: &Archive, room: &Room<'_>, products: Vec<String>) -> Result<(Built, Tree)> {
        let own = archive.kept(&self.package);
        let folder = own.join("builds").join(&self.name);
        room.make()?;
        let how =
            if self.sections { "with each function in a section of its own" } else { "as the archive did" };
        archive.say(&format!("building {} {} {how}", self.package, self.version));
        let dsc =
            archive.source(&self.package, &self.version, &own.join(format!("source-{}", self.version)))?;
        // The path at which the archive's builders build, as it stands in debug information and assertions.
        let name = self
            .place
            .clone()
            .unwrap_or_else(|| format!("reproducible-path/{}-{}", self.package, upstream(&self.version)));
        let build = own.join("build");
        let (outside, inside) = (build.join(&name), Path::new("/build").join(&name));
        let tree = Tree { record: own.join("record"), build, outside, inside };
        for old in [&tree.build, &tree.record, &folder] {
            let _ = fs::remove_dir_all(old);
        }
        unpack(&dsc, &tree.outside, self.leave_out)?;
        for change in &self.changes {
            change.make(&tree.outside)?;
        }
        if !self.rules.is_empty() {
            let file = tree.outside.join("debian/rules");
            let own = fs::read_to_string(&file).tried("read debian/rules")?;
            fs::write(&file, format!("{own}\n{}", self.rules)).tried("write debian/rules")?;
        }
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let time = Quiet::new(&tree.outside, "dpkg-parsechangelog -S Timestamp").output()?;
        let run = if self.sections {
            room.run_recorded(&tree.build, &tree.record)?
        } else {
            room.run(&tree.build, &tree.record)?
        };
        // Rules may go by the architecture's variables, which dpkg-buildpackage sets: squid's do.
        let steps = r#"eval "$(dpkg-architecture --print-set)"; debian/rules build-arch"#;
        run.words("sh -ec")
            .argument(format!("cd {}; {steps}", tree.inside.display()))
            .env("DEB_BUILD_OPTIONS", format!("nocheck parallel={jobs}"))
            .env("SOURCE_DATE_EPOCH", time.trim())
            .run()?;
        fs::create_dir_all(&folder).tried(format!("make {}", folder.display()))?;
        Ok((Built { folder, products }, tree))
    }
}

impl Tree {
    /// Where a path of the room's lies out here.
    fn outside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.inside).map_or_else(|_| path.to_owned(), |rest| self.outside.join(rest))
    }

    /// All programs and libraries in it, by their paths.
    fn programs(&self) -> Result<Vec<PathBuf>> {
        let (mut out, mut open) = (Vec::new(), vec![self.outside.clone()]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).tried(format!("read {}", folder.display()))? {
                let entry = entry.tried(format!("read {}", folder.display()))?;
                let kind = entry.file_type().tried(format!("read {}", folder.display()))?;
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_file() && is_linked(&entry.path())? {
                    out.push(entry.path());
                }
            }
        }
        // The shallowest first: what is copied deeper down is no other product.
        out.sort_by_key(|path| (path.components().count(), path.clone()));
        Ok(out)
    }

    /// The product a stock program is: by build-id, or else the one that loads the same bytes, or else the one of its
    /// name, or else the only one with as much code.
    fn like(&self, stock: &Path, made: &[PathBuf]) -> Option<String> {
        let id = build_id(stock).ok();
        let by_id = made.iter().find(|path| id.is_some() && build_id(path).ok() == id);
        let wanted = stage::stem(&file_name(stock)).to_owned();
        let named = |path: &&PathBuf| stage::stem(&file_name(path)) == wanted;
        let size = code_size(stock);
        let sized = |path: &&PathBuf| size.is_some() && code_size(path) == size;
        // A package may build one library several times, each in another way.
        let by_bytes = || {
            let mut alike = made.iter().filter(|path| named(path) || sized(path));
            alike.find(|path| Proof::of(stock, path).is_ok_and(|proof| proof.holds()))
        };
        let by_name = || made.iter().find(named);
        let by_size = || {
            let mut same = made.iter().filter(sized);
            same.next().filter(|_| same.next().is_none())
        };
        let found = by_id.or_else(by_bytes).or_else(by_name).or_else(by_size);
        let relative = found.and_then(|path| path.strip_prefix(&self.outside).ok());
        relative.map(|path| path.display().to_string())
    }

    /// Keeps a product, and of a recorded build the objects it was linked from. A library whose file is named by its
    /// version may have another name than `product`.
    fn keep(&self, recipe: &Recipe, built: &Built, product: &str, made: &[PathBuf]) -> Result<()> {
        let named = self.outside.join(product);
        let alike = |path: &&PathBuf| {
            path.parent() == named.parent()
                && stage::stem(&file_name(path)) == stage::stem(&file_name(&named))
        };
        let from = if named.exists() { Some(&named) } else { made.iter().find(alike) };
        let Some(from) = from else {
            return Err(DebianError::Failed(format!("the build of {} made no {product}", recipe.version)));
        };
        fs::copy(from, built.program(product)).map(drop).tried(format!("keep {}", from.display()))?;
        if !recipe.sections {
            return Ok(());
        }
        let events = record::read(&self.record).tried("read what the compilers did")?;
        let side = Side {
            tree: self.outside.clone(),
            record: self.record.clone(),
            events,
            log: PathBuf::new(),
            cached: false,
            manifest: Manifest::new(),
        };
        let plan = Plan {
            source: &self.outside,
            place: &self.inside,
            command: &[],
            folder: &self.outside,
            products: Products::Mixed,
            cache: &self.build,
        };
        let links = || {
            side.events.iter().rev().filter_map(|event| match event {
                Event::Link(link) => Some((link, self.outside(Path::new(&link.output)))),
                _ => None,
            })
        };
        // What was linked may have been copied since: redis makes its checkers so of the server.
        let id = build_id(from).ok();
        let copied = |file: &Path| id.is_some() && build_id(file).ok() == id;
        let found = links().find(|(_, file)| file == from).or_else(|| links().find(|(_, file)| copied(file)));
        let Some((link, _)) = found else {
            return Err(DebianError::Failed(format!("no linker was seen that made {product}")));
        };
        let staged = stage::stage(&plan, &side, link, &built.objects(product));
        staged.map(drop).tried(format!("keep the objects of {product}"))
    }
}

fn distinct(products: &[Option<String>]) -> Vec<String> {
    let mut all: Vec<String> = products.iter().flatten().cloned().collect();
    all.sort();
    all.dedup();
    all
}

/// How much code an ELF file has.
fn code_size(path: &Path) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    file.section_by_name(".text").map(|section| section.size())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `5:7.0.15-1~deb12u7` → `7.0.15`.
pub(super) fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(front, _)| front)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(folder: &Path, name: &str, answer: u32) -> PathBuf {
        let (source, output) = (folder.join("a.c"), folder.join(name));
        fs::create_dir_all(output.parent().unwrap()).unwrap();
        fs::write(&source, format!("int answer(void) {{ return {answer}; }}")).unwrap();
        let built = std::process::Command::new("gcc")
            .args(["-shared", "-fPIC", "-Wl,--build-id=none", "-o"])
            .args([&output, &source])
            .status();
        assert!(built.unwrap().success());
        output
    }

    #[test]
    fn of_several_libraries_of_one_name_the_one_with_the_same_bytes_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let stock = library(folder.path(), "stock/libx.so.1", 2);
        let outside = folder.path().join("tree");
        for (path, answer) in [("a/libx.so.1", 1), ("b/libx.so.1", 2), ("libx.so.1.0", 3)] {
            library(&outside, path, answer);
        }
        let tree = Tree { build: PathBuf::new(), record: PathBuf::new(), inside: "/build/x".into(), outside };
        let made = tree.programs().unwrap();
        assert_eq!(tree.like(&stock, &made).as_deref(), Some("b/libx.so.1"));
        let other = library(folder.path(), "stock/libx.so.2", 4);
        assert_eq!(tree.like(&other, &made).as_deref(), Some("libx.so.1.0"));
        assert_eq!(tree.outside(Path::new("/build/x/a.o")), tree.outside.join("a.o"));
    }

    #[test]
    fn the_upstream_version_has_no_epoch_and_no_revision() {
        assert_eq!(upstream("5:7.0.15-1~deb12u7"), "7.0.15");
        assert_eq!(upstream("2.5.0-1+deb12u2"), "2.5.0");
        assert_eq!(upstream("3"), "3");
    }
}
