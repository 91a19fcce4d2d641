//! A patch is the same after being written and read, and damaged bytes are refused without a panic.

use liveline_patch::fuzzing::decode_unsealed;
use liveline_patch::*;

fn here(section: usize, offset: u64, size: u64, function: bool) -> Place {
    Place::Here { section, offset, size, function }
}

fn sample() -> Patch {
    let symbol = |name: &str, place| Symbol { name: name.into(), place };
    Patch {
        meta: Meta {
            format: FORMAT,
            name: "fix-1".into(),
            version: "2".into(),
            requires: vec![Requirement { name: "base".into(), version: "1".into() }],
            target: Target {
                file_name: "server".into(),
                build_id: Some("00ff".into()),
                text_hash: "ab".into(),
                low: 0,
                high: 0x9000,
                fixed: false,
                executable: true,
            },
            functions: vec![Function {
                name: "work".into(),
                file: Some("work.c".into()),
                address: 0x1100,
                size: 40,
                hash: "cd".into(),
                detour: 4,
                room: 36,
                parts: vec![Part { name: "work.cold".into(), address: 0x1000, size: 9, hash: "ef".into() }],
                remainders: vec![12, 30],
                new: 0,
            }],
            verdicts: vec![Verdict {
                object: "work.o".into(),
                symbol: "work".into(),
                verdict: VerdictKind::Changed,
                reason: "code differs".into(),
            }],
            notes: vec!["note".into()],
            unwinds: false,
            initializers: Vec::new(),
            assumed: Vec::new(),
            types_unchecked: false,
            made_by: "test".into(),
        },
        sections: vec![
            Section {
                name: ".text.work".into(),
                kind: SectionKind::Text,
                align: 16,
                bytes: vec![0x90; 32],
                size: 32,
                relocations: vec![
                    Relocation { offset: 1, kind: RelocationKind::Pc32, symbol: 1, addend: -4 },
                    Relocation { offset: 8, kind: RelocationKind::Abs32S, symbol: 4, addend: 7 },
                ],
            },
            Section {
                name: ".rodata.s".into(),
                kind: SectionKind::Rodata,
                align: 1,
                bytes: b"hi\0".to_vec(),
                size: 3,
                relocations: vec![],
            },
            Section {
                name: ".data.t".into(),
                kind: SectionKind::Data,
                align: 8,
                bytes: vec![0; 16],
                size: 16,
                relocations: vec![
                    Relocation { offset: 0, kind: RelocationKind::Abs64, symbol: 3, addend: 0 },
                    Relocation { offset: 8, kind: RelocationKind::Pc64, symbol: 2, addend: 0 },
                ],
            },
            Section {
                name: ".bss.u".into(),
                kind: SectionKind::Bss,
                align: 64,
                bytes: vec![],
                size: 4096,
                relocations: vec![],
            },
            Section {
                name: ".eh_frame".into(),
                kind: SectionKind::EhFrame,
                align: 8,
                bytes: vec![0; 24],
                size: 24,
                relocations: vec![Relocation { offset: 8, kind: RelocationKind::Pc32, symbol: 0, addend: 0 }],
            },
        ],
        symbols: vec![
            symbol("work", here(0, 0, 32, true)),
            symbol("helper", Place::Target { address: 0x1200 }),
            symbol("", here(1, 0, 3, false)),
            symbol("strlen", Place::Import { version: Some("GLIBC_2.2.5".into()), weak: false }),
            symbol("helper", Place::Absolute { value: u64::MAX }),
            symbol("helper", Place::TargetWord { address: 0x8000, unless_interposed: Some("t".into()) }),
            symbol("buffer", here(3, 0, 4096, false)),
        ],
    }
}

#[test]
fn the_same_after_writing_and_reading() {
    let patch = sample();
    let bytes = patch.encode().unwrap();
    assert_eq!(Patch::decode(&bytes).unwrap(), patch);
    assert_eq!(patch.encode().unwrap(), bytes, "the same patch gives the same bytes");
}

#[test]
fn a_newer_major_is_refused() {
    let mut patch = sample();
    patch.meta.format.major = FORMAT.major + 1;
    let bytes = patch.encode().unwrap();
    assert!(matches!(Patch::decode(&bytes), Err(DecodeError::Newer { .. })));
    patch.meta.format = Format { major: FORMAT.major, minor: FORMAT.minor + 7 };
    assert!(Patch::decode(&patch.encode().unwrap()).is_ok());
}

#[test]
fn contradictions_are_refused() {
    let refused = |change: fn(&mut Patch)| {
        let mut patch = sample();
        change(&mut patch);
        patch.encode().unwrap_err().to_string()
    };
    assert!(refused(|patch| patch.meta.name = "../x".into()).contains("name must be"));
    assert!(refused(|patch| patch.sections[0].relocations[0].offset = 29).contains("out of bounds"));
    assert!(refused(|patch| patch.sections[0].name = ".liveline.check".into()).contains("reserved"));
    assert!(refused(|patch| patch.sections[0].align = 3).contains("alignment"));
    assert!(refused(|patch| patch.meta.functions[0].new = 2).contains("no new code"));
    assert!(refused(|patch| patch.meta.functions[0].address = 0x9000).contains("outside the target"));
    assert!(refused(|patch| patch.meta.functions[0].room = 4).contains("no room"));
    assert!(refused(|patch| patch.meta.functions.push(patch.meta.functions[0].clone())).contains("twice"));
}

#[test]
fn every_truncation_and_bit_flip_is_refused() {
    let bytes = sample().encode().unwrap();
    for length in 0..bytes.len() {
        assert!(Patch::decode(&bytes[..length]).is_err(), "cut to {length}");
    }
    assert!(Patch::decode(&[&bytes[..], &[0]].concat()).is_err(), "one byte more");
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Patch::decode(&damaged).is_err(), "bit {bit}");
        // What lies behind the hash must bear damage as well: a hostile file has a hash that is right.
        if let Ok(patch) = decode_unsealed(&damaged) {
            let _ = patch.encode();
        }
    }
}
