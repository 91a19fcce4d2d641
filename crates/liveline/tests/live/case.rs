//! A builder case: C or C++ files in one text, with directives in its comments. `docs/testing.md` lists them.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::toolchain::{Build, cached, run, target_source, write};

/// How a case is compiled and linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// `gcc` or `clang`.
    pub(crate) compiler: String,
    /// `O0`, `O1`, `O2`, `O3` or `Os`.
    pub(crate) level: String,
    /// What the code becomes.
    pub(crate) mode: Mode,
}

impl Variant {
    /// A name that is part of the test's.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}-{}", self.compiler, self.level, self.mode.name())
    }
}

/// What the code of a case becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A position-independent program.
    Pie,
    /// A program at a fixed address.
    Fixed,
    /// A static program at a fixed address.
    Static,
    /// A static position-independent program.
    StaticPie,
    /// A library the program is linked to.
    Shared,
    /// A library the program loads with dlopen.
    Opened,
}

impl Mode {
    const ALL: [Mode; 6] =
        [Mode::Pie, Mode::Fixed, Mode::Static, Mode::StaticPie, Mode::Shared, Mode::Opened];

    /// The word directives and test names use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Pie => "pie",
            Mode::Fixed => "nopie",
            Mode::Static => "static",
            Mode::StaticPie => "static-pie",
            Mode::Shared => "shared",
            Mode::Opened => "dlopen",
        }
    }

    fn is_library(self) -> bool {
        matches!(self, Mode::Shared | Mode::Opened)
    }

    fn compile_flags(self) -> &'static str {
        match self {
            Mode::Pie | Mode::StaticPie => "-fPIE",
            Mode::Fixed | Mode::Static => "-fno-pie",
            Mode::Shared | Mode::Opened => "-fPIC",
        }
    }

    fn link_flags(self) -> &'static str {
        match self {
            Mode::Pie | Mode::Shared | Mode::Opened => "-pie",
            Mode::Fixed => "-no-pie",
            Mode::Static => "-static -no-pie",
            Mode::StaticPie => "-static-pie",
        }
    }
}

/// What a case is about to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The patch is made, applied, and taken back.
    #[default]
    Patched,
    /// `diff` refuses, saying one of these (split at `|`).
    Refused(String),
    /// `diff` finds nothing to patch.
    Nothing,
    /// Either a refusal or a patch that works: only harm is a failure.
    Either,
}

/// One case, parsed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// File name without `.c` or `.cpp`.
    pub(crate) name: String,
    /// C++.
    cpp: bool,
    /// What happens.
    pub(crate) goal: Goal,
    /// Answers before the patch, in order.
    pub(crate) before: Vec<String>,
    /// Answers with the patch.
    pub(crate) after: Vec<String>,
    /// Answers once it is taken back; the first of `before` if there are none.
    pub(crate) reverted: Vec<String>,
    /// Each answer changes the state: nothing may ask in between.
    pub(crate) stateful: bool,
    /// Threads check that every answer is the old or the new one.
    pub(crate) strict: bool,
    /// Symbol (a trailing `*` stands for any end) and the verdict it must get.
    pub(crate) verdicts: Vec<(String, String)>,
    /// What `diff` is given besides, split at `;`.
    pub(crate) diff_arguments: Vec<String>,
    /// Words `diff` must say.
    pub(crate) notes: Vec<String>,
    /// The program is stripped, its twin given with `--debug`.
    pub(crate) strip: bool,
    /// Variants to build.
    pub(crate) variants: Vec<Variant>,
    files: Vec<SourceFile>,
    all_flags: String,
    target_flags: String,
    object_flags: String,
    new_flags: String,
    link_flags: String,
    archive: bool,
}

#[derive(Clone, Debug, Default)]
struct SourceFile {
    name: String,
    text: String,
    /// Only in the new build.
    new: bool,
    /// Only in the old build.
    old: bool,
    /// Not compiled: a header, or a file for the linker.
    plain: bool,
}

