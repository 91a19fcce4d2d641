//! What a person reads: help, errors, verdicts, a patch shown. Nothing here touches a process.

use std::path::Path;
use std::process::{Command, Output};

fn liveline(arguments: &[&str], folder: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_liveline");
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("COLUMNS", "100")
        .output()
        .expect("liveline runs")
}

/// Exit code, standard output and error, as one text.
fn said(arguments: &[&str], folder: &Path) -> String {
    let output = liveline(arguments, folder);
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>()
    };
    let code = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
    format!("exit {code}\n{}{}", text(&output.stdout), text(&output.stderr))
}

fn build(folder: &Path, source: &str, flags: &[&str], output: &str) {
    std::fs::write(folder.join("server.c"), source).expect("write the source");
    let output = folder.join(output);
    std::fs::create_dir_all(output.parent().expect("a folder")).expect("make the folder");
    let built = Command::new("gcc")
        .args(["-O2", "-g", "-Wl,--build-id=0x0011223344556677"])
        .args(flags)
        .arg("-o")
        .arg(&output)
        .arg("server.c")
        .current_dir(folder)
        .output()
        .expect("gcc runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

const OLD: &str = "int limit = 5; __attribute__((noinline)) int check(int x) { return x > limit; }\n\
                   int main(int argc, char **argv) { return check(argc); }\n";

fn two_builds(folder: &Path) {
    let object = ["-c", "-ffunction-sections", "-fdata-sections"];
    build(folder, OLD, &[], "server");
    build(folder, OLD, &object, "old/server.o");
    build(folder, &OLD.replace("x > limit", "x >= limit + 1000"), &object, "new/server.o");
}

const DIFF: [&str; 9] = ["diff", "--old", "old", "--new", "new", "--target", "server", "-o", "fix.llp"];

#[test]
fn a_patch_is_made_and_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    two_builds(folder.path());
    insta::assert_snapshot!(said(&DIFF, folder.path()), @r#"
exit 0
 verdict  symbol  object    reason
 changed  check   server.o  its code differs
fix.llp: replaces 1 function of server
"#);
    insta::assert_snapshot!(said(&["inspect", "fix.llp"], folder.path()), @r#"
exit 0
fix 1, made by liveline 0.1.0
for program server, build-id 0011223344556677
 replaces  at      bytes  file
 check     0x1140  12
brings 20 bytes of code, 0 of constants, 0 of data

 verdict  symbol  object    reason
 changed  check   server.o  its code differs
"#);
}

#[test]
fn nothing_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    two_builds(folder.path());
    let same: Vec<&str> = DIFF.iter().map(|word| if *word == "new" { "old" } else { *word }).collect();
    insta::assert_snapshot!(said(&same, folder.path()), @r#"
exit 3
nothing to do: the new build runs as the old one does
"#);
    assert!(!folder.path().join("fix.llp").exists());
}

#[test]
fn what_cannot_be_done_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("text.llp"), "not a patch").expect("write");
    insta::assert_snapshot!(said(&["apply", "text.llp", "--pid", "1"], folder.path()), @r#"
exit 4
error: text.llp: not a patch file: Invalid ELF header size or alignment
hint: liveline build and liveline diff make patch files; a module is a shared library alone (crate-type = ["cdylib"]) with #[liveline_runtime::module] before its entry
"#);
    insta::assert_snapshot!(said(&["inspect", "missing.llp"], folder.path()), @r#"
exit 1
error: missing.llp: No such file or directory (os error 2)
"#);
    insta::assert_snapshot!(said(&["status", "--pid", "999999999"], folder.path()), @r#"
exit 1
999999999: no process 999999999
"#);
    insta::assert_snapshot!(said(&["revert", "fix", "--exe", "/nowhere/program"], folder.path()), @r#"
exit 3
nothing to do: no process that you may look at runs it or has it mapped
"#);
}

#[test]
fn wrong_command_lines_exit_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    for wrong in
        [&["apply", "x.llp"][..], &["apply", "x.llp", "--pid", "1", "--timeout", "soon"], &["nothing"], &[]]
    {
        assert_eq!(liveline(wrong, folder.path()).status.code(), Some(2), "{wrong:?}");
    }
    insta::assert_snapshot!(said(&["apply", "x.llp", "--pid", "1", "--timeout", "soon"], folder.path()), @r#"
exit 2
error: invalid value 'soon' for '--timeout <TIMEOUT>': expected number at 0; write it as 500ms, 10s or 2m

For more information, try '--help'.
"#);
    insta::assert_snapshot!(said(&["diff", "--requires", "base"], folder.path()), @r#"
exit 2
error: invalid value 'base' for '--requires <NAME@VERSION>': write it as NAME@VERSION

For more information, try '--help'.
"#);
}

#[test]
fn a_debian_package_is_named_by_source_and_two_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    insta::assert_snapshot!(said(&["build", "--debian", "redis", "7"], folder.path()), @r#"
exit 2
error: 3 values required for '--debian <SOURCE> <OLD> <NEW>' but 2 were provided

Usage: liveline build [OPTIONS] [-- <COMMAND>...]

For more information, try '--help'.
"#);
    let mixed = ["build", "--debian", "redis", "6", "7", "--fix", "x.patch"];
    insta::assert_snapshot!(said(&mixed, folder.path()), @r#"
exit 2
error: the argument '--debian <SOURCE> <OLD> <NEW>' cannot be used with '--fix <FIX.patch>'

Usage: liveline build --debian <SOURCE> <OLD> <NEW> [-- <COMMAND>...]

For more information, try '--help'.
"#);
    let alone =
        ["build", "--program", "/usr/bin/redis-server", "--fix", "x.patch", "--running", "x", "--", "make"];
    insta::assert_snapshot!(said(&alone, folder.path()), @r#"
exit 2
error: the argument '--program <PATH>' cannot be used with:
  --fix <FIX.patch>
  --running <ELF>
  [COMMAND]...

Usage: liveline build --debian <SOURCE> <OLD> <NEW> --program <PATH> [-- <COMMAND>...]

For more information, try '--help'.
"#);
    insta::assert_snapshot!(said(&["build", "--debian", "redis", "7", "7"], folder.path()), @r#"
exit 3
nothing to do: both versions are the same
"#);
}

#[test]
fn the_patch_may_stand_behind_the_pids() {
    let folder = tempfile::tempdir().expect("a folder");
    for words in [&["apply", "x.llp", "--pid", "1", "2"][..], &["apply", "--pid", "1", "2", "x.llp"]] {
        let said = said(words, folder.path());
        assert!(said.contains("x.llp: No such file"), "{said}");
    }
}

#[test]
fn help() {
    let folder = tempfile::tempdir().expect("a folder");
    insta::assert_snapshot!(said(&["--help"], folder.path()), @r"
    exit 0
    Live-line maintenance for software: repairs a running program in place, while it serves, and takes
    the change back.

    A patch is made from sources and a fix (`liveline build`) or from two builds of a program (`liveline
    diff`), and put into its running processes (`liveline apply`), which need no preparation. `liveline
    demo` shows it all in half a minute.

    Usage: liveline <COMMAND>

    Commands:
      build        Make a patch from a program's sources and a fix
      diff         Make a patch from two builds of a program
      inspect      Show what a patch file, or a module, holds
      apply        Put a patch, or a module, into running processes
      revert       Take a patch, or a module, out of running processes
      status       Show which patches, modules and classes are in running processes
      log          Show what was done to the modules of running programs
      watch        Build a module and load it into running programs whenever its sources change
      recover      Complete, or take back, what a killed liveline left in processes
      demo         Show the whole thing on a small server under load
      completions  Print a completion script for a shell
      man          Write the man pages
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Exit codes: 0 done, 1 failed (target unchanged), 2 usage, 3 nothing to do, 4 refused, 5 no safe
    point in time (target unchanged).
    ");
    insta::assert_snapshot!(said(&["apply", "--help"], folder.path()), @r#"
exit 0
Put a patch, or a module, into running processes

Usage: liveline apply [OPTIONS] <--pid <PID>...|--exe <PATH>> [FILE.llp|MODULE.so]

Arguments:
  [FILE.llp|MODULE.so]  The patch file, or the module

Options:
      --pid <PID>...       A process; may be given several times, or several after one --pid
      --exe <PATH>         Every process that runs this program or has this library mapped
      --timeout <TIMEOUT>  How long to wait for a safe point, e.g. 500ms, 10s, 2m [default: 10s]
      --dry-run            Only say whether it could be done; touch nothing
      --renumber           Of a module: give its classes the next version numbers
      --json               Print JSON
  -h, --help               Print help

A patch needs CAP_SYS_PTRACE, or to be the user the program runs as where the system lets users
trace; CAP_SYS_ADMIN as well for a program with a seccomp filter, which is read first. A module (a
shared library for a program that calls liveline_runtime::serve!()) needs to be loaded by the user
the program runs as, or root.
"#);
}

#[test]
fn a_changed_type_is_shown_and_assumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = |more: &str| {
        format!(
            "struct conn {{ struct conn *next; int id; {more} char *name; }} *all;\n\
             __attribute__((noinline)) int check(struct conn *c) {{ return c->name && c->id; }}\n\
             int main(void) {{ return all && check(all); }}\n"
        )
    };
    let object = ["-c", "-ffunction-sections", "-fdata-sections"];
    build(folder.path(), &source(""), &[], "server");
    build(folder.path(), &source(""), &object, "old/server.o");
    build(folder.path(), &source("long deadline;"), &object, "new/server.o");
    insta::assert_snapshot!(said(&DIFF, folder.path()), @r#"
exit 4
 verdict  symbol       object    reason
 changed  check        server.o  its code differs
 REFUSED  struct conn  server.o  its layout changed: long int deadline is new at offset 16; new code gets at it in check; keep its layout, or accept it with --assume 'struct conn' if no object of it outlives the update

struct conn (server.c:1): 24 → 32 bytes
   offset before    after    size
               0        0       8  struct conn *next
               8        8       4  int id
  +                    16       8  long int deadline
  ~           16       24       8  char *name

refused: no patch was written
"#);
    let assume = [&DIFF[..], &["--assume", "struct conn"]].concat();
    assert_eq!(liveline(&assume, folder.path()).status.code(), Some(0));
    insta::assert_snapshot!(said(&["inspect", "fix.llp"], folder.path()), @r"
    exit 0
    fix 1, made by liveline 0.1.0
    for program server, build-id 0011223344556677
     replaces  at      bytes  file
     check     0x1150  20
    brings 20 bytes of code, 0 of constants, 0 of data

     verdict  symbol       object    reason
     changed  check        server.o  its code differs
     assumed  struct conn  server.o  its layout changed: long int deadline is new at offset 16; new code gets at it in check; accepted with --assume
    assumed to be harmless: struct conn
    ");
}

#[test]
fn man_pages_and_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(liveline(&["man", "pages"], folder.path()).status.code(), Some(0));
    assert!(folder.path().join("pages/liveline-apply.1").exists());
    let script = liveline(&["completions", "bash"], folder.path());
    assert!(String::from_utf8_lossy(&script.stdout).contains("liveline"));
    insta::assert_snapshot!(said(&["build", "--help"], folder.path()), @r"
    exit 0
    Make a patch from a program's sources and a fix

    Usage: liveline build [OPTIONS] [-- <COMMAND>...]

    Arguments:
      [COMMAND]...  The command that builds, run in the sources

    Options:
          --source <DIR>                 Sources of the running program [default: the current folder]
          --fix <FIX.patch>              The fix, as diff -u or git diff write it; may be given several
                                         times
          --old <DIR>                    Sources of the running program, where the fixed ones are given
                                         as a tree
          --new <DIR>                    The fixed sources
          --debian <SOURCE> <OLD> <NEW>  A Debian source package, the version that runs, and the newer
                                         one
          --program <PATH>               Of a Debian package: only this program or library, by its path
                                         in the system
          --cargo                        A cargo workspace: the words behind -- go to cargo build
          --running <ELF>                The program or shared library as it runs
          --built-at <DIR>               The path at which the running program was built, where that is
                                         not the sources' own
          --product <PATH>               Which product of the build it is, by its path in the tree,
                                         where the name does not tell
          --debug <ELF>                  Its unstripped twin, where it is stripped
          --name <NAME>                  Name of the patch [default: the output file's name]
          --version <VERSION>            Version of the patch [default: 1]
          --requires <NAME@VERSION>      A patch that must be in the process first; may be given several
                                         times
          --assume <NAME>                Accept what is refused under this name: that the layout of a
                                         type changed (no object of it outlives the update, or the new
                                         code copes), a function that old code may still call, a
                                         constant that old data leads to; may be given several times
          --no-types                     Accept objects without debug information, whose types cannot be
                                         compared
      -o, --output <FILE.llp>            The patch file to write [default: the fix's or the new tree's
                                         name, with .llp]; of a Debian package also the folder for all
                                         of them
          --json                         Print JSON
      -h, --help                         Print help

    The sources are copied; the copy is built where it seems to lie at their own path, with recording
    stand-ins for gcc, g++, clang, cc, c++, ld and rustc in PATH that add -ffunction-sections
    -fdata-sections -g. Your tree and the system stay as they are. The old side is kept by content: the
    next fix to the same sources compiles only its own files.

    Examples:
      liveline build --source redis-7.0.15 --fix CVE.patch --running /usr/bin/redis-server -- make -C
      src
      liveline build --old server-1.0 --new server-1.1 --running /srv/server -- sh -c './configure &&
      make'
      liveline build --cargo --fix fix.patch --running target/release/server -- --release
      liveline build --debian nginx 1.22.1-9+deb12u9 1.22.1-9+deb12u10 --program /usr/sbin/nginx

    --debian fetches both versions, rebuilds the old one as the archive did, in a room of overlays
    (needs root), proves that the result is the stock binary, and makes one patch PROGRAM-NEW for each
    program and library that changed, in files SOURCE-PROGRAM.llp. The builds are kept: a second run is
    quick.
    ");
}

#[test]
fn a_change_in_cpp_is_told_in_the_names_of_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = |method: &str, result: &str| {
        format!(
            "namespace geometry {{ class Shape {{ public: {method} virtual int area() const; }}; \
             __attribute__((noinline)) int Shape::area() const {{ return {result}; }} }}\n\
             __attribute__((noinline)) int area(const geometry::Shape *shape) {{ return shape->area() + {result}; }}\n\
             geometry::Shape *make() {{ return new geometry::Shape; }}\n\
             int main() {{ return area(make()); }}\n"
        )
    };
    let object = ["-xc++", "-c", "-ffunction-sections", "-fdata-sections"];
    build(folder.path(), &source("", "1"), &["-xc++", "-Wl,--no-as-needed", "-lstdc++"], "server");
    build(folder.path(), &source("", "1"), &object, "old/server.o");
    build(folder.path(), &source("virtual int sides() const { return 4; }", "1"), &object, "new/server.o");
    insta::assert_snapshot!(said(&DIFF, folder.path()), @r#"
exit 4
 verdict           symbol                          object    reason
 changed           area(geometry::Shape const*)    server.o  its code differs
 pulled in         make()                          server.o  it reads constant data that changed
 pulled in         main                            server.o  it reads constant data that changed
 new               geometry::Shape::sides() const  server.o  it does not exist in the running program
 constant changed  {vtable(geometry::Shape)}       server.o  constant data that comes along with its readers
 REFUSED           geometry::Shape                 server.o  class geometry::Shape: slot 0 of its vtable was geometry::Shape::area() const and is geometry::Shape::sides() const; new code gets at it in geometry::Shape::sides() const, area(geometry::Shape const*), make() and 1 more; keep its vtable, or accept it with --assume 'geometry::Shape' if no object of it outlives the update

class geometry::Shape (server.c:1): 8 bytes
   offset before    after    size
               0        0       8  __vtbl_ptr_type *_vptr.Shape
     slot before    after
  ~            0        0          geometry::Shape::sides() const  (was geometry::Shape::area() const)
  +                     1          geometry::Shape::area() const

refused: no patch was written
"#);
    build(
        folder.path(),
        &source("", "argument() + 1").replacen(
            "namespace",
            "static int argument() { asm(\"\"); return 5; } namespace",
            1,
        ),
        &object,
        "new/server.o",
    );
    let json = said(&[&DIFF[..], &["--json"]].concat(), folder.path());
    let both = "\"name\": \"geometry::Shape::area() const\"";
    assert!(json.contains(both) && json.contains("\"symbol\": \"_ZNK8geometry5Shape4areaEv\""), "{json}");
}
