//! Waiting until a source differs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::{Project, WatchError};

/// How long nothing must have been written before it counts as saved: editors write a file in several steps.
const SETTLED: Duration = Duration::from_millis(30);

/// The sources of a module, watched.
#[derive(Debug)]
pub struct Sources {
    watcher: RecommendedWatcher,
    events: Receiver<(Instant, Event)>,
    folders: Vec<PathBuf>,
    workspace: PathBuf,
    products: PathBuf,
    /// What is in each file. A file that is written with what it holds already is no change: a build script may do
    /// that at each build, and would have it built for ever.
    contents: BTreeMap<PathBuf, blake3::Hash>,
}

/// Files that differ from when they were last looked at.
#[derive(Debug)]
pub struct Change {
    /// The files.
    pub files: Vec<PathBuf>,
    /// When the last of them was written.
    pub saved: Instant,
}

impl Sources {
    /// Watches the sources of a module.
    ///
    /// # Errors
    /// The kernel does not watch so much.
    pub fn watch(project: &Project) -> Result<Self, WatchError> {
        let folders = project.folders().to_vec();
        Self::of(folders, project.workspace().to_path_buf(), project.products().to_path_buf())
    }

    /// Goes on with what the module is made of now.
    ///
    /// # Errors
    /// As [`Sources::watch`].
    pub fn follow(&mut self, project: &Project) -> Result<(), WatchError> {
        self.folders = project.folders().to_vec();
        self.workspace = project.workspace().to_path_buf();
        self.products = project.products().to_path_buf();
        // What is found in folders that came is what is built next.
        self.look().map(drop)
    }

    fn of(folders: Vec<PathBuf>, workspace: PathBuf, products: PathBuf) -> Result<Self, WatchError> {
        let (sender, events) = channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Where the receiver is gone, nobody wants to know.
            drop(event.map(|event| sender.send((Instant::now(), event))));
        })?;
        let mut sources = Self { watcher, events, folders, workspace, products, contents: BTreeMap::new() };
        sources.look()?;
        Ok(sources)
    }

    /// Waits so long for a change.
    ///
    /// # Errors
    /// A folder that came cannot be watched.
    pub fn changed(&mut self, patience: Duration) -> Result<Option<Change>, WatchError> {
        let end = Instant::now() + patience;
        let mut saved = None;
        loop {
            let until = saved.map_or(end, |saved: Instant| saved + SETTLED);
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((at, event)) if self.matters(&event) => saved = Some(at),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let Some(saved) = saved.take() else { return Ok(None) };
                    let files = self.look()?;
                    if !files.is_empty() {
                        return Ok(Some(Change { files, saved }));
                    }
                }
            }
        }
    }

    fn matters(&self, event: &Event) -> bool {
        let written = !matches!(event.kind, EventKind::Access(_));
        written && (event.need_rescan() || event.paths.iter().any(|path| !self.is_foreign(path)))
    }

    /// Products, and what tools keep for themselves: hidden files, backups.
    fn is_foreign(&self, path: &Path) -> bool {
        // Beside the workspace's manifest lies what is none of the module's.
        if !self.folders.iter().any(|folder| path.starts_with(folder)) {
            return path != self.workspace;
        }
        let inside = self.folders.iter().find_map(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
        let hidden = inside.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
        hidden || name.ends_with(b"~") || name.starts_with(b"#") || path.starts_with(&self.products)
    }

    /// Looks at all sources, watches their folders, and gives the files that differ.
    fn look(&mut self) -> Result<Vec<PathBuf>, WatchError> {
        let mut now = BTreeMap::new();
        if let (Some(folder), Ok(bytes)) = (self.workspace.parent(), fs::read(&self.workspace)) {
            self.watcher.watch(folder, RecursiveMode::NonRecursive)?;
            now.insert(self.workspace.clone(), blake3::hash(&bytes));
        }
        let mut open = self.folders.clone();
        let mut found = BTreeSet::new();
        while let Some(folder) = open.pop() {
            if !found.insert(folder.clone()) {
                continue;
            }
            // Again each time: the kernel forgets a folder that is gone, and another one may have its name now.
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => continue,
                result => result?,
            }
            // What cannot be read is not there: that it comes is a change.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let kind = entry.file_type();
                if self.is_foreign(&path) {
                } else if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
                    open.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    now.insert(path, blake3::hash(&bytes));
                }
            }
        }
        let differ = |path: &&PathBuf| self.contents.get(*path) != now.get(*path);
        let files: BTreeSet<PathBuf> =
            now.keys().chain(self.contents.keys()).filter(differ).cloned().collect();
        self.contents = now;
        Ok(files.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_contents_of_sources_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["src", "target", ".git"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("src/lib.rs"), "1").unwrap();
        let (folders, products) = (vec![folder.path().to_path_buf()], path("target"));
        let mut sources = Sources::of(folders, path("Cargo.toml"), products).unwrap();
        let mut changed = |patience| {
            let change = sources.changed(Duration::from_millis(patience)).unwrap();
            change.map(|change| change.files).unwrap_or_default()
        };

        for (name, content) in [
            ("src/lib.rs", "1"),
            ("target/x", "2"),
            (".git/x", "2"),
            ("src/.lib.rs.swp", "2"),
            ("src/lib.rs~", "2"),
        ] {
            fs::write(path(name), content).unwrap();
        }
        assert!(changed(200).is_empty());

        fs::write(path("src/lib.rs"), "2").unwrap();
        assert_eq!(changed(20_000), [path("src/lib.rs")]);

        // A folder that comes, a file in it, as editors save it, and both go.
        fs::create_dir(path("src/deep")).unwrap();
        fs::write(path("src/deep/.new"), "3").unwrap();
        fs::rename(path("src/deep/.new"), path("src/deep/mod.rs")).unwrap();
        assert_eq!(changed(20_000), [path("src/deep/mod.rs")]);
        fs::write(path("src/deep/mod.rs"), "4").unwrap();
        assert_eq!(changed(20_000), [path("src/deep/mod.rs")]);
        fs::remove_dir_all(path("src/deep")).unwrap();
        assert_eq!(changed(20_000), [path("src/deep/mod.rs")]);
        assert!(changed(200).is_empty());
    }

    #[test]
    fn of_the_workspace_its_manifest_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["module", "other"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("Cargo.toml"), "1").unwrap();
        let mut sources = Sources::of(vec![path("module")], path("Cargo.toml"), path("target")).unwrap();
        let mut changed = |patience| {
            let change = sources.changed(Duration::from_millis(patience)).unwrap();
            change.map(|change| change.files).unwrap_or_default()
        };
        fs::write(path("README.md"), "2").unwrap();
        fs::write(path("other/lib.rs"), "2").unwrap();
        assert!(changed(200).is_empty());
        fs::write(path("Cargo.toml"), "2").unwrap();
        assert_eq!(changed(20_000), [path("Cargo.toml")]);
        fs::write(path("module/lib.rs"), "2").unwrap();
        assert_eq!(changed(20_000), [path("module/lib.rs")]);
    }
}
