//! `liveline build`, given what it can make no patch of: a clear error, the tree as it was, nothing half-written.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;

use crate::command::{Run, binary, exit, run_command, start_command, text};
use crate::process::Process;
use crate::project::{Edit, Project, listing};
use crate::{Outcome, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("build::refused::fix_does_not_apply", does_not_apply),
        trial("build::refused::fix_is_no_patch", no_patch),
        trial("build::refused::fix_leads_out_of_the_tree", leads_out),
        trial("build::refused::old_side_fails", old_fails),
        trial("build::refused::new_side_fails", new_fails),
        trial("build::refused::command_is_not_there", no_command),
        trial("build::refused::nothing_is_linked", nothing_linked),
        trial("build::refused::compiler_by_path_and_a_header", compiler_by_path),
        trial("build::refused::no_such_product", no_such_product),
        trial("build::refused::other_program", other_program),
        trial("build::refused::other_compiler", other_compiler),
        trial("build::refused::other_flags", other_flags),
        trial("build::refused::link_time_optimisation", link_time),
        trial("build::refused::other_sources", other_sources),
        trial("build::refused::same_trees", same_trees),
        trial("build::refused::cache_in_the_tree", cache_in_tree),
        trial("build::refused::log_of_the_build_is_there", log_is_there),
        trial("build::refused::full_disk", full_disk),
        trial("build::unstable_build_is_told", unstable),
        trial("build::killed_and_done_again", killed),
    ]
}

const FIX: [Edit; 1] = [("price.c", "count * 3 - 1", "count * 4 - 1")];

/// A tree whose program was built, and lies beside it.
fn built(flags: &str) -> Outcome<Project> {
    let project = Project::new("tree", "tree")?;
    project.shell(&format!("make {flags} && mv server .. && rm -f *.o *.a word.h"))?;
    Ok(project)
}

/// Runs it, and checks that it left no patch and changed nothing of the tree.
fn refused(project: &Project, words: &[&str], command: &[&str], code: i32, says: &str) -> Outcome<Run> {
    let before = listing(&project.tree())?;
    let running = project.path("server");
    let all = [words, &["--running", text(&running), "--"], command].concat();
    let run = project.build(&all)?.expect(code)?;
    run.says(says)?;
    if project.path("fix.llp").exists() || listing(&project.tree())? != before {
        return Err(run.complain("something was written"));
    }
    Ok(run)
}

fn does_not_apply() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&FIX)?;
    let words = fs::read_to_string(&fix).map_err(|e| e.to_string())?.replace("* 3 - 1", "* 9 - 1");
    fs::write(&fix, words).map_err(|e| e.to_string())?;
    refused(&project, &["--fix", text(&fix)], &["make"], exit::FAILED, "does not apply to these sources")?;
    Ok(())
}

fn no_patch() -> Outcome {
    let project = built("")?;
    let fix = project.path("fix.patch");
    fs::write(&fix, "not a patch\n").map_err(|e| e.to_string())?;
    refused(&project, &["--fix", text(&fix)], &["make"], exit::FAILED, "does not apply|no patch")?;
    Ok(())
}

fn leads_out() -> Outcome {
    let project = built("")?;
    let (fix, outside) = (project.path("fix.patch"), project.path("outside.c"));
    fs::write(&outside, "int one;\n").map_err(|e| e.to_string())?;
    let words = "--- ../outside.c\n+++ ../outside.c\n@@ -1 +1 @@\n-int one;\n+int two;\n";
    fs::write(&fix, words).map_err(|e| e.to_string())?;
    let run = refused(&project, &["--fix", text(&fix)], &["make"], exit::FAILED, "does not apply")?;
    let now = fs::read_to_string(&outside).map_err(|e| e.to_string())?;
    if now == "int one;\n" { Ok(()) } else { Err(run.complain("a file outside the tree was written")) }
}

fn old_fails() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&FIX)?;
    let command = ["sh", "-c", "echo the log of it; exit 3"];
    let run = refused(&project, &["--fix", text(&fix)], &command, exit::FAILED, "old side failed")?;
    run.says("the log of it")
}

