//! Descriptors that modules keep: debuggers and backtraces read a module's file by its number as long as the program
//! runs. The program is to have as many for itself as it had without modules.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Beyond this number the kernel's table of the process would grow for a module's sake.
const HIGHEST: u64 = 1 << 16;

/// How many modules have one of the program's own.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// A module's file, under a number that does not count.
pub(super) struct Kept {
    file: OwnedFd,
    /// The limit that was raised for it, from this.
    raised: Option<u64>,
}

impl Kept {
    /// Puts the file above the program's limit, which goes up by one. Where it cannot go up the module takes one of the
    /// program's, of which modules may have a quarter.
    ///
    /// # Errors
    /// They have it.
    pub(super) fn new(file: File) -> Result<Self, String> {
        let limit = limit().map_err(|error| error.to_string())?;
        if let Some(file) = above(&file, &limit) {
            return Ok(Self { file, raised: Some(limit.rlim_cur) });
        }
        let taken = TAKEN.load(Ordering::Relaxed);
        if !is_room(taken, limit.rlim_cur) {
            return Err(format!(
                "modules keep {taken} of the {} files that this program may have open, and it needs the rest: give it a higher limit (ulimit -n), or start it anew",
                limit.rlim_cur
            ));
        }
        Ok(Self { file: file.into(), raised: None })
    }

    pub(super) fn number(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// It stays open for good.
    pub(super) fn stay(self) {
        if self.raised.is_none() {
            TAKEN.fetch_add(1, Ordering::Relaxed);
        }
        std::mem::forget(self);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        match (self.raised, limit()) {
            (Some(before), Ok(now)) if now.rlim_cur == before + 1 => {
                set(libc::rlimit { rlim_cur: before, ..now });
            }
            _ => {}
        }
    }
}

fn is_room(taken: u64, limit: u64) -> bool {
    (taken + 1).saturating_mul(4) <= limit
}

/// The file under the first number that the program cannot have.
fn above(file: &File, limit: &libc::rlimit) -> Option<OwnedFd> {
    let first = limit.rlim_cur;
    if first >= limit.rlim_max || first > HIGHEST {
        return None;
    }
    if !set(libc::rlimit { rlim_cur: first + 1, ..*limit }) {
        return None;
    }
    // SAFETY: fcntl(2) with numbers.
    let number = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, i32::try_from(first).ok()?) };
    if number < 0 {
        set(*limit);
        return None;
    }
    // SAFETY: the descriptor is new, and ours.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

fn limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the structure.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(limit: libc::rlimit) -> bool {
    // SAFETY: the structure is whole.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_leave_the_program_three_quarters() {
        assert!(is_room(0, 4) && is_room(255, 1024) && is_room(u64::MAX / 4, u64::MAX));
        assert!(!is_room(0, 3) && !is_room(1, 4) && !is_room(256, 1024));
    }
}
