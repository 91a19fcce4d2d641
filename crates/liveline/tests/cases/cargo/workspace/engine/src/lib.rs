use std::collections::BTreeMap;

#[derive(Default)]
pub struct Store {
    counts: BTreeMap<String, u64>,
}

impl Store {
    pub fn add(&mut self, name: &str) -> u64 {
        let count = self.counts.entry(name.to_owned()).or_default();
        *count += 1;
        price(*count)
    }
}

#[inline(never)]
fn price(count: u64) -> u64 {
    count.min(9) * 2
}

#[inline(never)]
pub fn describe(count: u64) -> String {
    let mut buffer = itoa::Buffer::new();
    format!("{} {}", buffer.format(count), macros::unit!())
}

/// Compiled by who uses it.
#[inline(never)]
pub fn largest<T: Copy + Ord + Default>(list: &[T]) -> T {
    list.iter().copied().max().unwrap_or_default()
}
