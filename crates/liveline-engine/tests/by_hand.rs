//! The engine alone, with patches made by hand: a function that returns its argument plus a number.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use liveline_elf::module::{Module, ModuleKind};
use liveline_engine::{Options, Outcome, State};
use liveline_patch::*;

/// A target process; killed when dropped.
struct Running {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    program: PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start(flags: &[&str], arguments: &[&str]) -> Running {
        Running::start_source("pair.c", flags, arguments)
    }

    fn start_source(source: &str, flags: &[&str], arguments: &[&str]) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("pair");
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/targets").join(source);
        let built = Command::new("gcc")
            .args(["-O2", "-pthread", "-o"])
            .arg(&program)
            .arg(source)
            .args(flags)
            .status();
        assert!(built.unwrap().success());
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running { child, answers, program, _folder: folder };
        let mut ready = String::new();
        running.answers.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        running
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// first(0), second(0), mixtures, loops.
    fn ask(&mut self) -> [i64; 4] {
        self.say("?\n")
    }

    fn say(&mut self, words: &str) -> [i64; 4] {
        self.child.stdin.as_mut().unwrap().write_all(words.as_bytes()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let numbers: Vec<i64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        numbers.try_into().expect("four numbers from a living target")
    }

    fn patch(&self, name: &str, names: &[&str], plus: u8) -> Patch {
        patch_of(&self.program, name, names, plus)
    }

    fn apply(&self, patch: &Patch) -> Outcome {
        liveline_engine::apply(self.pid(), patch, &patch.encode().unwrap(), Options::default())
    }

    fn revert(&self, name: &str) -> Outcome {
        liveline_engine::revert(self.pid(), name, Options::default())
    }
}

/// A patch that makes each of `names` in a program or library add `plus` to its argument.
fn patch_of(module: &Path, name: &str, names: &[&str], plus: u8) -> Patch {
    let file_name = module.file_name().unwrap().to_str().unwrap();
    let bytes = std::fs::read(module).unwrap();
    let module = Module::parse(&bytes).unwrap();
    let mut hasher = blake3::Hasher::new();
    for load in module.loads.iter().filter(|load| load.execute) {
        hasher.update(&bytes[load.offset as usize..(load.offset + load.file_size) as usize]);
    }
    let low = module.loads.iter().map(|load| load.address).min().unwrap() & !0xfff;
    let high = module.loads.iter().map(|load| load.address + load.size).max().unwrap().next_multiple_of(4096);
    let mut patch = Patch {
        meta: Meta {
            format: FORMAT,
            name: name.into(),
            version: "1".into(),
            requires: vec![],
            target: Target {
                file_name: file_name.into(),
                build_id: module
                    .build_id
                    .as_deref()
                    .map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()),
                text_hash: hasher.finalize().to_hex().to_string(),
                low,
                high,
                fixed: module.kind == ModuleKind::Fixed,
                executable: true,
            },
            functions: vec![],
            verdicts: vec![],
            notes: vec![],
            unwinds: false,
            initializers: Vec::new(),
            assumed: Vec::new(),
            types_unchecked: false,
            made_by: "hand".into(),
        },
        sections: vec![],
        symbols: vec![],
    };
    for name in names {
        let old = module.symbols.iter().find(|symbol| symbol.name == *name).unwrap();
        let load = module.loads.iter().find(|load| load.contains(old.address)).unwrap();
        let offset = (old.address - load.address + load.offset) as usize;
        let code = &bytes[offset..offset + old.size as usize];
        // lea plus(%rdi), %eax; ret
        let new = vec![0x8d, 0x47, plus, 0xc3];
        let section = patch.sections.len();
        patch.meta.functions.push(Function {
            name: name.to_string(),
            file: None,
            address: old.address,
            size: old.size,
            hash: blake3::hash(code).to_hex().to_string(),
            detour: 0,
            room: old.size.next_multiple_of(16).min(16),
            parts: vec![],
            new: patch.symbols.len(),
        });
        patch.symbols.push(Symbol {
            name: name.to_string(),
            place: Place::Here { section, offset: 0, size: new.len() as u64, function: true },
        });
        patch.sections.push(Section {
            name: format!(".text.{name}"),
            kind: SectionKind::Text,
            align: 16,
            size: new.len() as u64,
            bytes: new,
            relocations: vec![],
        });
    }
    patch
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn expect(outcome: Outcome, state: State) -> Outcome {
    assert_eq!(outcome.state, state, "{outcome:?}");
    outcome
}

#[test]
fn in_and_out_with_threads_busy_and_asleep() {
    for flags in [&[][..], &["-no-pie"], &["-static"], &["-static-pie"]] {
        for arguments in [["1", "0"], ["40", "1000"]] {
            let mut target = Running::start(flags, &arguments);
            let patch = target.patch("ten", &["first", "second"], 10);
            for _ in 0..5 {
                expect(target.apply(&patch), State::Applied);
                assert_eq!(target.ask()[..3], [10, 10, 0]);
                expect(target.apply(&patch), State::Already);
                expect(target.revert("ten"), State::Reverted);
                assert_eq!(target.ask()[..3], [1, 1, 0]);
                expect(target.revert("ten"), State::Clean);
            }
        }
    }
}

#[test]
fn generations_of_one_function_in_every_order_of_leaving() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut target = Running::start(&[], &["4", "100"]);
        let names = ["a", "b", "c"];
        let mut present = vec![];
        for (index, name) in names.iter().enumerate() {
            let patch = target.patch(name, &["first"], 10 + index as u8);
            expect(target.apply(&patch), State::Applied);
            present.push(index);
            assert_eq!(target.ask()[0], 10 + index as i64);
        }
        for leaving in order {
            expect(target.revert(names[leaving]), State::Reverted);
            present.retain(|index| *index != leaving);
            let newest = present.iter().max().map_or(1, |index| 10 + *index as i64);
            assert_eq!(target.ask()[0], newest, "order {order:?}, {} left", names[leaving]);
        }
    }
}

