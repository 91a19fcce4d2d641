//# opt: 2
//# units: 8,16
//# before: 454 898 0
//# after: 565 909 0
// The callers `a::value` and `b::value` stay as they are, and each calls the copy of `mix` of its own codegen unit. In
// the new build more code stands in `b` instead of in `a`, so that the units, numbered by size, change places.
mod work {
    use std::fmt::Write;
    // Each unit that calls it has a copy of its own; where all callers pass the same, LLVM leaves the argument out.
    #[inline]
    pub fn mix(key: u64, depth: u64, salt: u64, out: &mut String) {
        if depth == 0 {
            return;
        }
        mix(key, depth - 1, salt, out);
        let more = if cfg!(v2) { 1 } else { 0 };
        write!(out, "{}", (key * 3 + salt * 7 + depth + more) % 10).unwrap();
        if out.len() > 90 {
            write!(out, "{}-{}", key ^ 1, depth ^ salt).unwrap();
            out.make_ascii_uppercase();
            out.retain(|letter| letter != '7');
            write!(out, "{}+{}", key ^ 2, depth ^ salt).unwrap();
            out.insert_str(0, "long");
        }
        mix(key, depth - 1, salt, out);
    }
}
mod a {
    #[inline(never)]
    pub fn value(x: u64) -> String {
        let mut out = String::new();
        super::work::mix(5, x, x + 2, &mut out);
        out
    }
    #[inline(never)]
    #[cfg(not(v2))]
    pub fn much(x: u64) -> u64 {
        super::much::<u8>(x)
    }
}
mod b {
    #[inline(never)]
    pub fn value(x: u64) -> String {
        let mut out = String::new();
        super::work::mix(x, 2, x + 1, &mut out);
        out
    }
    #[cfg(v2)]
    #[inline(never)]
    pub fn much(x: u64) -> u64 {
        super::much::<u8>(x)
    }
}
#[inline]
fn much<T: Default>(x: u64) -> u64 {
    use std::collections::BTreeMap;
    let mut tree: BTreeMap<u64, (String, T)> = BTreeMap::new();
    let mut map: BTreeMap<String, u64> = BTreeMap::new();
    for number in 0..x {
        tree.insert(number, (number.to_string(), T::default()));
        map.insert(number.to_string(), number);
    }
    tree.len() as u64 - map.len() as u64
}

pub fn start() {}

#[inline(never)]
pub fn answer() -> String {
    #[cfg(v2)]
    let none = b::much(3);
    #[cfg(not(v2))]
    let none = a::much(3);
    [a::value(2 + none), b::value(3), none.to_string()].join(" ")
}
