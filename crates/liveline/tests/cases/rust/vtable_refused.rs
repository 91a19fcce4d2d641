//# opt: 0,2
//# units: 1,4
//# refused: vtable
//# note: Shape
// A method more in front: objects that live have the old vtable, and new code would call the wrong method.
use std::sync::Mutex;

trait Shape: Send {
    #[cfg(v2)]
    fn corners(&self) -> u64;
    fn area(&self) -> u64;
    fn name(&self) -> String;
}
struct Square(u64);
impl Shape for Square {
    #[cfg(v2)]
    fn corners(&self) -> u64 {
        4
    }
    fn area(&self) -> u64 {
        self.0 * self.0
    }
    fn name(&self) -> String {
        "square".into()
    }
}

static LIVE: Mutex<Vec<Box<dyn Shape>>> = Mutex::new(Vec::new());

#[inline(never)]
fn make(size: u64) -> Box<dyn Shape> {
    Box::new(Square(size))
}

pub fn start() {
    LIVE.lock().unwrap().push(make(2));
}

#[inline(never)]
pub fn answer() -> String {
    let live = LIVE.lock().unwrap();
    #[cfg(v2)]
    let more = live[0].corners();
    #[cfg(not(v2))]
    let more = 0;
    format!("{} {} {more}", live[0].area(), live[0].name())
}
