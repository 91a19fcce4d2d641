//! Pairs of C programs, compiled here: what the report says and where the patch points.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use liveline_diff::{DiffError, Report, Request, diff};
use liveline_patch::{Patch, Place, SectionKind, VerdictKind};

/// A program built twice, with the objects of both builds.
struct Built {
    folder: tempfile::TempDir,
}

impl Built {
    /// Compiles the objects with sections of their own and links the old source without them.
    fn new(compiler: &str, flags: &str, link: &str, old: &str, new: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let built = Self { folder };
        built.write("old.c", old);
        built.write("new.c", new);
        for side in ["old", "new"] {
            std::fs::create_dir(built.path(side)).expect("a folder");
            // Both builds see the same file name, as they would in two checkouts.
            std::fs::copy(built.path(&format!("{side}.c")), built.path("a.c")).expect("a copy");
            built.run(&format!(
                "{compiler} {flags} -g -ffunction-sections -fdata-sections -c a.c -o {side}/a.o"
            ));
        }
        std::fs::copy(built.path("old.c"), built.path("a.c")).expect("a copy");
        built.run(&format!("{compiler} {flags} {link} a.c -o program"));
        built
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn run(&self, line: &str) {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().expect("a program"));
        let done = command.args(words).current_dir(self.folder.path()).output().expect(line);
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn request(&self, old: &str, new: &str) -> Request {
        Request {
            old: self.path(old),
            new: self.path(new),
            target: self.path("program"),
            debug: None,
            name: "test".into(),
            version: "1".into(),
            requires: Vec::new(),
            assume: Vec::new(),
            no_types: false,
        }
    }

    fn report(&self) -> Report {
        diff(&self.request("old", "new")).expect("a report")
    }

    /// Addresses by name, as `nm` has them.
    fn symbols(&self) -> BTreeMap<String, u64> {
        let done = Command::new("nm").arg(self.path("program")).output().expect("nm");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            Some((words.nth(1)?.to_owned(), address))
        };
        text.lines().filter_map(line).collect()
    }
}

fn verdict(report: &Report, symbol: &str) -> Option<VerdictKind> {
    report.verdicts.iter().find(|verdict| verdict.symbol == symbol).map(|verdict| verdict.verdict)
}

fn reason<'r>(report: &'r Report, symbol: &str) -> &'r str {
    let found = report.verdicts.iter().find(|verdict| verdict.symbol == symbol);
    found.map_or("", |verdict| &verdict.reason)
}

fn patch(report: &Report) -> &Patch {
    report.patch.as_ref().unwrap_or_else(|| panic!("no patch: {:#?}", report.verdicts))
}

/// Every symbol that the patch takes from the target by name must be where `nm` has it.
fn check_places(patch: &Patch, symbols: &BTreeMap<String, u64>) {
    for symbol in &patch.symbols {
        if let (Place::Target { address }, Some(expected)) = (&symbol.place, symbols.get(&symbol.name)) {
            assert_eq!(address, expected, "{}", symbol.name);
        }
    }
    for function in &patch.meta.functions {
        assert_eq!(Some(&function.address), symbols.get(&function.name), "{}", function.name);
    }
    let encoded = patch.encode().expect("well formed");
    assert_eq!(&Patch::decode(&encoded).expect("readable"), patch);
}

const OLD: &str = r#"
#include <stdio.h>
#include <string.h>
static int calls;
int total = 5;
const char *const names[] = {"zero", "one", "two"};
static int __attribute__((noinline)) helper(int x) { static int seen; seen += x; return seen + calls; }
int __attribute__((noinline)) work(int x) {
    calls++;
    total += x;
    printf("old %s %d\n", names[x % 3], helper(x));
    return total;
}
int main(int argc, char **argv) { (void)argv; return work(argc); }
"#;

fn changed() -> String {
    OLD.replace(
        "int __attribute__((noinline)) work",
        "static int fresh = 40;\nint __attribute__((noinline)) work",
    )
    .replace("printf(\"old %s %d\\n\"", "fresh++; printf(\"%s!\", names[1]); printf(\"new %s %d\\n\"")
    .replace("helper(x));\n", "helper(x) + fresh);\n")
}

