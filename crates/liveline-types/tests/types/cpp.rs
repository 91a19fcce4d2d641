//! Types of C++, of g++ and clang++.

use liveline_types::{Change, Mark, Unit};

use crate::compilers::{CXX, changes, names};

fn only(old: &str, new: &str) -> Vec<Change> {
    let of = |body: &str| format!("{body}\nint f(s *p) {{ return p != nullptr; }}\n");
    let mut first = Vec::new();
    for (number, compiler) in CXX.into_iter().enumerate() {
        let (changed, _) = changes(compiler, &of(old), &of(new), "_Z1fP");
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
fn a_base_class_more() {
    let change = one(
        "struct a { int x; }; struct b { int y; }; struct s : a { int z; };",
        "struct a { int x; }; struct b { int y; }; struct s : a, b { int z; };",
    );
    assert_eq!(change.reason, "base class b is new at offset 4");
    let order = one(
        "struct a { int x; }; struct b { int y; }; struct s : a, b { int z; };",
        "struct a { int x; }; struct b { int y; }; struct s : b, a { int z; };",
    );
    assert_eq!(order.reason, "base class b was at offset 4 and is at offset 0");
}

#[test]
fn an_empty_base_more() {
    let change = one("struct a {}; struct s { int z; };", "struct a {}; struct s : a { int z; };");
    assert_eq!(change.reason, "base class a is new at offset 0");
}

#[test]
fn a_base_that_became_virtual() {
    let change = one(
        "struct a { int x; }; struct s : a { int z; virtual ~s(); }; s::~s() {}",
        "struct a { int x; }; struct s : virtual a { int z; virtual ~s(); }; s::~s() {}",
    );
    assert!(
        change.rows.iter().any(|row| row.mark == Mark::Added && row.text == "virtual base class a"),
        "{change:#?}"
    );
}

#[test]
fn a_virtual_method_in_between() {
    let change = one(
        "namespace n { class shape { public: virtual int area(); virtual int edges(); int x; }; \
         int shape::area() { return 1; } int shape::edges() { return 2; } } using s = n::shape;",
        "namespace n { class shape { public: virtual int area(); virtual long weight(int); virtual int edges(); int x; }; \
         int shape::area() { return 1; } int shape::edges() { return 2; } long shape::weight(int) { return 3; } } \
         using s = n::shape;",
    );
    assert_eq!(change.name, "n::shape");
    let slots: Vec<_> = change.rows.iter().filter(|row| row.unit == Unit::Slot).collect();
    assert_eq!(slots.len(), 3);
    assert_eq!((slots[1].mark, slots[1].before, slots[2].mark), (Mark::Changed, Some(1), Mark::Added));
    assert_eq!(
        change.reason,
        "class n::shape: slot 1 of its vtable was n::shape::edges() and is n::shape::weight(int)"
    );
}

#[test]
fn a_virtual_method_at_the_end_and_one_of_another_signature() {
    let class = |methods: &str| format!("struct s {{ {methods} int x; }}; int s::one(int) {{ return 1; }}");
    let change = one(
        &class("virtual int one(int);"),
        &(class("virtual int one(int); virtual int two();") + "int s::two() { return 2; }"),
    );
    assert_eq!(change.reason, "struct s: slot 1 of its vtable is new, s::two()");
    let other = one(
        &class("virtual int one(int);"),
        "struct s { virtual int one(long); int x; }; int s::one(long) { return 1; }",
    );
    let long = if other.reason.ends_with("(long)") { "long" } else { "long int" };
    assert_eq!(other.reason, format!("struct s: slot 0 of its vtable was s::one(int) and is s::one({long})"));
    let returned = one(
        &class("virtual int one(int);"),
        "struct s { virtual char one(int); int x; }; char s::one(int) { return 1; }",
    );
    assert_eq!(returned.reason, "struct s: slot 0 of its vtable was int s::one(int) and is char s::one(int)");
}

#[test]
fn a_method_that_is_overridden_now() {
    let with = |method: &str| {
        format!(
            "struct a {{ virtual int m(); int x; }}; int a::m() {{ return 1; }} struct s : a {{ {method} int y; }};"
        )
    };
    passes(&with(""), &(with("int m() override;") + "int s::m() { return 2; }"));
    passes(&with("void plain();"), &with("void plain(); void another(int);"));
}

#[test]
fn templates() {
    let with = |x: &str| {
        format!(
            "#include <vector>\n#include <string>\nstruct item {{ {x} int a; }}; struct s {{ std::vector<item> list; std::string name; }};"
        )
    };
    passes(&with(""), &with(""));
    assert_eq!(one(&with(""), &with("int b;")).name, "item");
    let change = one(
        "#include <vector>\nstruct s { std::vector<int> v; };",
        "#include <vector>\nstruct s { std::vector<long> v; };",
    );
    assert!(change.reason.contains("v at offset 0 was"), "{}", change.reason);
}

#[test]
fn scopes_are_part_of_a_name() {
    let with = |x: &str| {
        format!(
            "namespace a {{ struct t {{ int x; }}; }} namespace b {{ struct t {{ {x} }}; }} struct s {{ a::t *p; }}; int g(b::t *p) {{ return p != nullptr; }}"
        )
    };
    passes(&with("int x;"), &with("long x;"));
    let anonymous = |x: &str| {
        format!(
            "namespace {{ struct t {{ {x} }}; }} struct s {{ t *p; }}; int use(t *p) {{ return p != nullptr; }} int (*keep)(t *) = use;"
        )
    };
    assert_eq!(one(&anonymous("int x;"), &anonymous("long x;")).name, "(anonymous namespace)::t");
}

#[test]
fn what_is_no_change() {
    passes("class s { int x; static int y; };", "struct s { int x; static long y; static int z; };");
    passes("enum class e { a }; struct s { e x; };", "enum class e { a, b }; struct s { e x; };");
}

#[test]
fn pointers_to_members_and_lambdas() {
    one(
        "struct t { int x; long y; }; struct s { int t::*p; };",
        "struct t { int x; long y; }; struct s { long t::*p; };",
    );
    one("struct s { void (s::*p)(int); };", "struct s { void (s::*p)(long); };");
}
