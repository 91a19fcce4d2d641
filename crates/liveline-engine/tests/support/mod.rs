//! Targets to patch, and the simplest of patches.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use liveline_elf::module::{Module, ModuleKind};
use liveline_engine::{Options, Outcome, State};
use liveline_patch::*;

/// A target process; killed when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    answers: BufReader<std::process::ChildStdout>,
    pub(crate) program: PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(flags: &[&str], arguments: &[&str]) -> Running {
        Running::start_source("pair.c", flags, arguments)
    }

    pub(crate) fn start_source(source: &str, flags: &[&str], arguments: &[&str]) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("pair");
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/targets").join(source);
        let built = Command::new(if source.extension().is_some_and(|extension| extension == "cc") {
            "g++"
        } else {
            "gcc"
        })
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

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// first(0), second(0), mixtures, loops.
    pub(crate) fn ask(&mut self) -> [i64; 4] {
        self.say("?\n")
    }

    pub(crate) fn say(&mut self, words: &str) -> [i64; 4] {
        self.child.stdin.as_mut().unwrap().write_all(words.as_bytes()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let numbers: Vec<i64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        numbers.try_into().expect("four numbers from a living target")
    }

    pub(crate) fn patch(&self, name: &str, names: &[&str], plus: u8) -> Patch {
        patch_of(&self.program, name, names, plus)
    }

    pub(crate) fn apply(&self, patch: &Patch) -> Outcome {
        liveline_engine::apply(self.pid(), patch, &patch.encode().unwrap(), Options::default())
    }

    pub(crate) fn revert(&self, name: &str) -> Outcome {
        liveline_engine::revert(self.pid(), name, Options::default())
    }
}

/// A patch that makes each of `names` in a program or library add `plus` to its argument.
pub(crate) fn patch_of(module: &Path, name: &str, names: &[&str], plus: u8) -> Patch {
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
            remainders: vec![],
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

pub(crate) fn expect(outcome: Outcome, state: State) -> Outcome {
    assert_eq!(outcome.state, state, "{outcome:?}");
    outcome
}
