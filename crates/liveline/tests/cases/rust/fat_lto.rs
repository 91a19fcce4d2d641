//# opt: 3
//# units: 1,16
//# rustc: -C lto=fat
//# before: 3 abc
//# after: 4 ABC
//# verdict: program::case::answer changed
// One object of all crates, compared like any other.
pub fn start() {}

#[inline(never)]
fn value(x: u64) -> u64 {
    if cfg!(v2) { x + 2 } else { x + 1 }
}

#[inline(never)]
pub fn answer() -> String {
    let text = std::hint::black_box("abc").to_string();
    let text = if cfg!(v2) { text.to_ascii_uppercase() } else { text };
    format!("{} {text}", value(std::hint::black_box(2)))
}
