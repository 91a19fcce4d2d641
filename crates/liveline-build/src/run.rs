//! Running a build where its tree seems to lie at its own path, with the shims in front of the compilers.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::keeper::{self, Kept};
use crate::scratch::Scratch;
use crate::{BuildError, Progress, record, shim};

/// Puts copies in the places of the tree and of its products, in a mount namespace of its own, and runs the command
/// there.
const ENTER: &str = r#"[ "$1" != --pid ] || mount -t proc proc /proc || exit
shift
while [ "$1" != -- ]; do mount --bind "$1" "$2" && shift 2 || exit; done
shift; LIVELINE_BUILD_ROOM=$(readlink /proc/self/ns/mnt) && export LIVELINE_BUILD_ROOM && cd "$1" && shift && exec "$@""#;

/// A build of one side.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// The copy that is built.
    pub(crate) copy: &'a Path,
    /// Where it must seem to lie.
    pub(crate) place: &'a Path,
    /// Folders, and where each must seem to lie: the copy first.
    pub(crate) mounts: Vec<(&'a Path, &'a Path)>,
    /// The folder that products go to, and where it must seem to lie, if that is outside the tree.
    pub(crate) products: Option<(&'a Path, &'a Path)>,
    /// Where in the tree the command is run.
    pub(crate) folder: &'a Path,
    /// The command.
    pub(crate) command: &'a [OsString],
    /// Where events go.
    pub(crate) record: &'a Path,
    /// Where the build's own words go.
    pub(crate) log: &'a Path,
    /// The shims.
    pub(crate) shims: &'a Path,
    /// `old` or `new`, for people.
    pub(crate) side: &'static str,
    /// Seconds since 1970 that builds are to take for now.
    pub(crate) epoch: u64,
}

/// A command that runs a build.
struct Placed {
    command: Command,
    /// The copy is built where it lies.
    plain: bool,
}

impl Run<'_> {
    /// Runs the build to its end.
    pub(crate) fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), BuildError> {
        fs::create_dir_all(self.record)
            .map_err(|source| BuildError::Copy { path: self.record.into(), source })?;
        let log = fs::File::create(self.log)
            .map_err(|source| BuildError::Copy { path: self.log.into(), source })?;
        let again = log.try_clone().map_err(|source| BuildError::Copy { path: self.log.into(), source })?;
        let Placed { mut command, plain } = self.placed()?;
        self.environment(&mut command);
        command.stdout(log).stderr(again);
        let mut told = || progress(Progress::Building { side: self.side, steps: record::count(self.record) });
        let status = Kept::spawn(&mut command)
            .and_then(|kept| kept.wait(&mut told))
            .map_err(|source| BuildError::Tool { tool: "the build".into(), source })?;
        progress(Progress::Built { side: self.side, steps: record::count(self.record) });
        if status.success() {
            let moved = if plain { record::place(self.record, &self.mounts) } else { Ok(()) };
            return moved.map_err(|source| BuildError::Copy { path: self.record.into(), source });
        }
        Err(BuildError::Build {
            side: self.side,
            status: status.to_string(),
            tail: tail(self.log),
            log: self.log.into(),
            full: is_full(self.copy),
        })
    }

    /// The command in a namespace where the copy lies at the tree's path, or else in the copy itself.
    fn placed(&self) -> Result<Placed, BuildError> {
        let keeper = self.shims.join(keeper::NAME);
        let mut reason = String::new();
        // Where processes cannot have a namespace, the keeper has to find them.
        const WAYS: [&[&str]; 4] = [
            &["--mount", "--pid", "--fork"],
            &["--mount"],
            &["--mount", "--pid", "--fork", "--map-root-user"],
            &["--mount", "--map-root-user"],
        ];
        for options in WAYS {
            let mut unshare = Command::new(&keeper);
            let processes = options.contains(&"--pid");
            unshare.args(processes.then_some(keeper::PASS)).arg("unshare").args(options).arg("--");
            unshare.args(processes.then_some(&keeper)).args(["sh", "-c", ENTER, "sh"]);
            unshare.arg(if processes { "--pid" } else { "--mount" });
            unshare.args(self.mounts.iter().flat_map(|(copy, place)| [copy, place]));
            unshare.arg("--").arg(self.place.join(self.folder));
            let mut trial = Command::new(&keeper);
            match Kept::output(trial.args(unshare.get_args()).arg("true")) {
                Ok(done) if done.status.success() => {
                    unshare.args(self.command);
                    return Ok(Placed { command: unshare, plain: false });
                }
                Ok(done) => reason = String::from_utf8_lossy(&done.stderr).trim_end().to_owned(),
                Err(error) => reason = error.to_string(),
            }
        }
        // The tree and its products can be built elsewhere; other people's sources are where they are.
        let own = |place: &Path| place == self.place || self.products.is_some_and(|(_, own)| own == place);
        if let Some((_, place)) = self.mounts.iter().find(|(_, place)| !own(place)) {
            return Err(BuildError::NoNamespace { folder: (*place).into(), reason });
        }
        let mut plain = Command::new(keeper);
        let mut map = OsString::from("-ffile-prefix-map=");
        map.push(self.copy);
        map.push("=");
        map.push(self.place);
        plain.args(self.command).current_dir(self.copy.join(self.folder)).env(shim::MAP, map);
        if let Some((copy, _)) = self.products {
            plain.env("CARGO_TARGET_DIR", copy);
        }
        Ok(Placed { command: plain, plain: true })
    }

    fn environment(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        let mut all = vec![self.shims.to_owned()];
        all.extend(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(all) {
            command.env("PATH", path);
        }
        command.env(record::RECORD, self.record).env(shim::SHIMS, self.shims);
        // In the compiler's own place, so that a wrapper of the user's goes on wrapping.
        command.env("RUSTC", self.shims.join("rustc"));
        if let Some(rustc) = std::env::var_os("RUSTC").filter(|rustc| !rustc.is_empty()) {
            command.env(shim::RUSTC, rustc);
        }
        if cache_left_out().is_some() {
            command.env("RUSTC_WRAPPER", "");
        }
        // A compiler cache would answer without a compiler; a distributed one would ask another machine's.
        command.env("CCACHE_DISABLE", "1").env("SCCACHE_DISABLE", "1").env("DISTCC_HOSTS", "localhost");
        if std::env::var_os("SOURCE_DATE_EPOCH").is_none() {
            command.env("SOURCE_DATE_EPOCH", self.epoch.to_string());
        }
        for name in ["CC", "CXX", "LD", "HOSTCC"] {
            if let Some(value) = std::env::var_os(name).and_then(|value| self.through_shim(&value)) {
                command.env(name, value);
            }
        }
    }

    /// `CC=/usr/bin/gcc-12 -m64` with the shim in its place.
    fn through_shim(&self, value: &OsStr) -> Option<OsString> {
        let text = value.to_str()?;
        let (program, rest) = text.split_once(' ').unwrap_or((text, ""));
        let name = Path::new(program).file_name()?;
        let shim = self.shims.join(name);
        if !shim.exists() {
            return None;
        }
        let mut out = shim.into_os_string();
        if !rest.is_empty() {
            out.push(" ");
            out.push(rest);
        }
        Some(out)
    }
}

