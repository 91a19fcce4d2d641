//# opt: 0,2
//# rustc: -C debuginfo=1
//# refused: tells no types
// Debug information of functions and lines says nothing of layouts.
pub fn start() {}

#[inline(never)]
pub fn answer() -> String {
    if cfg!(v2) { "2".into() } else { "1".into() }
}
