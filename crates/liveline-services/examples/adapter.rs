//! An interface changes under its callers: what is behind their reference gets a new interface, and an adapter
//! answers the old one.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use liveline_runtime::{Formats, ObjectRef, Transfer, class, interface};
use liveline_services::adapter::{Adapter, adapt, behind};

type Entries = Arc<Mutex<BTreeMap<String, String>>>;

/// The old interface: a value is a text.
#[interface]
trait CacheV1 {
    fn get(&self, key: &str) -> Option<String>;
    fn put(&self, key: &str, value: &str);
}

struct Old {
    entries: Entries,
}

#[class(state(entries))]
impl CacheV1 for Old {
    fn get(&self, key: &str) -> Option<String> {
        self.entries.lock().unwrap().get(key).cloned()
    }

    fn put(&self, key: &str, value: &str) {
        self.entries.lock().unwrap().insert(key.into(), value.into());
    }
}

/// The new one: a value is bytes, and a put says what was there.
#[interface]
trait CacheV2 {
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    fn put(&self, key: &str, value: Vec<u8>) -> Option<Vec<u8>>;
    fn entries(&self) -> Vec<(String, Vec<u8>)>;
}

struct New {
    entries: Mutex<BTreeMap<String, Vec<u8>>>,
}

#[class]
impl CacheV2 for New {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.entries.lock().unwrap().get(key).cloned()
    }

    fn put(&self, key: &str, value: Vec<u8>) -> Option<Vec<u8>> {
        self.entries.lock().unwrap().insert(key.into(), value)
    }

    fn entries(&self) -> Vec<(String, Vec<u8>)> {
        self.entries.lock().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// The interprocedure: the old interface in terms of the new one.
struct OldOverNew {
    new: ObjectRef<dyn CacheV2>,
}

#[class(version = 2, transfer)]
impl CacheV1 for OldOverNew {
    fn get(&self, key: &str) -> Option<String> {
        self.new.get(key).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    fn put(&self, key: &str, value: &str) {
        self.new.put(key, value.into());
    }
}

/// The mapper procedure: the old state becomes the new object's, and can come back.
impl Transfer for OldOverNew {
    fn formats(formats: &mut Formats<Self>) {
        formats
            .take("entries", |(entries,): (Entries,)| {
                let entries = entries.lock().unwrap();
                let entries = entries.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
                Self { new: ObjectRef::new(New { entries: Mutex::new(entries.collect()) }) }
            })
            .give("entries", |old| -> (Entries,) {
                let texts = old.new.entries().into_iter();
                let texts = texts.map(|(key, value)| (key, String::from_utf8_lossy(&value).into_owned()));
                (Arc::new(Mutex::new(texts.collect())),)
            });
    }
}

impl Adapter for OldOverNew {
    type New = dyn CacheV2;

    fn adapted(&self) -> &ObjectRef<dyn CacheV2> {
        &self.new
    }
}

pub(crate) fn main() {
    let old: ObjectRef<dyn CacheV1> = ObjectRef::new(Old { entries: Entries::default() });
    old.put("city", "Zürich");

    let new = adapt::<OldOverNew>(&old).unwrap();
    // Two interfaces, one object.
    assert_eq!(new.put("city", b"Bern".to_vec()), Some("Zürich".into()));
    assert_eq!(old.get("city").as_deref(), Some("Bern"));
    old.put("river", "Aare");
    assert_eq!(new.get("river").as_deref(), Some(&b"Aare"[..]));
    println!("callers of both interfaces use one object: {:?}", new.entries());

    ObjectRef::swap::<Old>(&old).unwrap();
    assert_eq!(old.get("river").as_deref(), Some("Aare"));
    assert!(behind::<OldOverNew>(&old).is_none());
    println!("taken back: the old object has what the new one had");
}