#[test]
fn a_requirement_must_be_there_and_holds_its_patch_in() {
    let target = Running::start(&[], &["2", "100"]);
    let base = target.patch("base", &["first"], 10);
    let mut above = target.patch("above", &["second"], 10);
    above.meta.requires = vec![Requirement { name: "base".into(), version: "1".into() }];
    let outcome = expect(target.apply(&above), State::Refused);
    assert!(outcome.reason.unwrap().contains("base 1"));
    expect(target.apply(&base), State::Applied);
    expect(target.apply(&above), State::Applied);
    assert!(expect(target.revert("base"), State::Refused).reason.unwrap().contains("above"));
    expect(target.revert("above"), State::Reverted);
    expect(target.revert("base"), State::Reverted);
}

#[test]
fn status_tells_what_is_in_and_nothing_stays_afterwards() {
    let target = Running::start(&[], &["2", "100"]);
    let before = std::fs::read(format!("/proc/{}/maps", target.pid())).unwrap();
    let patch = target.patch("ten", &["first"], 10);
    let dry =
        liveline_engine::apply(target.pid(), &patch, b"", Options { dry_run: true, ..Options::default() });
    expect(dry, State::Possible);
    assert_eq!(
        std::fs::read(format!("/proc/{}/maps", target.pid())).unwrap(),
        before,
        "a dry run touches nothing"
    );
    expect(target.apply(&patch), State::Applied);
    let status = liveline_engine::status(target.pid());
    assert_eq!(status.error, None);
    assert_eq!(status.patches.len(), 1);
    assert_eq!((status.patches[0].name.as_str(), status.patches[0].state), ("ten", "active"));
    expect(target.revert("ten"), State::Reverted);
    assert!(liveline_engine::status(target.pid()).patches.is_empty());
}

