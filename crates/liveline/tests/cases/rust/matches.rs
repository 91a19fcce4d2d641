//# opt: 0,2,3
//# units: 1,4
//# before: zero one two three four five 7 90
//# after: zero one TWO three four five 8 91
// Jump tables, tables of strings and wide constants.
pub fn start() {}

#[inline(never)]
fn name(number: u32) -> &'static str {
    match number {
        0 => "zero",
        1 => "one",
        2 if cfg!(v2) => "TWO",
        2 => "two",
        3 => "three",
        4 => "four",
        _ => "five",
    }
}

#[inline(never)]
fn mixed(text: &str, number: u128) -> u128 {
    match text.len() {
        0 => number,
        1 => number / 3,
        2 => number % 97,
        3 => number.rotate_left(17),
        4 => (number >> 100) + if cfg!(v2) { 1 } else { 0 },
        5 => number * 2,
        _ => 1,
    }
}

#[inline(never)]
fn sum(list: &[f64; 8]) -> f64 {
    list.iter().map(|value| value * if cfg!(v2) { 2.53 } else { 2.5 }).sum()
}

#[inline(never)]
pub fn answer() -> String {
    let names: Vec<&str> = (0..6).map(name).collect();
    let list = std::hint::black_box([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    format!("{} {} {:.0}", names.join(" "), mixed("four", 7 << 100), sum(&list))
}