impl Case {
    /// Reads `path`.
    pub(crate) fn read(path: &Path) -> Outcome<Case> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a file name that is not UTF-8")?;
        let cpp = path.extension().is_some_and(|end| end == "cpp");
        Case::parse(name, &text, cpp).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Reads the text of a case.
    pub(crate) fn parse(name: &str, text: &str, cpp: bool) -> Outcome<Case> {
        let mut case = Case { name: name.to_owned(), cpp, ..Case::default() };
        let [mut compilers, mut levels, mut modes] = ["gcc,clang", "O2", "pie"].map(str::to_owned);
        let mut file = SourceFile { name: if cpp { "a.cpp" } else { "a.c" }.into(), ..SourceFile::default() };
        for line in text.lines() {
            let Some(directive) = line.strip_prefix("//#") else {
                file.text.push_str(line);
                file.text.push('\n');
                continue;
            };
            let (key, value) = directive.split_once(':').unwrap_or((directive, ""));
            let value = value.trim();
            match key.trim() {
                "before" => case.before.push(value.into()),
                "after" => case.after.push(value.into()),
                "reverted" => case.reverted.push(value.into()),
                "stateful" => case.stateful = true,
                "strict" => case.strict = true,
                "strip" => case.strip = true,
                "archive" => case.archive = true,
                "refused" => case.goal = Goal::Refused(value.into()),
                "nothing" => case.goal = Goal::Nothing,
                "either" => case.goal = Goal::Either,
                "diff" => case.diff_arguments = value.split(';').map(|word| word.trim().into()).collect(),
                "note" => case.notes.push(value.into()),
                "verdict" => {
                    let (symbol, verdict) =
                        value.split_once(' ').ok_or_else(|| format!("{line}: NAME VERDICT"))?;
                    case.verdicts.push((symbol.into(), verdict.trim().into()));
                }
                "cc" => case.all_flags = value.into(),
                "cc-target" => case.target_flags = value.into(),
                "cc-objects" => case.object_flags = value.into(),
                "cc-new" => case.new_flags = value.into(),
                "ld" => case.link_flags = value.into(),
                "compilers" => compilers = value.into(),
                "opt" => levels = value.into(),
                "modes" => modes = value.into(),
                "matrix" if cpp => levels = "O0,O1,O2,O3".into(),
                "matrix" => {
                    levels = "O0,O1,O2,O3,Os".into();
                    modes = "pie,nopie,static,static-pie,shared".into();
                }
                "file" | "new-file" | "old-file" | "text-file" => {
                    let [new, old, plain] =
                        ["new-file", "old-file", "text-file"].map(|word| key.trim() == word);
                    let next = SourceFile { name: value.into(), new, old, plain, text: String::new() };
                    case.files.push(std::mem::replace(&mut file, next));
                }
                _ => return Err(format!("unknown directive: {line}")),
            }
        }
        case.files.push(file);
        for compiler in words(&compilers) {
            for level in words(&levels) {
                for mode in words(&modes) {
                    let mode = Mode::ALL.into_iter().find(|known| known.name() == mode);
                    let mode = mode.ok_or_else(|| format!("modes: {modes}"))?;
                    case.variants.push(Variant { compiler: compiler.into(), level: level.into(), mode });
                }
            }
        }
        Ok(case)
    }

    /// Builds program and objects, or finds them in the cache.
    pub(crate) fn build(&self, variant: &Variant) -> Outcome<CaseBuild> {
        let (driver, header) = (target_source("driver.c")?, target_source("case.h")?);
        let recipe = format!("{:?} {variant:?}", self);
        let folder = cached(&[&driver, &header, &recipe], |folder| self.make(variant, folder))?;
        let library = folder.join("libcase.so");
        let program = folder.join("program");
        let pick = |side: &str| -> PathBuf {
            match (self.archive, self.files.iter().filter(|file| !file.plain).count()) {
                (true, _) => folder.join(side).join("all.a"),
                (false, 1) => folder.join(side).join("a.o"),
                (false, _) => folder.join(side),
            }
        };
        let target = if variant.mode.is_library() { library.clone() } else { program.clone() };
        let debug = self.strip.then(|| target.with_extension("debug"));
        let library = (variant.mode == Mode::Opened).then_some(library);
        Ok(CaseBuild { build: Build { program, old: pick("old"), new: pick("new") }, target, library, debug })
    }

