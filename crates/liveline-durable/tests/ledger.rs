//! A process is killed at any moment, again and again: what it had committed is there, and nothing else.
#![forbid(unsafe_code)]

#[path = "../examples/ledger.rs"]
#[allow(dead_code)]
mod ledger;

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ledger::{ACCOUNTS, CENTS, Cents, EACH, Ledger, WHOLE, recover, work};
use liveline_durable::{DurableError, Store};
use liveline_runtime::{ObjectRef, SwapError};

/// Names the store to a child that works until it is killed.
const CHILD: &str = "LIVELINE_DURABLE_CHILD";

/// Not a test of its own: what the killed process does.
#[test]
fn child() {
    if let Some(path) = std::env::var_os(CHILD) {
        let store = Store::open(Path::new(&path)).unwrap();
        work(&recover(&store).unwrap(), u64::MAX).unwrap();
    }
}

#[test]
fn a_state_outlives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..20_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // A moment that differs each time; that it does not end by itself is asserted.
        thread::sleep(Duration::from_millis(30 + round * 7));
        assert!(child.try_wait().unwrap().is_none(), "the child works until it is killed");
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(&path).unwrap();
        let guardian = store.guardian("ledger");
        seen.insert(guardian.format().unwrap());
        let ledger = recover(&store).unwrap();
        assert_eq!(ledger.sum(), Ok(u64::from(ACCOUNTS) * EACH), "round {round}");
        assert_eq!(guardian.all().unwrap().len(), usize::from(ACCOUNTS));
    }
    // Whatever formats the kills met, both are gone through here.
    let store = Store::open(&path).unwrap();
    let ledger = recover(&store).unwrap();
    work(&ledger, 9).unwrap();
    assert_eq!(ledger.sum(), Ok(u64::from(ACCOUNTS) * EACH));
    println!("formats met: {seen:?}");
}

#[test]
fn an_action_that_is_dropped_never_happened() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let guardian = store.guardian("one");
    assert_eq!(guardian.format().unwrap(), None);
    let action = guardian.begin("a").unwrap();
    action.put(b"key", b"value").unwrap();
    assert_eq!(action.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    drop(action);
    assert_eq!((guardian.format().unwrap(), guardian.all().unwrap()), (None, vec![]));
    let action = guardian.begin("a").unwrap();
    action.put(b"key", b"value").unwrap();
    action.put(b"other", b"value").unwrap();
    action.remove(b"other").unwrap();
    action.commit().unwrap();
    // Another object's state is another's.
    assert_eq!(store.guardian("on").all().unwrap(), []);
    assert_eq!(store.guardian("onf").all().unwrap(), []);
    assert_eq!(guardian.all().unwrap(), [(b"key".to_vec(), b"value".to_vec())]);
    let other = guardian.begin("b").unwrap_err();
    assert!(matches!(other, DurableError::Format { .. }), "{other}");
}

#[test]
fn a_migration_that_fails_leaves_object_and_state() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let ledger = recover(&store).unwrap();
    let guardian = store.guardian("ledger");
    // A half of it was done when it failed.
    let failed = guardian.migrate(WHOLE, CENTS, |action| {
        action.put(&[0], &0_u64.to_le_bytes()).map_err(|error| error.to_string())?;
        Err("no more room".to_string())
    });
    assert_eq!(failed.unwrap_err().to_string(), "the state of ledger was not migrated: no more room");
    assert_eq!(ledger.sum(), Ok(u64::from(ACCOUNTS) * EACH));
    // A format that the new version does not know is refused, and the old object goes on.
    guardian.migrate(WHOLE, "other", |_| Ok(())).unwrap();
    let refused = ObjectRef::swap::<Cents>(&ledger).unwrap_err();
    assert!(matches!(&refused, SwapError::Refused(_)), "{refused}");
    assert_eq!(ObjectRef::version(&ledger), 1);
    guardian.migrate("other", WHOLE, |_| Ok(())).unwrap();
    ObjectRef::swap::<Cents>(&ledger).unwrap();
    assert_eq!((ledger.transfer(0, 1, 7), ledger.sum()), (Ok(true), Ok(u64::from(ACCOUNTS) * EACH)));
}
