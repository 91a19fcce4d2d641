//! The examples run, and say what the guide says.
#![forbid(unsafe_code)]

#[path = "../examples/allocator_race.rs"]
mod allocator_race;
#[path = "../examples/cache_managers.rs"]
mod cache_managers;
#[path = "../examples/first.rs"]
mod first;
#[path = "../examples/first_plain.rs"]
mod first_plain;
#[path = "../examples/new_interface.rs"]
mod new_interface;

const PLAIN: &str = include_str!("../examples/first_plain.rs");
const FIRST: &str = include_str!("../examples/first.rs");
const SOURCES: [&str; 4] = [
    FIRST,
    include_str!("../examples/new_interface.rs"),
    include_str!("../examples/allocator_race.rs"),
    include_str!("../examples/cache_managers.rs"),
];

#[test]
fn examples_run() {
    first_plain::main();
    first::main();
    new_interface::main();
    allocator_race::main();
    cache_managers::main();
}

#[test]
fn a_newcomer_writes_ten_lines_and_two_attributes() {
    let code = |text: &'static str| text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with("//"));
    let mut plain: Vec<&str> = code(PLAIN).collect();
    let mut written = Vec::new();
    for line in code(FIRST) {
        match plain.iter().position(|p| *p == line) {
            Some(at) => drop(plain.remove(at)),
            None => written.push(line),
        }
    }
    assert!(written.len() <= 10, "{} lines:\n{}", written.len(), written.join("\n"));
    assert_eq!(written.iter().filter(|line| line.starts_with("#[")).count(), 2);
}

#[test]
fn what_the_guide_shows_is_in_the_examples() {
    let guide = std::fs::read_to_string("../../docs/runtime-guide.md").unwrap();
    let blocks: Vec<&str> = guide.split("```rust\n").skip(1).filter_map(|b| b.split("```").next()).collect();
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    for block in blocks {
        let found = SOURCES.iter().any(|source| source.contains(block));
        assert!(found, "not in any example:\n{block}");
    }
}
