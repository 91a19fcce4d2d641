//! Which processes run a program or have a library mapped.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::mapping::Mapping;

/// The pids of all processes.
pub fn all_processes() -> io::Result<Vec<i32>> {
    let mut pids: Vec<i32> = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

/// /proc/PID/maps of every process - those that have the file mapped to run: its path may have been removed or
/// replaced meanwhile, and inside a container it may have another name, so file identity counts as well.
pub fn processes_running(path: &Path) -> io::Result<Vec<i32>> {
    let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let identity = fs::metadata(&absolute).ok().map(|meta| (meta.dev(), meta.ino()));
    let runs = |pid: &i32| {
        let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) else { return false };
        maps.lines().filter_map(Mapping::parse).filter(|mapping| mapping.exec && mapping.inode != 0).any(
            |mapping| {
                identity == Some((mapping.dev, mapping.inode))
                    || mapping.path.as_deref().map(Path::new) == Some(&absolute)
            },
        )
    };
    Ok(all_processes()?.into_iter().filter(|pid| *pid != std::process::id() as i32).filter(runs).collect())
}
