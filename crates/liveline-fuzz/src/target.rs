//! What is fuzzed.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use liveline_elf::module::Module;
use liveline_patch::Patch;
use liveline_patch::fuzzing::decode_unsealed;
use liveline_process::seccomp::{Call, judge};
use liveline_process::unwind::{ModuleCfi, Unwinder};
use liveline_process::{Mapping, Process, Registers};

use crate::corpus::{self, CorpusError, Input};
use crate::random::Random;

/// A reader under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Its share of all runs, in thousandths.
    pub share: usize,
    /// The corpus folder that the seeds of each of its files are in.
    pub parts: &'static [&'static str],
    /// Reads one input; whether it was taken for good. Files go to the folder.
    pub read: fn(&[Vec<u8>], &Path) -> bool,
}

/// All of them; the shares add up to 1000. Slow ones get few runs, but 10 of 1000 at least.
pub const ALL: &[Target] = &[
    Target { name: "mapping", share: 40, parts: &["maps"], read: mapping },
    Target { name: "filter", share: 40, parts: &["filter"], read: filter },
    Target { name: "record", share: 200, parts: &[RECORD], read: record },
    Target { name: "unwind", share: 190, parts: &["eh_frame"], read: unwind },
    Target { name: "memory", share: 40, parts: &["elf"], read: memory },
    Target { name: "module", share: 130, parts: &["elf"], read: module },
    Target { name: "patch", share: 140, parts: &["llp"], read: patch },
    Target { name: "archive", share: 40, parts: &["archive", "archive"], read: archive },
    Target { name: "object", share: 100, parts: &["object", "object"], read: object },
    Target { name: "image", share: 50, parts: &["llp"], read: image },
    Target { name: "diff", share: 30, parts: &["build/old", "build/new", "build/program"], read: diff },
];

/// Not a folder: records are made from the patches of the corpus.
const RECORD: &str = "record";

/// Where images are made for.
const BASE: u64 = 0x5555_0000_0000;

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Target> {
        ALL.iter().find(|target| target.name == name)
    }

    /// The seeds of each of its files.
    pub fn seeds(&self) -> Result<Vec<Vec<Vec<u8>>>, CorpusError> {
        let of = |folder: &&str| match *folder {
            RECORD => Ok(records(&corpus::seeds("llp")?)),
            folder => corpus::seeds(folder),
        };
        self.parts.iter().map(of).collect()
    }
}

fn only(input: &[Vec<u8>]) -> &[u8] {
    input.first().map_or(&[], Vec::as_slice)
}

/// A number that follows from the bytes, so that a file is read the same way each time.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn records(patches: &[Vec<u8>]) -> Vec<Vec<u8>> {
    // push rbp; mov rbp, rsp; nop; ret
    let body = [0x55, 0x48, 0x89, 0xe5, 0x90, 0xc3];
    let patches = patches.iter().filter_map(|bytes| decode_unsealed(bytes).ok());
    patches.filter_map(|patch| liveline_engine::fuzzing::image(&near(patch), BASE, &body).ok()).collect()
}

/// The same patch with outer symbols of its own, as if they were near.
fn near(mut patch: Patch) -> Patch {
    for section in &mut patch.sections {
        let symbols = &patch.symbols;
        section.relocations.retain(|relocation| {
            let place = symbols.get(relocation.symbol).map(|symbol| &symbol.place);
            matches!(place, Some(liveline_patch::Place::Here { .. }))
        });
    }
    patch
}

fn mapping(input: &[Vec<u8>], _: &Path) -> bool {
    let line = String::from_utf8_lossy(only(input));
    Mapping::parse(&line).is_some_and(|mapping| {
        let _ = mapping.contains(mapping.start);
        true
    })
}

fn record(input: &[Vec<u8>], _: &Path) -> bool {
    liveline_engine::fuzzing::record(only(input))
}

