//! The order of clients: what one asked for comes before what the next one asks for, although each has a thread.
//!
//! A `liveline` that is killed may have said all it wanted to say. Whoever looks next shall find it done, and not see it
//! done later.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::sync::lock;

/// Who came, and has not asked yet.
#[derive(Default)]
pub(super) struct Turns {
    line: Mutex<Line>,
    asked: Condvar,
}

#[derive(Default)]
struct Line {
    next: u64,
    waiting: BTreeSet<u64>,
}

/// A client's place. It is given up when this is dropped.
pub(super) struct Turn {
    number: u64,
    turns: Arc<Turns>,
}

impl Turns {
    /// The next client's.
    pub(super) fn take(self: &Arc<Self>) -> Turn {
        let mut line = lock(&self.line);
        let number = line.next;
        line.next += 1;
        line.waiting.insert(number);
        Turn { number, turns: Arc::clone(self) }
    }
}

impl Turn {
    /// Waits until those who came before have asked, or have not for so long.
    pub(super) fn come(&self, bound: Duration) {
        let is_later = |line: &mut Line| line.waiting.first().is_some_and(|first| *first < self.number);
        let line = lock(&self.turns.line);
        let waited = self.turns.asked.wait_timeout_while(line, bound, is_later);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.turns.line).waiting.remove(&self.number);
        self.turns.asked.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn who_came_first_asks_first() {
        let turns = Arc::default();
        let (first, second) = (Turns::take(&turns), Turns::take(&turns));
        let (say, said) = channel();
        let other = say.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                second.come(Duration::from_secs(60));
                say.send(2).unwrap();
            });
            scope.spawn(move || {
                first.come(Duration::from_secs(60));
                std::thread::sleep(Duration::from_millis(20));
                other.send(1).unwrap();
            });
        });
        assert_eq!(said.iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn who_says_nothing_is_not_waited_for_and_who_left_neither() {
        let turns = Arc::default();
        let silent = Turns::take(&turns);
        let next = Turns::take(&turns);
        next.come(Duration::from_millis(1));
        drop(silent);
        next.come(Duration::MAX);
    }
}
