//! The test program while it runs, and what is said to it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use liveline_control::frame;
use liveline_control::message::{Answer, Apply, Command, Entry, Outcome, Request, Status, VERSION};

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("liveline-modules-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) folder: Folder,
    runtime: PathBuf,
}

/// Where cargo puts the examples.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

/// The bytes of a module.
pub(crate) fn module(name: &str) -> Vec<u8> {
    std::fs::read(built(&format!("lib{name}.so"))).unwrap()
}

impl Program {
    pub(crate) fn start() -> Self {
        let folder = Folder::new();
        let runtime = folder.path().to_path_buf();
        Self::start_with(folder, runtime)
    }

    /// Its socket lies among those in that folder.
    pub(crate) fn start_in(runtime: &Path) -> Self {
        Self::start_with(Folder::new(), runtime.to_path_buf())
    }

    /// As a user who has no other process. Needs root.
    pub(crate) fn start_as_nobody_else() -> Self {
        let folder = Folder::new();
        let (runtime, host) = (folder.path().join("run"), folder.path().join("host"));
        std::fs::create_dir(&runtime).unwrap();
        // Where the tests are built others may not look.
        std::fs::copy(built("module_host"), &host).unwrap();
        for path in [folder.path(), &runtime, &host] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let mut command = Process::new("setpriv");
        command.args(["--reuid=54321", "--regid=54321", "--clear-groups", "--inh-caps=-all"]).arg(host);
        Self::start_command(command, folder, runtime)
    }

    fn start_with(folder: Folder, runtime: PathBuf) -> Self {
        Self::start_command(Process::new(built("module_host")), folder, runtime)
    }

    fn start_command(mut command: Process, folder: Folder, runtime: PathBuf) -> Self {
        let mut child = command
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("LIVELINE_CASE", folder.path().join("case"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut program = Self { child, input, output, folder, runtime };
        assert_eq!(program.hear(), "ready");
        program
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// Says a line to the program, and hears its answer.
    pub(crate) fn say(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.hear()
    }

    /// What the entry of `module_two` does from here on.
    pub(crate) fn case(&self, case: &str) {
        std::fs::write(self.folder.path().join("case"), case).unwrap();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime.join(format!("liveline/{}.sock", self.child.id()))
    }

    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    pub(crate) fn request(&self, stream: &mut UnixStream, command: Command) {
        frame::write(stream, &Request { version: VERSION, command }).unwrap();
    }

    fn ask(&self, command: Command, module: &[u8]) -> Answer {
        let mut stream = self.connect();
        self.request(&mut stream, command);
        stream.write_all(module).unwrap();
        frame::read(&mut stream, frame::ANSWER).unwrap()
    }

    /// The request that a module's bytes follow.
    pub(crate) fn loading(&self, module: &[u8]) -> Command {
        Command::Apply(Apply {
            size: module.len() as u64,
            dry_run: false,
            renumber: false,
            timeout_ms: 10_000,
        })
    }

    pub(crate) fn apply(&self, module: &[u8]) -> Outcome {
        self.apply_with(module, |_| {})
    }

    pub(crate) fn apply_with(&self, module: &[u8], change: impl FnOnce(&mut Apply)) -> Outcome {
        let mut command = self.loading(module);
        if let Command::Apply(apply) = &mut command {
            change(apply);
        }
        match self.ask(command, module) {
            Answer::Outcome(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn revert(&self, name: &str) -> Outcome {
        match self.ask(Command::Revert { name: name.to_string(), dry_run: false, timeout_ms: 1000 }, &[]) {
            Answer::Outcome(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// Whether somebody is there who tells the status.
    pub(crate) fn is_served(&self) -> bool {
        let mut stream = self.connect();
        // Whoever is turned away may be so before he has asked.
        drop(frame::write(&mut stream, &Request { version: VERSION, command: Command::Status }));
        matches!(frame::read(&mut stream, frame::ANSWER), Ok(Answer::Status(_)))
    }

    pub(crate) fn status(&self) -> Status {
        match self.ask(Command::Status, &[]) {
            Answer::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn log(&self) -> Vec<Entry> {
        match self.ask(Command::Log, &[]) {
            Answer::Log(log) => log,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How much of something it may have, and how far it may raise that itself.
    pub(crate) fn limit(&self, what: &str, limits: &str) {
        let process = self.id().to_string();
        let user = std::fs::metadata(format!("/proc/{process}")).unwrap().uid().to_string();
        // Root may not either, where it lacks CAP_SYS_RESOURCE.
        let words = ["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", "--pid", &process];
        let status = Process::new("setpriv").args(words).arg(format!("--{what}={limits}")).status();
        assert!(status.unwrap().success());
    }

    /// As [`Program::revert`], where the program may have no thread for it at first.
    pub(crate) fn revert_when_it_can(&self, name: &str) -> Outcome {
        let command = || Command::Revert { name: name.to_string(), dry_run: false, timeout_ms: 1000 };
        loop {
            let mut stream = self.connect();
            // Whoever is turned away may be so before he has asked.
            drop(frame::write(&mut stream, &Request { version: VERSION, command: command() }));
            match frame::read(&mut stream, frame::ANSWER) {
                Ok(Answer::Outcome(outcome)) => return outcome,
                Ok(Answer::Denied(why)) if why.contains("no thread") => std::thread::yield_now(),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets it return from `main`.
    pub(crate) fn end(&mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
