//! `liveline build` that is ended: whatever it started ends with it, and the next one finds nothing in its way.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::command::{Running, binary, exit, run_command, start_command, text};
use crate::project::{Edit, Project, listing};
use crate::{Outcome, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("build::ended::terminated", || stopped("TERM", Whom::Alone, Spaces::All)),
        trial("build::ended::interrupted", || stopped("INT", Whom::Alone, Spaces::All)),
        trial("build::ended::interrupted_at_the_terminal", || stopped("INT", Whom::Group, Spaces::All)),
        trial("build::ended::hung_up", || stopped("HUP", Whom::Alone, Spaces::All)),
        trial("build::ended::interrupted_without_namespaces", || stopped("INT", Whom::Group, Spaces::None)),
        trial("build::ended::killed", || killed(Spaces::All)),
        trial("build::ended::killed_without_namespaces", || killed(Spaces::None)),
        trial("build::ended::keeper_killed", keeper_killed),
        trial("build::ended::build_leaves_a_server", server),
        trial("build::ended::another_goes_on", another),
        trial("build::ended::ignores_what_nohup_ignores", nohup),
    ]
}

const FIX: [Edit; 1] = [("price.c", "count * 3 - 1", "count * 4 - 1")];

/// Ends a hang.
const DEADLINE: Duration = Duration::from_secs(600);

/// Set for each process of a build under test.
const MARK: &str = "LIVELINE_TEST_BUILD";

enum Whom {
    Alone,
    /// As the terminal does it.
    Group,
}

#[derive(Clone, Copy)]
enum Spaces {
    All,
    None,
}

/// A build that has come to a step which does not end by itself, with processes that only a namespace or a keeper finds.
struct Halted {
    project: Project,
    run: Running,
    mark: String,
}

/// Starts processes that leave their group, their session and their parent, and waits until told to go on.
const HALT: &str = "setsid sh -c '(trap \"\" TERM INT HUP; sleep 1000) & exec sleep 1000' & (sleep 1000 &) ; \
                    touch \"$OUT/halted\"; while [ ! -e \"$OUT/go\" ]; do sleep 0.01; done; make";

fn halt(spaces: Spaces) -> Outcome<Halted> {
    let mut project = Project::new("tree", "tree")?;
    project.shell("make && mv server .. && rm -f *.o *.a word.h")?;
    if let Spaces::None = spaces {
        let folder = project.path("bin");
        let refuse = "#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n";
        fs::create_dir(&folder)
            .and_then(|()| fs::write(folder.join("unshare"), refuse))
            .map_err(|e| e.to_string())?;
        project.shell("chmod +x ../bin/unshare")?;
        let path = format!("{}:{}", text(&folder), std::env::var("PATH").unwrap_or_default());
        project.environment.push(("PATH", path.into()));
    }
    let run = start(&project)?;
    let mark = text(&project.path("")).to_owned();
    let halted = Halted { project, run, mark };
    wait("the build to halt", || halted.project.path("halted").exists())?;
    Ok(halted)
}

fn start(project: &Project) -> Outcome<Running> {
    let fix = project.fix(&FIX)?;
    let (running, out) = (project.path("server"), project.path("fix.llp"));
    let mut command = project.command(binary());
    command.process_group(0).env(MARK, project.path("")).env("OUT", project.path(""));
    command.args(["build", "--json", "--fix", text(&fix), "--running", text(&running), "-o", text(&out)]);
    start_command(command.args(["--", "sh", "-c", HALT]))
}

fn wait(what: &str, mut is: impl FnMut() -> bool) -> Outcome {
    let since = Instant::now();
    while !is() {
        if since.elapsed() > DEADLINE {
            return Err(format!("waited in vain for {what}"));
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Processes that carry a mark, by their command lines.
fn marked(mark: &str) -> Vec<String> {
    let wanted = format!("{MARK}={mark}\0");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let carry = entries.filter(|entry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.windows(wanted.len()).any(|window| window == wanted.as_bytes())
    });
    let line = |path: &Path| fs::read(path.join("cmdline")).unwrap_or_default();
    carry.map(|entry| String::from_utf8_lossy(&line(&entry.path())).replace('\0', " ")).collect()
}

fn send(signal: &str, to: &str) -> Outcome {
    let sent = Command::new("kill").args(["-s", signal, "--", to]).status().map_err(|e| e.to_string())?;
    if sent.success() { Ok(()) } else { Err(format!("kill -s {signal} {to}: {sent}")) }
}

fn left_in_cache(project: &Project) -> Outcome<Vec<String>> {
    let entries = fs::read_dir(project.path("cache/build")).map_err(|e| e.to_string())?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name != "shims").collect())
}

