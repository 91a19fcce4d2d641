//! Memory for a module's file while it is looked at. It is the kernel's again when it is dropped: an allocator may keep
//! what it was given for every thread that ever asked.
#![allow(unsafe_code)]

use std::io::{self, Read};
use std::ops::Deref;
use std::ptr::NonNull;

/// Bytes in a mapping of their own.
pub(crate) struct Bytes {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it owns its memory, as a box does.
unsafe impl Send for Bytes {}

impl Bytes {
    /// Reads so many bytes.
    ///
    /// # Errors
    /// `OutOfMemory`: there is no room for them. Else what the stream says; it may have ended before.
    pub(crate) fn read(stream: &mut impl Read, length: usize) -> io::Result<Self> {
        if length == 0 {
            return Ok(Self { start: NonNull::dangling(), length });
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, wherever the kernel likes.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let bytes = Self { start, length };
        // SAFETY: it is ours alone, zeroed, and so long; a length beyond `isize` cannot be mapped.
        stream.read_exact(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length) })?;
        Ok(bytes)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: it is so long, and nobody writes any more.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: `read` made the mapping, and nobody borrows from it any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_there_and_nothing_less() {
        let text = [7_u8; 10_000];
        assert_eq!(&*Bytes::read(&mut &text[..], text.len()).unwrap(), &text);
        assert!(Bytes::read(&mut &text[..], 0).unwrap().is_empty());
        let error = |length| Bytes::read(&mut &text[..], length).err().unwrap().kind();
        assert_eq!(error(text.len() + 1), io::ErrorKind::UnexpectedEof);
        assert_eq!(error(usize::MAX / 2), io::ErrorKind::OutOfMemory);
    }
}
