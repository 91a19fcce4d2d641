//! What a namespace must hold: its client is alone in it, so it knows every key, and which one leaves next.

use std::collections::{BTreeMap, HashMap};

use liveline_demo::load::Fault;

/// The keys and values, in the order in which they leave.
pub(super) struct Model {
    capacity: usize,
    clock: u64,
    values: HashMap<String, (u64, String)>,
    order: BTreeMap<u64, String>,
}

impl Model {
    pub(super) fn new(capacity: usize) -> Self {
        Model { capacity, clock: 0, values: HashMap::new(), order: BTreeMap::new() }
    }

    /// The value that a key must have.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|(_, value)| value.as_str())
    }

    /// A key was found; where it counts, it leaves last now.
    pub(super) fn asked(&mut self, key: &str, counts: bool) {
        if counts && let Some((time, _)) = self.values.get_mut(key) {
            self.clock += 1;
            self.order.remove(time);
            self.order.insert(self.clock, key.into());
            *time = self.clock;
        }
    }

    /// A key was stored and `evicted` left for it; a fault if that is not the one that had to.
    pub(super) fn stored(
        &mut self,
        key: &str,
        value: String,
        counts: bool,
        evicted: &str,
    ) -> Result<(), Fault> {
        if let Some((_, known)) = self.values.get_mut(key) {
            *known = value;
            self.asked(key, counts);
            return must_leave(key, "", evicted);
        }
        let mut leaves = String::new();
        if self.values.len() >= self.capacity
            && let Some((_, first)) = self.order.pop_first()
        {
            self.values.remove(&first);
            leaves = first;
        }
        self.clock += 1;
        self.order.insert(self.clock, key.into());
        self.values.insert(key.into(), (self.clock, value));
        must_leave(key, &leaves, evicted)
    }

    pub(super) fn removed(&mut self, key: &str) {
        if let Some((time, _)) = self.values.remove(key) {
            self.order.remove(&time);
        }
    }
}

fn must_leave(key: &str, leaves: &str, evicted: &str) -> Result<(), Fault> {
    if leaves == evicted {
        return Ok(());
    }
    Err(Fault(format!("{evicted:?} left for {key}, but {leaves:?} had to")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_eviction_is_a_fault() {
        let mut model = Model::new(2);
        model.stored("a", "1".into(), false, "").unwrap();
        model.stored("b", "2".into(), false, "").unwrap();
        model.asked("a", true);
        assert!(model.stored("c", "3".into(), true, "a").is_err());
        assert_eq!((model.value("a"), model.value("b")), (Some("1"), None));
        assert!(model.stored("a", "4".into(), false, "c").is_err());
        model.removed("a");
        model.stored("d", "5".into(), false, "").unwrap();
    }
}
