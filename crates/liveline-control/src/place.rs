//! Where a program's control socket lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder of a user's sockets: in `$XDG_RUNTIME_DIR`, else in `/run/user`, else in `/tmp`.
pub fn folder(runtime_dir: Option<OsString>, user: u32) -> PathBuf {
    if let Some(folder) = runtime_dir.map(PathBuf::from).filter(|f| f.is_absolute() && f.is_dir()) {
        return folder.join("liveline");
    }
    let own = PathBuf::from(format!("/run/user/{user}"));
    if own.is_dir() { own.join("liveline") } else { PathBuf::from(format!("/tmp/liveline-{user}")) }
}

/// The name of a process's socket in its folder.
pub fn name(process: u32) -> String {
    format!("{process}.sock")
}

/// The control socket of a process, out of the kernel's list of Unix sockets (`/proc/net/unix`), whatever its
/// environment was.
pub fn listed(list: &str, process: u32) -> Vec<PathBuf> {
    let name = name(process);
    let mut found: Vec<PathBuf> = Vec::new();
    for line in list.lines() {
        // The path is the last column, and may hold blanks.
        let Some(path) = line.find('/').map(|at| Path::new(&line[at..])) else { continue };
        let folder = path.parent().and_then(Path::file_name).and_then(|f| f.to_str()).unwrap_or_default();
        let ours = folder == "liveline" || folder.starts_with("liveline-");
        if ours && path.file_name().is_some_and(|f| *f == *name) && !found.iter().any(|f| f == path) {
            found.push(path.to_path_buf());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_in_the_kernels_list() {
        let list = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                    0000: 00000002 00000000 00010000 0001 01 21 /run/user/1000/liveline/77.sock\n\
                    0000: 00000003 00000000 00000000 0001 03 22 /run/user/1000/liveline/77.sock\n\
                    0000: 00000002 00000000 00010000 0001 01 23 /tmp/liveline-3/777.sock\n\
                    0000: 00000002 00000000 00010000 0001 01 24 /tmp/other/77.sock\n\
                    0000: 00000003 00000000 00000000 0001 03 25\n";
        assert_eq!(listed(list, 77), [Path::new("/run/user/1000/liveline/77.sock")]);
        assert_eq!(listed(list, 777), [Path::new("/tmp/liveline-3/777.sock")]);
        assert!(listed(list, 7).is_empty());
    }
}
