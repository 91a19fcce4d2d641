//! A program before it is updatable. `first.rs` is the same one after.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

trait Tickets: Send + Sync {
    fn next(&self) -> u64;
}

#[derive(Default)]
struct Counter {
    last: Arc<AtomicU64>,
}

impl Tickets for Counter {
    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}

pub(crate) fn main() {
    let tickets: Box<dyn Tickets> = Box::new(Counter::default());
    assert_eq!(tickets.next(), 1);
}
