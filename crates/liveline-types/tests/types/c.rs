//! Types of C, in DWARF 4 and 5, of gcc and clang.

use crate::compilers::{C, GCC, GCC_4, changes, compile, functions, names};
use liveline_types::{Change, Compare, Mark, Outcome, Place, Root};
use object::read::{Object as _, ObjectSection as _};

/// A source in which `f` gets at `struct s`.
fn of(body: &str) -> String {
    format!("{body}\nint f(struct s *p) {{ return p != 0; }}\n")
}

fn only(old: &str, new: &str) -> Vec<Change> {
    let mut first = Vec::new();
    for (number, compiler) in C.into_iter().enumerate() {
        let (changed, _) = changes(compiler, &of(old), &of(new), "f");
        if number == 0 {
            first = changed;
        } else {
            assert_eq!(names(&changed), names(&first), "{compiler:?}");
        }
    }
    first
}

fn one(old: &str, new: &str) -> Change {
    let mut found = only(old, new);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

fn passes(old: &str, new: &str) {
    let found = only(old, new);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_member_more() {
    let change = one("struct s { int a; long b; };", "struct s { int a; long b; int c; };");
    assert_eq!((change.before, change.after), (Some(16), Some(24)));
    assert_eq!(change.reason, "int c is new at offset 16");
    assert_eq!(change.title, "struct s");
    assert_eq!(change.source.as_deref(), Some("t.c:1"));
}

#[test]
fn a_member_in_a_hole() {
    let change = one("struct s { int a; long b; };", "struct s { int a; int hole; long b; };");
    assert_eq!((change.before, change.after), (Some(16), Some(16)));
    assert_eq!(change.reason, "int hole is new at offset 4");
}

#[test]
fn a_member_less_and_moved() {
    let change = one("struct s { int a, b, c; };", "struct s { int a, c; };");
    let marks: Vec<Mark> = change.rows.iter().map(|row| row.mark).collect();
    assert_eq!(marks, [Mark::Same, Mark::Removed, Mark::Changed]);
    assert_eq!((change.rows[2].before, change.rows[2].after), (Some(64), Some(32)));
}

#[test]
fn members_in_another_order() {
    let change = one("struct s { int a; int b; };", "struct s { int b; int a; };");
    assert!(change.rows.iter().all(|row| row.mark == Mark::Changed), "{change:#?}");
}

#[test]
fn a_member_of_another_type() {
    let change = one("struct s { int a; float b; };", "struct s { int a; int b; };");
    assert_eq!(change.reason, "int b at offset 4 was float b");
    let pointers = one(
        "struct a { int x; }; struct b { long x; }; struct s { struct a *p; };",
        "struct a { int x; }; struct b { long x; }; struct s { struct b *p; };",
    );
    assert_eq!(pointers.reason, "struct b *p at offset 0 was struct a *p");
    one("struct s { int *p; };", "struct s { int p[2]; };");
    one("struct s { char p[8]; };", "struct s { char p[4]; char q[4]; };");
}

#[test]
fn what_is_no_change() {
    passes("struct s { int a; long b; };", "struct s { int first; long second; };");
    passes("struct s { int a; };", "typedef int number; struct s { const volatile number a; };");
    passes("struct s { unsigned a; };", "struct s { int a; };");
    passes("struct s { void *p; };", "struct t { int x; }; struct s { struct t *p; };");
    passes(
        "struct a { int x; struct a *n; }; struct s { struct a *p; };",
        "struct b { int x; struct b *n; }; struct s { struct b *p; };",
    );
    passes("struct o; struct s { struct o *p; };", "struct o { int x; }; struct s { struct o *p; };");
    passes("struct s { struct { int a; } in; };", "struct s { struct { int b; } in; };");
    passes(
        "struct s { int a; };",
        "struct fresh { long x; }; struct s { int a; }; int g(struct fresh *p) { return p->x; }",
    );
}

#[test]
fn bit_fields() {
    let change = one("struct s { unsigned a : 3, b : 5; };", "struct s { unsigned a : 4, b : 4; };");
    assert_eq!(change.reason, "unsigned int a : 4 at offset 0 was unsigned int a : 3");
    assert_eq!(change.rows[1].before, Some(3));
    assert_eq!(change.rows[1].after, Some(4));
    passes("struct s { unsigned a : 3, b : 5; };", "struct s { unsigned x : 3, b : 5; };");
    one("struct s { unsigned a : 3, : 5, b : 2; };", "struct s { unsigned a : 3, : 4, b : 2; };");
}

#[test]
fn bit_fields_of_two_dwarf_versions_agree() {
    let source = of("struct s { long x; unsigned a : 3, b : 5; long c : 40; unsigned d : 7; };");
    let (old, new) = (compile(GCC_4, &source), compile(GCC, &source));
    let mut compare = Compare::new(&old, &new);
    assert_eq!(compare.defined(old.defined("s")[0], new.defined("s")[0]), Outcome::Same);
}

#[test]
fn enumerations() {
    let with = |list: &str| format!("enum e {{ {list} }}; struct s {{ enum e e; }};");
    let change = one(&with("A, B, C"), &with("A, X, B, C"));
    assert_eq!(change.name, "e");
    assert_eq!(change.reason, "B was at value 1 and is at value 2");
    let gone = one(&with("A, B, C"), &with("A, B"));
    assert_eq!(gone.reason, "C at value 2 is gone");
    passes(&with("A, B"), &with("A, RENAMED"));
    let (changed, compatible) = changes(GCC, &of(&with("A, B")), &of(&with("A, B, C = -7")), "f");
    assert!(changed.is_empty(), "{changed:?}");
    assert_eq!(compatible[0].reason, "C is new at value -7");
    // Numbers that were given names may be other numbers.
    one("struct s { int e; };", "enum e { OFF, ON }; struct s { enum e e; };");
}

#[test]
fn unions() {
    let change = one(
        "union u { int a; char b[4]; }; struct s { union u u; };",
        "union u { int a; float b; }; struct s { union u u; };",
    );
    assert_eq!(change.title, "union u");
    passes(
        "union u { int a; float b; }; struct s { union u u; };",
        "union u { float b; int a; }; struct s { union u u; };",
    );
    let grown = only(
        "union u { int a; }; struct s { union u u; };",
        "union u { int a; long b; }; struct s { union u u; };",
    );
    assert_eq!(names(&grown), ["s", "u"]);
}

#[test]
fn types_without_a_name() {
    let change =
        one("struct s { int a; struct { int b; } in; };", "struct s { int a; struct { float b; } in; };");
    assert_eq!(change.title, "struct s");
    let typedef = one(
        "typedef struct { int x; } t; struct s { t *p; };",
        "typedef struct { int y; int x; } t; struct s { t *p; };",
    );
    assert_eq!(typedef.title, "t");
    assert_eq!(typedef.before, Some(4));
}

#[test]
fn pointers_to_functions() {
    let change = one("struct s { int (*call)(int); };", "struct s { int (*call)(int, void *); };");
    assert_eq!(change.reason, "int (*call)(int, void *) at offset 0 was int (*call)(int)");
    passes("struct s { int (*call)(int x); };", "typedef int proc(unsigned y); struct s { proc *call; };");
}

#[test]
fn through_a_chain_of_pointers() {
    let with = |last: &str| {
        format!(
            "struct c {{ {last} }}; typedef struct c c_t; struct b {{ c_t *const *list[3]; }}; struct s {{ struct b b; }};"
        )
    };
    let change = one(&with("int x;"), &with("long x;"));
    assert_eq!(change.name, "c");
}

#[test]
fn what_is_not_reached() {
    let with = |other: &str| {
        format!(
            "struct other {{ {other} }}; struct s {{ int a; }}; int g(struct other *p) {{ return p != 0; }}"
        )
    };
    passes(&with("int x;"), &with("long x;"));
}

#[test]
fn rings_of_types() {
    let with = |x: &str| {
        format!(
            "struct b; struct a {{ struct b *b; }}; struct b {{ struct a *a; {x} }}; struct s {{ struct a *a; }};"
        )
    };
    passes(&with("int x;"), &with("int y;"));
    assert_eq!(one(&with("int x;"), &with("char x;")).name, "b");
    // The same ring under other names, and one that only seems to be the same.
    let other = |x: &str| {
        format!(
            "struct d; struct c {{ struct d *d; }}; struct d {{ struct c *c; {x} }}; struct s {{ struct c *c; }};"
        )
    };
    passes(&with("int x;"), &other("int x;"));
    assert_eq!(one(&with("int x;"), &other("char x;")).name, "s");
}

#[test]
fn signatures() {
    let verdict = |old: &str, new: &str| {
        let (old, new) = (compile(GCC, old), compile(GCC, new));
        Compare::new(&old, &new).signature(functions(&old, "f")[0], functions(&new, "f")[0])
    };
    assert_eq!(verdict("int f(int a) { return a; }", "int f(unsigned b) { return b; }"), Outcome::Same);
    assert_eq!(verdict("void f(int a) { (void)a; }", "int f(int a) { return a; }"), Outcome::Same);
    let Outcome::Changed(change) =
        verdict("int f(int a) { return a; }", "int f(long a, char *b) { return a + *b; }")
    else {
        panic!("not found");
    };
    assert_eq!(change.reason, "it was int f(int) and is int f(long int, char *)");
    assert!(matches!(
        verdict("int f(int a) { return a; }", "void f(int a) { (void)a; }"),
        Outcome::Changed(_)
    ));
    assert!(matches!(
        verdict("int f(int a) { return a; }", "int f(int a, ...) { return a; }"),
        Outcome::Changed(_)
    ));
}

#[test]
fn inlined_functions_bring_their_types() {
    let source = |x: &str| {
        format!(
            "struct deep {{ {x} int y; }}; extern void *where;\n\
             static inline __attribute__((always_inline)) int get(void) {{ struct deep *d = where; return d->y; }}\n\
             int f(void) {{ return get(); }}\n"
        )
    };
    for compiler in C {
        let (changed, _) = changes(compiler, &source(""), &source("int x;"), "f");
        assert_eq!(names(&changed), ["deep"], "{compiler:?}");
    }
}

#[test]
fn variables() {
    let (old, new) = (
        compile(GCC, "int x[4]; int *f(void) { return x; }"),
        compile(GCC, "long x[2]; long *f(void) { return x; }"),
    );
    let (before, after) = (old.named("x").next().expect("x"), new.named("x").next().expect("x"));
    let Outcome::Changed(change) = Compare::new(&old, &new).variable(before, after) else {
        panic!("not found")
    };
    assert_eq!(change.reason, "it was int [4] and is long int [2]");
    assert!(new.reach(&[Root::Variable(after)]).defined.is_empty());
}

#[test]
fn a_local_that_holds_an_address_does_not_lie_there() {
    let source =
        "struct s { int a, b; } all; int f(int x) { int *p = &all.b; __atomic_store(p, &x, 5); return *p; }";
    let flags: [&'static [&'static str]; 2] =
        [&["gcc", "-c", "-g", "-O2", "-fdata-sections"], &["clang", "-c", "-g", "-O2", "-fdata-sections"]];
    for command in flags {
        let compiler = crate::compilers::Compiler(command, "t.c");
        let types = compile(compiler, source);
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = crate::compilers::object(compiler, source, folder.path());
        let file = object::File::parse(&*bytes).expect("an object");
        let section = file.section_by_name(".bss.all").expect("the variable's section").index().0;
        let found: Vec<_> = types.at(Place::new(section, 0), 8).collect();
        assert_eq!(found, types.named("all").collect::<Vec<_>>(), "{compiler:?}");
    }
}

#[test]
fn the_picture() {
    let old =
        "struct s { int a; char *name; char pad[16]; unsigned x : 4, y : 12; int t1, t2, t3, t4, t5, t6; };";
    let new = "struct s { int a; char *name; char pad[8]; long fresh; unsigned x : 4, y : 12; int t1, t2, t3, t4, t5, t6; };";
    let text = one(old, new).to_string();
    let expected = "\
struct s (t.c:1): 64 bytes
   offset before    after    size
               0        0       4  int a
               8        8       8  char *name
  ~           16       16       8  char pad[8]  (was char pad[16], 16 bytes)
  +                    24       8  long int fresh
              32       32       4  unsigned int x : 4
            32:4     32:4       4  unsigned int y : 12
                                   … 6 more, as they were
";
    assert_eq!(text, expected);
}

#[test]
fn type_units_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for flags in [
        &["gcc", "-c", "-g", "-fdebug-types-section"][..],
        &["gcc", "-c", "-g", "-gdwarf-4", "-fdebug-types-section"],
        &["gcc", "-c", "-g", "-gsplit-dwarf"],
    ] {
        let words: Vec<&'static str> = flags.to_vec();
        let compiler = crate::compilers::Compiler(words.leak(), "t.c");
        let bytes = crate::compilers::object(compiler, &of("struct s { int a; };"), folder.path());
        let file = object::File::parse(&*bytes).expect("an object");
        let error = liveline_types::Types::read(&file).expect_err("no types").to_string();
        assert!(
            error.contains("compile without -fdebug-types-section")
                || error.contains("compile without -gsplit-dwarf"),
            "{error}"
        );
    }
}
