//! The socket itself: where it lies, who may use it, and that it goes with the program.
#![allow(unsafe_code)]

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use liveline_control::place;

/// Who is at the other end.
pub(super) struct Peer {
    pub(super) user: u32,
    pub(super) process: i32,
}

impl Peer {
    /// The program's own user, or root.
    pub(super) fn may_ask(&self) -> bool {
        self.user == 0 || self.user == own_user()
    }
}

/// The user that the program runs as.
pub(super) fn own_user() -> u32 {
    // SAFETY: geteuid(2) takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

/// Who connected, as the kernel noted it then.
pub(super) fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of_val(&credentials) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes to the structure.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut size,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Peer { user: credentials.uid, process: credentials.pid })
}

/// Whether nobody is at the other end any more.
pub(super) fn is_closed(stream: &UnixStream) -> bool {
    let mut end = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one structure, which the kernel writes to; it does not wait.
    let found = unsafe { libc::poll(&raw mut end, 1, 0) };
    found > 0 && end.revents & (libc::POLLHUP | libc::POLLERR) != 0
}

/// Makes the socket. It goes when the program exits; one that a killed program left is replaced.
pub(super) fn open() -> io::Result<UnixListener> {
    let folder = place::folder(std::env::var_os("XDG_RUNTIME_DIR"), own_user());
    let path = folder.join(place::name(std::process::id()));
    let listen = || {
        own_folder(&folder)?;
        sweep(&folder);
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    let listener = listen().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("the control socket {}: {error}", path.display()))
    })?;
    remove_at_exit(path);
    Ok(listener)
}

/// The folder, which nobody else can use.
fn own_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != own_user() || found.mode() & 0o022 != 0 {
        let words = format!("{} is not this user's own folder", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
    }
    Ok(())
}

/// Removes the sockets of programs that are gone. One under our own number is gone too, unless it lives in another PID
/// namespace.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|n| n.strip_suffix(".sock")).and_then(|n| n.parse::<u32>().ok());
        if process.is_some() && is_left_behind(&entry.path()) {
            // Somebody else may have removed it.
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Whether nobody listens at a socket, whatever namespace he may be in. Who listens is not disturbed: a datagram socket
/// cannot be connected to his, and the kernel says so before it asks him (`unix_find_bsd` in net/unix/af_unix.c).
fn is_left_behind(path: &Path) -> bool {
    let found = UnixDatagram::unbound().and_then(|probe| probe.connect(path));
    found.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

static MADE: OnceLock<(u32, PathBuf)> = OnceLock::new();

fn remove_at_exit(path: PathBuf) {
    extern "C" fn remove() {
        // A child made by fork is not the one that is served.
        if let Some((process, path)) = MADE.get().filter(|made| made.0 == std::process::id()) {
            debug_assert!(path.ends_with(place::name(*process)));
            drop(fs::remove_file(path));
        }
    }
    if MADE.set((std::process::id(), path)).is_ok() {
        // SAFETY: the function lives as long as the program. Where it cannot be noted the socket stays, stale.
        unsafe { libc::atexit(remove) };
    }
}

/// Runs work on a thread that takes none of the program's signals.
pub(super) fn in_background(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let all = every_signal();
    let before = exchange_mask(&all);
    // A thread begins with the mask of the one that makes it.
    let started = std::thread::Builder::new().name("liveline".to_string()).spawn(work);
    exchange_mask(&before);
    started.map(drop)
}

fn every_signal() -> libc::sigset_t {
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: sigfillset(3) writes a whole set.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        all.assume_init()
    }
}

fn exchange_mask(mask: &libc::sigset_t) -> libc::sigset_t {
    let mut before = *mask;
    // SAFETY: both are whole sets. SIG_SETMASK cannot fail.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, &raw mut before) };
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_nobody_listens_at_are_swept() {
        let folder = std::env::temp_dir().join(format!("liveline-sweep-{}", std::process::id()));
        own_folder(&folder).unwrap();
        // No process of this namespace has such a number.
        let [lives, gone, other] =
            ["4194305.sock", "4194306.sock", "notes.sock"].map(|name| folder.join(name));
        let listener = UnixListener::bind(&lives).unwrap();
        listener.set_nonblocking(true).unwrap();
        drop(UnixListener::bind(&gone).unwrap());
        fs::write(&other, "").unwrap();
        sweep(&folder);
        assert_eq!([&lives, &gone, &other].map(|path| path.exists()), [true, false, true]);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        fs::remove_dir_all(&folder).unwrap();
    }
}
