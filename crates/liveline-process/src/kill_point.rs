//! Death on demand: every operation on the target is counted here, and a test can have the patcher killed
//! right before any one of them.
//!
//! `LIVELINE_TEST_KILL_AT=N` raises SIGKILL before the Nth operation (counted from 1);
//! `LIVELINE_TEST_COUNT=PATH` has [`report`] write the number of operations made.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static PASSED: AtomicU64 = AtomicU64::new(0);
static KILL_AT: OnceLock<u64> = OnceLock::new();

/// Counts one operation on the target, and dies first if this is the one a test chose.
pub fn pass() {
    let number = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    let kill_at = *KILL_AT.get_or_init(|| {
        std::env::var("LIVELINE_TEST_KILL_AT").ok().and_then(|n| n.parse().ok()).unwrap_or(u64::MAX)
    });
    if number == kill_at {
        loop {
            // SAFETY: raising a signal in this process touches no memory.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
    }
}

/// Operations on targets made by this process so far.
pub fn total() -> u64 {
    PASSED.load(Ordering::Relaxed)
}

/// Writes [`total`] to the file that `LIVELINE_TEST_COUNT` names, if it is set; call it at exit.
pub fn report() -> std::io::Result<()> {
    match std::env::var_os("LIVELINE_TEST_COUNT") {
        Some(path) => std::fs::write(path, format!("{}\n", total())),
        None => Ok(()),
    }
}
