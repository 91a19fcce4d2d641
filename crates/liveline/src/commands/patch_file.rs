//! The patch file: how it is named, where it may be written, and how it is read.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use liveline_patch::Patch;

use crate::failure::{Code, Failure};

/// No patch is longer: new code and data must lie within reach of the old.
const LONGEST: u64 = 1 << 30;

/// A chain of symbolic links that is longer is taken for a circle, as the kernel does.
const LINKS: usize = 40;

/// The name of a patch: as given, or the output file's. Errors: a patch cannot be called so.
pub(super) fn name(given: Option<&str>, output: &Path) -> Result<String, Failure> {
    let name = match given {
        Some(name) => name.to_owned(),
        None => output.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
    };
    check_name(&name)?;
    Ok(name)
}

/// Errors: a patch cannot be called so.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    liveline_patch::check_word("the name of the patch", name).map_err(|why| {
        Failure::new(Code::Usage, format!("'{name}': {why}")).hint("name the patch with --name NAME")
    })
}

/// Errors: a patch cannot have this version.
pub(super) fn check_version(version: &str) -> Result<(), Failure> {
    liveline_patch::check_word("the version of the patch", version).map_err(|why| {
        Failure::new(Code::Usage, format!("'{version}': {why}")).hint("give another one with --version")
    })
}

/// Whether a patch can be written there: asked before anything is built. The file itself, behind symbolic links.
/// Errors: something else than a file is there, or its folder takes no new file.
pub(super) fn check_place(path: &Path) -> Result<PathBuf, Failure> {
    let file = behind_links(path)?;
    let regular = match fs::symlink_metadata(&file) {
        Ok(found) => found.is_file(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            file.file_name().is_some() && !file.as_os_str().as_encoded_bytes().ends_with(b"/")
        }
        Err(error) => return Err(Failure::file(path, error)),
    };
    if !regular {
        return Err(Failure::new(Code::Usage, format!("{} is no regular file", path.display()))
            .hint("-o names the patch file to write"));
    }
    check_folder(folder_of(&file), path)?;
    Ok(file)
}

/// Errors: new files cannot be made in the folder that `path` needs.
pub(super) fn check_folder(folder: &Path, path: &Path) -> Result<(), Failure> {
    if !folder.is_dir() {
        return Err(Failure::file(path, format!("there is no folder {}", folder.display())));
    }
    // Without a name: whoever is killed here leaves nothing.
    tempfile::tempfile_in(folder).map(drop).map_err(|error| Failure::file(path, error))
}

fn behind_links(path: &Path) -> Result<PathBuf, Failure> {
    let mut file = path.to_owned();
    for _ in 0..LINKS {
        let Ok(to) = fs::read_link(&file) else { return Ok(file) };
        file = folder_of(&file).join(to);
    }
    Err(Failure::new(Code::Usage, format!("{} is a circle of symbolic links", path.display())))
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes the whole file or nothing: a patch that is half there must not be found by anyone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // Again: the build took minutes, and a rename replaces whatever is there by now.
    let place = check_place(path)?;
    let mut file =
        tempfile::NamedTempFile::new_in(folder_of(&place)).map_err(|error| Failure::file(path, error))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| Failure::file(path, error))?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable).map_err(|error| Failure::file(path, error))?;
    file.persist(&place).map_err(|error| Failure::file(path, error.error))?;
    Ok(())
}

/// The bytes of a file that may be a patch.
pub(super) fn contents(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::file(path, error);
    // Before it is opened, which waits for a writer if it is a fifo.
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(refused(path, "not a patch file: it is no regular file"));
    }
    let mut bytes = Vec::new();
    if found.len() <= LONGEST {
        File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
    }
    if found.len().max(bytes.len() as u64) > LONGEST {
        return Err(refused(path, "not a patch file: it is longer than 1 GiB"));
    }
    Ok(bytes)
}

/// What the bytes of a patch file say.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Patch, Failure> {
    Patch::decode(bytes).map_err(|error| refused(path, &error.to_string()))
}

/// The file is neither a patch nor a module.
pub(super) fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(Code::Refused, format!("{}: {why}", path.display())).hint(
        "liveline build and liveline diff make patch files; a module is a shared library alone (crate-type = [\"cdylib\"]) with #[liveline_runtime::module] before its entry",
    )
}
