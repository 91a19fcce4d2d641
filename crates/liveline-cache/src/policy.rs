//! Eviction: which key leaves when a namespace is full.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use liveline_runtime::{Formats, Transfer, class, interface};

/// A key, shared by everything that knows it.
pub(crate) type Key = Arc<str>;

/// What became of a key that was stored.
pub(crate) struct Stored {
    /// The key that has to leave for it.
    pub(crate) evicted: Option<Key>,
    /// Who decided.
    pub(crate) policy: &'static str,
}

/// The eviction policy of one namespace.
#[interface]
pub(crate) trait Policy {
    /// Notes that a key was asked for and found; gives the policy's name.
    fn asked(&self, key: &str) -> &'static str;
    /// Notes that a key is stored.
    fn stored(&self, key: &Key) -> Stored;
    /// Notes that a key is gone.
    fn removed(&self, key: &str) -> &'static str;
}

/// The state that all versions give and take: how many keys there may be, and those there are, the next to leave
/// first.
type Order = (usize, Vec<Key>);

/// Version 1: first in, first out. What is asked for often leaves like anything else.
pub(crate) struct Fifo {
    capacity: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    order: VecDeque<Key>,
    known: HashSet<Key>,
}

impl Fifo {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, queue: Mutex::default() }
    }
}

#[class(transfer)]
impl Policy for Fifo {
    fn asked(&self, _: &str) -> &'static str {
        "fifo"
    }

    fn stored(&self, key: &Key) -> Stored {
        let mut queue = lock(&self.queue);
        let mut evicted = None;
        if !queue.known.contains(key) {
            if queue.order.len() >= self.capacity {
                evicted = queue.order.pop_front();
            }
            if let Some(evicted) = &evicted {
                queue.known.remove(evicted);
            }
            queue.order.push_back(Arc::clone(key));
            queue.known.insert(Arc::clone(key));
        }
        Stored { evicted, policy: "fifo" }
    }

    fn removed(&self, key: &str) -> &'static str {
        let mut queue = lock(&self.queue);
        if queue.known.remove(key) {
            queue.order.retain(|known| **known != *key);
        }
        "fifo"
    }
}

impl Transfer for Fifo {
    fn formats(formats: &mut Formats<Self>) {
        formats
            .give("order", |old: &Self| -> Order {
                (old.capacity, lock(&old.queue).order.iter().cloned().collect())
            })
            .take("order", |(capacity, order): Order| {
                let queue = Queue { known: order.iter().cloned().collect(), order: order.into() };
                Self { capacity, queue: Mutex::new(queue) }
            });
    }
}

/// Version 2: the least recently used leaves.
pub(crate) struct Lru {
    capacity: usize,
    uses: Mutex<Uses>,
}

/// Keys by their last use, and the other way round.
#[derive(Default)]
struct Uses {
    clock: u64,
    by_time: BTreeMap<u64, Key>,
    times: HashMap<Key, u64>,
}

impl Uses {
    fn touch(&mut self, key: &Key) {
        self.clock += 1;
        if let Some(before) = self.times.insert(Arc::clone(key), self.clock) {
            self.by_time.remove(&before);
        }
        self.by_time.insert(self.clock, Arc::clone(key));
    }
}

impl Lru {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, uses: Mutex::default() }
    }
}

#[class(version = 2, transfer)]
impl Policy for Lru {
    fn asked(&self, key: &str) -> &'static str {
        let mut uses = lock(&self.uses);
        let known = uses.times.get_key_value(key).map(|(known, _)| Arc::clone(known));
        if let Some(key) = known {
            uses.touch(&key);
        }
        "lru"
    }

    fn stored(&self, key: &Key) -> Stored {
        let mut uses = lock(&self.uses);
        let mut evicted = None;
        if !uses.times.contains_key(key) && uses.times.len() >= self.capacity {
            evicted = uses.by_time.pop_first().map(|(_, key)| key);
        }
        if let Some(evicted) = &evicted {
            uses.times.remove(evicted);
        }
        uses.touch(key);
        Stored { evicted, policy: "lru" }
    }

    fn removed(&self, key: &str) -> &'static str {
        let mut uses = lock(&self.uses);
        if let Some(time) = uses.times.remove(key) {
            uses.by_time.remove(&time);
        }
        "lru"
    }
}

impl Transfer for Lru {
    fn formats(formats: &mut Formats<Self>) {
        formats
            .give("order", |old: &Self| -> Order {
                (old.capacity, lock(&old.uses).by_time.values().cloned().collect())
            })
            .take("order", |(capacity, order): Order| {
                let mut uses = Uses::default();
                order.iter().for_each(|key| uses.touch(key));
                Self { capacity, uses: Mutex::new(uses) }
            });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use liveline_runtime::ObjectRef;

    use super::*;

    fn store(policy: &dyn Policy, key: &str) -> Option<Key> {
        policy.stored(&Key::from(key)).evicted
    }

    #[test]
    fn the_order_of_eviction_outlives_every_swap() {
        let policy: ObjectRef<dyn Policy> = ObjectRef::new(Fifo::new(3));
        for key in ["a", "b", "c"] {
            assert_eq!(store(&policy, key), None);
        }
        // Unheard by the queue, heard by what comes after it.
        assert_eq!(policy.asked("a"), "fifo");
        ObjectRef::swap::<Lru>(&policy).unwrap();
        assert_eq!(policy.asked("b"), "lru");
        assert_eq!(store(&policy, "d").as_deref(), Some("a"));
        assert_eq!(store(&policy, "e").as_deref(), Some("c"));
        ObjectRef::swap::<Fifo>(&policy).unwrap();
        policy.removed("d");
        assert_eq!(store(&policy, "f"), None);
        assert_eq!(store(&policy, "g").as_deref(), Some("b"));
    }
}
