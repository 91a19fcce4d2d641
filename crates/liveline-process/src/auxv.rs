//! The auxiliary vector: what the kernel told the program when it started.

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