/// The compiler cache that stands in front of rustc. Its server, which lives elsewhere, would compile the user's own
/// tree in place of the copy.
pub(crate) fn cache_left_out() -> Option<OsString> {
    std::env::var_os("RUSTC_WRAPPER").filter(|wrapper| shim::is_cache(wrapper))
}

/// Makes the folder of shims: this program under the name of each compiler and linker in PATH.
pub(crate) fn make_shims(cache: &Path) -> Result<PathBuf, BuildError> {
    let folder = cache.join("shims");
    let failed = |source| BuildError::Copy { path: folder.clone(), source };
    fs::create_dir_all(&folder).map_err(failed)?;
    let scratch = Scratch::new(cache).map_err(failed)?;
    let own = std::env::current_exe().map_err(failed)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut names: Vec<OsString> = vec![shim::DESCRIBE.into(), keeper::NAME.into()];
    for place in std::env::split_paths(&path) {
        let Ok(entries) = fs::read_dir(&place) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let runs = fs::metadata(entry.path()).is_ok_and(|m| m.permissions().mode() & 0o111 != 0);
            if runs && name.to_str().is_some_and(shim::is_tool) {
                names.push(name);
            }
        }
    }
    // gcc asks for this one wherever its linker comes from.
    names.push("ld".into());
    names.push("ld.lld".into());
    for name in names {
        let link = folder.join(&name);
        if fs::read_link(&link).is_ok_and(|target| target == own) {
            continue;
        }
        // Another build may run through the link that is there.
        let part = scratch.path().join(&name);
        let _ = fs::remove_file(&part);
        std::os::unix::fs::symlink(&own, &part).map_err(failed)?;
        fs::rename(&part, &link).map_err(failed)?;
    }
    Ok(folder)
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = fs::File::open(log) {
        let _ = file.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Whether a file system has no room left, for the hint.
fn is_full(folder: &Path) -> bool {
    let Ok(mut file) = tempfile::tempfile_in(folder) else { return true };
    std::io::Write::write_all(&mut file, &[1; 65536]).is_err()
}

/// Folders and files of one side.
pub(crate) fn side_files(folder: &Path) -> (PathBuf, PathBuf, PathBuf) {
    (folder.join("tree"), folder.join("record"), folder.join("log"))
}
