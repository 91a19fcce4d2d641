//! Where a patch is to be written, and what it is to be called: refused before anything is built.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

fn liveline(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liveline"))
        .args(arguments)
        .current_dir(folder)
        .env("LIVELINE_CACHE", folder.join("cache"))
        .output()
        .expect("liveline runs")
}

/// Exit code and standard error.
fn said(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = liveline(arguments, folder);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let done = Command::new(program).args(arguments).current_dir(folder).output().expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

const OLD: &str = "int limit = 5; __attribute__((noinline)) int check(int x) { return x > limit; }\n\
                   int main(int argc, char **argv) { return check(argc); }\n";

/// A program with both builds, and a fix to its sources in `tree`.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    for (name, source) in [("old", OLD.to_owned()), ("new", OLD.replace("x > limit", "x >= limit + 1000"))] {
        std::fs::create_dir_all(path.join(name)).expect("make a folder");
        std::fs::write(path.join("server.c"), source).expect("write");
        let object = format!("{name}/server.o");
        let flags = ["-O2", "-g", "-ffunction-sections", "-fdata-sections", "-c", "server.c", "-o", &object];
        run("gcc", &flags, path);
        if name == "old" {
            run("gcc", &["-O2", "-g", "server.c", "-o", "server"], path);
        }
    }
    std::fs::create_dir(path.join("tree")).expect("make a folder");
    std::fs::write(path.join("tree/server.c"), OLD).expect("write");
    let fix = "--- a/server.c\n+++ b/server.c\n@@ -1,2 +1,2 @@\n-int limit = 5; __attribute__((noinline)) int check(int \
               x) { return x > limit; }\n+int limit = 5; __attribute__((noinline)) int check(int x) { return x > 9; \
               }\n int main(int argc, char **argv) { return check(argc); }\n";
    std::fs::write(path.join("fix.patch"), fix).expect("write");
    folder
}

const DIFF: [&str; 7] = ["diff", "--old", "old", "--new", "new", "--target", "server"];
/// The command leaves a trace, which must not be there after a refusal.
const BUILD: [&str; 7] = ["build", "--source", "tree", "--fix", "fix.patch", "--running", "server"];

fn diff(more: &[&str], folder: &Path) -> (Option<i32>, String) {
    said(&[&DIFF[..], more].concat(), folder)
}

fn build(more: &[&str], folder: &Path) -> (Option<i32>, String) {
    let trace = format!("touch {}; gcc -O2 -g server.c -o server", folder.join("begun").display());
    let said = said(&[&BUILD[..], more, &["--", "sh", "-c", &trace]].concat(), folder);
    assert!(!folder.join("begun").exists(), "it was built first: {said:?}");
    said
}

#[test]
fn what_is_no_file_is_not_replaced() {
    let folder = project();
    let path = folder.path();
    run("mkfifo", &["fifo.llp"], path);
    let _listener = UnixListener::bind(path.join("socket.llp")).expect("a socket");
    std::fs::create_dir(path.join("folder.llp")).expect("make a folder");
    symlink("fifo.llp", path.join("link.llp")).expect("a link");
    symlink("circle.llp", path.join("circle.llp")).expect("a link");
    for place in ["fifo.llp", "socket.llp", "folder.llp", "link.llp", "circle.llp", "none.llp/"] {
        for (code, words) in [diff(&["-o", place], path), build(&["-o", place], path)] {
            assert_eq!(code, Some(2), "{place}: {words}");
            assert!(words.contains("is no regular file") || place.starts_with("circle"), "{place}: {words}");
        }
    }
    let kind = |name| std::fs::symlink_metadata(path.join(name)).expect("still there").file_type();
    assert!(kind("fifo.llp").is_fifo() && kind("socket.llp").is_socket() && kind("link.llp").is_symlink());
}

#[test]
fn behind_a_link_the_file_is_written() {
    let folder = project();
    let path = folder.path();
    std::fs::create_dir(path.join("away")).expect("make a folder");
    std::fs::write(path.join("away/real.llp"), "older").expect("write");
    symlink("away/real.llp", path.join("there.llp")).expect("a link");
    symlink("away/made.llp", path.join("new.llp")).expect("a link");
    for (link, real) in [("there.llp", "away/real.llp"), ("new.llp", "away/made.llp")] {
        assert_eq!(diff(&["-o", link], path), (Some(0), String::new()));
        assert!(std::fs::symlink_metadata(path.join(link)).expect("a link").is_symlink());
        assert!(std::fs::read(path.join(real)).expect("a patch").starts_with(b"\x7fELF"));
    }
}

#[test]
fn bad_names_and_places_are_refused_before_the_build() {
    let folder = project();
    let path = folder.path();
    for more in [&["-o", "o ü.llp"][..], &["-o", "-"], &["-o", "x.llp", "--name", "../x"]] {
        for (code, words) in [diff(more, path), build(more, path)] {
            assert_eq!(code, Some(2), "{words}");
            assert!(words.contains("--name NAME"), "{words}");
        }
    }
    for (code, words) in [diff(&["-o", "."], path), build(&["-o", "."], path)] {
        assert_eq!(code, Some(2), "{words}");
    }
    assert_eq!(diff(&["-o", "o ü.llp", "--name", "o"], path).0, Some(0));
    for (code, words) in [diff(&["-o", "nowhere/x.llp"], path), build(&["-o", "nowhere/x.llp"], path)] {
        assert_eq!((code, &*words), (Some(1), "error: nowhere/x.llp: there is no folder nowhere\n"));
    }
}

