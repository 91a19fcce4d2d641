//! `liveline build`: the tree under `tests/cases/tree`, built as anybody would by each of the usual systems, repaired
//! while it runs by a patch made of its sources and a fix.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::command::{Run, exit, text};
use crate::process::Process;
use crate::project::{Edit, Project, listing};
use crate::{Outcome, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("build::make", make),
        trial("build::second_fix_of_the_day", second_fix),
        trial("build::two_trees", two_trees),
        trial("build::header_that_make_does_not_know", header),
        trial("build::generated_header", generated),
        trial("build::cmake", cmake),
        trial("build::meson", meson),
        trial("build::autotools", autotools),
        trial("build::clang", clang),
        trial("build::cxx", cxx),
        trial("build::thin_archive", thin_archive),
        trial("build::one_command_and_no_objects", one_command),
        trial("build::dependency_files_of_its_own", dependency_files),
        trial("build::compiler_cache", compiler_cache),
        trial("build::compiler_by_path", compiler_by_path),
        trial("build::compiler_by_path_for_one_file", one_by_path),
        trial("build::distributed_compiler", distributed),
        trial("build::blanks_and_accents_in_paths", odd_paths),
        trial("build::shared_library", shared_library),
        trial("build::stripped_program", stripped),
        trial("build::built_elsewhere", built_elsewhere),
        trial("build::one_command_and_a_header", one_command_header),
        trial("build::assembly_between", assembly),
        trial("build::file_that_is_no_code", not_carried),
        trial("build::lines_only_is_nothing", lines_only),
        trial("build::other_sources_where_the_fix_is_not", other_sources),
    ]
}

/// In a function of the archive.
const FIX: [Edit; 1] = [("price.c", "count * 3 - 1", "count * 4 - 1")];
const ANSWERS: [&str; 3] = ["ask costs 20 of 2", "ask costs 27 of 4", "ask costs 20 of 6"];

fn project() -> Outcome<Project> {
    Project::new("tree", "tree")
}

/// Builds the program as its owner does, makes a patch with the same command, and uses it.
fn repair(project: &Project, command: &str, product: &str, edits: &[Edit]) -> Outcome<Run> {
    repair_to(project, command, product, edits, ANSWERS)
}

fn repair_to(
    project: &Project,
    command: &str,
    product: &str,
    edits: &[Edit],
    answers: [&str; 3],
) -> Outcome<Run> {
    // A folder of products is no source, but who builds has one.
    project.shell(command)?;
    let running = keep(project, product)?;
    let fix = project.fix(edits)?;
    let before = listing(&project.tree())?;
    let words = ["--fix", text(&fix), "--running", text(&running), "--", "sh", "-c", command];
    let made = project.build(&words)?.expect(exit::DONE)?;
    if listing(&project.tree())? != before {
        return Err(made.complain("the user's tree was written"));
    }
    project.play(&mut Process::start(&running, &[])?, answers).map_err(|e| made.complain(&e))?;
    Ok(made)
}

/// The program that runs, where no later build writes it; the tree as it was before it was built.
fn keep(project: &Project, product: &str) -> Outcome<PathBuf> {
    let to = project.path("running");
    let name = Path::new(product).file_name().ok_or("a product without a name")?;
    project.shell(&format!("mkdir '{0}' && mv '{product}' '{0}'", text(&to)))?;
    Ok(to.join(name))
}

fn make() -> Outcome {
    let made = repair(&project()?, "make", "server", &FIX)?;
    // Of two files, one.
    if made.field("compiled_new")? != "1" {
        return Err(made.complain("expected one compilation"));
    }
    Ok(())
}

/// The old side is there already: only what the fix touches is compiled.
fn second_fix() -> Outcome {
    let project = project()?;
    repair(&project, "make", "server", &FIX)?;
    let fix = project.fix(&[("price.c", "* 3 - 1", "* 5 - 1")])?;
    let running = project.path("running/server");
    let words = ["--fix", text(&fix), "--running", text(&running), "--", "sh", "-c", "make"];
    let made = project.build(&words)?.expect(exit::DONE)?;
    if made.json()?["compiled_old"].is_null() && made.field("compiled_new")? == "1" {
        return Ok(());
    }
    Err(made.complain("expected the old side from the cache, and one compilation"))
}

