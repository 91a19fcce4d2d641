//! Namespaces: each has a policy of its own and its values in several storages.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use liveline_runtime::{Class, ObjectRef};

use crate::policy::{Key, Policy};
use crate::storage::{Found, Storage};

/// Storages of a namespace.
const SHARDS: usize = 4;

/// All that is cached.
#[derive(Default)]
pub(crate) struct Cache {
    namespaces: RwLock<HashMap<String, Arc<Namespace>>>,
}

impl Cache {
    /// Makes a namespace, unless there is one of that name.
    pub(crate) fn create(
        &self,
        name: &str,
        capacity: usize,
        policies: Class<dyn Policy, usize>,
        storages: Class<dyn Storage>,
    ) -> bool {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        if namespaces.contains_key(name) {
            return false;
        }
        let namespace = Namespace {
            changes: Mutex::new(()),
            policy: policies.create(capacity),
            storages: std::array::from_fn(|_| storages.create(())),
        };
        namespaces.insert(name.to_string(), Arc::new(namespace));
        true
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// One tenant's part of the cache.
pub(crate) struct Namespace {
    /// Held while keys come or go: the policy and the storages know the same ones.
    changes: Mutex<()>,
    policy: ObjectRef<dyn Policy>,
    storages: [ObjectRef<dyn Storage>; SHARDS],
}

/// What was done, and by whom.
pub(crate) struct Done {
    pub(crate) evicted: Option<Key>,
    pub(crate) policy: &'static str,
    pub(crate) layout: &'static str,
}

impl Namespace {
    pub(crate) fn get(&self, key: &str) -> Option<(Found, &'static str)> {
        let found = self.storage(key).get(key)?;
        Some((found, self.policy.asked(key)))
    }

    pub(crate) fn put(&self, key: &str, value: Bytes) -> Done {
        let _changes = self.changes();
        let key = Key::from(key);
        let stored = self.policy.stored(&key);
        if let Some(evicted) = &stored.evicted {
            self.storage(evicted).remove(evicted);
        }
        let layout = self.storage(&key).put(&key, value);
        Done { evicted: stored.evicted, policy: stored.policy, layout }
    }

    /// Removes a key; none if it was not there.
    pub(crate) fn remove(&self, key: &str) -> Option<&'static str> {
        let _changes = self.changes();
        self.storage(key).remove(key).then(|| self.policy.removed(key))
    }

    fn changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn storage(&self, key: &str) -> &ObjectRef<dyn Storage> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.storages[hasher.finish() as usize % SHARDS]
    }
}
