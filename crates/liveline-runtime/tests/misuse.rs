//! What the attributes refuse, and in what words. What types refuse is in the doc tests of `lib.rs`.
//!
//! After a change of words: `TRYBUILD=overwrite cargo test -p liveline-runtime --test misuse`.
#![forbid(unsafe_code)]

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
