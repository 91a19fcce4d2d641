//# opt: 0,2
//# units: 4,incremental
//# mangling: legacy,v0
//# rustc-new: -C metadata=2
//# refused: -C metadata differs
// Another `-C metadata` gives every function another name.
pub fn start() {}

#[inline(never)]
pub fn answer() -> String {
    if cfg!(v2) { "2".into() } else { "1".into() }
}
