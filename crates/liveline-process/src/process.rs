//! A process held by its pidfd and its /proc directory, so that a reused pid is never mistaken for it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kill_point;
use crate::mapping::Mapping;
use crate::send::Borrowed;
use crate::task::{self, Stat};

/// Why a process can't be worked on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing runs under this pid.
    #[error("no process {pid}")]
    NoSuchProcess {
        /// The pid asked for.
        pid: i32,
    },
    /// The number is that of a thread, not of a process.
    #[error("{pid} is a thread of process {process}")]
    Thread {
        /// The number asked for.
        pid: i32,
        /// The process it belongs to.
        process: i32,
    },
    /// It has ended and only waits to be collected by its parent.
    #[error("process {pid} has ended (zombie)")]
    Zombie {
        /// The pid asked for.
        pid: i32,
    },
    /// It runs 32-bit code.
    #[error("process {pid} is a 32-bit program; only 64-bit x86 is supported")]
    ThirtyTwoBit {
        /// The pid asked for.
        pid: i32,
    },
    /// It is a thread of the kernel.
    #[error("{pid} is a kernel thread")]
    KernelThread {
        /// The pid asked for.
        pid: i32,
    },
    /// The kernel doesn't let us in.
    #[error("no permission to change process {pid}: {capability} is needed ({what}: {error})")]
    PermissionDenied {
        /// The pid asked for.
        pid: i32,
        /// The capability that would help.
        capability: &'static str,
        /// What was refused.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
    /// A debugger or another tracer holds it.
    #[error("process {pid} is traced by {tracer_name} ({tracer_pid})")]
    AlreadyTraced {
        /// The pid asked for.
        pid: i32,
        /// The tracer.
        tracer_pid: i32,
        /// The tracer's name.
        tracer_name: String,
    },
    /// SIGSTOP or its kin froze it: it couldn't run what a patch needs.
    #[error("process {pid} is stopped (SIGSTOP or SIGTSTP); continue it first")]
    Stopped {
        /// The pid asked for.
        pid: i32,
    },
    /// It is this very process.
    #[error("process {pid} is this one")]
    Itself {
        /// The pid asked for.
        pid: i32,
    },
    /// Something else went wrong.
    #[error("process {pid}: {what}: {error}")]
    Failed {
        /// The pid asked for.
        pid: i32,
        /// What failed.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
}

/// Why the target's memory could not be read or written. Nothing, or only a front part, was moved.
#[derive(Debug, thiserror::Error)]
#[error("{what} {length} bytes at {address:#x}: {error}")]
pub struct MemoryError {
    /// "read" or "write".
    pub what: &'static str,
    /// First address.
    pub address: u64,
    /// Bytes asked for.
    pub length: usize,
    /// The kernel's answer.
    pub error: io::Error,
}

/// One live process.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    start_time: u64,
    pidfd: OwnedFd,
    dir: File,
    memory: File,
    borrowed: Mutex<Option<Borrowed>>,
}

impl Process {
    /// pidfd_open(2), open(2) of /proc/PID and /proc/PID/mem - takes hold of a process in order to change it.
    ///
    /// Refuses what can't be patched, see [`OpenError`].
    pub fn open(pid: i32) -> Result<Self, OpenError> {
        if pid == std::process::id() as i32 {
            return Err(OpenError::Itself { pid });
        }
        let process = Self::open_as(pid, true)?;
        let failed = |error| process.failed("read its status", error);
        let status = task::status(&process.view()).map_err(failed)?;
        let tracer_pid = task::tracer(&status);
        if tracer_pid != 0 {
            return Err(OpenError::AlreadyTraced { pid, tracer_pid, tracer_name: task::name_of(tracer_pid) });
        }
        if Stat::read(&process.view()).map_err(failed)?.state == 'T' {
            return Err(OpenError::Stopped { pid });
        }
        Ok(process)
    }

    /// The same, read-only: traced and stopped processes are welcome, [`Process::write`] fails.
    pub fn open_to_read(pid: i32) -> Result<Self, OpenError> {
        Self::open_as(pid, false)
    }

