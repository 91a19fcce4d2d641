//! Mapping a finished image into the target, and unmapping it again.
//!
//! The target maps the image itself, as it maps a library: it opens a named file (so that `perf` and gdb find
//! symbols and unwind tables by the mapping's name), or where it may not, makes a memfd that we fill.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use liveline_process::{Arg, CallError, Process, SystemCall};

use crate::image::Image;
use crate::outcome::Problem;
use crate::registry::FILE_SUFFIX;

/// Where named images lie.
const DIRECTORY: &str = "/var/lib/liveline";

/// How long the effect of calls is waited for before they are made again, watched.
const EFFECT: Duration = Duration::from_millis(300);

/// What mapping an image took.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    /// The longest that a thread was held for it.
    pub(crate) longest_stop: Duration,
}

impl Cost {
    fn add(&mut self, longest_stop: Duration) {
        self.longest_stop = self.longest_stop.max(longest_stop);
    }
}

/// Why an image was not mapped.
pub(crate) enum MountError {
    /// Something has been mapped at the chosen base meanwhile: choose another.
    Taken,
    /// Anything else.
    Problem(Problem),
}

impl From<CallError> for MountError {
    fn from(error: CallError) -> MountError {
        MountError::Problem(problem(error))
    }
}

fn problem(error: CallError) -> Problem {
    match error {
        CallError::Seccomp { .. }
        | CallError::SeccompUnreadable { .. }
        | CallError::SeccompUnjudged { .. } => Problem::Refused(error.to_string()),
        _ => Problem::Failed(error.to_string()),
    }
}

fn call(number: libc::c_long, args: [Arg; 6]) -> SystemCall {
    SystemCall { number: number as u64, args }
}

fn values(values: [u64; 6]) -> [Arg; 6] {
    values.map(Arg::Value)
}

const NO: Arg = Arg::Value(0);

/// Maps images into one process.
pub(crate) struct Mounter<'p> {
    pub(crate) process: &'p Process,
    pub(crate) entry: u64,
    pub(crate) deadline: Duration,
    pub(crate) cost: Cost,
}

