//# opt: 0,1,2
//# units: 4,16,incremental
//# before: 2 4 6 8
//# after: 2 5 6 8
// Much new code deals the functions to the codegen units anew.
mod a {
    #[inline(never)]
    pub fn value(x: u64) -> String {
        (x * 2).to_string()
    }
}
mod b {
    #[inline(never)]
    pub fn value(x: u64) -> String {
        (x * 2 + if cfg!(v2) { 1 } else { 0 }).to_string()
    }
    #[cfg(v2)]
    pub mod more {
        use std::collections::BTreeMap;
        #[inline(never)]
        pub fn much(x: u64) -> u64 {
            let mut tree: BTreeMap<u64, String> = BTreeMap::new();
            let mut map: BTreeMap<String, u64> = BTreeMap::new();
            for number in 0..x {
                tree.insert(number, number.to_string());
                map.insert(number.to_string(), number);
            }
            tree.len() as u64 - map.len() as u64
        }
    }
}
mod c {
    #[inline(never)]
    pub fn value(x: u64) -> String {
        (x * 2).to_string()
    }
}
mod d {
    #[inline(never)]
    pub fn value(x: u64) -> String {
        #[cfg(v2)]
        return (x * 2 + super::b::more::much(x)).to_string();
        #[cfg(not(v2))]
        (x * 2).to_string()
    }
}

pub fn start() {}

#[inline(never)]
pub fn answer() -> String {
    [a::value(1), b::value(2), c::value(3), d::value(4)].join(" ")
}
