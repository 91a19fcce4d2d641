//! `liveline build --cargo`: the workspace under `tests/cases/cargo`, built by cargo as anybody would, repaired while
//! it runs by a patch made of its sources and a fix.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::command::{Run, binary, exit, run_command, text};
use crate::process::Process;
use crate::project::{Edit, Project, listing};
use crate::toolchain::{run, target_source, tests_folder, write};
use crate::{Outcome, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("build_cargo::release", release),
        trial("build_cargo::other_profile_refused", other_profile),
        trial("build_cargo::fix_of_prose_too", prose),
        trial("build_cargo::dev_is_incremental", dev),
        trial("build_cargo::products_elsewhere", products_elsewhere),
        trial("build_cargo::from_a_member", from_a_member),
        trial("build_cargo::wrapper_of_the_user", wrapper),
        trial("build_cargo::compiler_cache_is_left_out", compiler_cache),
        trial("build_cargo::cdylib_in_a_c_program", cdylib),
        trial("build_cargo::dylib_in_a_c_program", dylib),
        trial("build_cargo::build_script_changes", build_script),
        trial("build_cargo::thin_lto", thin_lto),
        trial("build_cargo::stripped", stripped),
        trial("build_cargo::line_tables", line_tables),
        trial("build_cargo::layout_is_refused", layout),
        trial("build_cargo::more_of_std", more_of_std),
        trial("build_cargo::version_is_raised", version_raised),
        trial("build_cargo::dependency_is_raised", dependency_raised),
        trial("build_cargo::dependency_is_added_refused", dependency_added),
        trial("build_cargo::profile_changes_refused", profile_changed),
    ]
}

/// In the library, in a generic function that the program compiles, and in the program.
const FIX: [Edit; 3] = [
    ("engine/src/lib.rs", "count.min(9) * 2", "count.min(9) * 3"),
    ("engine/src/lib.rs", ".copied().max()", ".copied().min()"),
    ("server/src/main.rs", "{line} {WORD}", "{line} now {WORD}"),
];
const BEFORE: &str = "ask costs 18 crates of 5";
const AFTER: &str = "ask now costs 27 crates of 3";

/// A copy of the workspace.
struct Workspace(Project);

impl Deref for Workspace {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.0
    }
}

impl DerefMut for Workspace {
    fn deref_mut(&mut self) -> &mut Project {
        &mut self.0
    }
}

impl Workspace {
    fn new() -> Outcome<Self> {
        let project = Project::new("cargo/workspace", "tree")?;
        // Versions that are here already, since our own tests were built with them.
        let lock = tests_folder().join("../../../Cargo.lock");
        fs::copy(&lock, project.tree().join("Cargo.lock")).map_err(|e| format!("{}: {e}", lock.display()))?;
        Ok(Self(project))
    }

    /// Builds the program that is to run, as its owner does.
    fn cargo(&self, words: &[&str]) -> Outcome {
        run_command(self.command("cargo").args(["build", "--offline"]).args(words))?.expect(0)?;
        Ok(())
    }

    /// Makes `fix.llp`.
    fn make(&self, inner: &str, running: &Path, fix: &Path, words: &[&str]) -> Outcome<Run> {
        let mut command = self.command(binary());
        command.current_dir(self.tree().join(inner));
        command.args(["build", "--cargo", "--json", "--running", text(running), "--fix", text(fix)]);
        command.args(["-o", text(&self.path("fix.llp")), "--", "--offline"]).args(words);
        run_command(&mut command)
    }

    /// Makes `fix.llp` of the tree and another one.
    fn make_from(&self, new: &Path, running: &Path) -> Outcome<Run> {
        let mut command = self.command(binary());
        command.args(["build", "--cargo", "--json", "--running", text(running), "--new", text(new)]);
        command.args(["--old", ".", "-o", text(&self.path("fix.llp")), "--", "--offline", "--release"]);
        run_command(&mut command)
    }

    /// All of it: the program built with these words, and repaired by the usual fix.
    fn repair(&self, product: &Path, words: &[&str], before: &str, after: &str) -> Outcome<Run> {
        self.cargo(words)?;
        let made = self.make("", product, &self.fix(&FIX)?, words)?.expect(exit::DONE)?;
        self.play(&mut Process::start(product, &[])?, [before, after, before])
            .map_err(|e| made.complain(&e))?;
        Ok(made)
    }
}

fn release() -> Outcome {
    let project = Workspace::new()?;
    let product = project.tree().join("target/release/stock-server");
    let made = project.repair(&product, &["--release"], BEFORE, AFTER)?;
    // The library and who uses it; neither the proc-macro nor the build script nor the dependency.
    if made.field("compiled_new")? != "3" {
        return Err(made.complain("expected three compilations"));
    }
    Ok(())
}

