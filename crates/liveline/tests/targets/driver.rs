//! The program around a Rust case: `driver.c` in Rust.
//!
//! driver THREADS BEFORE AFTER: the threads call `case::answer` all the time. Where BEFORE is not empty, each answer
//! must be BEFORE or AFTER, anything else is counted as wrong.

mod case;

use std::io::{BufRead, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);
static FIRST_WRONG: Mutex<String> = Mutex::new(String::new());

unsafe extern "C" {
    fn prctl(option: i32, value: u64) -> i32;
    fn usleep(time: u32) -> i32;
}

#[inline(never)]
fn caller(before: String, after: String) {
    loop {
        let line = case::answer();
        CALLS.fetch_add(1, Ordering::Relaxed);
        if !before.is_empty() && line != before && line != after && WRONG.fetch_add(1, Ordering::Relaxed) == 0 {
            *FIRST_WRONG.lock().unwrap() = line;
        }
        unsafe { usleep(50) };
    }
}

fn main() {
    unsafe { prctl(1, 9) };
    let words: Vec<String> = std::env::args().collect();
    let word = |index: usize| words.get(index).cloned().unwrap_or_default();
    case::start();
    for _ in 0..word(1).parse().unwrap_or(0) {
        let (before, after) = (word(2), word(3));
        std::thread::spawn(|| caller(before, after));
    }
    let mut out = std::io::stdout();
    writeln!(out, "ready").unwrap();
    out.flush().unwrap();
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().as_str() {
            "ask" => writeln!(out, "{}", case::answer()).unwrap(),
            "count" => {
                let (calls, wrong) = (CALLS.load(Ordering::Relaxed), WRONG.load(Ordering::Relaxed));
                writeln!(out, "{calls} {wrong} {}", FIRST_WRONG.lock().unwrap()).unwrap();
            }
            _ => writeln!(out, "?").unwrap(),
        }
        out.flush().unwrap();
    }
}
