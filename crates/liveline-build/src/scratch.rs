//! Folders of the cache that live as long as one build, and those that a killed one left.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

const PREFIX: &str = "part-";

/// A folder that is removed when dropped; until then nobody else removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    /// The kernel lets go of it whatever this process dies of. Dropped last.
    _lock: Flock<File>,
}

impl Scratch {
    pub(crate) fn new(cache: &Path) -> io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(cache)?;
            // Another build may sweep it as long as it is not locked.
            match lock(folder.path(), FlockArg::LockExclusive) {
                Ok(Some(lock)) => return Ok(Self { folder, _lock: lock }),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves it to whoever sweeps next.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// Locks a folder that is there; none if another has it, or it is gone by the time it is locked.
fn lock(folder: &Path, how: FlockArg) -> io::Result<Option<Flock<File>>> {
    let lock = match Flock::lock(File::open(folder)?, how) {
        Ok(lock) => lock,
        Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, error)) => return Err(error.into()),
    };
    let same = fs::metadata(folder).is_ok_and(|there| {
        lock.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
    });
    Ok(same.then_some(lock))
}

/// Removes what builds left that no longer run.
pub(crate) fn sweep(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Ok(Some(_lock)) = lock(&entry.path(), FlockArg::LockExclusiveNonblock) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_swept_and_what_is_in_use_is_not() {
        let cache = tempfile::tempdir().expect("a folder");
        let used = Scratch::new(cache.path()).expect("a folder");
        let left = Scratch::new(cache.path()).expect("a folder").keep();
        fs::write(left.join("log"), "its last words").expect("written");
        sweep(cache.path());
        assert!(used.path().is_dir() && !left.exists());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