/// A file that no compilation reads is named, and no reason to refuse: what rustc makes for the linker alone (`symbols.o`)
/// once counted as an object that an unknown compiler had made, maybe from that file.
fn prose() -> Outcome {
    let project = Workspace::new()?;
    write(&project.tree(), "NOTES", "costs twice\n")?;
    let symbol =
        ("server/src/main.rs", "fn main", "#[unsafe(no_mangle)]\npub extern \"C\" fn seen() {}\n\nfn main");
    project.edit(&project.tree(), symbol)?;
    project.cargo(&["--release"])?;
    let product = project.tree().join("target/release/stock-server");
    let mut edits = vec![("NOTES", "twice", "thrice")];
    edits.extend(FIX);
    let made = project.make("", &product, &project.fix(&edits)?, &["--release"])?.expect(exit::DONE)?;
    made.says("NOTES")
}

/// None of the functions that change is in what runs: it was built with other words.
fn other_profile() -> Outcome {
    let project = Workspace::new()?;
    let product = project.tree().join("target/release/stock-server");
    project.cargo(&["--release"])?;
    let made = project.make("", &product, &project.fix(&FIX)?, &[])?.expect(exit::REFUSED)?;
    made.says("another build")?;
    made.says("--release")
}

fn dev() -> Outcome {
    let project = Workspace::new()?;
    let product = project.tree().join("target/debug/stock-server");
    project.repair(&product, &[], BEFORE, AFTER)?;
    Ok(())
}

/// The user's folder of products lies outside the tree, is stood in for, and stays as it is.
fn products_elsewhere() -> Outcome {
    let mut project = Workspace::new()?;
    let folder = project.path("products");
    project.environment.push(("CARGO_TARGET_DIR", folder.clone()));
    project.cargo(&["--release"])?;
    let before = listing(&folder)?;
    let product = folder.join("release/stock-server");
    let made = project.make("", &product, &project.fix(&FIX)?, &["--release"])?.expect(exit::DONE)?;
    let after = listing(&folder)?;
    project
        .play(&mut Process::start(&product, &[])?, [BEFORE, AFTER, BEFORE])
        .map_err(|e| made.complain(&e))?;
    let differ = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let written: Vec<&PathBuf> = after.keys().chain(before.keys()).filter(differ).collect();
    if before.is_empty() || !written.is_empty() {
        return Err(format!("the user's products were written: {written:?}"));
    }
    Ok(())
}

fn from_a_member() -> Outcome {
    let project = Workspace::new()?;
    let product = project.tree().join("target/release/stock-server");
    project.cargo(&["--release", "-p", "stock-server", "--bin", "stock-server"])?;
    let fix = project.fix(&FIX)?;
    let words = ["--release", "--bin", "stock-server"];
    let made = project.make("server", &product, &fix, &words)?.expect(exit::DONE)?;
    project.play(&mut Process::start(&product, &[])?, [BEFORE, AFTER, BEFORE]).map_err(|e| made.complain(&e))
}

/// Writes a program that stands in front of rustc.
fn wrapper_script(project: &Workspace, name: &str, script: &str) -> Outcome<PathBuf> {
    let path = project.path(name);
    write(&project.path(""), name, &format!("#!/bin/sh\n{script}\n"))?;
    run(&project.path(""), &format!("chmod +x {name}"))?;
    Ok(path)
}

/// What the user's wrapper does to the program is done to both sides.
fn wrapper() -> Outcome {
    let mut project = Workspace::new()?;
    let script = "case \" $* \" in *\" stock_server \"*) exec \"$@\" --cfg marked;; esac\nexec \"$@\"";
    let path = wrapper_script(&project, "marks", script)?;
    project.environment.push(("RUSTC_WRAPPER", path));
    let product = project.tree().join("target/release/stock-server");
    let marked = |text: &str| format!("{text} (marked)");
    project.repair(&product, &["--release"], &marked(BEFORE), &marked(AFTER))?;
    Ok(())
}

/// A cache's server would compile the user's tree, not the copy: it is left out, and that is said.
fn compiler_cache() -> Outcome {
    let mut project = Workspace::new()?;
    let product = project.tree().join("target/release/stock-server");
    project.cargo(&["--release"])?;
    let path = wrapper_script(&project, "sccache", "echo asked >&2; exit 9")?;
    project.environment.push(("RUSTC_WRAPPER", path));
    let made = project.make("", &product, &project.fix(&FIX)?, &["--release"])?.expect(exit::DONE)?;
    made.says("sccache")
}

