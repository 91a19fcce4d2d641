//# opt: 2
//# units: 4
//# rustc: -C lto=thin
//# refused: it needs a constant that thin link-time optimisation shares between crates
//# note: build both with -C lto=off
// The fix of thin_lto.rs, in four units: `Debug` of an array, which the driver uses, goes to another unit, and with it a
// constant that thin LTO made visible to all crates under a number of its own.
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
