//! Frames on a stream: four bytes of length, then JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest request, in bytes; a module's bytes follow it.
pub const REQUEST: usize = 1 << 20;

/// The longest answer, in bytes: that of a program with 100,000 classes is shorter.
pub const ANSWER: usize = 64 << 20;

/// Writes a message.
///
/// # Errors
/// What the stream says; a message that is too long.
pub fn write(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= ANSWER);
    let length = length.ok_or_else(|| invalid(format!("a message of {} bytes is too long", text.len())))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(&text)?;
    stream.flush()
}

/// The last messages of a list, as many as fit into one of a megabyte.
pub fn last<T: Serialize>(all: &[T]) -> &[T] {
    // Room for what is around the list.
    let mut room: usize = (1 << 20) - 1024;
    let fits = |message: &&T| {
        let size = serde_json::to_vec(message).map_or(usize::MAX, |text| text.len().saturating_add(1));
        let left = room.checked_sub(size);
        room = left.unwrap_or(0);
        left.is_some()
    };
    let count = all.iter().rev().take_while(fits).count();
    &all[all.len() - count..]
}

/// Reads a message of at most so many bytes: [`REQUEST`] or [`ANSWER`].
///
/// # Errors
/// What the stream says; a message that is too long, or is not what is expected.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read, longest: usize) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > longest {
        return Err(invalid(format!("a message of {length} bytes is too long")));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text)?;
    serde_json::from_slice(&text).map_err(|error| invalid(format!("not understood: {error}")))
}

fn invalid(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut stream = Vec::new();
        write(&mut stream, &vec!["a", "b"]).unwrap();
        assert_eq!(read::<Vec<String>>(&mut &stream[..], ANSWER).unwrap(), ["a", "b"]);
        let cut = read::<Vec<String>>(&mut &stream[..stream.len() - 1], ANSWER).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn of_many_messages_the_last_ones_fit() {
        let all: Vec<String> = (0..40).map(|n| n.to_string().repeat(30_000)).collect();
        let some = last(&all);
        assert_eq!(some, &all[all.len() - some.len()..]);
        let size = |list: &[String]| serde_json::to_vec(list).unwrap().len();
        assert!(size(some) <= 1 << 20 && size(&all) > 1 << 20);
        assert!(some.len() > 10, "{}", some.len());
        assert!(last(&["a".repeat(1 << 20)]).is_empty());
        assert_eq!(last(&["a", "b"]), ["a", "b"]);
    }

    #[test]
    fn a_length_beyond_the_bound_takes_no_memory() {
        let error = read::<String>(&mut &[0xff; 8][..], REQUEST).unwrap_err();
        assert_eq!(error.to_string(), "a message of 4294967295 bytes is too long");
    }
}
