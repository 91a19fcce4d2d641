//! Frames on a stream: four bytes of length, then JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message.
pub const LONGEST: usize = 1 << 20;

/// Writes a message.
///
/// # Errors
/// What the stream says; a message that is too long.
pub fn write(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= LONGEST);
    let length = length.ok_or_else(|| invalid(format!("a message of {} bytes is too long", text.len())))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(&text)?;
    stream.flush()
}

/// Reads a message.
///
/// # Errors
/// What the stream says; a message that is too long, or is not what is expected.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
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
        assert_eq!(read::<Vec<String>>(&mut &stream[..]).unwrap(), ["a", "b"]);
        let cut = read::<Vec<String>>(&mut &stream[..stream.len() - 1]).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_length_beyond_the_bound_takes_no_memory() {
        let error = read::<String>(&mut &[0xff; 8][..]).unwrap_err();
        assert_eq!(error.to_string(), "a message of 4294967295 bytes is too long");
    }
}
