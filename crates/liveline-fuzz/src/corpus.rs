//! The seeds, and inputs that once failed: files of `corpus/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::target::Target;

/// One input of a target: one or several files.
pub type Input = Vec<Vec<u8>>;

/// The corpus folder of this source tree.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus")
}

/// Why the corpus could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file or folder could not be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder has no seeds.
    #[error("{0}: no seeds")]
    Empty(PathBuf),
    /// Nothing says what reads a file.
    #[error("{0}: give its target with --only")]
    NoTarget(PathBuf),
}

/// The files of a folder in the order of their names; none if there is no such folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let failed = |source| CorpusError::Read { path: folder.into(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// Reads one file.
pub fn read(path: &Path) -> Result<Vec<u8>, CorpusError> {
    fs::read(path).map_err(|source| CorpusError::Read { path: path.into(), source })
}

/// The contents of all files of a folder of the corpus.
pub fn seeds(name: &str) -> Result<Vec<Vec<u8>>, CorpusError> {
    let folder = folder().join(name);
    let seeds: Vec<Vec<u8>> = files(&folder)?.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    if seeds.is_empty() { Err(CorpusError::Empty(folder)) } else { Ok(seeds) }
}

/// Inputs of a target that failed once: `corpus/regressions/TARGET/`.
pub fn regressions(target: &Target) -> Result<Vec<(PathBuf, Input)>, CorpusError> {
    let paths = files(&folder().join("regressions").join(target.name))?;
    paths
        .into_iter()
        .map(|path| read(&path).map(|bytes| (path, unpack(&bytes, target.parts.len()))))
        .collect()
}

/// An input as one file: a single part as it is, several with the length of each but the last before them.
pub fn pack(input: &[Vec<u8>]) -> Vec<u8> {
    let lengths = &input[..input.len().saturating_sub(1)];
    let mut out: Vec<u8> = lengths.iter().flat_map(|part| (part.len() as u32).to_le_bytes()).collect();
    input.iter().for_each(|part| out.extend(part));
    out
}

/// The reverse of [`pack`]; short parts where the file is too short.
pub fn unpack(bytes: &[u8], parts: usize) -> Input {
    let (lengths, mut rest) = bytes.split_at((4 * parts.saturating_sub(1)).min(bytes.len()));
    let mut input = Input::new();
    for length in lengths.chunks_exact(4) {
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let (part, behind) = rest.split_at(length.min(rest.len()));
        input.push(part.to_vec());
        rest = behind;
    }
    input.push(rest.to_vec());
    input.resize(parts, Vec::new());
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_reversible() {
        for input in [vec![vec![1, 2, 3]], vec![vec![], vec![9]], vec![vec![1], vec![2; 70_000], vec![]]] {
            assert_eq!(unpack(&pack(&input), input.len()), input);
        }
        assert_eq!(unpack(&[1, 2], 3).len(), 3);
    }
}
