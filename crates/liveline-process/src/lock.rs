//! One patcher at a time.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use crate::kill_point;
use crate::process::Process;
use crate::task;

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another patcher works on the process.
    #[error("another patcher works on it{}", holder(*pid, name))]
    Held {
        /// The holder's pid, if it could be found.
        pid: Option<i32>,
        /// The holder's name, empty if unknown.
        name: String,
    },
    /// The kernel said no.
    #[error("lock /proc/PID: {0}")]
    Failed(#[from] io::Error),
}

fn holder(pid: Option<i32>, name: &str) -> String {
    pid.map(|pid| format!(": {name} ({pid})")).unwrap_or_default()
}

/// The right to patch a process; the kernel takes it back when it is dropped or its holder dies.
#[derive(Debug)]
pub struct Lock<'p> {
    process: &'p Process,
}

impl Process {
    /// flock(2) LOCK_EX|LOCK_NB on the open /proc/PID directory - keeps other patchers out.
    ///
    /// It holds among all who see the process through the same mount of proc; the one of another pid
    /// namespace is another file.
    pub fn lock(&self) -> Result<Lock<'_>, LockError> {
        match self.flock(libc::LOCK_EX | libc::LOCK_NB) {
            Ok(()) => Ok(Lock { process: self }),
            Err(e) if e.raw_os_error() == Some(libc::EWOULDBLOCK) => {
                let pid = self.lock_holder();
                Err(LockError::Held { pid, name: pid.map(task::name_of).unwrap_or_default() })
            }
            Err(e) => Err(LockError::Failed(e)),
        }
    }

    fn flock(&self, operation: i32) -> io::Result<()> {
        kill_point::pass();
        // SAFETY: flock takes a descriptor, which `self` keeps open, and an integer.
        match unsafe { libc::flock(self.dir().as_raw_fd(), operation) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// /proc/locks - who holds the lock on our directory.
    fn lock_holder(&self) -> Option<i32> {
        let meta = self.dir().metadata().ok()?;
        let (major, minor) = (libc::major(meta.dev()), libc::minor(meta.dev()));
        let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
        fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (kind, pid, at) = (fields.next()?, fields.nth(2)?, fields.next()?);
            (kind == "FLOCK" && at == file).then(|| pid.parse().ok())?
        })
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Closing the directory would release it as well: a failure here changes nothing.
        drop(self.process.flock(libc::LOCK_UN));
    }
}