#[test]
fn a_changed_function_in_every_kind_of_program() {
    let compilers: &[&str] =
        if Command::new("clang").arg("--version").output().is_ok() { &["gcc", "clang"] } else { &["gcc"] };
    for compiler in compilers {
        for level in ["-O0", "-O1", "-O2", "-O3", "-Os"] {
            for (flags, link) in [
                ("-fPIE", "-pie"),
                ("-fno-pie", "-no-pie"),
                ("-fno-pie", "-static"),
                ("-fPIE", "-static-pie"),
                ("-fPIC", "-shared"),
            ] {
                let built = Built::new(compiler, &format!("{level} {flags}"), link, OLD, &changed());
                let report = built.report();
                let what = format!("{compiler} {level} {link}: {:#?}", report.verdicts);
                assert_eq!(verdict(&report, "work"), Some(VerdictKind::Changed), "{what}");
                assert_eq!(verdict(&report, "fresh"), Some(VerdictKind::NewData), "{what}");
                assert_eq!(verdict(&report, "helper"), None, "{what}");
                assert!(!report.refused, "{what}");
                let patch = patch(&report);
                assert_eq!(patch.meta.functions.len(), 1, "{what}");
                assert_eq!(patch.meta.target.fixed, matches!(link, "-no-pie" | "-static"));
                assert_eq!(patch.meta.target.executable, link != "-shared");
                assert!(patch.sections.iter().any(|section| section.kind == SectionKind::EhFrame));
                check_places(patch, &built.symbols());
                let again = diff(&built.request("new", "new")).expect("a report");
                assert!(again.patch.is_none() && again.verdicts.is_empty() && !again.refused);
            }
        }
    }
}

#[test]
fn lines_alone_are_no_change() {
    let old = "#include <assert.h>\nint f(int x) { assert(x > 3); return x; }\nint main(int c, char **v) { (void)v; \
               return f(c + 9); }\n";
    for level in ["-O0", "-O2"] {
        let built = Built::new("gcc", level, "", old, &format!("\n\n\n\n{old}"));
        let report = built.report();
        assert!(report.patch.is_none() && !report.refused, "{:#?}", report.verdicts);
        // The assertion may be in a part of its own, or inlined into `main` as well.
        assert!(!report.verdicts.is_empty());
        assert!(report.verdicts.iter().all(|v| v.verdict == VerdictKind::LineOnly), "{:#?}", report.verdicts);
        // The same number somewhere else is a change.
        let other = old.replace("return x;", "return x + 1;");
        let built = Built::new("gcc", level, "", old, &format!("\n{other}"));
        assert_eq!(verdict(&built.report(), "f"), Some(VerdictKind::Changed));
    }
}

#[test]
fn constants_bring_their_readers() {
    let old = "static const int table[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};\n\
               int __attribute__((noinline)) first(int x) { return table[x] + 1; }\n\
               int __attribute__((noinline)) second(int x) { return table[x] * 2; }\n\
               int __attribute__((noinline)) third(int x) { return x * 2; }\n\
               int main(int c, char **v) { (void)v; return first(c) + second(c) + third(c); }\n";
    let built = Built::new("gcc", "-O2", "", old, &old.replace("{1, 2, 3", "{1, 20, 3"));
    let report = built.report();
    for name in ["first", "second"] {
        assert_eq!(verdict(&report, name), Some(VerdictKind::PulledIn), "{:#?}", report.verdicts);
    }
    assert_eq!(verdict(&report, "table"), Some(VerdictKind::ConstData));
    assert_eq!(verdict(&report, "third"), None);
    check_places(patch(&report), &built.symbols());
}

