//! The program a process runs: its open files, and whether it is sandboxed.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::process::Process;

impl Process {
    /// /proc/PID/fd - its open files: number and path, without the mark of deleted ones.
    pub fn open_files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let open = fs::read_dir(self.view().join("fd"))?.flatten().filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let link = fs::read_link(entry.path()).ok()?;
            let path = match link.to_str().and_then(|link| link.strip_suffix(" (deleted)")) {
                Some(path) => PathBuf::from(path),
                None => link,
            };
            Some((number, path))
        });
        Ok(open.collect())
    }

    /// open(2) of /proc/PID/fd/N - the file behind one of its descriptors, for writing.
    pub fn open_to_fill(&self, descriptor: u64) -> io::Result<File> {
        File::options().write(true).open(self.view().join("fd").join(descriptor.to_string()))
    }

    /// /proc/PID/status, Seccomp - whether a system call may be forbidden to it; yes if it can't be told.
    pub fn is_sandboxed(&self) -> bool {
        let status = crate::task::status(&self.path());
        !status.is_ok_and(|status| crate::task::status_field(&status, "Seccomp") == Some("0"))
    }
}
