//! Modules from the command line: a program that takes in new code by itself, and `liveline` that brings it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::command::{Run, binary, exit, run_command, start_command, text};
use crate::process::Process;
use crate::project::Project;
use crate::toolchain::tests_folder;
use crate::{Outcome, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("modules::from_the_command_line", from_the_command_line),
        trial("modules::who_may_not_is_refused", who_may_not),
        trial("modules::a_killed_liveline_does_no_harm", killed),
        trial("modules::watch_follows_the_sources", watch),
        trial("modules::watch_finds_programs_that_begin", watch_finds),
        trial("modules::watch_once", watch_once),
    ]
}

/// The workspace of a server and its module, built where its sources lie.
struct Shop {
    project: Project,
    runtime: PathBuf,
}

impl Shop {
    fn new() -> Outcome<Self> {
        let mut project = Project::new("cargo/updatable", "tree")?;
        let root = tests_folder().join("../../..").canonicalize().map_err(|e| e.to_string())?;
        // Versions that are here already, since our own tests were built with them.
        fs::copy(root.join("Cargo.lock"), project.tree().join("Cargo.lock")).map_err(|e| e.to_string())?;
        let runtime = root.join("crates/liveline-runtime");
        project.edit(&project.tree(), ("Cargo.toml", "RUNTIME", text(&runtime)))?;
        // Anyone may look for its socket, so that what keeps them out is the socket.
        let runtime = project.path("run");
        fs::create_dir(&runtime).map_err(|e| e.to_string())?;
        project.environment.push(("XDG_RUNTIME_DIR", runtime.clone()));
        run_command(project.command("cargo").args(["build", "--offline"]))?.expect(0)?;
        Ok(Self { project, runtime })
    }

    fn start(&self) -> Outcome<Process> {
        Process::start_command(
            &mut self.project.command(text(&self.project.tree().join("target/debug/server"))),
        )
    }

    fn module(&self) -> PathBuf {
        self.project.tree().join("target/debug/libpolicy.so")
    }

    fn liveline(&self, words: &[&str]) -> Outcome<Run> {
        run_command(self.project.command(binary()).args(words))
    }
}