impl Mounter<'_> {
    fn run(&mut self, calls: &[SystemCall]) -> Result<Vec<i64>, CallError> {
        let report = self.process.call(calls, self.entry, self.deadline)?;
        self.cost.add(report.longest_stop);
        Ok(report.results)
    }

    fn send(&mut self, calls: &[SystemCall]) -> Result<(), CallError> {
        let sent = self.process.send(calls, self.entry, self.deadline)?;
        self.cost.add(sent.longest_stop);
        Ok(())
    }

    /// Maps `image` at its base; `name` is for the file.
    pub(crate) fn map(&mut self, image: &Image, name: &str) -> Result<(), MountError> {
        let file_name = format!("{name}.{}{FILE_SUFFIX}", image.header.generation);
        let named = NamedFile::write(self.process, &file_name, image);
        if let Ok(named) = &named {
            let mut path = named.path.as_os_str().as_bytes().to_vec();
            path.push(0);
            let open = call(
                libc::SYS_openat,
                [
                    Arg::Value(libc::AT_FDCWD as u64),
                    Arg::Bytes(path),
                    Arg::Value((libc::O_RDONLY | libc::O_CLOEXEC) as u64),
                    NO,
                    NO,
                    NO,
                ],
            );
            match self.descriptor(open, &named.path) {
                Ok(fd) if fd >= 0 => match self.map_descriptor(image, fd as u64) {
                    Ok(()) => return Ok(()),
                    Err(MountError::Taken) => {
                        named.remove();
                        return Err(MountError::Taken);
                    }
                    // A file system mounted noexec, for one.
                    Err(MountError::Problem(_)) => {}
                },
                Ok(_) | Err(CallError::Seccomp { .. }) => {}
                Err(error) => {
                    named.remove();
                    return Err(error.into());
                }
            }
            named.remove();
        }
        let fd = self.memfd(image, &file_name)?;
        self.map_descriptor(image, fd)
    }

    fn memfd(&mut self, image: &Image, file_name: &str) -> Result<u64, MountError> {
        let mut name = file_name.as_bytes().to_vec();
        name.push(0);
        // Kernels that may forbid executable memfds want to be asked; older ones do not know the flag.
        for flags in [libc::MFD_CLOEXEC | libc::MFD_EXEC, libc::MFD_CLOEXEC] {
            let create = call(
                libc::SYS_memfd_create,
                [Arg::Bytes(name.clone()), Arg::Value(flags.into()), NO, NO, NO, NO],
            );
            let result = self.descriptor(create, Path::new(&format!("/memfd:{file_name}")))?;
            if result == -i64::from(libc::EINVAL) {
                continue;
            }
            let fd = u64::try_from(result).map_err(|_| refused("memfd_create", result))?;
            let filled = self.process.open_to_fill(fd).and_then(|file| fill(&file, image));
            if let Err(error) = filled {
                self.run(&[call(libc::SYS_close, values([fd, 0, 0, 0, 0, 0]))])?;
                return Err(MountError::Problem(Problem::Failed(format!(
                    "could not write the new code: {error}"
                ))));
            }
            return Ok(fd);
        }
        Err(refused("memfd_create", -i64::from(libc::EINVAL)))
    }

    /// Has the target make a call that opens `path`; the descriptor, or -errno.
    fn descriptor(&mut self, open: SystemCall, path: &Path) -> Result<i64, CallError> {
        let calls = [open];
        self.send(&calls)?;
        let process = self.process;
        if let Some(fd) =
            self.effect(|| process.open_files().ok()?.into_iter().find(|(_, link)| link == path))
        {
            return Ok(fd.0 as i64);
        }
        // It failed, or has not run yet: this time the result is waited for.
        Ok(self.run(&calls)?.first().copied().unwrap_or(-i64::from(libc::ENOSYS)))
    }

    /// Maps both parts and closes the descriptor. The part with the record goes first, so that recovery finds
    /// what a killed patcher left. On failure nothing stays mapped.
    fn map_descriptor(&mut self, image: &Image, fd: u64) -> Result<(), MountError> {
        let header = &image.header;
        let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE) as u64;
        let part = |at: u64, size: u64, protection: i32, offset: u64| {
            call(libc::SYS_mmap, values([at, size, protection as u64, flags, fd, offset]))
        };
        let data = libc::PROT_READ | libc::PROT_WRITE;
        let code = libc::PROT_READ | libc::PROT_EXEC;
        let calls = [
            part(header.record(), header.data_size, data, header.code_size),
            part(header.base, header.code_size, code, 0),
            call(libc::SYS_close, values([fd, 0, 0, 0, 0, 0])),
        ];
        self.send(&calls)?;
        let process = self.process;
        let both = || (is_mapped(process, header.base) && is_mapped(process, header.record())).then_some(());
        if self.effect(both).is_some() {
            return Ok(());
        }
        self.map_watched(image, fd, &calls)
    }

    /// The same calls again, watched: for what the kernel says.
    fn map_watched(&mut self, image: &Image, fd: u64, calls: &[SystemCall; 3]) -> Result<(), MountError> {
        let header = &image.header;
        // The first time it was closed, whatever became of the mappings.
        let still_open =
            self.process.open_files().is_ok_and(|files| files.iter().any(|(open, _)| *open == fd));
        let results = if still_open { self.run(calls)? } else { Vec::new() };
        let ours = |at| is_mapped(self.process, at);
        let there = [(header.record(), header.data_size), (header.base, header.code_size)]
            .map(|part| (part, ours(part.0)));
        if there.iter().all(|(_, ours)| *ours) {
            return Ok(());
        }
        for ((at, size), ours) in there {
            if ours {
                self.run(&[call(libc::SYS_munmap, values([at, size, 0, 0, 0, 0]))])?;
            }
        }
        // A kernel that does not know the flag places a mapping elsewhere rather than fail.
        for (result, size) in results.iter().zip([header.data_size, header.code_size]) {
            if *result >= 0 && *result as u64 != header.record() && *result as u64 != header.base {
                self.run(&[call(libc::SYS_munmap, values([*result as u64, size, 0, 0, 0, 0]))])?;
            }
        }
        match results.iter().find(|result| **result < 0) {
            Some(result) if *result != -i64::from(libc::EEXIST) => Err(refused("mmap", *result)),
            Some(_) => Err(MountError::Taken),
            None => self.why_not(image),
        }
    }

    /// Why the image could not be mapped, where the target has closed the file meanwhile: mapped anew, without
    /// one, to see what the kernel says.
    fn why_not(&mut self, image: &Image) -> Result<(), MountError> {
        let header = &image.header;
        let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE | libc::MAP_ANONYMOUS) as u64;
        let none = u64::MAX;
        for (at, size) in [(header.record(), header.data_size), (header.base, header.code_size)] {
            let probe = call(libc::SYS_mmap, values([at, size, libc::PROT_READ as u64, flags, none, 0]));
            let result = self.run(&[probe])?.first().copied().unwrap_or(-i64::from(libc::ENOSYS));
            if result >= 0 {
                self.run(&[call(libc::SYS_munmap, values([result as u64, size, 0, 0, 0, 0]))])?;
            } else if result == -i64::from(libc::EEXIST) {
                return Err(MountError::Taken);
            } else {
                return Err(refused("mmap", result));
            }
        }
        Err(MountError::Problem(Problem::Failed(
            "the program could not map the new code from its file; is that file system mounted noexec?"
                .into(),
        )))
    }

    /// Waits for the effect of calls that were sent, as long as a busy machine may need to run the thread.
    fn effect<T>(&self, look: impl Fn() -> Option<T>) -> Option<T> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(30);
        loop {
            if let Some(effect) = look() {
                return Some(effect);
            }
            if begun.elapsed() > EFFECT {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }

    /// Unmaps an image that nothing has ever led to, and removes its file.
    pub(crate) fn unmap(&mut self, base: u64, size: u64) -> Result<(), Problem> {
        let results =
            self.run(&[call(libc::SYS_munmap, values([base, size, 0, 0, 0, 0]))]).map_err(problem)?;
        if results.first() != Some(&0) {
            return Err(Problem::Failed("the image could not be unmapped".into()));
        }
        remove_unmapped(self.process);
        Ok(())
    }

    /// Closes descriptors of images that a killed patcher left open; how many.
    pub(crate) fn close_left_over(&mut self) -> Result<usize, Problem> {
        let ours = |link: &Path| link.as_os_str().as_bytes().ends_with(FILE_SUFFIX.as_bytes());
        let open = self.process.open_files().map_err(|error| Problem::Failed(error.to_string()))?;
        let left: Vec<u64> = open.into_iter().filter(|(_, link)| ours(link)).map(|(fd, _)| fd).collect();
        for fd in &left {
            self.run(&[call(libc::SYS_close, values([*fd, 0, 0, 0, 0, 0]))]).map_err(problem)?;
        }
        Ok(left.len())
    }

    /// Calls IFUNC resolvers in the target: they read what the processor can do and give an address.
    pub(crate) fn resolve(&mut self, resolver: u64) -> Result<u64, Problem> {
        self.process.call_function(resolver, &[], self.entry, self.deadline).map_err(problem)
    }
}

