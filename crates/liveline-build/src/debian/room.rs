//! A copy-on-write view of this system, to install and build in.
//!
//! `/usr`, `/etc` and `/var` are overlays whose changes stay in the cache; home and temporary files are empty. A
//! program built in it sees the very paths, headers and library versions that were asked for, and the system
//! keeps its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::Archive;
use super::error::{DebianError, Result, Tried};
use super::quiet::Quiet;
use crate::{record, shim};

/// Makes the room around itself and goes on in it as the given command.
const ENTER: &str = r#"#!/bin/sh
set -e
room=$1 archive=$2 build=$3 record=$4 tool=$5
shift 5
# Overlays of one folder may not be mounted twice at a time.
exec 9>"$room/lock"
flock 9
mkdir -p "$room/root" "$record"
mount -t tmpfs liveline "$room/root"
cd "$room/root"
for part in usr etc var; do
    mkdir -p "$part" "$room/$part" "$room/$part.work"
    mount -t overlay liveline -o "lowerdir=/$part,upperdir=$room/$part,workdir=$room/$part.work" "$part"
done
for link in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$link" ]; then cp -a "/$link" "$link"; fi
done
mkdir -p proc dev sys tmp root run build liveline/record liveline/bin ".$archive"
chmod 1777 tmp
mount --rbind /proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount --bind "$archive" ".$archive"
mount --bind "$build" build
mount --bind "$record" liveline/record
touch liveline/tool
mount --bind "$tool" liveline/tool
while read -r name; do ln -s ../tool "liveline/bin/$name"; done < "$room/shims"
exec chroot . "$@"
"#;

/// The room in which one source package is built.
#[derive(Debug)]
pub struct Room<'a> {
    archive: &'a Archive,
    folder: PathBuf,
    package: String,
    version: String,
    pins: Vec<String>,
}

impl<'a> Room<'a> {
    /// The room in which `package=version` can be built, with `pins` (`libssl-dev=3.0.20-1~deb12u2`) installed
    /// over whatever versions would be taken else. It is made when something is built.
    pub fn open(
        archive: &'a Archive,
        package: &str,
        version: &str,
        pins: &[impl AsRef<str>],
    ) -> Result<Self> {
        Room::check()?;
        Ok(Room {
            archive,
            folder: archive.rooms().join(package),
            package: package.into(),
            version: version.into(),
            pins: pins.iter().map(|pin| pin.as_ref().to_owned()).collect(),
        })
    }

    /// Makes it, anew if this system's packages changed since it was made.
    pub(super) fn make(&self) -> Result<()> {
        let system = fs::metadata("/var/lib/dpkg/status")
            .and_then(|m| m.modified())
            .tried("read the state of this system's packages")?;
        let stamp = self.folder.join("made-of");
        let made_of = format!(
            "{} {:?} {:?}",
            self.version,
            self.pins,
            system.duration_since(UNIX_EPOCH).map(|age| age.as_nanos()).unwrap_or_default()
        );
        if fs::read_to_string(&stamp).is_ok_and(|text| text == made_of) {
            return self.prepare();
        }
        let what = format!("{} {}", self.package, self.version);
        self.archive
            .say(&format!("installing what builds {what} (not on this system: in a room of overlays)"));
        let _ = fs::remove_dir_all(&self.folder);
        let empty = self.folder.join("empty");
        fs::create_dir_all(&empty).tried(format!("make {}", empty.display()))?;
        self.prepare()?;
        let pins = self.pins.join(" ");
        if !pins.is_empty() {
            let line = "install -y -qq --allow-downgrades --no-install-recommends";
            self.apt(&empty, &format!("{line} {pins}"))?;
        }
        let line = "install -y -qq --no-install-recommends fakeroot dpkg-dev debhelper ccache";
        self.apt(&empty, &format!("{line} {pins}"))?;
        self.apt(&empty, &format!("build-dep -y -qq {}={}", self.package, self.version))?;
        fs::write(&stamp, made_of).tried("write a stamp")
    }

    /// Whether this process may make rooms at all.
    pub(super) fn check() -> Result<()> {
        if is_root() { Ok(()) } else { Err(DebianError::NotRoot) }
    }

    /// Writes what making the room around a command takes.
    fn prepare(&self) -> Result<()> {
        fs::write(self.folder.join("enter"), ENTER).tried("write the room's script")?;
        let mut names = vec!["ld".to_owned(), "ld.lld".to_owned()];
        for folder in [PathBuf::from("/usr/bin"), self.folder.join("usr/bin")] {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let named = entries.filter_map(|entry| entry.file_name().into_string().ok());
            names.extend(named.filter(|name| shim::is_tool(name)));
        }
        names.sort();
        names.dedup();
        fs::write(self.folder.join("shims"), names.join("\n") + "\n").tried("write the list of compilers")
    }

    fn apt(&self, empty: &Path, what: &str) -> Result<()> {
        let options = self.archive.options();
        let apt = self.run(empty, &self.folder.join("record"))?.words("apt-get");
        options.into_iter().fold(apt, Quiet::unsaid).words(what).run()
    }

    /// A command to be run in the room, where `build` is `/build`; its words are yet to be added.
    pub fn run(&self, build: &Path, record: &Path) -> Result<Quiet> {
        let tool = std::env::current_exe().tried("find this program")?;
        let line = "unshare --mount --uts --propagation private sh";
        let enter = Quiet::kept(&self.folder, line)?.argument(self.folder.join("enter"));
        let places = [&self.folder, self.archive.folder(), build, record, &tool];
        let enter = places.into_iter().fold(enter, Quiet::unsaid);
        Ok(enter
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root"))
    }

    /// As [`Self::run`], with recording shims in front of compilers and linkers: what they did is in `record`. Behind
    /// them is a compiler cache that stays with the room: of a second version only what differs is compiled.
    pub(super) fn run_recorded(&self, build: &Path, record: &Path) -> Result<Quiet> {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Ok(self
            .run(build, record)?
            .env("PATH", format!("/liveline/bin:/usr/lib/ccache:{path}"))
            .env("CCACHE_PATH", "/usr/bin")
            .env("CCACHE_DIR", "/var/cache/liveline-ccache")
            .env(record::RECORD, "/liveline/record")
            .env(shim::SHIMS, "/liveline/bin"))
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}
