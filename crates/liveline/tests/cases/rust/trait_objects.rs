//# opt: 0,1,2,3
//# units: 1,4
//# before: 14 square:rect
//# after: 29 square:RECT:circle
// A method of a type behind `dyn` changes, for objects that live; a new type brings its vtable along.
use std::sync::Mutex;

trait Shape: Send {
    fn area(&self) -> u64;
    fn name(&self) -> String;
}
struct Square(u64);
struct Rect(u64, u64);
impl Shape for Square {
    fn area(&self) -> u64 {
        self.0 * self.0
    }
    fn name(&self) -> String {
        "square".into()
    }
}
impl Shape for Rect {
    fn area(&self) -> u64 {
        if cfg!(v2) { self.0 * self.1 + 5 } else { self.0 * self.1 }
    }
    fn name(&self) -> String {
        if cfg!(v2) { "RECT".into() } else { "rect".into() }
    }
}

#[cfg(v2)]
struct Circle(Box<u64>);
#[cfg(v2)]
impl Shape for Circle {
    fn area(&self) -> u64 {
        *self.0
    }
    fn name(&self) -> String {
        "circle".into()
    }
}

static LIVE: Mutex<Vec<Box<dyn Shape>>> = Mutex::new(Vec::new());

pub fn start() {
    let mut live = LIVE.lock().unwrap();
    live.push(Box::new(Square(2)));
    live.push(Box::new(Rect(2, 5)));
}

#[inline(never)]
fn also() -> Option<Box<dyn Shape>> {
    #[cfg(v2)]
    return Some(Box::new(Circle(Box::new(10))));
    #[cfg(not(v2))]
    None
}

#[inline(never)]
pub fn answer() -> String {
    let live = LIVE.lock().unwrap();
    let also = also();
    let all = || live.iter().chain(also.iter());
    let names: Vec<String> = all().map(|shape| shape.name()).collect();
    format!("{} {}", all().map(|shape| shape.area()).sum::<u64>(), names.join(":"))
}
