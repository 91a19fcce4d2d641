//! Where the values of a part of a namespace are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use liveline_runtime::{Formats, Transfer, class, interface};

use crate::policy::Key;

/// A value that was asked for.
pub(crate) struct Found {
    pub(crate) value: Bytes,
    /// Its entity tag, if the storage keeps one.
    pub(crate) tag: Option<u64>,
    /// How it is kept.
    pub(crate) layout: &'static str,
}

/// Keeps values by key. A namespace has several, by the hash of the key.
#[interface]
pub(crate) trait Storage {
    /// The value of a key.
    fn get(&self, key: &str) -> Option<Found>;
    /// Keeps a value; gives the name of the layout.
    fn put(&self, key: &Key, value: Bytes) -> &'static str;
    /// Forgets a key; whether it was there.
    fn remove(&self, key: &str) -> bool;
}

/// The state that all versions give and take. Values travel by pointer.
type Pairs = Vec<(Key, Bytes)>;

/// Version 1: a table of values.
#[derive(Default)]
pub(crate) struct Plain {
    values: Mutex<HashMap<Key, Bytes>>,
}

#[class(transfer)]
impl Storage for Plain {
    fn get(&self, key: &str) -> Option<Found> {
        let value = lock(&self.values).get(key)?.clone();
        Some(Found { value, tag: None, layout: "plain" })
    }

    fn put(&self, key: &Key, value: Bytes) -> &'static str {
        lock(&self.values).insert(Arc::clone(key), value);
        "plain"
    }

    fn remove(&self, key: &str) -> bool {
        lock(&self.values).remove(key).is_some()
    }
}

impl Transfer for Plain {
    fn formats(formats: &mut Formats<Self>) {
        formats
            .give("pairs", |old: &Self| -> Pairs {
                lock(&old.values).iter().map(|(key, value)| (Arc::clone(key), value.clone())).collect()
            })
            .take("pairs", |pairs: Pairs| Self { values: Mutex::new(pairs.into_iter().collect()) });
    }
}

/// Version 2: entries in a row, each with the tag of its value, so that no request has to hash it again.
#[derive(Default)]
pub(crate) struct Tagged {
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    entries: Vec<Entry>,
    places: HashMap<Key, usize>,
}

struct Entry {
    key: Key,
    value: Bytes,
    tag: u64,
}

impl Rows {
    fn put(&mut self, key: &Key, value: Bytes) {
        let entry = Entry { key: Arc::clone(key), tag: tag_of(&value), value };
        match self.places.get(key) {
            Some(place) => self.entries[*place] = entry,
            None => {
                self.places.insert(Arc::clone(key), self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(place) = self.places.remove(key) else { return false };
        self.entries.swap_remove(place);
        // The last entry took its place.
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(Arc::clone(&moved.key), place);
        }
        true
    }
}

#[class(version = 2, transfer)]
impl Storage for Tagged {
    fn get(&self, key: &str) -> Option<Found> {
        let rows = lock(&self.rows);
        let entry = &rows.entries[*rows.places.get(key)?];
        Some(Found { value: entry.value.clone(), tag: Some(entry.tag), layout: "tagged" })
    }

    fn put(&self, key: &Key, value: Bytes) -> &'static str {
        lock(&self.rows).put(key, value);
        "tagged"
    }

    fn remove(&self, key: &str) -> bool {
        lock(&self.rows).remove(key)
    }
}

impl Transfer for Tagged {
    fn formats(formats: &mut Formats<Self>) {
        formats
            .give("pairs", |old: &Self| -> Pairs {
                let rows = lock(&old.rows);
                rows.entries.iter().map(|e| (Arc::clone(&e.key), e.value.clone())).collect()
            })
            .take("pairs", |pairs: Pairs| {
                let mut rows = Rows::default();
                pairs.into_iter().for_each(|(key, value)| rows.put(&key, value));
                Self { rows: Mutex::new(rows) }
            });
    }
}

/// The entity tag of a value: the 64-bit hash of Fowler, Noll and Vo.
pub(crate) fn tag_of(value: &[u8]) -> u64 {
    value
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use liveline_runtime::ObjectRef;

    use super::*;

    #[test]
    fn values_outlive_a_change_of_layout_and_back() {
        let storage: ObjectRef<dyn Storage> = ObjectRef::new(Plain::default());
        let text = |n: u32| Bytes::from(format!("value {n}"));
        for n in 0..100 {
            storage.put(&Key::from(format!("k{n}")), text(n));
        }
        ObjectRef::swap::<Tagged>(&storage).unwrap();
        for n in (0..100).step_by(3) {
            assert!(storage.remove(&format!("k{n}")));
        }
        for round in 0..2 {
            for n in 0..100 {
                let found = storage.get(&format!("k{n}"));
                assert_eq!(found.is_none(), n % 3 == 0);
                let Some(found) = found else { continue };
                assert_eq!(found.value, text(n));
                assert_eq!(found.tag, (round == 0).then(|| tag_of(&text(n))));
            }
            if round == 0 {
                ObjectRef::swap::<Plain>(&storage).unwrap();
            }
        }
    }
}
