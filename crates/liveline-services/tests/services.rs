//! Sessions: each ends on the version on which it began, and each version leaves once, with its last session.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use liveline_runtime::{class, interface};
use liveline_services::service::{Service, ServiceError, Session};

#[interface]
trait Release {
    fn number(&self) -> u32;
}

struct Numbered {
    number: u32,
    dropped: Arc<AtomicU32>,
}

#[class]
impl Release for Numbered {
    fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn versions_are_linear() {
    let dropped = Arc::default();
    let numbered = |number| Numbered { number, dropped: Arc::clone(&dropped) };
    let service = Service::<dyn Release>::new(numbered(1));
    let error = service.update_as(3, numbered(3)).unwrap_err();
    assert_eq!(error, ServiceError::Version { running: 1, offered: 3 });
    assert_eq!(error.to_string(), "version 1 runs, so the next one is 2, but version 3 was offered");
    assert_eq!((service.version(), service.open().number()), (1, 1));
}

#[test]
fn a_version_without_sessions_leaves_at_once_and_one_with_sessions_after_them() {
    let dropped = Arc::default();
    let numbered = |number| Numbered { number, dropped: Arc::clone(&dropped) };
    let service = Service::<dyn Release>::new(numbered(1));
    let gone: Arc<Mutex<Vec<(u32, u32)>>> = Arc::default();
    let (told, seen) = (Arc::clone(&gone), Arc::clone(&dropped));
    service.on_drained(move |version| told.lock().unwrap().push((version, seen.load(Ordering::SeqCst))));
    service.update_as(2, numbered(2)).unwrap();
    let (a, b) = (service.open(), service.open());
    service.update_as(3, numbered(3)).unwrap();
    drop(a);
    assert!(!service.wait_drained(Duration::ZERO));
    assert_eq!((Session::version(&b), b.number(), service.open().number()), (2, 2, 3));
    drop(b);
    assert!(service.wait_drained(Duration::ZERO));
    // Each was dropped before it was told of.
    assert_eq!(*gone.lock().unwrap(), [(1, 1), (2, 2)]);
}

#[test]
fn sessions_that_come_and_go_while_versions_do_lose_nothing() {
    const VERSIONS: u32 = 200;
    let dropped = Arc::default();
    let numbered = |number| Numbered { number, dropped: Arc::clone(&dropped) };
    let service = Service::<dyn Release>::new(numbered(1));
    let gone: Arc<Mutex<Vec<u32>>> = Arc::default();
    let told = Arc::clone(&gone);
    service.on_drained(move |version| told.lock().unwrap().push(version));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut newest = 0;
                while newest < VERSIONS {
                    let session = service.open();
                    let version = Session::version(&session);
                    assert!(version >= newest, "a new session is never older than an earlier one");
                    newest = version;
                    for _ in 0..3 {
                        assert_eq!(session.number(), version);
                        thread::yield_now();
                    }
                }
            });
        }
        for number in 2..=VERSIONS {
            service.update_as(number, numbered(number)).unwrap();
            thread::yield_now();
        }
    });
    let mut gone = gone.lock().unwrap().clone();
    gone.sort_unstable();
    assert_eq!(gone, (1..VERSIONS).collect::<Vec<_>>());
    assert_eq!(dropped.load(Ordering::SeqCst), VERSIONS - 1);
}
