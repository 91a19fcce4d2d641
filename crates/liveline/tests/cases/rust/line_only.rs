//# opt: 0,2
//# units: 1,4
//# panic: unwind,abort
//# nothing
//# verdict: program::case::checked line-only
// Lines moved, and with them every place that a panic may name.
pub fn start() {}

#[cfg(not(v2))]
#[inline(never)]
fn checked(list: &[u64], at: usize) -> u64 {
    assert!(at < 10, "at {at}");
    list[at] / (at as u64 - 1) + list.first().unwrap()
}


#[cfg(v2)]
#[inline(never)]
fn checked(list: &[u64], at: usize) -> u64 {
    assert!(at < 10, "at {at}");

    list[at] / (at as u64 - 1) + list.first().unwrap()
}


#[inline(never)]
pub fn answer() -> String {
    checked(std::hint::black_box(&[1, 2, 3]), std::hint::black_box(2)).to_string()
}