#[test]
fn threads_that_sleep_inside_and_come_straight_back_are_waited_for() {
    for (threads, sleep) in [("1", "3000"), ("1", "50000"), ("2", "2000")] {
        let mut target = Running::start(&["-DSLEEPS"], &[threads, "0", sleep]);
        let patch = target.patch("ten", &["first"], 10);
        let outcome = expect(target.apply(&patch), State::Applied);
        println!("{threads} threads, {sleep} us: {} looks, {} ms", outcome.attempts, outcome.apply_ms);
        assert_eq!(target.ask()[..3], [10, 1, 0]);
        expect(target.revert("ten"), State::Reverted);
    }
}

#[test]
fn threads_that_never_seem_to_leave_pass_the_gate_on_their_way_in_only() {
    let mut target = Running::start_source("nested.c", &[], &["3"]);
    let patch = target.patch("ten", &["first", "outer"], 10);
    for _ in 0..3 {
        expect(target.apply(&patch), State::Applied);
        assert_eq!(target.ask()[..3], [10, 10, 0]);
        expect(target.revert("ten"), State::Reverted);
        assert_eq!(target.ask()[..3], [1, 1, 0]);
    }
}

#[test]
fn a_thread_that_stays_inside_is_named_and_nothing_changes() {
    let mut target = Running::start(&["-DSLEEPS"], &["1", "0", "900000000"]);
    let patch = target.patch("ten", &["first"], 10);
    let options = Options { timeout: std::time::Duration::from_millis(600), ..Options::default() };
    let outcome = liveline_engine::apply(target.pid(), &patch, &patch.encode().unwrap(), options);
    let outcome = expect(outcome, State::Timeout);
    let blocker = &outcome.blockers[0];
    assert_eq!((blocker.function.as_str(), blocker.thread.as_str()), ("first", "pair"));
    assert!(blocker.backtrace.iter().any(|frame| frame.starts_with("worker")), "{blocker:?}");
    assert!(liveline_engine::status(target.pid()).patches.is_empty());
    drop(target.child.kill());
}

#[test]
fn a_patched_library_that_was_closed_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("library.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/targets/library.c");
    let built =
        Command::new("gcc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(built.unwrap().success());
    let mut target = Running::start_source("opens.c", &[], &[library.to_str().unwrap()]);
    let patch = patch_of(&library, "ten", &["first"], 10);
    expect(target.apply(&patch), State::Applied);
    assert_eq!(target.ask()[0], 10);
    assert_eq!(target.say("close\n")[0], -1);
    expect(target.revert("ten"), State::Reverted);
    assert_eq!(target.ask()[0], -1);
    assert!(liveline_engine::status(target.pid()).patches.is_empty());
}

#[test]
fn a_suspended_coroutine_inside_is_seen() {
    let mut target = Running::start_source("coroutine.c", &[], &[]);
    let patch = target.patch("ten", &["first"], 10);
    let options = Options { timeout: std::time::Duration::from_millis(300), ..Options::default() };
    let outcome = liveline_engine::apply(target.pid(), &patch, &patch.encode().unwrap(), options);
    let outcome = expect(outcome, State::Timeout);
    assert_eq!(outcome.blockers[0].function, "first");
    assert!(outcome.blockers[0].thread.starts_with("suspended stack"), "{outcome:?}");
    assert_eq!(target.say("go\n")[0], 1);
    expect(target.apply(&patch), State::Applied);
    assert_eq!(target.ask()[0], 10);
}

#[test]
fn a_pid_that_is_gone_is_a_clear_error() {
    let mut target = Running::start(&[], &["1", "0"]);
    let patch = target.patch("ten", &["first"], 10);
    drop(target.child.kill());
    drop(target.child.wait());
    let outcome = expect(target.apply(&patch), State::Failed);
    assert!(outcome.reason.unwrap().contains("no"), "says that it is gone");
}
