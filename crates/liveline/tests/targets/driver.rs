//! The program around a Rust case: `driver.c` in Rust.
//!
//! driver THREADS BEFORE AFTER: the threads call `case::answer` all the time. Where BEFORE is not empty, each answer
//! must be BEFORE or AFTER, anything else is counted as wrong.
//!
//! The functions that are on a stack all the time do next to nothing, and nothing that the compiler could do another
//! way once the case is another: a patch that changes them would have to wait for ever.

mod case;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

static CALLS: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);
static FIRST_WRONG: Mutex<String> = Mutex::new(String::new());
static EXPECTED: OnceLock<[String; 2]> = OnceLock::new();

unsafe extern "C" {
    fn prctl(option: i32, value: u64) -> i32;
    fn usleep(time: u32) -> i32;
    fn read(file: i32, at: *mut u8, size: usize) -> isize;
    fn pthread_create(thread: *mut u64, how: *const u8, run: extern "C" fn(usize) -> usize, with: usize) -> i32;
}

extern "C" fn caller(_: usize) -> usize {
    loop {
        call();
        unsafe { usleep(50) };
    }
}

#[inline(never)]
fn call() {
    let line = case::answer();
    CALLS.fetch_add(1, Ordering::Relaxed);
    let [before, after] = EXPECTED.get().unwrap();
    if !before.is_empty() && line != *before && line != *after && WRONG.fetch_add(1, Ordering::Relaxed) == 0 {
        *FIRST_WRONG.lock().unwrap() = line;
    }
}

#[inline(never)]
fn start() {
    unsafe { prctl(1, 9) };
    let words: Vec<String> = std::env::args().collect();
    let word = |index: usize| words.get(index).cloned().unwrap_or_default();
    case::start();
    EXPECTED.set([word(2), word(3)]).unwrap();
    for _ in 0..word(1).parse().unwrap_or(0) {
        let mut thread = 0;
        assert_eq!(unsafe { pthread_create(&mut thread, std::ptr::null(), caller, 0) }, 0);
    }
    say("ready");
}

#[inline(never)]
fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

#[inline(never)]
fn reply(line: &[u8]) {
    match line {
        b"ask" => say(&case::answer()),
        b"count" => {
            let (calls, wrong) = (CALLS.load(Ordering::Relaxed), WRONG.load(Ordering::Relaxed));
            say(&format!("{calls} {wrong} {}", FIRST_WRONG.lock().unwrap()));
        }
        _ => say("?"),
    }
}

static mut LINE: [u8; 64] = [0; 64];

fn main() {
    start();
    let line = &raw mut LINE as *mut u8;
    loop {
        let mut length = 0;
        unsafe {
            while length < 64 && read(0, line.add(length), 1) == 1 && *line.add(length) != b'\n' {
                length += 1;
            }
            if length == 0 {
                return;
            }
            reply(std::slice::from_raw_parts(line, length));
        }
    }
}