    fn open_as(pid: i32, write: bool) -> Result<Self, OpenError> {
        let failed = |what: &'static str, error: io::Error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => OpenError::NoSuchProcess { pid },
            Some(libc::EACCES | libc::EPERM) => {
                OpenError::PermissionDenied { pid, capability: "CAP_SYS_PTRACE", what, error }
            }
            _ => OpenError::Failed { pid, what, error },
        };
        if pid <= 0 {
            return Err(OpenError::NoSuchProcess { pid });
        }
        // The directory first: a number that is a thread's has one too, and is told apart by its Tgid.
        let dir = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(format!("/proc/{pid}"))
            .map_err(|e| failed("open /proc/PID", e))?;
        let path = directory_path(&dir);
        let status = task::status(&path).map_err(|e| failed("read /proc/PID/status", e))?;
        let process = task::status_field(&status, "Tgid").and_then(|t| t.parse().ok()).unwrap_or(pid);
        if process != pid {
            return Err(OpenError::Thread { pid, process });
        }
        let stat = Stat::read(&path).map_err(|e| failed("read /proc/PID/stat", e))?;
        if stat.is_kernel_thread() {
            return Err(OpenError::KernelThread { pid });
        }
        // SAFETY: pidfd_open takes two integers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(failed("pidfd_open", io::Error::last_os_error()));
        }
        // SAFETY: the kernel has just given us this descriptor, nobody else owns it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let view = view_of(&path).ok_or(OpenError::Zombie { pid })?;
        let mut class = [0u8; 5];
        File::open(view.join("exe"))
            .and_then(|exe| exe.read_exact_at(&mut class, 0))
            .map_err(|e| failed("open /proc/PID/exe", e))?;
        if class[4] == 1 {
            return Err(OpenError::ThirtyTwoBit { pid });
        }
        kill_point::pass();
        let memory = OpenOptions::new()
            .read(true)
            .write(write)
            .open(view.join("mem"))
            .map_err(|e| failed("open /proc/PID/mem", e))?;
        // The directory outlives its process but then no longer answers: reading it again now proves that
        // pidfd, memory and directory are all of one process.
        let again = Stat::read(&path).map_err(|e| failed("read /proc/PID/stat", e))?;
        Ok(Self { pid, start_time: again.start_time, pidfd, dir, memory, borrowed: Mutex::new(None) })
    }

    fn failed(&self, what: &'static str, error: io::Error) -> OpenError {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => OpenError::NoSuchProcess { pid: self.pid },
            _ => OpenError::Failed { pid: self.pid, what, error },
        }
    }

    /// The pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// /proc/PID/stat - when it started, in clock ticks since boot; with the pid it names a process for good.
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// poll(2) on the pidfd - whether any of its threads lives.
    pub fn is_alive(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, alive for the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready == 0
    }

    /// /proc/PID/comm - its name, as `ps` shows it.
    pub fn name(&self) -> String {
        let name = fs::read_to_string(self.path().join("comm")).unwrap_or_default();
        name.trim_end().to_owned()
    }

    /// readlink(2) of /proc/PID/exe - the path of its executable, in its own mount namespace, without the
    /// kernel's " (deleted)".
    pub fn exe_path(&self) -> Option<PathBuf> {
        let path = fs::read_link(self.view().join("exe")).ok()?;
        match path.to_str().and_then(|p| p.strip_suffix(" (deleted)")) {
            Some(path) => Some(PathBuf::from(path)),
            None => Some(path),
        }
    }

    /// open(2) of /proc/PID/exe - the executable as it runs, even if it was deleted or replaced since.
    pub fn exe_file(&self) -> io::Result<File> {
        File::open(self.view().join("exe"))
    }

    /// AT_ENTRY of /proc/PID/auxv - the address of the program's `_start`, which has run once and never will again.
    pub fn entry_point(&self) -> io::Result<u64> {
        const AT_ENTRY: u64 = 9;
        let auxv = fs::read(self.view().join("auxv"))?;
        let (words, _) = auxv.as_chunks::<8>();
        let (pairs, _) = words.as_chunks::<2>();
        let pair = pairs.iter().find(|p| u64::from_le_bytes(p[0]) == AT_ENTRY);
        pair.map(|p| u64::from_le_bytes(p[1])).ok_or_else(|| io::Error::other("no AT_ENTRY in auxv"))
    }

    /// /proc/PID/maps - its mappings, by address.
    pub fn mappings(&self) -> io::Result<Vec<Mapping>> {
        let text = fs::read(self.view().join("maps"))?;
        let text = String::from_utf8_lossy(&text);
        text.lines()
            .map(|line| {
                Mapping::parse(line).ok_or_else(|| io::Error::other(format!("odd maps line: {line}")))
            })
            .collect()
    }

    /// open(2) of /proc/PID/map_files/START-END, else /proc/PID/exe, else /proc/PID/root/PATH - the file behind
    /// a mapping as it was mapped: deleted, replaced or in another mount namespace, device and inode are right.
    pub fn module_file(&self, mapping: &Mapping) -> io::Result<File> {
        let view = self.view();
        let same = |file: &File| file.metadata().is_ok_and(|m| m.ino() == mapping.inode);
        let exact = view.join(format!("map_files/{:x}-{:x}", mapping.start, mapping.end));
        if let Ok(file) = File::open(exact)
            && same(&file)
        {
            return Ok(file);
        }
        // btrfs and overlayfs show another device in stat than in maps: the inode alone must do for the
        // magic link, while a path can lead anywhere and must agree in both.
        if let Ok(file) = File::open(view.join("exe"))
            && same(&file)
            && file.metadata().is_ok_and(|m| m.dev() == mapping.dev)
        {
            return Ok(file);
        }
        let path = mapping.path.as_deref().filter(|p| p.starts_with('/'));
        let path = path.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no file is behind it"))?;
        let file = File::open(view.join("root").join(path.trim_start_matches('/')))?;
        let found = file.metadata()?;
        if (found.dev(), found.ino()) == (mapping.dev, mapping.inode) {
            Ok(file)
        } else {
            Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{path} is no longer the file that is mapped"),
            ))
        }
    }

    /// pread(2) of /proc/PID/mem - reads the whole buffer, whatever the pages' protection.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        kill_point::pass();
        let length = buffer.len();
        self.memory.read_exact_at(buffer, address).map_err(|error| MemoryError {
            what: "read",
            address,
            length,
            error,
        })
    }

    /// pwrite(2) of /proc/PID/mem - writes all the bytes, into read-only private pages too (they are copied
    /// first, as for a debugger's breakpoint).
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        kill_point::pass();
        self.memory.write_all_at(bytes, address).map_err(|error| MemoryError {
            what: "write",
            address,
            length: bytes.len(),
            error,
        })
    }

    /// Reads one little-endian word.
    pub fn read_word(&self, address: u64) -> Result<u64, MemoryError> {
        let mut word = [0; 8];
        self.read(address, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// process_vm_readv(2) - reads many ranges (address, bytes) into one buffer, one after the other; how many
    /// bytes came before the first that could not be read.
    pub fn read_ranges(&self, ranges: &[(u64, usize)], buffer: &mut [u8]) -> io::Result<usize> {
        const IOV_MAX: usize = 1024;
        let mut done = 0;
        for ranges in ranges.chunks(IOV_MAX) {
            let remote: Vec<libc::iovec> = ranges
                .iter()
                .map(|&(a, n)| libc::iovec { iov_base: a as *mut libc::c_void, iov_len: n })
                .collect();
            let want: usize = ranges.iter().map(|r| r.1).sum();
            let Some(part) = buffer.get_mut(done..done + want) else {
                return Err(io::Error::other("the buffer is smaller than the ranges"));
            };
            let local = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: want };
            kill_point::pass();
            // SAFETY: `local` is one exclusive buffer of `want` bytes; the remote ones are only numbers here.
            let n = unsafe {
                libc::process_vm_readv(self.pid, &raw const local, 1, remote.as_ptr(), remote.len() as u64, 0)
            };
            if n < 0 {
                let error = io::Error::last_os_error();
                return match error.raw_os_error() {
                    // The thread-group leader is dead; its memory lives on with the other threads.
                    Some(libc::ESRCH) if self.is_alive() => {
                        Ok(done + self.read_ranges_one_by_one(ranges, &mut buffer[done..]))
                    }
                    _ if done > 0 => Ok(done),
                    _ => Err(error),
                };
            }
            done += n as usize;
            if (n as usize) < want {
                break;
            }
        }
        Ok(done)
    }

    fn read_ranges_one_by_one(&self, ranges: &[(u64, usize)], buffer: &mut [u8]) -> usize {
        let mut done = 0;
        for &(address, length) in ranges {
            let Some(part) = buffer.get_mut(done..done + length) else { break };
            if self.read(address, part).is_err() {
                break;
            }
            done += length;
        }
        done
    }

    /// The code that is lent for calls just now.
    pub(crate) fn borrowed(&self) -> MutexGuard<'_, Option<Borrowed>> {
        self.borrowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// /proc/PID/task - the ids of its threads, the ended ones that nobody collected included.
    pub fn threads(&self) -> io::Result<Vec<i32>> {
        let mut tids = Vec::new();
        for entry in fs::read_dir(self.path().join("task"))? {
            if let Some(tid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) {
                tids.push(tid);
            }
        }
        Ok(tids)
    }

    /// fstat(2) of /proc/PID/task - how many threads there are, by its link count (fs/proc/base.c).
    pub(crate) fn thread_count(&self) -> io::Result<usize> {
        Ok((fs::metadata(self.path().join("task"))?.nlink() as usize).saturating_sub(2))
    }

    /// /proc/PID through our open directory: never that of a later process with the same pid.
    pub(crate) fn path(&self) -> PathBuf {
        directory_path(&self.dir)
    }

    /// /proc/PID/task/TID.
    pub(crate) fn task_path(&self, tid: i32) -> PathBuf {
        self.path().join("task").join(tid.to_string())
    }

    pub(crate) fn dir(&self) -> &File {
        &self.dir
    }

    /// The directory through which the memory is seen: a dead thread-group leader has none, its threads do.
    pub(crate) fn view(&self) -> PathBuf {
        let path = self.path();
        view_of(&path).unwrap_or(path)
    }
}

fn directory_path(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()))
}

/// The directory of the process, or of its first living thread if the leader is dead; None if all are.
fn view_of(path: &Path) -> Option<PathBuf> {
    if Stat::read(path).is_ok_and(|s| !s.is_dead()) {
        return Some(path.to_owned());
    }
    let tasks = fs::read_dir(path.join("task")).ok()?;
    tasks.filter_map(|e| Some(e.ok()?.path())).find(|t| Stat::read(t).is_ok_and(|s| !s.is_dead()))
}
