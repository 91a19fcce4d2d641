//! The program of `first_plain.rs`, made updatable: a test counts the lines that it took.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use liveline_runtime::{Class, Factory, class, interface};

#[interface]
trait Tickets: Send + Sync {
    fn next(&self) -> u64;
}

#[derive(Default)]
struct Counter {
    last: Arc<AtomicU64>,
}

#[class(state(last))]
impl Tickets for Counter {
    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}

pub(crate) fn main() {
    let class = Class::new("tickets", Factory::new(|()| Counter::default())).expect("a new name");
    let tickets = class.create(());
    assert_eq!(tickets.next(), 1);
}