fn new_fails() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&[("price.c", "count * 3 - 1", "count * unknown")])?;
    let run = refused(&project, &["--fix", text(&fix)], &["make"], exit::FAILED, "new side failed")?;
    // The compiler's own words.
    run.says("‘unknown’ undeclared|'unknown' undeclared")?;
    run.says("without the fix the sources compile")
}

fn no_command() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&FIX)?;
    refused(&project, &["--fix", text(&fix)], &["no-such-program"], exit::FAILED, "no-such-program")?;
    Ok(())
}

/// A tree that was configured before names its compiler by an absolute path, past us.
fn nothing_linked() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&FIX)?;
    let compiler = "CC=/usr/bin/gcc -B/usr/bin/";
    let run = refused(
        &project,
        &["--fix", text(&fix)],
        &["make", compiler],
        exit::FAILED,
        "no link that could be recorded",
    )?;
    run.says("absolute path")
}

/// The compiler goes past us and our linker does not: who reads the header is not known.
fn compiler_by_path() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&[("price.h", "((n) * 2)", "((n) * 3)")])?;
    let command = ["make", "CC=/usr/bin/gcc"];
    let run = refused(&project, &["--fix", text(&fix)], &command, exit::REFUSED, "price.h")?;
    run.says("main.o")?;
    run.says("CC=gcc")
}

fn no_such_product() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&FIX)?;
    let words = ["--fix", text(&fix), "--product", "bin/nosuch"];
    refused(&project, &words, &["make"], exit::FAILED, "links no bin/nosuch; it made: server")?;
    Ok(())
}

fn other_program() -> Outcome {
    let project = built("")?;
    project.shell("echo 'int main(void) { return 0; }' | gcc -x c -o ../server -")?;
    let fix = project.fix(&FIX)?;
    refused(&project, &["--fix", text(&fix)], &["make"], exit::REFUSED, "another program")?;
    Ok(())
}

fn other_compiler() -> Outcome {
    let project = built("CC=clang")?;
    let fix = project.fix(&FIX)?;
    let run = refused(&project, &["--fix", text(&fix)], &["make"], exit::REFUSED, "clang version")?;
    run.says("not what is running")
}

fn other_flags() -> Outcome {
    let project = built("CFLAGS=-O0")?;
    let fix = project.fix(&FIX)?;
    refused(&project, &["--fix", text(&fix)], &["make"], exit::REFUSED, "not what is running")?;
    Ok(())
}

fn link_time() -> Outcome {
    let project = built("CC='gcc -flto'")?;
    let fix = project.fix(&FIX)?;
    refused(&project, &["--fix", text(&fix)], &["make", "CC=gcc -flto"], exit::REFUSED, "lto")?;
    Ok(())
}

/// What runs was made of other sources than these.
fn other_sources() -> Outcome {
    let project = built("")?;
    project.edit(&project.tree(), ("price.c", "    calls++;", "    calls += 2;"))?;
    let fix = project.fix(&FIX)?;
    refused(&project, &["--fix", text(&fix)], &["make"], exit::REFUSED, "not what is running")?;
    Ok(())
}

fn same_trees() -> Outcome {
    let project = built("")?;
    let new = project.fixed(&[])?;
    refused(
        &project,
        &["--old", ".", "--new", text(&new)],
        &["make"],
        exit::NOTHING,
        "nothing to do|nothing",
    )?;
    Ok(())
}

/// It would be copied to itself, and hidden from its own build by the copy.
fn cache_in_tree() -> Outcome {
    let mut project = built("")?;
    let (fix, new) = (project.fix(&FIX)?, project.fixed(&FIX)?);
    let inside = |folder: &Path| [folder.join("cache"), folder.join("no/such/folder")];
    for cache in inside(&project.tree()).into_iter().chain(inside(&new)) {
        project.environment = vec![("LIVELINE_CACHE", cache.clone())];
        let words = if cache.starts_with(&new) {
            vec!["--old", ".", "--new", text(&new)]
        } else {
            vec!["--fix", text(&fix)]
        };
        let run = refused(&project, &words, &["make"], exit::FAILED, "which is copied to the cache")?;
        run.says("set LIVELINE_CACHE")?;
        if cache.exists() {
            return Err(run.complain("the cache was made in the tree"));
        }
    }
    Ok(())
}

