//! Types of Rust.

use liveline_types::Change;

use crate::compilers::{RUSTC, changes, names};

/// What changed of what `f` gets at.
fn changed(old: &str, new: &str) -> Vec<Change> {
    changes(RUSTC, old, new, "target_function").0
}

fn of(body: &str) -> String {
    format!("{body}\npub fn target_function(p: &mut S) -> usize {{ p as *const S as usize }}\n")
}

fn passes(old: &str, new: &str) {
    let found = changed(&of(old), &of(new));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn members_in_another_order() {
    let found = changed(
        &of("#[repr(C)] pub struct S { pub a: u32, pub b: u32 }"),
        &of("#[repr(C)] pub struct S { pub b: u32, pub a: u32 }"),
    );
    assert_eq!(names(&found), ["t::S"]);
    // In the source only: rustc lays out as it likes.
    passes("pub struct S { pub a: u8, pub b: u64 }", "pub struct S { pub b: u64, pub a: u8 }");
    let more = changed(&of("pub struct S { pub a: u8 }"), &of("pub struct S { pub a: u8, pub b: u64 }"));
    assert_eq!(names(&more), ["t::S"]);
}

#[test]
fn through_boxes_and_vectors() {
    let with = |x: &str| {
        format!("pub struct Inner {{ pub x: {x} }} pub struct S {{ pub list: Vec<Option<Box<Inner>>> }}")
    };
    assert_eq!(names(&changed(&of(&with("u32")), &of(&with("u64")))), ["t::Inner"]);
    passes(&with("u32"), &with("i32"));
}

#[test]
fn enumerations() {
    let with = |list: &str| format!("pub enum E {{ {list} }} pub struct S {{ pub e: E }}");
    assert_eq!(names(&changed(&of(&with("A, B, C")), &of(&with("A, X, B, C")))), ["t::E"]);
    passes(&with("A, B"), &with("A, B, C"));
    let data = changed(&of(&with("A(u32), B(u64)")), &of(&with("A(u32), B(u32)")));
    assert!(names(&data).contains(&"t::E"), "{data:#?}");
    let swapped = changed(&of(&with("A(u32), B(u64)")), &of(&with("B(u64), A(u32)")));
    assert_eq!(names(&swapped), ["t::E"]);
}

#[test]
fn niches() {
    // The same size, but None is another value.
    let with = |t: &str| {
        format!(
            "pub struct S {{ pub o: Option<{t}> }} #[repr(u8)] pub enum Three {{ A, B, C }} #[repr(u8)] pub enum Four {{ A, B, C, D }}"
        )
    };
    let found = changed(&of(&with("Three")), &of(&with("Four")));
    assert_eq!(names(&found), ["t::S"], "{found:#?}");
    let own = |list: &str| {
        format!("#[repr(u8)] pub enum Inner {{ {list} }} pub struct S {{ pub o: Option<Inner> }}")
    };
    let found = changed(&of(&own("A, B, C")), &of(&own("A, B, C, D")));
    assert_eq!(names(&found), ["core::option::Option<t::Inner>"], "{found:#?}");
}

const ASYNC: &str = "
    pub async fn pause() {}
    pub async fn work(mut n: u64) -> u64 { STEPS n }
    pub fn target_function() -> impl std::future::Future<Output = u64> { work(1) }
    pub fn poll(cx: &mut std::task::Context) -> bool {
        let mut future = std::pin::pin!(target_function());
        std::future::Future::poll(future.as_mut(), cx).is_ready()
    }
";

#[test]
fn state_machines() {
    let with = |steps: &str| ASYNC.replace("STEPS", steps);
    let one = with("pause().await; n += 1;");
    let found = changed(&one, &with("pause().await; n += 1; pause().await;"));
    assert!(names(&found).contains(&"t::work::{async_fn_env#0}"), "{:?}", names(&found));
    let held = changed(&one, &with("let held = [n; 4]; pause().await; n += held[1];"));
    assert!(
        names(&held).iter().any(|name| name.starts_with("t::work::{async_fn_env#0}")),
        "{:?}",
        names(&held)
    );
    let same = changed(&one, &with("pause().await; n += 2;"));
    assert!(same.is_empty(), "{:?}", names(&same));
}

#[test]
fn what_is_no_change() {
    passes(
        "pub struct S { pub a: u32, pub b: String }",
        "pub struct S { pub first: u32, pub second: String }",
    );
    passes("pub struct S { pub a: Box<dyn Fn()> }", "pub struct S { pub a: Box<dyn Fn()> }");
}

#[test]
fn trait_objects() {
    let with = |methods: &str| {
        format!("pub trait T {{ fn one(&self); {methods} }} pub struct S {{ pub t: Box<dyn T> }}")
    };
    let found = changed(&of(&with("")), &of(&with("fn two(&self);")));
    assert_eq!(found.len(), 1, "{found:#?}");
}