#[test]
fn live_data_keeps_its_value_and_its_layout() {
    let built = Built::new("gcc", "-O2", "", OLD, &OLD.replace("total = 5", "total = 6"));
    let report = built.report();
    assert!(report.patch.is_none() && !report.refused);
    assert_eq!(verdict(&report, "total"), Some(VerdictKind::DataValue));
    assert!(report.notes.iter().any(|note| note.contains("initial value")));

    let wider = changed().replace("int total = 5", "long total = 5");
    let report = Built::new("gcc", "-O2", "", OLD, &wider).report();
    assert!(report.refused && report.patch.is_none());
    let said = reason(&report, "work").to_owned() + reason(&report, "total");
    let all: String = report.verdicts.iter().map(|verdict| verdict.reason.as_str()).collect();
    assert!(all.contains("layout of live data"), "{said} {all}");
}

#[test]
fn static_locals_are_told_apart_by_their_function() {
    let old = "#include <stdio.h>\n\
               static inline int one(int x) { static int n = 1; return n += x; }\n\
               static inline int two(int x) { static int n = 2; return n *= x; }\n\
               int __attribute__((noinline)) both(int x) { int a = one(x); int b = two(x); return a - b; }\n\
               int main(int c, char **v) { (void)v; return both(c); }\n";
    // The use is swapped, and a third of the name comes first.
    let new =
        old.replace("int a = one(x); int b = two(x);", "int b = two(x); int a = one(x) + zero(x);").replace(
            "static inline int one",
            "static inline int zero(int x) { static int n = 7; return n ^= x; }\nstatic inline int one",
        );
    for compiler in ["gcc", "clang"] {
        if Command::new(compiler).arg("--version").output().is_err() {
            continue;
        }
        let built = Built::new(compiler, "-O2", "", old, &new);
        let report = built.report();
        let patch = patch(&report);
        // Each address of the target must still be used in the way it was: `one` adds, `two` multiplies.
        let data: Vec<&liveline_patch::Section> =
            patch.sections.iter().filter(|section| section.kind == SectionKind::Data).collect();
        assert_eq!(data.len(), 1, "{:#?}", report.verdicts);
        assert_eq!(data[0].bytes, 7u32.to_le_bytes());
        let symbols = built.symbols();
        let running: Vec<u64> = symbols
            .iter()
            .filter(|(name, _)| name.starts_with("n.") || name.ends_with(".n"))
            .map(|(_, at)| *at)
            .collect();
        let used = |address: &u64| {
            patch.symbols.iter().any(|symbol| symbol.place == Place::Target { address: *address })
        };
        assert_eq!(running.len(), 2);
        assert!(running.iter().all(used));
    }
}

#[test]
fn refusals_say_why() {
    let changed = changed();
    // Objects of another build.
    let built = Built::new("gcc", "-O2", "", OLD, &changed);
    built.write("a.c", &OLD.replace("total += x", "total -= x"));
    built.run("gcc -O2 a.c -o program");
    let report = built.report();
    assert!(report.refused);
    assert!(reason(&report, "work").contains("not what is running"), "{:#?}", report.verdicts);

    // A new thread-local.
    let local = changed.replace("static int fresh", "static __thread int fresh");
    let report = Built::new("gcc", "-O2", "", OLD, &local).report();
    assert!(report.refused && report.verdicts.iter().any(|v| v.reason.contains("new thread-local")));

    // Stripped, and the twin of another program.
    let built = Built::new("gcc", "-O2", "", OLD, &changed);
    std::fs::copy(built.path("program"), built.path("twin")).expect("a copy");
    built.run("strip program");
    assert!(matches!(diff(&built.request("old", "new")), Err(DiffError::NoSymbols { .. })));
    let mut request = built.request("old", "new");
    request.debug = Some(built.path("twin"));
    assert!(diff(&request).expect("a report").patch.is_some());
    built.run("gcc -O1 a.c -o other");
    request.debug = Some(built.path("other"));
    assert!(matches!(diff(&request), Err(DiffError::NotTwin { .. })));
}