fn from_the_command_line() -> Outcome {
    let shop = Shop::new()?;
    let mut server = shop.start()?;
    let (pid, module) = (server.pid().to_string(), shop.module());
    let module = text(&module);
    server.expect("sell", "1 sold, 1", "before the module")?;

    let shown = shop.liveline(&["inspect", module])?.expect(exit::DONE)?;
    for words in ["module policy, build policy+", "compiled by rustc ", "interface Policy of crate "] {
        shown.says(words)?;
    }
    let shown = shop.liveline(&["inspect", module, "--json"])?.expect(exit::DONE)?;
    let made = &shown.json()?["module"];
    if made["name"] != "policy" || made["interfaces"][0]["name"] != "Policy" {
        return Err(shown.complain("the module and its interface are to be told"));
    }

    let dry = shop.liveline(&["apply", module, "--pid", &pid, "--dry-run"])?.expect(exit::DONE)?;
    dry.says("policy could be done")?;
    dry.says("its entry says when it is loaded")?;
    server.expect("sell", "2 sold, 1", "after a dry run")?;
    let log = shop.liveline(&["log", "--pid", &pid])?.expect(exit::DONE)?;
    log.says("0 entries")?;

    let done = shop.liveline(&["apply", module, "--pid", &pid, "--json"])?.expect(exit::DONE)?;
    for (field, value) in [("state", "applied"), ("module", "policy"), ("program", "server"), ("pid", &pid)] {
        if done.field(field)? != value {
            return Err(done.complain(&format!("{field} is to be {value}")));
        }
    }
    server.expect("sell", "3 sold, 3", "with the module")?;
    shop.liveline(&["apply", module, "--pid", &pid])?.expect(exit::NOTHING)?.says("policy is in already")?;
    let status = shop.liveline(&["status", "--pid", &pid])?.expect(exit::DONE)?;
    status.says("module policy: active (policy 2)")?;
    status.says("Policy")?;
    let json = shop.liveline(&["status", "--pid", &pid, "--json"])?.expect(exit::DONE)?;
    json.json()?;

    let back = shop.liveline(&["revert", "policy", "--pid", &pid])?.expect(exit::DONE)?;
    back.says("reverted policy in")?;
    server.expect("sell", "4 sold, 1", "after the revert")?;
    shop.liveline(&["revert", "policy", "--pid", &pid])?.expect(exit::NOTHING)?.says("nothing to do")?;

    // Its sources say a number that has passed.
    let passed = shop.liveline(&["apply", module, "--pid", &pid])?.expect(exit::REFUSED)?;
    passed.says("version 3 runs, so the next one is 4, but version 2 was offered")?;
    passed.says("--renumber")?;
    shop.liveline(&["apply", module, "--pid", &pid, "--renumber"])?.expect(exit::DONE)?;
    server.expect("sell", "5 sold, 3", "with the module again")?;

    // A call that does not leave.
    let until = shop.project.path("leave");
    server.expect(&format!("stay {}", until.display()), "inside", "a long call")?;
    let late =
        shop.liveline(&["revert", "policy", "--pid", &pid, "--timeout", "100ms"])?.expect(exit::TIMEOUT)?;
    late.says("still inside")?;
    let replaced = shop.liveline(&["revert", "nosuch", "--pid", &pid])?.expect(exit::NOTHING)?;
    replaced.says("nothing to do")?;
    server.expect("sell", "6 sold, 3", "after a revert that was taken back")?;
    fs::write(&until, "").map_err(|e| e.to_string())?;

    let log = shop.liveline(&["log", "--pid", &pid])?.expect(exit::DONE)?;
    for words in [
        "7 entries",
        "applied policy in",
        "policy is in already",
        "nothing to do",
        "policy: not in time, nothing changed",
    ] {
        log.says(words)?;
    }

    // Files that are none, processes that are none, and the others that are asked all the same.
    let library = "/lib/x86_64-linux-gnu/libc.so.6";
    shop.liveline(&["apply", library, "--pid", &pid])?
        .expect(exit::REFUSED)?
        .says("neither a patch nor a module")?;
    let own = std::process::id().to_string();
    let other = shop.liveline(&["apply", module, "--pid", &own])?.expect(exit::REFUSED)?;
    other.says("has no control socket")?;
    other.says("liveline_runtime::serve!()")?;
    let two = shop.liveline(&["apply", module, "--renumber", "--pid", &own, &pid])?.expect(exit::REFUSED)?;
    two.says(&format!("{pid} (server): policy is in already"))?;
    shop.project.shell(&format!("kill -STOP {pid}"))?;
    let stopped = shop.liveline(&["apply", module, "--pid", &pid])?;
    shop.project.shell(&format!("kill -CONT {pid}"))?;
    stopped.expect(exit::REFUSED)?.says(&format!("process {pid} is stopped, and answers nothing"))?;
    let nobody = shop.liveline(&["apply", module, "--pid", "999999999", "--json"])?.expect(exit::FAILED)?;
    nobody.says("there is no process 999999999")?;
    nobody.json()?;
    server.check_alive()
}

