//! How much memory a process may still use: its memory cgroups' limits.
//!
//! Beyond such a limit the kernel does not fail the write, it kills: the target, for pages that we made it have.

use std::fs;
use std::path::Path;

use crate::process::Process;

/// The files of one version of the interface (kernel, Documentation/admin-guide/cgroup-v1/memory.rst and
/// cgroup-v2.rst).
struct Files {
    mounts: &'static [&'static str],
    limit: &'static str,
    usage: &'static str,
    /// Fields of memory.stat: page cache that the kernel gives up before it kills.
    cache: [&'static str; 2],
}

const V1: Files = Files {
    mounts: &["/sys/fs/cgroup/memory"],
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
};

const V2: Files = Files {
    mounts: &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
    limit: "memory.max",
    usage: "memory.current",
    cache: ["inactive_file", "active_file"],
};

impl Process {
    /// /proc/PID/cgroup and the files of its memory cgroups - bytes that the tightest limit leaves; None where
    /// there is none, or none that can be seen from here.
    pub fn memory_headroom(&self) -> Option<u64> {
        let groups = fs::read_to_string(self.path().join("cgroup")).ok()?;
        let left = groups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let files = match controllers {
                "" => &V2,
                _ if controllers.split(',').any(|controller| controller == "memory") => &V1,
                _ => return None,
            };
            files.mounts.iter().filter_map(|mount| tightest(files, Path::new(mount), path)).min()
        });
        left.min()
    }
}

/// Over the group and those it lies in.
fn tightest(files: &Files, mount: &Path, path: &str) -> Option<u64> {
    let group = mount.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|group| group.starts_with(mount)).map(Path::to_path_buf);
    groups.filter_map(|group| left(files, &group)).min()
}

fn left(files: &Files, group: &Path) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number, and version 1 writes an immense one.
    let limit = number(files.limit)?;
    let usage = number(files.usage)?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cache = stat.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        files.cache.contains(&name).then(|| value.parse::<u64>().ok()).flatten()
    });
    Some(limit.saturating_sub(usage.saturating_sub(cache.sum())))
}
