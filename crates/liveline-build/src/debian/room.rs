//! A copy-on-write view of this system, to install and build in.
//!
//! `/usr`, `/etc` and `/var` are overlays whose changes stay in the cache; home and temporary files are empty. A
//! program built in it sees the very paths, headers and library versions that were asked for, and the system
//! keeps its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::Archive;
use super::command::{Failure, Quiet, Result, Tried};

/// Makes the room around itself and goes on in it as the given command.
const ENTER: &str = r#"#!/bin/sh
set -e
room=$1 archive=$2 build=$3 record=$4
shift 4
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
mkdir -p proc dev sys tmp root run build liveline/record ".$archive"
chmod 1777 tmp
mount --rbind /proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount --bind "$archive" ".$archive"
mount --bind "$build" build
mount --bind "$record" liveline/record
cp -a "$room/tools" liveline/bin
exec chroot . "$@"
"#;

/// Stands in front of each compiler: notes the command, and compiles with what `LIVELINE_ADD` says.
const COMPILER: &str = r#"#!/bin/sh
tool=${0##*/}
{ printf '%s\0' "$PWD" "$tool" "$@"; printf '\n\0'; } >> "/liveline/record/$$"
exec "/usr/bin/$tool" "$@" $LIVELINE_ADD
"#;

/// The names compilers are called by.
const COMPILERS: [&str; 10] = [
    "cc",
    "c++",
    "gcc",
    "g++",
    "clang",
    "clang++",
    "x86_64-linux-gnu-gcc",
    "x86_64-linux-gnu-g++",
    "x86_64-linux-gnu-gcc-12",
    "x86_64-linux-gnu-g++-12",
];

/// The room.
pub struct Room<'a> {
    archive: &'a Archive,
    folder: PathBuf,
}

impl<'a> Room<'a> {
    /// The room in which `package=version` can be built, with `pins` (`libssl-dev=3.0.20-1~deb12u2`) installed
    /// over whatever versions would be taken else. Made anew if this system's packages changed since.
    pub fn open(archive: &'a Archive, package: &str, version: &str, pins: &[&str]) -> Result<Self> {
        if !is_root() {
            return Err(Failure(
                "building as the archive did needs root: it is done in a room of overlays".into(),
            ));
        }
        let folder = archive.cache("rooms")?.join(package);
        let room = Room { archive, folder };
        let system = fs::metadata("/var/lib/dpkg/status")
            .and_then(|m| m.modified())
            .tried("read the state of this system's packages")?;
        let stamp = room.folder.join("made-of");
        let made_of = format!(
            "{version} {pins:?} {:?}",
            system.duration_since(UNIX_EPOCH).map(|age| age.as_nanos()).unwrap_or_default()
        );
        if fs::read_to_string(&stamp).is_ok_and(|text| text == made_of) {
            return Ok(room);
        }
        archive.say(&format!(
            "installing what builds {package} {version} (not on this system: in a room of overlays)"
        ));
        let _ = fs::remove_dir_all(&room.folder);
        let tools = room.folder.join("tools");
        fs::create_dir_all(&tools).tried(format!("make {}", tools.display()))?;
        fs::write(room.folder.join("enter"), ENTER).tried("write the room's script")?;
        for name in COMPILERS {
            executable(&tools.join(name), COMPILER)?;
        }
        let empty = room.folder.join("empty");
        fs::create_dir_all(&empty).tried(format!("make {}", empty.display()))?;
        if !pins.is_empty() {
            room.apt(
                &empty,
                &format!("install -y -qq --allow-downgrades --no-install-recommends {}", pins.join(" ")),
            )?;
        }
        room.apt(
            &empty,
            &format!("install -y -qq --no-install-recommends fakeroot dpkg-dev debhelper {}", pins.join(" ")),
        )?;
        room.apt(&empty, &format!("build-dep -y -qq {package}={version}"))?;
        fs::write(&stamp, made_of).tried("write a stamp")?;
        Ok(room)
    }

    fn apt(&self, empty: &Path, what: &str) -> Result<()> {
        self.run(empty, &self.folder.join("record"), &format!("apt-get {} {what}", self.archive.options()))
            .run()
    }

    /// A command to be run in the room, where `build` is `/build`; the compilers' commands are noted in `record`.
    pub fn run(&self, build: &Path, record: &Path, line: &str) -> Quiet {
        let folder = self.folder.display();
        let line = format!(
            "unshare --mount --uts --propagation private sh {folder}/enter {folder} {} {} {} {line}",
            self.archive.folder().display(),
            build.display(),
            record.display(),
        );
        Quiet::new(&self.folder, &line)
            .env("PATH", "/liveline/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

fn executable(file: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, text).tried(format!("write {}", file.display()))?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).tried(format!("write {}", file.display()))
}
