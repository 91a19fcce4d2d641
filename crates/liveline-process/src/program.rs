//! The program a process runs: where it began, and whether it is sandboxed.

use std::fs;
use std::io;

use crate::process::Process;

/// Entry of the vector with the program's entry point (getauxval(3)).
const AT_ENTRY: u64 = 9;

impl Process {
    /// /proc/PID/auxv, AT_ENTRY - run-time address of the program's `_start`, which never runs again.
    pub fn entry(&self) -> io::Result<u64> {
        let vector = fs::read(format!("/proc/{}/auxv", self.pid()))?;
        let (words, _) = vector.as_chunks::<8>();
        let (pairs, _) = words.as_chunks::<2>();
        let entry = pairs.iter().map(|pair| pair.map(u64::from_le_bytes)).find(|[key, _]| *key == AT_ENTRY);
        entry
            .map(|[_, value]| value)
            .ok_or_else(|| io::Error::other("the auxiliary vector names no entry point"))
    }
}

impl Process {
    /// /proc/PID/status, Seccomp - whether a system call may be forbidden to it; yes if it can't be told.
    pub fn is_sandboxed(&self) -> bool {
        let status = crate::task::status(&self.path());
        !status.is_ok_and(|status| crate::task::status_field(&status, "Seccomp") == Some("0"))
    }
}