/// Whoever reads of a log can read it.
fn log_is_there() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&FIX)?;
    let command = ["sh", "-c", "seq 100; exit 3"];
    let run = refused(&project, &["--fix", text(&fix)], &command, exit::FAILED, "its last words, from ")?;
    let said = format!("{}{}", run.out, run.err);
    let log = said.split("its last words, from ").nth(1).and_then(|rest| rest.split(':').next());
    let log = log.ok_or_else(|| run.complain("no log is named"))?;
    match fs::read_to_string(log) {
        Ok(words) if words.starts_with("1\n2\n") => Ok(()),
        other => Err(run.complain(&format!("the log holds {other:?}"))),
    }
}

fn full_disk() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&FIX)?;
    let (cache, server) = (project.path("cache"), project.path("server"));
    fs::create_dir_all(&cache).map_err(|e| e.to_string())?;
    let line = format!(
        "mount -t tmpfs -o size=96k none {} && exec {} build --fix {} --running {} -o {} -- make",
        text(&cache),
        binary(),
        text(&fix),
        text(&server),
        text(&project.path("fix.llp"))
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &line]);
    command.current_dir(project.tree()).env("LIVELINE_CACHE", &cache);
    let run = run_command(&mut command)?.expect(exit::FAILED)?;
    run.says("no space left|disk is full")?;
    if project.path("fix.llp").exists() { Err(run.complain("there is a patch")) } else { Ok(()) }
}

/// A build that numbers itself anew each time, as redis does: what differs is named, beside the refusal it leads to.
fn unstable() -> Outcome {
    let project = Project::new("tree", "tree")?;
    project.edit(&project.tree(), ("word.sh", "#define WORD \"costs\"", "#define WORD \"'$(date +%N)'\""))?;
    project.edit(&project.tree(), ("Makefile", "word.h: word.sh\n", "word.h: word.sh always\n"))?;
    project.edit(&project.tree(), ("Makefile", "server: main.o", "always:\n\nserver: main.o"))?;
    project.edit(&project.tree(), ("Makefile", "CC ?= cc", ".DEFAULT_GOAL := server\nCC ?= cc"))?;
    project.shell("make && mv server .. && rm -f *.o *.a word.h")?;
    let fix = project.fix(&FIX)?;
    let running = project.path("server");
    let words = ["--fix", text(&fix), "--running", text(&running), "--", "make"];
    let run = project.build(&words)?;
    let unstable = run.json()?["unstable"].clone();
    if unstable[0]["object"] == "main.o" && unstable[0]["generated"][0] == "word.h" {
        return Ok(());
    }
    Err(run.complain("expected main.o to be told as unstable because of word.h"))
}

/// Killed in the middle, it leaves nothing that the next run stumbles over.
fn killed() -> Outcome {
    let project = built("")?;
    let fix = project.fix(&FIX)?;
    let running = project.path("server");
    let started = project.path("started");
    for step in ["make", "make && touch $PWD/../none 2>/dev/null; sleep 30"] {
        let line = format!("touch '{}'; {step}; sleep 60", text(&started));
        let mut command = project.command(binary());
        command.args(["build", "--fix", text(&fix), "--running", text(&running), "-o"]);
        command.arg(project.path("fix.llp")).args(["--", "sh", "-c", &line]);
        let run = start_command(&mut command)?;
        while !started.exists() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        // Dropped: SIGKILL.
        drop(run);
        fs::remove_file(&started).map_err(|e| e.to_string())?;
    }
    let words = ["--fix", text(&fix), "--running", text(&running), "--", "make"];
    let made = project.build(&words)?.expect(exit::DONE)?;
    let answers = ["ask costs 20 of 2", "ask costs 27 of 4", "ask costs 20 of 6"];
    project.play(&mut Process::start(&running, &[])?, answers).map_err(|e| made.complain(&e))
}
