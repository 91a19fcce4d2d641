//! Why a package could not be rebuilt, and what a person can do.

/// Why there is no comparison of two versions of a package.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// This system is another one.
    #[error("this is no Debian system: its packages are rebuilt with its own compilers and libraries")]
    NotDebian,
    /// It was asked to stop.
    #[error("stopped: no patch was written; what was built is kept")]
    Stopped,
    /// The room cannot be made.
    #[error("building as the archive did needs root: it is done in a room of overlays")]
    NotRoot,
    /// The archive has no such source.
    #[error("the archive has no source of {package} {version}{}", others(.there))]
    NoSource {
        /// The source package.
        package: String,
        /// The version that was asked for.
        version: String,
        /// The versions that are there.
        there: Vec<String>,
    },
    /// The archive has the source and no binary of it.
    #[error("the archive has no binary package of {package} {version}")]
    NoBinary {
        /// The source package.
        package: String,
        /// The version that was asked for.
        version: String,
    },
    /// Two equal or swapped versions.
    #[error("{new} is not newer than {old}")]
    NotNewer {
        /// The version that runs.
        old: String,
        /// The other one.
        new: String,
    },
    /// The package has no such program.
    #[error("{source_package} {version} has no program or library {program}; it has {}", list(.there))]
    NoProgram {
        /// The source package.
        source_package: String,
        /// The version that runs.
        version: String,
        /// What was asked for.
        program: String,
        /// What it has.
        there: Vec<String>,
    },
    /// A rebuilt program is another one.
    #[error("{rebuilt} is not the stock binary: {differ}")]
    NotStock {
        /// Which.
        rebuilt: String,
        /// What differs.
        differ: String,
    },
    /// A program that is run ended with an error.
    #[error("`{line}` ended with {status}:\n{said}")]
    Command {
        /// Its command line.
        line: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// Anything else, with what was tried.
    #[error("{0}")]
    Failed(String),
}

impl DebianError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        let words = self.to_string();
        let said = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
        if said(&["No space left on device"]) {
            return Some(
                "the disk is full: builds are kept in ~/.cache/liveline/debian, or where LIVELINE_CACHE says",
            );
        }
        if said(&[
            "Could not resolve",
            "Temporary failure resolving",
            "Could not connect",
            "Network is unreachable",
        ]) {
            return Some(
                "no network: the archive named in /etc/apt/sources.list.d/debian.sources must be within reach",
            );
        }
        if said(&["404  Not Found"]) {
            return Some(
                "the lists name it, and the server has it no more: remove ~/.cache/liveline/debian/apt and try again, or add \
                 snapshot.debian.org to /etc/apt/sources.list.d/debian.sources before",
            );
        }
        match self {
            DebianError::NotRoot => Some(
                "run it as root, in a container if you like; of the system itself nothing changes but that dpkg-dev and patch are installed if missing",
            ),
            DebianError::NoSource { there, .. } if there.is_empty() => Some(
                "it must be the name of a source package: apt-cache showsrc NAME tells it for a binary one",
            ),
            DebianError::NoSource { .. } | DebianError::NoBinary { .. } => Some(
                "old versions are kept by snapshot.debian.org: add it to /etc/apt/sources.list.d/debian.sources, \
                 and remove ~/.cache/liveline/debian/apt",
            ),
            DebianError::NotStock { .. } => Some(
                "path, compiler or a build-dependency are not those of the archive's build; without the proof no patch is made",
            ),
            DebianError::Command { line, .. } if line.contains("build-arch") => Some(
                "this is the package's own build, which failed in the room; the whole log is named above",
            ),
            DebianError::NotNewer { .. } => Some("write it as --debian SOURCE OLD NEW"),
            _ => None,
        }
    }
}

fn others(versions: &[String]) -> String {
    if versions.is_empty() {
        ", nor any other version".into()
    } else {
        format!("; it has {}", versions.join(", "))
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

/// The result of a task here.
pub type Result<T> = std::result::Result<T, DebianError>;

/// A [`DebianError`] from anything that says why, with what was tried in front.
pub(crate) trait Tried<T> {
    fn tried(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: std::fmt::Display> Tried<T> for std::result::Result<T, E> {
    fn tried(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| DebianError::Failed(format!("{}: {error}", what.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_a_way_out() {
        let full = DebianError::Command {
            line: "dpkg-deb -x".into(),
            status: "exit status: 2".into(),
            said: "write error: No space left on device".into(),
        };
        assert!(full.hint().unwrap().contains("disk is full"));
        let gone = DebianError::NoSource {
            package: "redis".into(),
            version: "1".into(),
            there: vec!["5:7.0.15-1~deb12u7".into()],
        };
        assert_eq!(gone.to_string(), "the archive has no source of redis 1; it has 5:7.0.15-1~deb12u7");
        assert!(gone.hint().unwrap().contains("snapshot.debian.org"));
    }
}
