//! A mail service: conversations that began stay with their version, new ones get the new.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use liveline_runtime::{class, interface};
use liveline_services::service::{Service, Sessions};

/// A conversation has two steps; the versions disagree about the second.
#[interface]
trait Mail {
    fn hello(&self) -> String;
    fn next(&self, greeting: &str) -> Result<u32, String>;
}

#[derive(Default)]
struct Plain(AtomicU32);

#[class]
impl Mail for Plain {
    fn hello(&self) -> String {
        "HELO".into()
    }

    fn next(&self, greeting: &str) -> Result<u32, String> {
        if greeting == "HELO" { Ok(self.0.fetch_add(1, Ordering::Relaxed)) } else { Err(greeting.into()) }
    }
}

#[derive(Default)]
struct Extended(AtomicU32);

#[class(version = 2)]
impl Mail for Extended {
    fn hello(&self) -> String {
        "EHLO".into()
    }

    fn next(&self, greeting: &str) -> Result<u32, String> {
        if greeting == "EHLO" { Ok(self.0.fetch_add(1, Ordering::Relaxed)) } else { Err(greeting.into()) }
    }
}

pub(crate) fn main() {
    let service = Service::<dyn Mail>::new(Plain::default());
    let drained: Arc<Mutex<Vec<u32>>> = Arc::default();
    let told = Arc::clone(&drained);
    service.on_drained(move |version| told.lock().unwrap().push(version));

    let old = service.open();
    let greeting = old.hello();
    service.update(Extended::default()).unwrap();
    let new = service.open();
    assert_eq!(service.sessions(), [Sessions { version: 1, open: 1 }, Sessions { version: 2, open: 1 }]);
    println!("one session each: {:?}", service.sessions());

    // In the middle of a conversation nothing changed.
    assert_eq!(old.next(&greeting), Ok(0));
    assert_eq!(new.next(&new.hello()), Ok(0));
    assert!(!service.wait_drained(Duration::ZERO));
    drop(old);
    assert!(service.wait_drained(Duration::ZERO));
    assert_eq!(*drained.lock().unwrap(), [1]);
    println!("version 1 left with its last session");
}
