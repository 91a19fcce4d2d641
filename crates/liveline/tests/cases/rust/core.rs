//# matrix
//# strict
//# before: 30 ten [1, 2, 3] 6
//# after: 31 eleven [1, 2, 3, 4] 10
// What every Rust program does: numbers, strings, vectors, formatting.
pub fn start() {}

#[inline(never)]
fn price(count: u64) -> u64 {
    if cfg!(v2) { count * 3 + 1 } else { count * 3 }
}

#[inline(never)]
fn word() -> String {
    let text = if cfg!(v2) { "eleven" } else { "ten" };
    text.to_string()
}

#[inline(never)]
fn list() -> Vec<u32> {
    let mut list = vec![1, 2, 3];
    if cfg!(v2) {
        list.push(4);
    }
    list
}

#[inline(never)]
pub fn answer() -> String {
    let list = list();
    format!("{} {} {list:?} {}", price(10), word(), list.iter().sum::<u32>())
}
