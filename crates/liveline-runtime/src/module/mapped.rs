//! A module's file, taken into the program. What was looked at is what is run: the bytes lie in a sealed file in
//! memory.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_void};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::FromRawFd;

use crate::module::descriptors::Kept;
use crate::module::entrance::Entrance;
use crate::shared::PROGRAM;

/// A module's code in the program, for good.
pub(crate) struct Mapped {
    handle: *mut c_void,
}

/// Maps the module. Its constructors run.
///
/// # Errors
/// In the dynamic linker's words, mostly. Nothing is mapped then.
pub(crate) fn map(name: &str, bytes: &[u8]) -> Result<Mapped, String> {
    let file = Kept::new(sealed(name, bytes).map_err(|error| format!("no memory for the module: {error}"))?)?;
    let path = CString::new(format!("/proc/self/fd/{}", file.number())).expect("no zero inside");
    // Nothing that objects or threads may still point to is ever unmapped.
    let flags = libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE;
    // SAFETY: the path ends with a zero. The constructors are the module's, which was compared with this program.
    let handle = unsafe { libc::dlopen(path.as_ptr(), flags) };
    if handle.is_null() {
        // It only knows the number of the file.
        return Err(linker_error().replace(&*path.to_string_lossy(), name));
    }
    file.stay();
    Ok(Mapped { handle })
}

impl Mapped {
    /// Lets it know the program.
    ///
    /// # Errors
    /// Why it cannot be one of its modules.
    pub(crate) fn entrance(&self) -> Result<&'static Entrance, String> {
        // SAFETY: the handle is one that dlopen gave; the name ends with a zero.
        let symbol = unsafe { libc::dlsym(self.handle, c"LIVELINE_MODULE".as_ptr()) };
        let entrance = entrance(symbol).ok_or("it has no entry: #[module] stands before no function")?;
        entrance.attach(&PROGRAM)?;
        Ok(entrance)
    }
}

fn entrance(symbol: *mut c_void) -> Option<&'static Entrance> {
    // SAFETY: the symbol is `#[module]`'s, made with this very version of this library by this very compiler
    // (`Fingerprint::misfits`), and is never unmapped.
    unsafe { symbol.cast::<Entrance>().as_ref() }
}

/// A file in memory with these bytes, which nobody can change any more.
fn sealed(name: &str, bytes: &[u8]) -> io::Result<File> {
    let name = CString::new(format!("liveline:{name}"))?;
    // SAFETY: the name ends with a zero.
    let number = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and ours.
    let mut file = unsafe { File::from_raw_fd(number) };
    file.write_all(bytes)?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: fcntl(2) with numbers.
    if unsafe { libc::fcntl(number, libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

fn linker_error() -> String {
    // SAFETY: dlerror(3) takes nothing.
    let words = unsafe { libc::dlerror() };
    if words.is_null() {
        return "the dynamic linker refuses it".to_string();
    }
    // SAFETY: what is not null are words that end with a zero and stay until this thread's next dl call.
    let words = unsafe { CStr::from_ptr(words) };
    format!("the dynamic linker refuses it: {}", words.to_string_lossy())
}
