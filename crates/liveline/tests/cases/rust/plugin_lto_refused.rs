//# opt: 2
//# units: 4
//# rustc: -C linker-plugin-lto
//# refused: holds no code
// The objects hold bitcode; the linker alone makes code of it.
pub fn start() {}

#[inline(never)]
pub fn answer() -> String {
    if cfg!(v2) { "2".into() } else { "1".into() }
}