/// Another user, by the mode of the socket and by the kernel's word of who it is.
fn who_may_not() -> Outcome {
    let shop = Shop::new()?;
    let mut server = shop.start()?;
    let pid = server.pid().to_string();
    let (folder, socket) = (shop.runtime.join("liveline"), shop.runtime.join(format!("liveline/{pid}.sock")));
    let (tool, module) = (shop.project.path("liveline"), shop.project.path("policy.so"));
    for (from, to) in [(Path::new(binary()), &tool), (&shop.module(), &module)] {
        fs::copy(from, to).map_err(|e| e.to_string())?;
    }
    let open = format!("chmod 755 {} {} {}", text(&shop.project.path("")), text(&tool), text(&module));
    shop.project.shell(&open)?;
    let other_says = |words: [&str; 2]| {
        let mut command = shop.project.command("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", text(&tool)]);
        run_command(command.args(words).args(["--pid", &pid]))?.expect(exit::REFUSED)
    };
    let other = || other_says(["apply", text(&module)]);
    other()?.says("is not yours to use")?;
    other_says(["revert", "policy"])?.says("is not yours to use")?;
    shop.project.shell(&format!("chmod 755 {}; chmod 666 {}", text(&folder), text(&socket)))?;
    other()?.says("user 65534 may not: the program runs as user 0")?;
    server.expect("sell", "1 sold, 1", "after both refusals")?;
    shop.liveline(&["apply", text(&module), "--pid", &pid])?.expect(exit::DONE)?;
    server.expect("sell", "2 sold, 3", "with the module of the program's own user")?;
    // As after a program changed its user, to which its socket does not belong.
    shop.project.shell(&format!("chown 65534 {}", text(&socket)))?;
    let changed = shop.liveline(&["revert", "policy", "--pid", &pid])?.expect(exit::NOTHING)?;
    changed.says("nothing to do")?;
    let changed = shop.liveline(&["apply", text(&module), "--pid", &pid])?.expect(exit::REFUSED)?;
    changed.says(&format!(
        "process {pid} runs as user 0, and the control socket {} is of user 65534",
        text(&socket)
    ))?;
    server.check_alive()
}

/// Whenever it is killed, the program has the old code or the new, and the next one is answered.
fn killed() -> Outcome {
    let shop = Shop::new()?;
    let mut server = shop.start()?;
    let (pid, module) = (server.pid().to_string(), shop.module());
    let words = ["apply", text(&module), "--pid", &pid, "--renumber"];
    let (mut sold, mut states) = (0, [0, 0]);
    let mut whole = Duration::ZERO;
    for round in 0..40 {
        let begun = Instant::now();
        let mut running = start_command(shop.project.command(binary()).args(words))?;
        // From before the first byte to behind the answer, however busy the machine is: the first ones end by themselves.
        while !running.is_over() && (round < 4 || begun.elapsed() < whole * (round - 4) / 24) {
            std::thread::sleep(Duration::from_micros(50));
        }
        if round < 4 {
            whole = whole.max(begun.elapsed());
        }
        // Dropped, it is killed.
        drop(running);
        sold += 1;
        let answer = server.ask("sell")?;
        let new = answer == format!("{sold} sold, 3");
        if !new && answer != format!("{sold} sold, 1") {
            return Err(format!("round {round}: {answer}"));
        }
        // What it was told whole it may still be doing.
        let back = shop.liveline(&["revert", "policy", "--pid", &pid])?;
        match back.code {
            exit::DONE => states[1] += 1,
            // It never came, or nothing came of it.
            exit::NOTHING | exit::FAILED => states[0] += 1,
            _ => return Err(back.complain("an unexpected end")),
        }
        sold += 1;
        server.expect("sell", &format!("{sold} sold, 1"), &format!("round {round}, after the revert"))?;
    }
    if states.contains(&0) {
        Err(format!("killed too early or too late each time: {states:?}"))
    } else {
        Ok(())
    }
}

/// `liveline watch`, and what it says, a line at a time.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(shop: &Shop, selection: [&str; 2]) -> Outcome<Self> {
        let mut command = shop.project.command(binary());
        command.args(
            [&["watch", "--json"], &selection[..], &["--", "--offline", "--", "-C", "opt-level=1"]].concat(),
        );
        // cargo, too, ends with it.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, lines })
    }

    fn next(&self) -> Outcome<Value> {
        let line = self
            .lines
            .recv_timeout(Duration::from_secs(120))
            .map_err(|e| format!("watch says nothing: {e}"))?;
        serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status());
        drop(self.child.wait());
    }
}