    /// This case with the new code as the program that runs: what a patch must make of the old one.
    pub(crate) fn as_new(&self) -> Case {
        let mut case = self.clone();
        case.all_flags = format!("{} -DV2 {}", case.all_flags, case.new_flags);
        case.files.retain(|file| !file.old);
        for file in &mut case.files {
            file.new = false;
        }
        case
    }

    fn make(&self, variant: &Variant, folder: &Path) -> Outcome {
        write(folder, "case.h", &target_source("case.h")?)?;
        write(folder, "driver.c", &target_source("driver.c")?)?;
        for file in &self.files {
            write(folder, &file.name, &file.text)?;
        }
        let Variant { compiler, level, mode } = variant;
        let compiler = match compiler.as_str() {
            "gcc" if self.cpp => "g++",
            "clang" if self.cpp => "clang++",
            other => other,
        };
        let pic = mode.compile_flags();
        let common = format!("{compiler} -{level} {pic} -pthread {}", self.all_flags);
        let sections = format!("-ffunction-sections -fdata-sections -g {}", self.object_flags);
        let sides = [
            ("run", self.target_flags.clone()),
            ("old", sections.clone()),
            ("new", format!("{sections} -DV2 {}", self.new_flags)),
        ];
        let mut linked = String::new();
        for (side, flags) in &sides {
            std::fs::create_dir(folder.join(side)).map_err(|e| e.to_string())?;
            let mut objects = String::new();
            let here = |file: &&SourceFile| !file.plain && if *side == "new" { !file.old } else { !file.new };
            for file in self.files.iter().filter(here) {
                let stem = file.name.rsplit_once('.').map_or(file.name.as_str(), |(stem, _)| stem);
                run(folder, &format!("{common} {flags} -c -o {side}/{stem}.o {}", file.name))?;
                objects.push_str(&format!(" {side}/{stem}.o"));
            }
            if self.archive {
                run(folder, &format!("ar rcs {side}/all.a {objects}"))?;
            }
            if *side == "run" {
                linked = objects;
            }
        }
        let define = if *mode == Mode::Opened { "-DDLOPEN" } else { "" };
        let driver_pic = if mode.is_library() { "-fPIE" } else { pic };
        run(folder, &format!("gcc -O1 {driver_pic} -pthread {define} -c -o driver.o driver.c"))?;
        let link = format!("{compiler} -pthread -Wl,--build-id {}", mode.link_flags());
        if mode.is_library() {
            run(
                folder,
                &format!("{compiler} -shared -Wl,--build-id -o libcase.so {linked} {}", self.link_flags),
            )?;
            let library = if *mode == Mode::Opened { "" } else { "libcase.so -Wl,-rpath,$ORIGIN" };
            run(folder, &format!("{link} -o program driver.o {library}"))?;
        } else {
            run(folder, &format!("{link} -o program driver.o {linked} {}", self.link_flags))?;
        }
        if self.strip {
            let target = if mode.is_library() { "libcase.so" } else { "program" };
            let debug = Path::new(target).with_extension("debug");
            std::fs::copy(folder.join(target), folder.join(debug)).map_err(|e| e.to_string())?;
            run(folder, &format!("strip {target}"))?;
        }
        Ok(())
    }
}

/// A built case.
pub(crate) struct CaseBuild {
    /// Program and objects.
    pub(crate) build: Build,
    /// What `--target` is given: the program or the library.
    pub(crate) target: PathBuf,
    /// The library that the program opens itself.
    pub(crate) library: Option<PathBuf>,
    /// The unstripped twin of a stripped target.
    pub(crate) debug: Option<PathBuf>,
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}
