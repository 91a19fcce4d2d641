//! What scripts would do.
fn main() {}