/// Small deterministic generator.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn damaged_objects_and_targets_never_panic() {
    let built = Built::new("gcc", "-O2", "", OLD, &changed());
    let request = built.request("old/a.o", "new/a.o");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for name in ["old/a.o", "new/a.o", "program"] {
        let whole = std::fs::read(built.path(name)).expect("bytes");
        for round in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(8) {
                // Headers and tables lie at the ends of a file.
                let near = if random.below(2) == 0 {
                    random.below(64)
                } else {
                    bytes.len() - 1 - random.below(4096)
                };
                let at =
                    if random.below(3) == 0 { random.below(bytes.len()) } else { near.min(bytes.len() - 1) };
                bytes[at] = [0, 0xff, 0x7f, 0x80, bytes[at] ^ (1 << random.below(8))][random.below(5)];
            }
            if round % 20 == 0 {
                bytes.truncate(random.below(bytes.len()));
            }
            std::fs::write(built.path(name), &bytes).expect("a file");
            let _ = diff(&request);
        }
        std::fs::write(built.path(name), &whole).expect("a file");
    }
    assert!(diff(&request).expect("a report").patch.is_some());
    assert!(Path::new(&request.target).exists());
}

const STAYS: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int __attribute__((noinline)) serve(void) { return getchar(); }
int __attribute__((noinline)) stop(const char *text) { return puts(text); }
int main(int argc, char **argv) {
    char *name = malloc(argc + 2);
    sprintf(name, "%d", argc);
    puts("old");
    serve();
    return stop("bye") < 0;
}
"#;

/// Places at which a thread may stay in main, with the name of what it calls there.
fn remainders(change: impl Fn(&str) -> String) -> usize {
    let mut counts = Vec::new();
    for flags in ["-O2", "-O0", "-O2 -fstack-protector-all"] {
        let report = Built::new("gcc", flags, "", STAYS, &change(STAYS)).report();
        let main = patch(&report).meta.functions.iter().find(|function| function.name == "main");
        counts.push(main.expect("main is replaced").remainders.len());
    }
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    counts[0]
}

#[test]
fn a_main_may_stay_where_nothing_else_is_left_to_do() {
    // Behind sprintf, puts, serve and stop.
    assert_eq!(remainders(|text| text.replace("\"%d\"", "\"%d!\"")), 4);
    // A larger frame, and other registers to give back.
    assert_eq!(remainders(|text| text.replace("puts(\"old\")", "puts(\"new\"); getenv(name + getpid())")), 2);
    assert_eq!(remainders(|text| text.replace("serve();", "serve(); puts(\"and\");")), 1);
    assert_eq!(remainders(|text| text.replace("\"bye\") < 0", "\"bye!\") < 0")), 1, "only behind stop");
    assert_eq!(remainders(|text| text.replace("< 0", "> 0")), 0);
    assert_eq!(remainders(|text| text.replace("stop(\"bye\")", "stop(name)")), 1, "only behind stop");
}

#[test]
fn a_main_that_a_call_can_leave_by_another_way_may_not_stay() {
    const JUMPS: &str = r#"
#include <setjmp.h>
#include <stdio.h>
jmp_buf place;
int __attribute__((noinline)) serve(void) { longjmp(place, getchar()); }
int main(void) {
    if (setjmp(place)) return puts("old") < 0;
    serve();
    return 0;
}
"#;
    const CATCHES: &str = r#"
#include <cstdio>
int __attribute__((noinline)) serve() { if (std::getchar() > 5) throw 1; return 0; }
int main() {
    try { serve(); } catch (int) { std::puts("old"); }
    return 0;
}
"#;
    for (compiler, flags, source) in [("gcc", "-O2", JUMPS), ("g++", "-O2 -x c++", CATCHES)] {
        let link = if compiler == "g++" { "-lstdc++" } else { "" };
        let report = Built::new(compiler, flags, link, source, &source.replace("old", "new")).report();
        let main = patch(&report).meta.functions.iter().find(|function| function.name == "main");
        assert_eq!(main.expect("main is replaced").remainders, Vec::<u64>::new(), "{compiler}");
    }
}