fn cdylib() -> Outcome {
    library(&Workspace::new()?)
}

fn dylib() -> Outcome {
    let project = Workspace::new()?;
    project.edit(&project.tree(), ("plugin/Cargo.toml", "cdylib", "dylib"))?;
    library(&project)
}

fn library(project: &Workspace) -> Outcome {
    project.cargo(&["--release", "-p", "plugin"])?;
    let product = project.tree().join("target/release/libplugin.so");
    write(&project.path(""), "host.c", &target_source("plugin_host.c")?)?;
    run(&project.path(""), "gcc -O1 -o host host.c -ldl")?;
    let fix = project.fix(&[
        ("engine/src/lib.rs", "count.min(9) * 2", "count.min(9) * 3"),
        ("plugin/src/lib.rs", "black_box(price) + 1", "black_box(price) + 2"),
    ])?;
    let made = project.make("", &product, &fix, &["--release", "-p", "plugin"])?.expect(exit::DONE)?;
    let mut process = Process::start(&project.path("host"), &[text(&product)])?;
    project.play(&mut process, ["19", "29", "19"]).map_err(|e| made.complain(&e))
}

/// A fix to what a build script writes.
fn build_script() -> Outcome {
    let project = Workspace::new()?;
    project.cargo(&["--release"])?;
    let product = project.tree().join("target/release/stock-server");
    let fix = project.fix(&[("server/build.rs", "costs", "is worth")])?;
    let made = project.make("", &product, &fix, &["--release"])?.expect(exit::DONE)?;
    let after = BEFORE.replace("costs", "is worth");
    project.play(&mut Process::start(&product, &[])?, [BEFORE, &after, BEFORE]).map_err(|e| made.complain(&e))
}

/// rustc's own thin LTO leaves objects with code, those that are linked.
fn thin_lto() -> Outcome {
    let project = Workspace::new()?;
    let thin = ("Cargo.toml", "[workspace]", "[profile.release]\nlto = \"thin\"\n\n[workspace]");
    project.edit(&project.tree(), thin)?;
    let product = project.tree().join("target/release/stock-server");
    project.repair(&product, &["--release"], BEFORE, AFTER)?;
    Ok(())
}

/// A release's own version is part of every symbol's name: the new sources are compiled under the old one.
fn version_raised() -> Outcome {
    let project = Workspace::new()?;
    project.cargo(&["--release"])?;
    let product = project.tree().join("target/release/stock-server");
    let raised = ["server", "engine"].map(|name| (format!("{name}/Cargo.toml"), "\"0.1.0\"", "\"0.1.1\""));
    let mut edits: Vec<Edit> = raised.iter().map(|(file, from, to)| (file.as_str(), *from, *to)).collect();
    edits.extend(FIX);
    let made = project.make("", &product, &project.fix(&edits)?, &["--release"])?.expect(exit::DONE)?;
    made.says("0.1.1")?;
    project.play(&mut Process::start(&product, &[])?, [BEFORE, AFTER, BEFORE]).map_err(|e| made.complain(&e))
}

/// Makes a package of the registry that lies in the folder `vendor`.
fn vendor(tree: &Path, (name, version): (&str, &str), dependencies: &str, body: &str) -> Outcome {
    let folder = tree.join(format!("vendor/{name}-{version}"));
    fs::create_dir_all(folder.join("src")).map_err(|e| e.to_string())?;
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n[dependencies]\n{dependencies}"
    );
    let code = format!("#[inline(never)]\npub fn shown(count: u64) -> String {{ {body} }}\n");
    write(&folder, "Cargo.toml", &manifest)?;
    write(&folder, ".cargo-checksum.json", "{\"files\":{}}")?;
    write(&folder, "src/lib.rs", &code)
}

/// The workspace with `ticker` 1.0.0 in place of what it has from crates.io.
fn with_ticker() -> Outcome<Workspace> {
    let project = Workspace::new()?;
    let tree = project.tree();
    fs::remove_file(tree.join("Cargo.lock")).map_err(|e| e.to_string())?;
    let buffer = "let mut buffer = itoa::Buffer::new();";
    project.edit(&tree, ("engine/Cargo.toml", "itoa = \"1\"", "ticker = \"1\""))?;
    project.edit(&tree, ("engine/src/lib.rs", buffer, ""))?;
    project.edit(&tree, ("engine/src/lib.rs", "buffer.format(count)", "ticker::shown(count)"))?;
    fs::create_dir(tree.join(".cargo")).map_err(|e| e.to_string())?;
    let sources = "[source.crates-io]\nreplace-with = \"vendor\"\n[source.vendor]\ndirectory = \"vendor\"\n";
    write(&tree, ".cargo/config.toml", sources)?;
    vendor(&tree, ("ticker", "1.0.0"), "", "format!(\"{}\", count + 1)")?;
    project.cargo(&["--release"])?;
    Ok(project)
}