fn watch() -> Outcome {
    let shop = Shop::new()?;
    let mut server = shop.start()?;
    let pid = server.pid().to_string();
    let mut watch = Watch::start(&shop, ["--pid", &pid])?;
    let state = |said: &Value| said["processes"][0]["state"].as_str().map(str::to_owned);
    let source = shop.project.tree().join("policy/src/lib.rs");
    let write =
        |from: &str, to: &str| shop.project.edit(&shop.project.tree(), ("policy/src/lib.rs", from, to));

    let said = watch.next()?;
    if state(&said).as_deref() != Some("applied") {
        return Err(format!("at the start: {said}"));
    }
    server.expect("sell", "1 sold, 3", "with the first build")?;

    write("2, 3", "2, 5")?;
    let said = watch.next()?;
    server.expect("sell", "2 sold, 5", "after the first change")?;
    let times = ["build_ms", "load_ms", "edit_to_running_ms"].map(|name| said[name].as_f64().unwrap_or(0.0));
    if times[0] <= 0.0
        || times[1] <= 0.0
        || times[0] + times[1] > times[2]
        || said["files"][0] != *text(&source)
    {
        return Err(format!("after the first change: {said}"));
    }

    // What does not build changes nothing, and the next save does.
    write("2, 5", "2, no price")?;
    if watch.next()?["state"] != "not_built" {
        return Err("it built".into());
    }
    server.expect("sell", "3 sold, 5", "after a change that does not build")?;
    write("2, no price", "2, 7")?;
    watch.next()?;
    server.expect("sell", "4 sold, 7", "after it was mended")?;

    // What the program shares with it cannot change: refused, with the way back.
    shop.project
        .edit(&shop.project.tree(), ("shop/src/lib.rs", "What things cost.", "What all things cost."))?;
    let said = watch.next()?;
    if state(&said).as_deref() != Some("refused") || !said.to_string().contains("crate shop is not what") {
        return Err(format!("after a change of the interface: {said}"));
    }
    shop.project
        .edit(&shop.project.tree(), ("shop/src/lib.rs", "What all things cost.", "What things cost."))?;
    if state(&watch.next()?).as_deref() != Some("applied") {
        return Err("the interface is what it was".into());
    }
    server.expect("sell", "5 sold, 7", "with the interface as it was")?;

    // No module for a moment: it is still watched.
    write("#[module]", "")?;
    let said = watch.next()?;
    if said["state"] != "not_built" || !said.to_string().contains("neither a patch nor a module") {
        return Err(format!("without an entry: {said}"));
    }
    write("fn load", "#[module]\nfn load")?;
    if state(&watch.next()?).as_deref() != Some("applied") {
        return Err("the entry is there again".into());
    }
    let sections = shop.project.shell(&format!("readelf -tW {}", shop.module().display()))?;
    if !sections.out.contains("COMPRESSED") {
        return Err(sections.complain("the program keeps what is not compressed"));
    }

    let shared = shop.project.tree().join("shop/src/lib.rs");
    let before = fs::read_to_string(&shared).map_err(|e| e.to_string())?;
    fs::write(&shared, before.replace("stay(&self, until: &str", "stay(&self, until: &str, _more: u32"))
        .map_err(|e| e.to_string())?;
    let said = watch.next()?.to_string();
    for words in ["interface Policy of crate shop", "only the module has: fn stay", "_more:u32"] {
        if !said.contains(words) {
            return Err(format!("after a change of a method: not {words}: {said}"));
        }
    }
    server.expect("sell", "6 sold, 7", "after a change of a method")?;

    fs::write(&shared, &before).map_err(|e| e.to_string())?;
    if state(&watch.next()?).as_deref() != Some("applied") {
        return Err("the method is what it was".into());
    }

    // A crate that is needed from now on is watched from now on.
    let add = "mkdir -p rules/src && cp shop/Cargo.toml rules && sed -i s/shop/rules/ rules/Cargo.toml && \
               echo 'pub const PRICE: u64 = 9;' > rules/src/lib.rs && sed -i 's/\"shop\",/\"shop\", \"rules\",/' Cargo.toml";
    shop.project.shell(&format!("cd {} && {add}", shop.project.tree().display()))?;
    shop.project.edit(
        &shop.project.tree(),
        ("policy/Cargo.toml", "[dependencies]", "[dependencies]\nrules = { path = \"../rules\" }"),
    )?;
    // The manifests of the workspace and of the package, which may be seen at once or one after the other.
    while state(&watch.next()?).as_deref() != Some("applied") {}
    write("2, 7", "2, rules::PRICE")?;
    let mut until = |price: &str| loop {
        watch.next()?;
        if server.ask("sell")?.ends_with(price) {
            return Outcome::Ok(());
        }
    };
    until(", 9")?;
    shop.project.edit(&shop.project.tree(), ("rules/src/lib.rs", "9", "11"))?;
    until(", 11")?;

    // Builds leave nothing behind but the last of them.
    let kept =
        fs::read_dir(shop.project.tree().join("target/debug/incremental")).map_err(|e| e.to_string())?;
    let kept =
        kept.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("policy-")).count();
    if kept > 1 {
        return Err(format!("{kept} folders of rustc's for the module"));
    }
    drop(server);
    let ended = watch.child.wait().map_err(|e| e.to_string())?;
    if ended.success() { Ok(()) } else { Err(format!("when the program had ended: {ended}")) }
}