fn two_trees() -> Outcome {
    let project = project()?;
    project.shell("make")?;
    let running = keep(&project, "server")?;
    project.shell("make clean 2>/dev/null || rm -f *.o *.a word.h")?;
    let new = project.fixed(&FIX)?;
    let words = ["--old", ".", "--new", text(&new), "--running", text(&running), "--", "make"];
    let made = project.build(&words)?.expect(exit::DONE)?;
    project.play(&mut Process::start(&running, &[])?, ANSWERS).map_err(|e| made.complain(&e))
}

/// `make` would not compile main.c again; what it read is known better than the Makefile knows.
fn header() -> Outcome {
    let answers = ["ask costs 20 of 2", "ask costs 20 of 6", "ask costs 20 of 6"];
    let edit = [("price.h", "((n) * 2)", "((n) * 3)")];
    repair_to(&project()?, "make", "server", &edit, answers)?;
    Ok(())
}

fn generated() -> Outcome {
    let answers = ["ask costs 20 of 2", "ask is sold for 20 of 4", "ask costs 20 of 6"];
    repair_to(&project()?, "make", "server", &[("word.sh", "costs", "is sold for")], answers)?;
    Ok(())
}

fn cmake() -> Outcome {
    let command = "cmake -S . -B out >/dev/null && cmake --build out";
    // The owner's build left the folder configured, with its compilers by their paths.
    all_carried(&repair(&project()?, command, "out/server", &FIX)?)
}

fn meson() -> Outcome {
    // An owner's second build finds the folder configured, ours find none.
    let command = "test -d out || meson setup out && ninja -C out";
    let project = project()?;
    project.shell(command)?;
    let running = keep(&project, "out/server")?;
    project.shell("rm -r out")?;
    let fix = project.fix(&FIX)?;
    let words = ["--fix", text(&fix), "--running", text(&running), "--", "sh", "-c", command];
    let made = project.build(&words)?.expect(exit::DONE)?;
    project.play(&mut Process::start(&running, &[])?, ANSWERS).map_err(|e| made.complain(&e))
}

fn autotools() -> Outcome {
    let project = project()?;
    project.shell("rm Makefile && autoreconf -i")?;
    repair(&project, "./configure && make", "server", &FIX)?;
    Ok(())
}

fn clang() -> Outcome {
    repair(&project()?, "make CC=clang CFLAGS=-O3", "server", &FIX)?;
    Ok(())
}

fn cxx() -> Outcome {
    repair(
        &project()?,
        "make CC='g++ -x c++' CFLAGS=-O2 LDFLAGS= main.o price.o && ar rc libprice.a price.o && g++ -o server main.o -L. -lprice",
        "server",
        &FIX,
    )?;
    Ok(())
}

fn thin_archive() -> Outcome {
    let command = "make main.o price.o && ar rcT libprice.a price.o && cc -o server main.o libprice.a";
    repair(&project()?, command, "server", &FIX)?;
    Ok(())
}

/// The driver compiles into files of its own and removes them at once.
fn one_command() -> Outcome {
    all_carried(&repair(&project()?, ONE_COMMAND, "server", &FIX)?)
}

const ONE_COMMAND: &str = "sh word.sh > word.h && gcc -O2 -o server main.c price.c";

fn one_command_header() -> Outcome {
    let answers = ["ask costs 20 of 2", "ask costs 20 of 6", "ask costs 20 of 6"];
    let edit = [("price.h", "((n) * 2)", "((n) * 3)")];
    all_carried(&repair_to(&project()?, ONE_COMMAND, "server", &edit, answers)?)
}

