//! Debug information that is damaged: an error or nonsense, never a crash.

use liveline_types::{Compare, Root, Types};
use object::read::{Object as _, ObjectSection as _};

use crate::compilers::{Compiler, GCC, GXX, RUSTC, object};

/// Reads, reaches and compares all there is.
fn exercise(whole: &Types, bytes: &[u8]) -> bool {
    let Ok(file) = object::File::parse(bytes) else { return false };
    let Ok(damaged) = Types::read(&file) else { return false };
    let roots: Vec<Root> = damaged.functions().map(|(_, id)| Root::Body(id)).collect();
    damaged.reach(&roots);
    let mut compare = Compare::new(whole, &damaged);
    for id in damaged.all_defined() {
        let name = damaged.qualified(id).unwrap_or_default();
        for &before in whole.defined(&name) {
            let _ = format!("{:?}", compare.defined(before, id));
        }
    }
    for (name, id) in damaged.functions() {
        for before in whole.named(name).filter(|before| whole.is_function(*before)) {
            compare.signature(before, id);
        }
    }
    true
}

fn survives(compiler: Compiler, source: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = object(compiler, source, folder.path());
    let file = object::File::parse(&*bytes).expect("an object");
    let whole = Types::read(&file).expect("its types");
    let mut read = 0;
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for name in [".debug_info", ".debug_abbrev", ".debug_info", ".rela.debug_info"] {
        let section = file.section_by_name(name).expect("the section");
        let (start, size) = section.file_range().expect("in the file");
        for _ in 0..1000 {
            let mut bytes = bytes.clone();
            for _ in 0..=random(3) {
                bytes[(start + random(size)) as usize] = random(256) as u8;
            }
            read += usize::from(exercise(&whole, &bytes));
        }
    }
    assert!(read > 50, "nearly everything was an error: {read}");
}

#[test]
fn of_c() {
    survives(
        GCC,
        "struct t; typedef struct { int a : 3; struct t *p[2][3]; union { int i; enum { A, B } e; }; int (*f)(void *); } s;\n\
         struct t { s *s; char name[8]; }; int f(s *p, struct t *t) { return p != 0 && t->s; }",
    );
}

#[test]
fn of_cpp() {
    survives(
        GXX,
        "struct a { virtual int m(); int x; }; int a::m() { return 1; } struct b : virtual a { int m() override; int a::*p; };\n\
         int b::m() { return 2; } template<class T> struct v { T *t; }; int f(v<b> &l, b &&r) { return l.t == &r; }",
    );
}

#[test]
fn of_rust() {
    survives(
        RUSTC,
        "pub enum E { A(u32), B { x: u64, y: Option<Box<E>> }, C } pub fn f(e: &E) -> bool { matches!(e, E::C) }",
    );
}