/// A program that begins while another is watched gets what was built, however long it takes to open its socket.
fn watch_finds() -> Outcome {
    let shop = Shop::new()?;
    let mut first = shop.start()?;
    let program = shop.project.tree().join("target/debug/server");
    let watch = Watch::start(&shop, ["--exe", text(&program)])?;
    watch.next()?;
    first.expect("sell", "1 sold, 3", "the first program")?;
    let open = shop.project.path("open");
    let mut command = shop.project.command(text(&program));
    let mut late =
        command.arg(&open).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    // It was looked at more than once.
    std::thread::sleep(Duration::from_millis(1500));
    fs::write(&open, "").map_err(|e| e.to_string())?;
    let said = watch.next();
    drop(late.kill());
    drop(late.wait());
    let said = said?;
    let got = &said["processes"][0];
    if said["state"] == "loaded"
        && got["pid"] == late.id()
        && got["state"] == "applied"
        && said["processes"][1].is_null()
    {
        first.expect("sell", "2 sold, 3", "the first program, which had it already")
    } else {
        Err(format!("the second program: {said}"))
    }
}

fn watch_once() -> Outcome {
    let shop = Shop::new()?;
    let mut server = shop.start()?;
    let pid = server.pid().to_string();
    let watch = |words: &[&str], code| {
        let words = [&["watch", "--once"], words, &["--", "--offline"]].concat();
        shop.liveline(&words)?.expect(code)
    };
    watch(&["--pid", &pid], exit::DONE)?.says("started to running")?;
    server.expect("sell", "1 sold, 3", "loaded once")?;
    // Another build of the same sources: another crate to the program.
    watch(&["--pid", &pid, "-p", "policy"], exit::DONE)?;
    server.expect("sell", "2 sold, 3", "loaded twice")?;
    watch(&["--pid", &pid, "-p", "nothing"], 2)?.says("there is no nothing in this workspace")?;
    watch(&["--pid", "999999999"], exit::FAILED)?.says("there is no process")?;
    watch(&["--pid", &pid, "-p", "server"], 2)?.says("server has no library")?;
    shop.project.edit(&shop.project.tree(), ("policy/src/lib.rs", "2, 3", "2, no price"))?;
    watch(&["--pid", &pid], exit::FAILED)?.says("policy does not build")?;
    server.expect("sell", "3 sold, 3", "after a build that failed")
}