/// Goes by itself, cleanly, and everything with it.
fn stopped(signal: &str, whom: Whom, spaces: Spaces) -> Outcome {
    let Halted { project, run, mark } = halt(spaces)?;
    let before = listing(&project.tree())?;
    let pid = run.pid();
    if marked(&mark).len() < 5 {
        return Err(format!("too little runs to be of use: {:?}", marked(&mark)));
    }
    match whom {
        Whom::Alone => send(signal, &pid.to_string())?,
        Whom::Group => send(signal, &format!("-{pid}"))?,
    }
    let run = run.finish()?.expect(exit::FAILED)?;
    run.says("stopped: no patch was written")?;
    let (runs, left) = (marked(&mark), left_in_cache(&project)?);
    if !runs.is_empty() || !left.is_empty() {
        return Err(run.complain(&format!("still there: processes {runs:?}, folders {left:?}")));
    }
    if project.path("fix.llp").exists() || listing(&project.tree())? != before {
        return Err(run.complain("something was written"));
    }
    again(&project)
}

fn killed(spaces: Spaces) -> Outcome {
    let Halted { project, run, mark } = halt(spaces)?;
    // SIGKILL.
    drop(run);
    wait(&format!("these to end: {:?}", marked(&mark)), || marked(&mark).is_empty())?;
    again(&project)
}

/// The next run has what it needs, and removes what was left.
fn again(project: &Project) -> Outcome {
    fs::write(project.path("go"), "").map_err(|e| e.to_string())?;
    let made = start(project)?.finish()?.expect(exit::DONE)?;
    // The old side.
    match left_in_cache(project)?[..] {
        [_] => Ok(()),
        ref more => Err(made.complain(&format!("left in the cache: {more:?}"))),
    }
}

/// Who kills all processes of this program's name kills the keeper, too.
fn keeper_killed() -> Outcome {
    let Halted { project, run, mark } = halt(Spaces::All)?;
    let keeper = Command::new("pkill")
        .args(["-KILL", "-f", &format!("^{}.*/liveline-keeper", text(&project.path("cache")))])
        .status()
        .map_err(|e| e.to_string())?;
    if !keeper.success() {
        return Err("there is no keeper".into());
    }
    let run = run.finish()?.expect(exit::FAILED)?;
    let runs = marked(&mark);
    if runs.is_empty() { again(&project) } else { Err(run.complain(&format!("still there: {runs:?}"))) }
}

/// What a build leaves running would keep the copy it was built in.
fn server() -> Outcome {
    let Halted { project, run, mark } = halt(Spaces::All)?;
    fs::write(project.path("go"), "").map_err(|e| e.to_string())?;
    let run = run.finish()?.expect(exit::DONE)?;
    let runs = marked(&mark);
    if runs.is_empty() { Ok(()) } else { Err(run.complain(&format!("still there: {runs:?}"))) }
}

/// What one build sweeps is not what another one uses.
fn another() -> Outcome {
    let Halted { project, run, .. } = halt(Spaces::All)?;
    let fix = project.path("fix.patch");
    let other = project.path("other.llp");
    let running = project.path("server");
    let mut command = project.command(binary());
    command.args(["build", "--fix", text(&fix), "--running", text(&running), "-o", text(&other)]);
    run_command(command.args(["--", "make"]))?.expect(exit::DONE)?;
    fs::write(project.path("go"), "").map_err(|e| e.to_string())?;
    run.finish()?.expect(exit::DONE)?;
    Ok(())
}

/// A signal that it was started to ignore is not for it.
fn nohup() -> Outcome {
    let mut project = Project::new("tree", "tree")?;
    project.shell("make && mv server .. && rm -f *.o *.a word.h")?;
    project.environment.push(("OUT", project.path("")));
    let fix = project.fix(&FIX)?;
    let mut command = project.command("sh");
    command.args([
        "-c",
        "trap '' HUP; exec \"$@\"",
        "sh",
        binary(),
        "build",
        "--fix",
        text(&fix),
        "--running",
    ]);
    command.arg(project.path("server")).arg("-o").arg(project.path("fix.llp"));
    let run = start_command(command.args(["--", "sh", "-c", HALT]))?;
    wait("the build to halt", || project.path("halted").exists())?;
    send("HUP", &run.pid().to_string())?;
    fs::write(project.path("go"), "").map_err(|e| e.to_string())?;
    run.finish()?.expect(exit::DONE)?;
    Ok(())
}