#[test]
fn a_fix_is_read_before_the_build() {
    let folder = project();
    let path = folder.path();
    std::fs::remove_file(path.join("fix.patch")).expect("remove");
    let (code, words) = build(&[], path);
    assert_eq!(code, Some(1));
    assert!(words.contains("cannot read fix.patch"), "{words}");
    run("mkfifo", &["fix.patch"], path);
    assert_eq!(build(&[], path), (Some(2), "error: fix.patch is no regular file\n".into()));
}

#[test]
fn what_is_no_file_is_not_read_as_a_patch() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    run("mkfifo", &["fifo.llp"], path);
    let huge = std::fs::File::create(path.join("huge.llp")).expect("create");
    huge.set_len(20 << 30).expect("a long file of nothing");
    for (file, why) in
        [("fifo.llp", "no regular file"), ("/dev/zero", "no regular file"), ("huge.llp", "longer than 1 GiB")]
    {
        for command in [&["inspect", file][..], &["apply", file, "--pid", "1"]] {
            let (code, words) = said(command, path);
            assert_eq!(code, Some(4), "{words}");
            assert!(words.contains(why), "{words}");
        }
    }
}

/// The object that stands on standard output for a failure.
fn told(arguments: &[&str], folder: &Path) -> serde_json::Value {
    let output = liveline(arguments, folder);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told["error"]["exit"].as_i64(), output.status.code().map(i64::from));
    told
}

#[test]
fn failures_are_json_where_it_is_asked_for() {
    let folder = project();
    let path = folder.path();
    std::fs::write(path.join("text.llp"), "not a patch").expect("write");
    let error = |arguments: &[&str]| {
        let told = told(arguments, path);
        let text = |name: &str| told["error"][name].as_str().unwrap_or_default().to_owned();
        (told["error"]["exit"].as_i64().unwrap_or_default(), text("message"), text("hint"))
    };
    assert_eq!(
        error(&["inspect", "missing.llp", "--json"]),
        (1, "missing.llp: No such file or directory (os error 2)".into(), String::new())
    );
    let (exit, message, hint) = error(&["apply", "text.llp", "--pid", "1", "--json"]);
    assert_eq!((exit, message.starts_with("text.llp: not a patch file")), (4, true), "{message}");
    assert!(hint.starts_with("liveline build and liveline diff make patch files"), "{hint}");
    let (exit, message, hint) = error(&["apply", "--json", "--pid", "1"]);
    assert_eq!((exit, &*message), (2, "the patch file is missing"));
    assert!(hint.contains("Usage: liveline apply"), "{hint}");
    let (exit, message, _) = error(&["apply", "--json", "--timeout", "soon"]);
    assert_eq!((exit, message.starts_with("invalid value 'soon'")), (2, true), "{message}");
    assert_eq!(error(&[&DIFF[..], &["-o", ".", "--json"]].concat()).0, 2);
    std::fs::remove_file(path.join("fix.patch")).expect("remove");
    let (exit, message, _) = error(&[&BUILD[..], &["--json", "--", "make"]].concat());
    assert_eq!((exit, message.starts_with("cannot read fix.patch")), (1, true), "{message}");
    let same = liveline(&["build", "--debian", "redis", "7", "7", "--json"], path);
    let same: serde_json::Value = serde_json::from_slice(&same.stdout).expect("JSON");
    assert!(same["patch"].is_null());
}

#[test]
fn what_does_not_arrive_is_a_failure() {
    let folder = project();
    let path = folder.path();
    assert_eq!(diff(&["-o", "fix.llp"], path).0, Some(0));
    for arguments in [
        &["inspect", "fix.llp"][..],
        &["status", "--json"],
        &["inspect", "none.llp", "--json"],
        &["completions", "bash"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let output = Command::new(env!("CARGO_BIN_EXE_liveline"))
            .args(arguments)
            .current_dir(path)
            .stdout(full)
            .output()
            .expect("liveline runs");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains("No space left") || words.contains("none.llp"), "{words}");
    }
}

#[test]
fn a_wrong_line_shows_how_its_own_command_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    for (command, what) in [("apply", "the patch file"), ("revert", "the name of the patch")] {
        let (code, words) = said(&[command, "--pid", "1"], folder.path());
        assert_eq!(code, Some(2));
        assert!(words.contains(&format!("{what} is missing")), "{words}");
        assert!(words.contains(&format!("Usage: liveline {command} [OPTIONS]")), "{words}");
    }
}

#[test]
fn a_binary_file_that_the_fix_does_not_hold() {
    let folder = project();
    let path = folder.path();
    std::fs::write(path.join("fix.patch"), "diff -r a/logo b/logo\nBinary files a/logo and b/logo differ\n")
        .expect("write");
    let (code, words) = build(&[], path);
    assert_eq!(code, Some(4), "{words}");
    assert!(
        words.contains("does not hold what is in them: logo") && words.contains("--old DIR --new DIR"),
        "{words}"
    );
}
