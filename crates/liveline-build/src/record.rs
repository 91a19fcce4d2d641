//! What a build did: one file an event, written by the shims and read when the build is over.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The folder shims write to, as an environment variable.
pub(crate) const RECORD: &str = "LIVELINE_BUILD_RECORD";

/// What a record holds and how it was made: another one means that kept sides are not used.
pub(crate) const FORMAT: &[u8] = b"3";

/// One compilation or link that succeeded. Paths are absolute, as the build saw them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    Compile(Compile),
    Link(Link),
}

/// A compiler that wrote an object (or, for rustc, a crate).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Compile {
    /// The real compiler.
    pub(crate) compiler: OsString,
    /// What it wrote.
    pub(crate) output: OsString,
    /// BLAKE3 of what it wrote.
    pub(crate) hash: String,
    /// Every file it read, as far as it told; none if it could not be asked.
    pub(crate) depends: Option<Vec<OsString>>,
    /// How to do it again, for a crate that was compiled without the debug information that types are read from.
    pub(crate) again: Option<Again>,
}

/// A compilation that can be done again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Again {
    /// Where it was run.
    pub(crate) folder: OsString,
    /// The compiler's words, without those that say what is written where.
    pub(crate) words: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// A linker that wrote a program, a library or a relocatable object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    /// What it wrote.
    pub(crate) output: OsString,
    /// Objects and archives that went in, in their order.
    pub(crate) inputs: Vec<Input>,
}

/// An object or archive of a link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Input {
    /// Where it lay.
    pub(crate) path: OsString,
    /// Its contents, by hash: a file of [`store`].
    pub(crate) hash: String,
}

/// Where the inputs of links are kept, by hash: objects may be temporary, or written again by the same build.
pub(crate) fn store(record: &Path) -> PathBuf {
    record.join("store")
}

/// Notes an event.
pub(crate) fn write(record: &Path, event: &Event) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix("event-").suffix(".part").tempfile_in(record)?;
    serde_json::to_writer(&mut file, event)?;
    file.flush()?;
    // The time in the name keeps the order of events.
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let name = record.join(format!("{time:024}-{}.json", std::process::id()));
    file.persist(name).map_err(|error| error.error)?;
    Ok(())
}

/// Keeps a file by its contents; the hash.
pub(crate) fn keep(record: &Path, path: &Path) -> io::Result<String> {
    let hash = hash(path)?;
    let to = store(record).join(&hash);
    if !to.exists() {
        fs::create_dir_all(store(record))?;
        let part = tempfile::Builder::new().suffix(".part").tempfile_in(store(record))?;
        fs::copy(path, part.path())?;
        part.persist(to).map_err(|error| error.error)?;
    }
    Ok(hash)
}

/// BLAKE3 of a file, in hex.
pub(crate) fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Names the files of all events by where they seem to lie, as `places` has it: first where they lie, then where they
/// seem to.
pub(crate) fn place(record: &Path, places: &[(&Path, &Path)]) -> io::Result<()> {
    let placed = |path: &mut OsString| {
        let found =
            places.iter().find_map(|(from, to)| Some(to.join(Path::new(path).strip_prefix(from).ok()?)));
        if let Some(found) = found {
            *path = found.into();
        }
    };
    for file in files(record)? {
        let mut event: Event = serde_json::from_slice(&fs::read(&file)?)?;
        match &mut event {
            Event::Compile(compile) => {
                placed(&mut compile.output);
                compile.depends.iter_mut().flatten().for_each(placed);
            }
            Event::Link(link) => {
                placed(&mut link.output);
                link.inputs.iter_mut().for_each(|input| placed(&mut input.path));
            }
        }
        fs::write(&file, serde_json::to_vec(&event)?)?;
    }
    Ok(())
}

/// How many events there are by now.
pub(crate) fn count(record: &Path) -> usize {
    let Ok(entries) = fs::read_dir(record) else { return 0 };
    entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).count()
}

/// All events, in their order.
pub(crate) fn read(record: &Path) -> io::Result<Vec<Event>> {
    let all = files(record)?;
    all.iter().map(|file| serde_json::from_slice(&fs::read(file)?).map_err(io::Error::from)).collect()
}

fn files(record: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(record)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    Ok(files)
}
