//! Priority and exact naps while threads are held: while the patcher waits for a processor or a timer, they
//! wait with it.

/// The highest ordinary priority for the calling thread, until dropped (without CAP_SYS_NICE its own), and
/// timers that do not run late on purpose.
///
/// Only for the time of a stop: at that priority the patcher's other work would keep the target off its
/// processor. And not a real-time one: the threads whose stop it waits for must get to run.
#[derive(Debug)]
pub(crate) struct Haste {
    before: i32,
}

impl Haste {
    /// getpriority(2), setpriority(2) of the calling thread.
    pub(crate) fn new() -> Self {
        // SAFETY: getpriority takes numbers only; 0 is the calling thread. -1 may be an error or a priority,
        // and stands for itself either way.
        let before = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        set(-20);
        slack(1);
        Self { before }
    }
}

impl Drop for Haste {
    fn drop(&mut self) {
        set(self.before);
        // Back to the default.
        slack(0);
    }
}

fn set(priority: i32) {
    // SAFETY: setpriority takes numbers only; 0 is the calling thread. That it may fail is all right.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) };
}

/// PR_SET_TIMERSLACK, ns: the kernel lets ordinary timers be 50 µs late to save wake-ups.
fn slack(nanoseconds: libc::c_ulong) {
    // SAFETY: PR_SET_TIMERSLACK takes a number only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0) };
}
