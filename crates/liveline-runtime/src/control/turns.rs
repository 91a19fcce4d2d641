//! The order of clients: what one asked for comes before what the next one asks for, although each has a thread.
//!
//! A `liveline` that is killed may have said all it wanted to say. Whoever looks next shall find it done, and not see it
//! done later.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    /// Since when.
    waiting: BTreeMap<u64, Instant>,
}

/// A client's place. It is given up when this is dropped.
pub(super) struct Turn {
    number: u64,
    turns: Arc<Turns>,
}

impl Turns {
    /// The next client's; none if so many have not asked yet.
    pub(super) fn take(self: &Arc<Self>, most: usize) -> Option<Turn> {
        let mut line = lock(&self.line);
        if line.waiting.len() >= most {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.waiting.insert(number, Instant::now());
        Some(Turn { number, turns: Arc::clone(self) })
    }
}

impl Turn {
    /// Waits until those who came before have asked, or have been here for so long and have not.
    pub(super) fn come(&self, bound: Duration) {
        let mut line = lock(&self.turns.line);
        loop {
            let left = |since: &Instant| bound.checked_sub(since.elapsed()).filter(|left| !left.is_zero());
            let Some(left) = line.waiting.range(..self.number).filter_map(|(_, since)| left(since)).max()
            else {
                return;
            };
            line = self.turns.asked.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
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
        let (first, second) = (Turns::take(&turns, 2).unwrap(), Turns::take(&turns, 2).unwrap());
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
        let silent = Turns::take(&turns, 2).unwrap();
        let next = Turns::take(&turns, 2).unwrap();
        next.come(Duration::from_millis(1));
        assert!(Turns::take(&turns, 2).is_none());
        drop(silent);
        next.come(Duration::MAX);
        assert!(Turns::take(&turns, 2).is_some());
    }
}