/// The file: address of the table, address of the code, the table.
fn unwind(input: &[Vec<u8>], _: &Path) -> bool {
    let bytes = only(input);
    let Some((head, table)) = bytes.split_at_checked(16) else { return false };
    let word = |at: usize| head[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let (address, code) = (word(0), word(8));
    let range = (code & !0xffff, (code & !0xffff).saturating_add(0x2_0000));
    let Ok(cfi) = ModuleCfi::from_eh_frame(range, address, table.to_vec()) else { return false };
    walk(cfi, code, number(bytes));
    true
}

/// Walks a few stacks of chance through code at `code`.
fn walk(cfi: ModuleCfi, code: u64, seed: u64) {
    let mut random = Random::new(seed, 0);
    let unwinder = Unwinder::new(vec![cfi]);
    // The same word each time it is read; every other one points into the code.
    let read_word = |address: u64| {
        let word = Random::new(seed, address).next();
        match word % 16 {
            0 => None,
            1..=8 => Some(code.wrapping_add(word >> 32 & 0xff)),
            9..=12 => Some(address.wrapping_add(word >> 32 & 0xff)),
            _ => Some(word),
        }
    };
    for _ in 0..4 {
        let mut value = || {
            let word = random.next();
            if word.is_multiple_of(8) { word } else { 0x7fff_0000_0000 + (word >> 48) }
        };
        let registers = Registers {
            rax: value(),
            rbx: value(),
            rbp: value(),
            rsp: value(),
            r12: value(),
            r15: value(),
            rip: code.wrapping_add(value() & 0x7f),
            ..Registers::default()
        };
        let walk = unwinder.walk(&registers, &read_word, 64);
        assert!(walk.frames.len() <= 64);
    }
}

/// Zeroed memory that images are put into, with room behind the largest; and this process, as another one.
struct Own {
    memory: Vec<u8>,
    used: usize,
    process: Option<Process>,
}

thread_local! {
    static OWN: RefCell<Own> = RefCell::new(Own {
        memory: vec![0; 512 << 10],
        used: 0,
        process: Process::open_to_read(std::process::id() as i32).ok(),
    });
}

/// An image in the memory of a process, here our own.
fn memory(input: &[Vec<u8>], _: &Path) -> bool {
    let bytes = only(input);
    OWN.with_borrow_mut(|own| {
        let Some(process) = &own.process else { panic!("this process cannot be opened") };
        let address = own.memory.as_ptr() as usize;
        let start = address.next_multiple_of(4096) - address;
        own.memory[start..start + own.used].fill(0);
        own.memory[start..start + bytes.len()].copy_from_slice(bytes);
        own.used = bytes.len();
        let base = (address + start) as u64;
        let Ok(cfi) = ModuleCfi::of_image(process, base) else { return false };
        walk(cfi, base, number(bytes));
        true
    })
}

fn filter(input: &[Vec<u8>], _: &Path) -> bool {
    let bytes = only(input);
    let instructions = bytes.chunks_exact(8).map(|raw| libc::sock_filter {
        code: u16::from_le_bytes([raw[0], raw[1]]),
        jt: raw[2],
        jf: raw[3],
        k: u32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]),
    });
    let program: Vec<_> = instructions.collect();
    let mut random = Random::new(number(bytes), 2);
    let call = Call {
        number: random.below(500) as u32,
        instruction_pointer: random.next(),
        args: std::array::from_fn(|_| random.next()),
    };
    judge(&[program], &call).is_some()
}

fn module(input: &[Vec<u8>], _: &Path) -> bool {
    let data = only(input);
    let Ok(module) = Module::parse(data) else { return false };
    let (low, high) = module.span();
    assert!(low <= high);
    let _ = (module.build_id_hex(), module.text_hash(data), module.tls.map(|tls| tls.aligned_size()));
    for function in module.functions() {
        let _ = module.bytes_at(data, function.address, function.size);
    }
    for relocation in &module.relocations {
        let _ = module.load_at(relocation.address);
    }
    true
}

fn patch(input: &[Vec<u8>], _: &Path) -> bool {
    let _ = Patch::decode(only(input));
    let Ok(patch) = decode_unsealed(only(input)) else { return false };
    let bytes =
        patch.encode().unwrap_or_else(|error| panic!("a patch that was read cannot be written: {error}"));
    let again =
        Patch::decode(&bytes).unwrap_or_else(|error| panic!("what was written cannot be read: {error}"));
    assert_eq!(patch, again, "written and read again, a patch differs");
    true
}

fn archive(input: &[Vec<u8>], _: &Path) -> bool {
    let part = |index: usize| input.get(index).cloned().unwrap_or_default();
    liveline_diff::fuzzing::archives(part(0), part(1)).is_ok()
}

fn object(input: &[Vec<u8>], _: &Path) -> bool {
    let [old, new] = input else { return false };
    liveline_diff::fuzzing::objects(old, new).is_ok()
}

fn image(input: &[Vec<u8>], _: &Path) -> bool {
    let bytes = only(input);
    let Ok(patch) = decode_unsealed(bytes) else { return false };
    let mut random = Random::new(number(bytes), 1);
    // Old code as it may be: plain, or any bytes.
    let mut body = vec![0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0xc3];
    if random.one_in(2) {
        body = (0..32).map(|_| random.next() as u8).collect();
    }
    // Once as it is, where nothing outer is in reach, once with inner references only.
    let far = liveline_engine::fuzzing::image(&patch, BASE, &body).is_ok();
    let near = liveline_engine::fuzzing::image(&near(patch), BASE, &body).is_ok();
    far || near
}

fn diff(input: &[Vec<u8>], folder: &Path) -> bool {
    let [old, new, target] = input else { return false };
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    };
    let request = liveline_diff::Request {
        old: write("old.o", old),
        new: write("new.o", new),
        target: write("target", target),
        debug: None,
        name: "fuzz".into(),
        version: "1".into(),
        requires: Vec::new(),
        assume: Vec::new(),
        no_types: false,
    };
    match liveline_diff::diff(&request) {
        Ok(report) => {
            if let Some(patch) = &report.patch {
                let bytes = patch.encode().unwrap_or_else(|error| panic!("a patch that was made: {error}"));
                let again =
                    Patch::decode(&bytes).unwrap_or_else(|error| panic!("a patch that was made: {error}"));
                assert_eq!(*patch, again, "written and read again, a patch differs");
            }
            report.patch.is_some()
        }
        Err(_) => false,
    }
}

/// One input: seeds of every part, one part of them damaged, sometimes all.
pub(crate) fn make(random: &mut Random, seeds: &[Vec<Vec<u8>>]) -> Input {
    let mut input: Input = seeds.iter().map(|of| random.pick(of).cloned().unwrap_or_default()).collect();
    let damaged = random.below(seeds.len());
    let all = random.one_in(8);
    for (index, (part, pool)) in input.iter_mut().zip(seeds).enumerate() {
        if all || index == damaged {
            crate::mutate::mutate(random, part, pool);
        }
    }
    input
}
