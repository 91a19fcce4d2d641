//# opt: 0,2,3
//# units: 1,4
//# mangling: legacy,v0
//# before: 6 abc [1, 2]
//# after: 7 abc! [2, 1]
// A generic function changes for all types it is used with; one more type comes along.
use std::fmt::Debug;

pub fn start() {}

trait Twice {
    fn twice(&self) -> Self;
}
impl Twice for u32 {
    fn twice(&self) -> u32 {
        self * 2
    }
}
impl Twice for String {
    fn twice(&self) -> String {
        self.clone()
    }
}

#[inline(never)]
fn apply<T: Twice>(value: T, more: impl Fn(T) -> T) -> T {
    if cfg!(v2) { more(value.twice()) } else { value.twice() }
}

#[inline(never)]
fn show<T: Debug + Clone>(list: &[T]) -> String {
    let mut list = list.to_vec();
    if cfg!(v2) {
        list.reverse();
    }
    format!("{list:?}")
}

#[inline(never)]
pub fn answer() -> String {
    let number = apply(3u32, |value| value + 1);
    let text = apply("abc".to_string(), |value| value + "!");
    #[cfg(v2)]
    let _ = show(&["only", "in", "new"]);
    format!("{number} {text} {}", show(&[1u8, 2]))
}
