//! Two sources, compiled and compared.

use std::path::Path;
use std::process::Command;

use liveline_types::{Change, Compare, Outcome, Root, TypeId, Types};

/// How a source is compiled: the program, its flags, the file name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compiler(pub(crate) &'static [&'static str], pub(crate) &'static str);

pub(crate) const GCC: Compiler = Compiler(&["gcc", "-c", "-g", "-O0"], "t.c");
pub(crate) const GCC_4: Compiler = Compiler(&["gcc", "-c", "-gdwarf-4", "-gstrict-dwarf", "-O2"], "t.c");
pub(crate) const CLANG: Compiler = Compiler(&["clang", "-c", "-g", "-O0"], "t.c");
pub(crate) const CLANG_4: Compiler = Compiler(&["clang", "-c", "-gdwarf-4", "-O2"], "t.c");
pub(crate) const GXX: Compiler = Compiler(&["g++", "-c", "-g", "-O0"], "t.cc");
pub(crate) const CLANGXX: Compiler = Compiler(&["clang++", "-c", "-g", "-O0", "-fstandalone-debug"], "t.cc");
pub(crate) const RUSTC: Compiler = Compiler(
    &[
        "rustc",
        "--edition=2024",
        "--crate-type=lib",
        "--emit=obj",
        "-g",
        "-Copt-level=0",
        "-Ccodegen-units=1",
    ],
    "t.rs",
);

/// All compilers of C.
pub(crate) const C: [Compiler; 4] = [GCC, GCC_4, CLANG, CLANG_4];
/// All compilers of C++.
pub(crate) const CXX: [Compiler; 2] = [GXX, CLANGXX];

pub(crate) fn compile(compiler: Compiler, source: &str) -> Types {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = object(compiler, source, folder.path());
    let file = object::File::parse(&*bytes).expect("an object");
    Types::read(&file).expect("its types")
}

pub(crate) fn object(Compiler(command, name): Compiler, source: &str, folder: &Path) -> Vec<u8> {
    std::fs::write(folder.join(name), source).expect("write the source");
    let built = Command::new(command[0])
        .args(&command[1..])
        .args(["-o", "t.o", name])
        .current_dir(folder)
        .output()
        .expect("the compiler runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::fs::read(folder.join("t.o")).expect("an object")
}

/// The functions whose symbol contains a name.
pub(crate) fn functions(types: &Types, name: &str) -> Vec<TypeId> {
    let found: Vec<TypeId> =
        types.functions().filter(|(symbol, _)| symbol.contains(name)).map(|(_, id)| id).collect();
    assert!(!found.is_empty(), "no function {name}");
    found
}

/// What changed of the types that the functions of this name get at, and what is new and harmless.
pub(crate) fn changes(
    compiler: Compiler,
    old: &str,
    new: &str,
    function: &str,
) -> (Vec<Change>, Vec<Change>) {
    let (old, new) = (compile(compiler, old), compile(compiler, new));
    let roots: Vec<Root> = functions(&new, function).into_iter().map(Root::Body).collect();
    let mut compare = Compare::new(&old, &new);
    let (mut changed, mut compatible) = (Vec::new(), Vec::new());
    for id in new.reach(&roots).defined {
        let name = new.qualified(id).expect("a name");
        let Some(&before) = old.defined(&name).first() else { continue };
        match compare.defined(before, id) {
            Outcome::Same => {}
            Outcome::Changed(change) => changed.push(change),
            Outcome::Compatible(change) => compatible.push(change),
        }
    }
    (changed, compatible)
}

/// Names of the changed types, sorted.
pub(crate) fn names(changes: &[Change]) -> Vec<&str> {
    let mut names: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
    names.sort_unstable();
    names
}