/// Whether a mapping of an image of ours begins there.
fn is_mapped(process: &Process, at: u64) -> bool {
    process.mappings().is_ok_and(|mappings| {
        mappings.iter().any(|mapping| mapping.start == at && crate::registry::is_image(mapping))
    })
}

fn refused(what: &str, result: i64) -> MountError {
    let error = io::Error::from_raw_os_error((-result) as i32);
    MountError::Problem(Problem::Failed(format!("the program could not map the new code: {what}: {error}")))
}

fn fill(mut file: &File, image: &Image) -> io::Result<()> {
    file.write_all(&image.bytes)?;
    // What is zero to the end of the image costs no memory.
    file.set_len(image.size)
}

/// Whether the target's root folder is ours. Under another root the target might have put links in our way.
fn shares_root(process: &Process) -> bool {
    let identity = |path: &str| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let root = identity(&format!("/proc/{}/root/", process.pid()));
    root.is_some() && root == identity("/")
}

fn directory(process: &Process) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{}-{}", process.pid(), process.start_time()))
}

/// An image's file, to be opened by the target.
struct NamedFile {
    path: PathBuf,
}

impl NamedFile {
    fn write(process: &Process, file_name: &str, image: &Image) -> io::Result<NamedFile> {
        if !shares_root(process) {
            return Err(io::Error::other("the program has another root folder"));
        }
        remove_unmapped(process);
        let directory = directory(process);
        for directory in [Path::new(DIRECTORY), &directory] {
            match fs::create_dir(directory) {
                Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o755))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        let named = NamedFile { path: directory.join(file_name) };
        // Never through a link or over a file that someone else put there.
        let file = File::options().write(true).create_new(true).open(&named.path)?;
        let written = fill(&file, image).and_then(|()| file.set_permissions(Permissions::from_mode(0o644)));
        if let Err(error) = written {
            named.remove();
            return Err(error);
        }
        Ok(named)
    }

    fn remove(&self) {
        drop(fs::remove_file(&self.path));
        drop(self.path.parent().map(fs::remove_dir));
    }
}

/// Removes the files of this process that it does not map: a killed patcher's.
pub(crate) fn remove_unmapped(process: &Process) {
    let directory = directory(process);
    let (Ok(mappings), Ok(files)) = (process.mappings(), fs::read_dir(&directory)) else { return };
    for file in files.flatten() {
        let path = file.path();
        if !mappings.iter().any(|mapping| mapping.path.as_deref().map(Path::new) == Some(&path)) {
            drop(fs::remove_file(path));
        }
    }
    drop(fs::remove_dir(directory));
}

/// Removes the files of processes that are gone.
pub(crate) fn sweep() {
    let Ok(entries) = fs::read_dir(Path::new(DIRECTORY)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((pid, start)) = name.to_str().and_then(|name| name.split_once('-')) else { continue };
        let (Ok(pid), Ok(start)) = (pid.parse::<i32>(), start.parse::<u64>()) else { continue };
        let lives = Process::open_to_read(pid).is_ok_and(|process| process.start_time() == start);
        if !lives && !forked_user(&entry.path()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Whether any process still maps a file of this folder: children keep what they were forked with.
fn forked_user(directory: &Path) -> bool {
    let Some(directory) = directory.to_str() else { return true };
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<i32>().is_ok()))
        .any(|entry| fs::read_to_string(entry.path().join("maps")).is_ok_and(|maps| maps.contains(directory)))
}
