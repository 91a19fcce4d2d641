//# opt: 0,2
//# units: 1,4
//# before: case.rs:30 list of 3
//# after: case.rs:34 list of 3, as it must be
// A panic names its file, and the line it has in the new source.
use std::panic::{catch_unwind, set_hook};
use std::sync::Mutex;

static SEEN: Mutex<String> = Mutex::new(String::new());

pub fn start() {
    set_hook(Box::new(|info| {
        let place = info.location().unwrap();
        *SEEN.lock().unwrap() = format!("{}:{} {}", place.file(), place.line(), info.payload_as_str().unwrap());
    }));
}

#[inline(never)]
fn caught(length: usize) {
    let _ = catch_unwind(|| checked(length));
}

#[inline(never)]
fn checked(length: usize) {
    if length != 3 {
        return;
    }

    #[cfg(v2)]
    let more = ", as it must be";
    #[cfg(not(v2))]
    let more = "";
    #[cfg(not(v2))]
    panic!("list of {length}{more}");


    #[cfg(v2)]
    panic!("list of {length}{more}");
}

#[inline(never)]
pub fn answer() -> String {
    caught(3);
    SEEN.lock().unwrap().clone()
}
