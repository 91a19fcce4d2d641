//! The same for Debian's source packages: each security patch of a package's series, the patches in front of it being in the
//! running program and `liveline build` given this one. For machines without a clone.

mod live;
mod source;

use std::path::Path;

use liveline_build::debian::Archive;
use liveline_demo::Words;
use liveline_demo::tool::{BuildRequest, Made, Tool};

use self::live::Live;
use self::source::Source;
use super::page::Sheet;
use super::row::{Outcome, Row};
use super::trial;
use crate::shell::{Result, Tried, archive, cache, liveline};

/// A source package, some of its security patches, and what takes them.
struct Package {
    name: &'static str,
    patches: &'static [&'static str],
    /// The command that builds the product, for the shell.
    build: &'static str,
    product: &'static str,
    live: Live,
}

const PACKAGES: [Package; 5] = [
    Package {
        name: "cjson",
        patches: &["CVE-2025-57052.patch"],
        // Its makefile makes two libraries, of which one needs the other.
        build: "gcc -O2 -fPIC -c cJSON.c && gcc -O2 -fPIC -c cJSON_Utils.c && \
                gcc -shared -o libcjson.so cJSON.o cJSON_Utils.o -lm",
        product: "libcjson.so",
        live: Live::Python(live::CJSON),
    },
    Package {
        name: "giflib",
        patches: &["CVE-2026-23868.patch", "CVE-2026-26740.patch"],
        build: "rm -f libgif.so libgif.so.7 && make libgif.so",
        product: "libgif.so",
        live: Live::Python(live::GIFLIB),
    },
    Package {
        name: "yajl",
        patches: &["CVE-2017-16516.patch", "CVE-2022-24795.patch", "CVE-2023-33460.patch"],
        // What its CMakeLists.txt does.
        build: "mkdir -p include && ln -sfn ../src/api include/yajl && \
                sed 's/${YAJL_MAJOR}/2/; s/${YAJL_MINOR}/1/; s/${YAJL_MICRO}/0/' src/api/yajl_version.h.cmake \
                > src/api/yajl_version.h && \
                for f in src/*.c; do gcc -O2 -fPIC -Iinclude -c $f || exit 1; done && gcc -shared -o libyajl.so *.o",
        product: "libyajl.so",
        live: Live::Python(live::YAJL),
    },
    Package {
        name: "libtommath",
        patches: &["CVE-2023-36328.patch"],
        // Its makefile needs libtool.
        build: "for f in bn_*.c; do gcc -O2 -fPIC -I. -c $f || exit 1; done && gcc -shared -o libtommath.so bn_*.o",
        product: "libtommath.so",
        live: Live::Python(live::TOMMATH),
    },
    Package {
        name: "dnsmasq",
        patches: &["CVE-2026-2291.patch", "CVE-2026-4893.patch", "CVE-2026-5172.patch"],
        build: "make -j4",
        product: "src/dnsmasq",
        live: Live::Dnsmasq,
    },
];

/// Runs all patches, prints the table and writes docs/bench/coverage-debian.md.
pub(super) fn run(words: Words, json: bool) -> Result<()> {
    let tool = liveline(words)?;
    let archive = archive(words)?;
    archive.install(&["dpkg-dev", "patch", "make", "gcc", "libc6-dev", "python3"])?;
    let mut rows = Vec::new();
    let listed = PACKAGES.iter().map(|package| package.patches.len()).sum();
    words.step(&format!("coverage: {listed} security patches of {} source packages", PACKAGES.len()));
    for package in &PACKAGES {
        for patch in package.patches {
            let row = package.measure(&tool, &archive, patch)?;
            words.line(&row.line());
            rows.push(row);
        }
    }
    let sheet = Sheet {
        name: "coverage-debian",
        command: "coverage --debian",
        title: "Coverage of Debian's security patches".into(),
        method: "Each patch `debian/patches/CVE-*` of the list: the package is built with all patches of its series that come before it; \
                 `liveline build` is given these sources and the patch; a process that uses the program or library takes the \
                 patch, goes on, and gives it back. Python processes call the library and check what comes back all the time; \
                 dnsmasq is asked by clients that know each answer. Nobody writes a line for any patch, and nothing is assumed.",
        things: "patches",
        others: "Ksplice had 88 % of 64 security patches of Linux without hand-written code.",
    };
    sheet.publish(&rows, &[], listed, json)
}

impl Package {
    /// One patch, from the sources to the reverted patch.
    fn measure(&self, tool: &Tool, archive: &Archive, patch: &str) -> Result<Row> {
        let version = archive.newest_source(self.name)?;
        let folder = cache("coverage-debian")?.join(self.name);
        let dsc = archive.source(self.name, &version, &folder.join(format!("source-{version}")))?;
        let source = Source { dsc: &dsc, tree: folder.join("tree"), patch };
        let row = Row::new(patch.trim_end_matches(".patch"), &format!("{} {version}", self.name));
        source.unpack()?;
        if let Err(failure) = source.build(self.build) {
            return Ok(row.with(Outcome::Unbuilt, vec![failure.0]));
        }
        let room = tempfile::tempdir().tried("make a temporary folder")?;
        let running = room.path().join(file_name(self.product));
        std::fs::copy(source.tree.join(self.product), &running).tried("keep the program")?;
        // liveline is to build sources as they were unpacked.
        source.unpack()?;
        let output = room.path().join("coverage.llp");
        let made = tool.build(&BuildRequest {
            source: &source.tree,
            fix: &source.tree.join("debian/patches").join(patch),
            running: &running,
            name: "coverage",
            output: &output,
            command: self.build,
        });
        let made = match made {
            Ok(made) => made,
            Err(error) => return Ok(row.with(Outcome::Refused, vec![error.to_string()])),
        };
        let row = row.compared(&made);
        if made.made != Made::Patch {
            return Ok(row);
        }
        let (daemon, clients) = self.live.start(&running)?;
        trial::run(tool, daemon, clients, &output, row)
    }
}

fn file_name(path: &str) -> &Path {
    Path::new(path.rsplit('/').next().unwrap_or(path))
}
