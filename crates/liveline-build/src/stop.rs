//! Giving up a build that is under way.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

/// As much as a program's first thread has.
const STACK: usize = 8 << 20;

static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Set, it makes a build of this process end soon, with all that it started, and leave nothing behind: for handlers of
/// signals.
pub fn stop_flag() -> Arc<AtomicBool> {
    Arc::clone(&FLAG)
}

/// Whether the build is to be given up.
pub(crate) fn is_asked() -> bool {
    FLAG.load(Ordering::Relaxed)
}

/// An error if the build is to be given up.
pub(crate) fn check() -> io::Result<()> {
    if is_asked() { Err(io::Error::other("stopped")) } else { Ok(()) }
}

/// Does work that cannot be asked to stop: who is to stop leaves it behind, for the end of the process to end it.
pub(crate) fn unless_asked<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = channel();
    let worker = thread::Builder::new().stack_size(STACK).spawn(move || done.send(work()))?;
    loop {
        match result.recv_timeout(Duration::from_millis(100)) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) => check()?,
            Err(RecvTimeoutError::Disconnected) => {
                if let Err(panic) = worker.join() {
                    resume_unwind(panic);
                }
                return Err(io::Error::other("no answer"));
            }
        }
    }
}