/// A fix in a dependency: nothing but its version in the lock file differs.
fn dependency_raised() -> Outcome {
    let project = with_ticker()?;
    let (product, fixed) = (project.tree().join("target/release/stock-server"), project.path("fixed"));
    run(&project.path(""), "cp -r tree fixed")?;
    // The registry has the new version all along; only the lock file chooses it.
    for tree in [project.tree(), fixed.clone()] {
        vendor(&tree, ("ticker", "1.0.1"), "", "format!(\"{count}\")")?;
    }
    project.edit(&fixed, ("Cargo.lock", "version = \"1.0.0\"", "version = \"1.0.1\""))?;
    let made = project.make_from(&fixed, &product)?.expect(exit::DONE)?;
    made.says("1.0.1")?;
    let before = BEFORE.replace("18", "19");
    project
        .play(&mut Process::start(&product, &[])?, [&before, BEFORE, &before])
        .map_err(|e| made.complain(&e))
}

/// A version that needs another package is another set of crates.
fn dependency_added() -> Outcome {
    let project = with_ticker()?;
    let (product, fixed) = (project.tree().join("target/release/stock-server"), project.path("fixed"));
    run(&project.path(""), "cp -r tree fixed")?;
    for tree in [project.tree(), fixed.clone()] {
        vendor(&tree, ("ticker", "1.0.1"), "second = \"1\"", "second::shown(count)")?;
        vendor(&tree, ("second", "1.0.0"), "", "format!(\"{count}\")")?;
    }
    fs::remove_file(fixed.join("Cargo.lock")).map_err(|e| e.to_string())?;
    let made = project.make_from(&fixed, &product)?.expect(exit::REFUSED)?;
    made.says("second is not one package before and one after")?;
    made.says("-C metadata differs")
}

/// Another profile is another program.
fn profile_changed() -> Outcome {
    let project = Workspace::new()?;
    project.cargo(&["--release"])?;
    let product = project.tree().join("target/release/stock-server");
    let fix =
        project.fix(&[("Cargo.toml", "[workspace]", "[profile.release]\nopt-level = 1\n\n[workspace]")])?;
    let made = project.make("", &product, &fix, &["--release"])?.expect(exit::REFUSED)?;
    made.says("-C metadata differs")
}

/// The old side has the symbols that cargo stripped off the program.
fn stripped() -> Outcome {
    with_profile("strip = true")
}

/// Less debug information than types need, and what it changes of the code.
fn line_tables() -> Outcome {
    with_profile("debug = 1")
}

fn with_profile(line: &str) -> Outcome {
    let project = Workspace::new()?;
    let profile = format!("[profile.release]\n{line}\n\n[workspace]");
    project.edit(&project.tree(), ("Cargo.toml", "[workspace]", &profile))?;
    project.repair(&project.tree().join("target/release/stock-server"), &["--release"], BEFORE, AFTER)?;
    Ok(())
}

/// The program has no debug information; its types are known all the same.
fn layout() -> Outcome {
    let project = Workspace::new()?;
    project.cargo(&["--release"])?;
    let product = project.tree().join("target/release/stock-server");
    let fix = project.fix(&[
        ("engine/src/lib.rs", "pub struct Store {", "pub struct Store {\n    total: u64,"),
        ("engine/src/lib.rs", "*count += 1;", "*count += 1;\n        self.total += *count;"),
    ])?;
    let made = project.make("", &product, &fix, &["--release"])?.expect(exit::REFUSED)?;
    made.says("its layout changed")?;
    made.says("engine::Store")
}

/// A function of the standard library that the program does not hold.
fn more_of_std() -> Outcome {
    let project = Workspace::new()?;
    project.cargo(&["--release"])?;
    let product = project.tree().join("target/release/stock-server");
    let call = "{line} {} {WORD} {} of {}{mark}\", std::net::Ipv6Addr::LOCALHOST,";
    let fix = project.fix(&[("server/src/main.rs", "{line} {WORD} {} of {}{mark}\",", call)])?;
    let made = project.make("", &product, &fix, &["--release"])?.expect(exit::DONE)?;
    let after = BEFORE.replace("ask", "ask ::1");
    project.play(&mut Process::start(&product, &[])?, [BEFORE, &after, BEFORE]).map_err(|e| made.complain(&e))
}