fn assembly() -> Outcome {
    let command = "gcc -O2 -S price.c && gcc -c price.s && make main.o && gcc -o server main.o price.o";
    all_carried(&repair(&project()?, command, "server", &FIX)?)
}

/// No file of the fix is said to be left out, since its functions are replaced.
fn all_carried(made: &Run) -> Outcome {
    let touched = made.json()?["touched"].clone();
    let all = touched.as_array().is_some_and(|files| files.iter().all(|file| file["fate"] == "compiled"));
    if all { Ok(()) } else { Err(made.complain("expected every file of the fix to be told as compiled")) }
}

fn dependency_files() -> Outcome {
    let command = "sh word.sh > word.h && gcc -O2 -MMD -MP -c main.c -MF main.d && gcc -O2 -MMD -c price.c && \
                   gcc -o server main.o price.o && test -s main.d && test -s price.d";
    repair(&project()?, command, "server", &FIX)?;
    Ok(())
}

fn compiler_cache() -> Outcome {
    let mut project = project()?;
    project.environment.push(("CCACHE_DIR", project.path("ccache")));
    repair(&project, "make CC='ccache gcc'", "server", &FIX)?;
    Ok(())
}

/// It goes past us; what it is to compile is named in its objects, and they are linked where we see it.
fn compiler_by_path() -> Outcome {
    let made = repair(&project()?, "make CC='/usr/bin/gcc -g'", "server", &FIX)?;
    all_carried(&made)?;
    unseen(&made, &["libprice.a/price.o", "main.o"])
}

/// The fix is in a file that was seen.
fn one_by_path() -> Outcome {
    let command = "make main.o CC=/usr/bin/gcc && make";
    let made = repair(&project()?, command, "server", &FIX)?;
    unseen(&made, &["main.o"])
}

/// These objects, and no others, are told as unseen.
fn unseen(made: &Run, names: &[&str]) -> Outcome {
    let told = made.json()?["unseen"].clone();
    let mut told: Vec<&str> =
        told.as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    told.sort_unstable();
    if told == names {
        Ok(())
    } else {
        Err(made.complain(&format!("expected {names:?} to be told as unseen")))
    }
}

/// A compiler that sends its work to another machine works on this one.
fn distributed() -> Outcome {
    let mut project = project()?;
    let distcc = "#!/bin/sh\n[ \"$DISTCC_HOSTS\" = localhost ] || exit 7\nexec \"$@\"\n";
    std::fs::write(project.path("distcc"), distcc).map_err(|e| e.to_string())?;
    project.shell("chmod +x ../distcc")?;
    project.environment.push(("DISTCC_HOSTS", "localhost".into()));
    project.shell("make CC='../distcc gcc'")?;
    let running = keep(&project, "server")?;
    project.shell("rm -f *.o *.a word.h")?;
    project.environment.pop();
    project.environment.push(("DISTCC_HOSTS", "elsewhere".into()));
    let fix = project.fix(&FIX)?;
    let words =
        ["--fix", text(&fix), "--running", text(&running), "--", "sh", "-c", "make CC='../distcc gcc'"];
    project.build(&words)?.expect(exit::DONE)?;
    Ok(())
}

fn odd_paths() -> Outcome {
    let project = Project::new("tree", "un arbre, été")?;
    repair(&project, "make", "server", &FIX)?;
    Ok(())
}

const LIBRARY: &str = "gcc -O2 -fPIC -shared -o libprice.so price.c";

fn shared_library() -> Outcome {
    let project = project()?;
    let command = format!("sh word.sh > word.h && {LIBRARY} && gcc -O2 -o server main.c ./libprice.so");
    project.shell(&command)?;
    project.shell("mkdir ../running && mv libprice.so server ../running")?;
    let fix = project.fix(&FIX)?;
    let library = project.path("running/libprice.so");
    let words = ["--fix", text(&fix), "--running", text(&library), "--", "sh", "-c", &command];
    let made = project.build(&words)?.expect(exit::DONE)?;
    let mut process = std::process::Command::new("./server");
    process.current_dir(project.path("running"));
    project.play(&mut Process::start_command(&mut process)?, ANSWERS).map_err(|e| made.complain(&e))
}

fn stripped() -> Outcome {
    let project = project()?;
    project.shell("make CFLAGS='-O2 -g'")?;
    let running = keep(&project, "server")?;
    project.shell("cp ../running/server ../server.debug && strip ../running/server")?;
    let (fix, debug) = (project.fix(&FIX)?, project.path("server.debug"));
    let mut words = vec!["--fix", text(&fix), "--running", text(&running), "--debug", text(&debug)];
    words.extend(["--", "make", "CFLAGS=-O2 -g"]);
    let made = project.build(&words)?.expect(exit::DONE)?;
    project.play(&mut Process::start(&running, &[])?, ANSWERS).map_err(|e| made.complain(&e))
}

/// The sources were moved since: `assert` and the like name files by the path they had.
fn built_elsewhere() -> Outcome {
    let project = project()?;
    let place = [(
        "price.c",
        "    calls++;\n",
        "    calls++;\n    if (count < 0)\n        __builtin_printf(\"%s\", __FILE__);\n",
    )];
    project.edit(&project.tree(), place[0])?;
    let command = "sh word.sh > word.h && gcc -O2 -o server \"$PWD/main.c\" \"$PWD/price.c\"";
    project.shell(command)?;
    let running = keep(&project, "server")?;
    let at = project.tree();
    project.shell("cd .. && mv tree moved && mkdir tree")?;
    let (fix, moved) = (project.path("fix.patch"), project.path("moved"));
    let text_of_fix = "--- a/price.c\n+++ b/price.c\n@@ -10,3 +10,3 @@\n         __builtin_printf(\"%s\", __FILE__);\n-    return count * 3 - 1;\n+    return count * 4 - 1;\n }\n";
    std::fs::write(&fix, text_of_fix).map_err(|e| e.to_string())?;
    let mut words = vec!["--source", text(&moved), "--built-at", text(&at), "--fix", text(&fix)];
    words.extend(["--running", text(&running), "--", "sh", "-c", command]);
    let made = project.build(&words)?.expect(exit::DONE)?;
    project.play(&mut Process::start(&running, &[])?, ANSWERS).map_err(|e| made.complain(&e))
}

fn not_carried() -> Outcome {
    let edits = [FIX[0], ("README", "what it costs", "more than before")];
    let made = repair(&project()?, "make", "server", &edits)?;
    let touched = made.json()?["touched"].clone();
    let told = touched.as_array().is_some_and(|files| {
        files.iter().any(|file| file["path"] == "README" && file["fate"] == "not-carried")
    });
    if told { Ok(()) } else { Err(made.complain("expected README to be told as not carried")) }
}

/// What runs was built of other sources, and not where the fix is: the patch is good, and somebody should know.
fn other_sources() -> Outcome {
    let project = project()?;
    project.shell("make")?;
    let running = keep(&project, "server")?;
    project.edit(&project.tree(), ("price.c", "    return calls;", "    return calls + 1;"))?;
    let fix = project.fix(&FIX)?;
    let words = ["--fix", text(&fix), "--running", text(&running), "--", "make"];
    let made = project.build(&words)?.expect(exit::DONE)?;
    made.says("1 of 3 functions that the patch does not replace differ in the running program")?;
    made.says("price_calls")?;
    project.play(&mut Process::start(&running, &[])?, ANSWERS).map_err(|e| made.complain(&e))
}

fn lines_only() -> Outcome {
    let project = project()?;
    project.shell("make")?;
    let running = keep(&project, "server")?;
    let fix = project.fix(&[("price.c", "/* Neither", "/*\n * Neither")])?;
    let words = ["--fix", text(&fix), "--running", text(&running), "--", "make"];
    let made = project.build(&words)?.expect(exit::NOTHING)?;
    if project.path("fix.llp").exists() {
        return Err(made.complain("there is a patch"));
    }
    Ok(())
}
