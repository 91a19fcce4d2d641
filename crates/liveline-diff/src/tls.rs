//! References to thread-locals that exist: offsets from the thread pointer in programs, the existing GOT words of
//! shared libraries ("ELF Handling For Thread-Local Storage", 4.4 and 5.5).

use liveline_patch::{Place, RelocationKind};
use object::elf::{self, RelocationType};

use crate::close::{Where, label_of};
use crate::emit::Emitter;
use crate::place::Key;
use crate::unit::{Piece, Reloc, To};

/// `mov %fs:0, %rax`.
const POINTER: [u8; 9] = [0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0];

/// Whether a relocation is about thread-locals.
pub(crate) fn is_thread(kind: u32) -> bool {
    matches!(
        RelocationType(kind),
        elf::R_X86_64_TLSGD
            | elf::R_X86_64_TLSLD
            | elf::R_X86_64_DTPOFF32
            | elf::R_X86_64_DTPOFF64
            | elf::R_X86_64_GOTTPOFF
            | elf::R_X86_64_TPOFF32
            | elf::R_X86_64_TPOFF64
            | elf::R_X86_64_GOTPC32_TLSDESC
            | elf::R_X86_64_TLSDESC_CALL
            | elf::R_X86_64_CODE_4_GOTTPOFF
            | elf::R_X86_64_CODE_4_GOTPC32_TLSDESC
            | elf::R_X86_64_CODE_6_GOTTPOFF
    )
}

/// How the code of a relocation can reach its thread-local.
enum Reach {
    /// A constant offset from the thread pointer.
    Constant(i64),
    /// A word that holds the offset: symbol and addend for a field at distance 0.
    Offset(usize, i64),
    /// A pair for `__tls_get_addr`.
    Pair(usize, i64),
    /// A TLS descriptor.
    Descriptor(usize, i64),
}

/// Rewrites the code at a thread-local relocation of a new piece. Returns the relocations that are done with it.
pub(crate) fn rewrite(
    emitter: &mut Emitter,
    key: (usize, usize),
    piece: &Piece,
    index: usize,
) -> Result<Vec<usize>, String> {
    let reloc = piece.relocs[index];
    let kind = RelocationType(reloc.kind);
    if kind == elf::R_X86_64_TLSDESC_CALL {
        return descriptor_call(emitter, key, piece, &reloc);
    }
    if kind == elf::R_X86_64_TLSLD {
        return module_base(emitter, key, piece, index);
    }
    let place = emitter.world.resolve(key, &reloc)?;
    let library = emitter.world.program.is_library();
    match kind {
        elf::R_X86_64_TPOFF32 | elf::R_X86_64_TPOFF64 | elf::R_X86_64_DTPOFF32 | elf::R_X86_64_DTPOFF64 => {
            let Where::Thread { value, name } = place else { return Err(elsewhere(emitter, key, &reloc)) };
            let module = matches!(kind, elf::R_X86_64_DTPOFF32 | elf::R_X86_64_DTPOFF64);
            if library && !module {
                return Err(format!(
                    "{name} is used with the local-exec model in a shared library; use -fPIC"
                ));
            }
            let base = if library { value as i64 } else { offset(emitter, value)? };
            let number = base.wrapping_add(reloc.addend);
            if reloc.width() == 8 {
                emitter.put(key, reloc.offset, &number.to_le_bytes());
            } else {
                emitter.put(key, reloc.offset, &small(number)?.to_le_bytes());
            }
            Ok(vec![index])
        }
        elf::R_X86_64_GOTTPOFF => {
            match reach(emitter, &place, label_of(piece, &reloc), false, &name_of(emitter, key, &reloc))? {
                Reach::Constant(number) => initial_to_local(emitter, key, piece, &reloc, number)?,
                Reach::Offset(symbol, addend) => {
                    emitter.add(key, reloc.offset, RelocationKind::Pc32, symbol, addend - reloc.tail);
                }
                Reach::Pair(..) | Reach::Descriptor(..) => return Err(elsewhere(emitter, key, &reloc)),
            }
            Ok(vec![index])
        }
        elf::R_X86_64_TLSGD => general(emitter, key, piece, index, &place),
        elf::R_X86_64_GOTPC32_TLSDESC => descriptor(emitter, key, piece, index, &place),
        _ => Err("it uses a thread-local in a way that is not supported (APX); build for x86-64-v3".into()),
    }
}

fn name_of(emitter: &Emitter, key: (usize, usize), reloc: &Reloc) -> String {
    emitter.target_name(key, reloc)
}

fn elsewhere(emitter: &Emitter, key: (usize, usize), reloc: &Reloc) -> String {
    format!(
        "the thread-local {} cannot be reached: the running module has no word for it; use one that its code uses \
         already",
        name_of(emitter, key, reloc)
    )
}

fn offset(emitter: &Emitter, value: u64) -> Result<i64, String> {
    emitter.world.program.thread_offset(value).ok_or_else(|| "the target has no thread-locals".into())
}

fn small(number: i64) -> Result<i32, String> {
    i32::try_from(number).map_err(|_| "a thread-local lies too far away".into())
}

/// How to reach a thread-local. `full` where the code can take a pair or a descriptor.
fn reach(emitter: &mut Emitter, place: &Where, label: i64, full: bool, name: &str) -> Result<Reach, String> {
    let program = &emitter.world.program;
    let missing = || {
        format!(
            "the thread-local {name} cannot be reached: the running module has no word for it; use one that its \
                 code uses already"
        )
    };
    match place {
        Where::Thread { value, .. } if !program.is_library() => {
            Ok(Reach::Constant(offset(emitter, *value)?.wrapping_add(label)))
        }
        Where::Thread { value, name: own } => {
            let wanted = (*value as i64).wrapping_add(label);
            let slots = program.slots(own);
            let words = program.own_thread_words();
            if let Some(slot) = slots.tpoff.filter(|_| label == 0).or(words.offset_of(wanted)) {
                return Ok(Reach::Offset(emitter.maker.target(slot, &format!("{name}@gottpoff")), 0));
            }
            if let Some((other, place)) = words.any_offset() {
                let slot = word_address(&place);
                let base = emitter.maker.symbol(Key::Word(slot), "tpoff", || place);
                let word = emitter.maker.word(Key::Word(slot), base, wanted.wrapping_sub(other));
                return Ok(Reach::Offset(emitter.maker.got(), word as i64));
            }
            if full && let Some(place) = words.module() {
                let slot = word_address(&place);
                let module = emitter.maker.symbol(Key::Word(slot), "dtpmod", || place);
                let pair = emitter.maker.raw_words(&[(Some(module), 0), (None, wanted)]);
                return Ok(Reach::Pair(emitter.maker.got(), pair as i64));
            }
            let descriptor = slots.descriptor.filter(|_| label == 0).or(words.descriptor_of(wanted));
            if full && let Some(slot) = descriptor {
                let symbol = emitter.maker.target(slot, &format!("{name}@tlsdesc"));
                return Ok(Reach::Descriptor(symbol, 0));
            }
            Err(missing())
        }
        Where::Import { name: own, .. } if label == 0 => {
            let slots = program.slots(own);
            if let Some(slot) = slots.tpoff {
                return Ok(Reach::Offset(emitter.maker.target(slot, &format!("{name}@gottpoff")), 0));
            }
            if full && let Some(slot) = slots.module {
                return Ok(Reach::Pair(emitter.maker.target(slot, &format!("{name}@tlsgd")), 0));
            }
            if full && let Some(slot) = slots.descriptor {
                return Ok(Reach::Descriptor(emitter.maker.target(slot, &format!("{name}@tlsdesc")), 0));
            }
            Err(missing())
        }
        _ => Err(missing()),
    }
}

fn word_address(place: &Place) -> u64 {
    if let Place::TargetWord { address, .. } = place { *address } else { 0 }
}

/// `mov x@gottpoff(%rip), %r` → `mov $x, %r`; `add x@gottpoff(%rip), %r` → `add $x, %r`.
fn initial_to_local(
    emitter: &mut Emitter,
    key: (usize, usize),
    piece: &Piece,
    reloc: &Reloc,
    number: i64,
) -> Result<(), String> {
    let strange = || "an initial-exec access to a thread-local has an unknown form".to_owned();
    let start = usize::try_from(reloc.offset).ok().and_then(|at| at.checked_sub(3)).ok_or_else(strange)?;
    let Some(&[rex, opcode, modrm]) = piece.bytes.get(start..start + 3) else { return Err(strange()) };
    if rex & 0xf8 != 0x48 || modrm & 0xc7 != 5 {
        return Err(strange());
    }
    let code = match opcode {
        0x8b => 0xc7,
        0x03 => 0x81,
        _ => return Err(strange()),
    };
    // The register moves from ModRM.reg (REX.R) to ModRM.rm (REX.B).
    let rex = 0x48 | (rex >> 2 & 1);
    let mut bytes = vec![rex, code, 0xc0 | (modrm >> 3 & 7)];
    bytes.extend(small(number)?.to_le_bytes());
    emitter.put(key, start as u64, &bytes);
    Ok(())
}

/// `lea x@tlsgd(%rip), %rdi; call __tls_get_addr@PLT`, 16 bytes with its prefixes.
fn general(
    emitter: &mut Emitter,
    key: (usize, usize),
    piece: &Piece,
    index: usize,
    place: &Where,
) -> Result<Vec<usize>, String> {
    let reloc = piece.relocs[index];
    let strange = || "a general-dynamic access to a thread-local has an unknown form".to_owned();
    let start = reloc.offset.checked_sub(4).ok_or_else(strange)?;
    let at = usize::try_from(start).map_err(|_| strange())?;
    let name = name_of(emitter, key, &reloc);
    let reached = reach(emitter, place, label_of(piece, &reloc), true, &name)?;
    if let Reach::Pair(symbol, addend) = reached {
        emitter.add(key, reloc.offset, RelocationKind::Pc32, symbol, addend - reloc.tail);
        return Ok(vec![index]);
    }
    let call =
        piece.relocs.get(index + 1).filter(|call| call.offset == reloc.offset + 8).ok_or_else(strange)?;
    let known = piece.bytes.get(at..at + 4) == Some(&[0x66, 0x48, 0x8d, 0x3d][..]);
    if !known || !calls_resolver(emitter, key, call) || piece.bytes.len() < at + 16 {
        return Err(strange());
    }
    let mut bytes = POINTER.to_vec();
    match reached {
        Reach::Constant(number) => {
            bytes.extend([0x48, 0x8d, 0x80]);
            bytes.extend(small(number)?.to_le_bytes());
            emitter.put(key, start, &bytes);
        }
        Reach::Offset(symbol, addend) => {
            bytes.extend([0x48, 0x03, 0x05, 0, 0, 0, 0]);
            emitter.put(key, start, &bytes);
            emitter.add(key, start + 12, RelocationKind::Pc32, symbol, addend - 4);
        }
        Reach::Descriptor(symbol, addend) => {
            // `lea desc(%rip), %rax; call *(%rax); add %fs:0, %rax` needs 18 bytes: there are 16.
            let _ = (symbol, addend);
            return Err(strange());
        }
        Reach::Pair(..) => {}
    }
    Ok(vec![index, index + 1])
}

fn calls_resolver(emitter: &Emitter, key: (usize, usize), call: &Reloc) -> bool {
    let unit = emitter.world.new_unit(key.0);
    matches!(call.to, To::Extern(symbol) if unit.is_some_and(|unit| unit.externs[symbol].name == "__tls_get_addr"))
}

/// `lea x@tlsld(%rip), %rdi; call __tls_get_addr@PLT`: the base of the module's thread-locals.
fn module_base(
    emitter: &mut Emitter,
    key: (usize, usize),
    piece: &Piece,
    index: usize,
) -> Result<Vec<usize>, String> {
    let reloc = piece.relocs[index];
    let strange = || "a local-dynamic access to a thread-local has an unknown form".to_owned();
    if emitter.world.program.is_library() {
        let place = emitter
            .world
            .program
            .own_thread_words()
            .module()
            .ok_or_else(|| elsewhere(emitter, key, &reloc))?;
        let slot = word_address(&place);
        let module = emitter.maker.symbol(Key::Word(slot), "dtpmod", || place);
        let pair = emitter.maker.raw_words(&[(Some(module), 0), (None, 0)]);
        let got = emitter.maker.got();
        emitter.add(key, reloc.offset, RelocationKind::Pc32, got, pair as i64 - reloc.tail);
        return Ok(vec![index]);
    }
    let start = reloc.offset.checked_sub(3).ok_or_else(strange)?;
    let at = usize::try_from(start).map_err(|_| strange())?;
    let call = piece.relocs.get(index + 1).ok_or_else(strange)?;
    let known = piece.bytes.get(at..at + 3) == Some(&[0x48, 0x8d, 0x3d][..]);
    let length = match (piece.bytes.get(at + 7), piece.bytes.get(at + 8), call.offset.wrapping_sub(start)) {
        (Some(0xe8), _, 8) => 12,
        (Some(0xff), Some(0x15), 9) => 13,
        _ => return Err(strange()),
    };
    if !known || !calls_resolver(emitter, key, call) {
        return Err(strange());
    }
    let mut bytes = vec![0x66; length - POINTER.len()];
    bytes.extend(POINTER);
    emitter.put(key, start, &bytes);
    Ok(vec![index, index + 1])
}

/// `lea x@tlsdesc(%rip), %rax`.
fn descriptor(
    emitter: &mut Emitter,
    key: (usize, usize),
    piece: &Piece,
    index: usize,
    place: &Where,
) -> Result<Vec<usize>, String> {
    let reloc = piece.relocs[index];
    let strange = || "a TLS descriptor access has an unknown form".to_owned();
    let start = usize::try_from(reloc.offset).ok().and_then(|at| at.checked_sub(3)).ok_or_else(strange)?;
    let Some(&[rex, 0x8d, modrm]) = piece.bytes.get(start..start + 3) else { return Err(strange()) };
    if rex & 0xf8 != 0x48 || modrm & 0xc7 != 5 {
        return Err(strange());
    }
    let name = name_of(emitter, key, &reloc);
    match descriptor_reach(emitter, place, label_of(piece, &reloc), &name)? {
        Reach::Constant(number) => {
            let mut bytes = vec![0x48 | (rex >> 2 & 1), 0xc7, 0xc0 | (modrm >> 3 & 7)];
            bytes.extend(small(number)?.to_le_bytes());
            emitter.put(key, start as u64, &bytes);
        }
        Reach::Offset(symbol, addend) => {
            emitter.put(key, start as u64 + 1, &[0x8b]);
            emitter.add(key, reloc.offset, RelocationKind::Pc32, symbol, addend - reloc.tail);
        }
        Reach::Descriptor(symbol, addend) => {
            emitter.add(key, reloc.offset, RelocationKind::Pc32, symbol, addend - reloc.tail);
        }
        Reach::Pair(..) => return Err(strange()),
    }
    Ok(vec![index])
}

/// A descriptor where there is one, else a constant or a word with the offset.
fn descriptor_reach(emitter: &mut Emitter, place: &Where, label: i64, name: &str) -> Result<Reach, String> {
    let program = &emitter.world.program;
    let slot = match place {
        Where::Thread { value, name: own } if program.is_library() => {
            let wanted = (*value as i64).wrapping_add(label);
            program
                .slots(own)
                .descriptor
                .filter(|_| label == 0)
                .or(program.own_thread_words().descriptor_of(wanted))
        }
        Where::Import { name: own, .. } if label == 0 => program.slots(own).descriptor,
        _ => None,
    };
    match slot {
        Some(slot) => Ok(Reach::Descriptor(emitter.maker.target(slot, &format!("{name}@tlsdesc")), 0)),
        None => reach(emitter, place, label, false, name),
    }
}

/// `call *x@tlscall(%rax)`: stays where a descriptor is used, else becomes a nop.
fn descriptor_call(
    emitter: &mut Emitter,
    key: (usize, usize),
    piece: &Piece,
    reloc: &Reloc,
) -> Result<Vec<usize>, String> {
    let place = emitter.world.resolve(key, reloc)?;
    let name = name_of(emitter, key, reloc);
    // The call names its symbol exactly as the `lea` before it does, so both are reached alike.
    let lea = piece
        .relocs
        .iter()
        .rev()
        .find(|lea| {
            lea.offset < reloc.offset && lea.to == reloc.to && lea.kind == elf::R_X86_64_GOTPC32_TLSDESC.0
        })
        .ok_or("a TLS descriptor is called that was not loaded before")?;
    let reached = descriptor_reach(emitter, &place, label_of(piece, lea), &name)?;
    if !matches!(reached, Reach::Descriptor(..)) {
        let at = usize::try_from(reloc.offset).unwrap_or(usize::MAX);
        if piece.bytes.get(at..at.saturating_add(2)) != Some(&[0xff, 0x10][..]) {
            return Err("a TLS descriptor call has an unknown form".into());
        }
        emitter.put(key, reloc.offset, &[0x66, 0x90]);
    }
    let index = piece.relocs.iter().position(|own| own == reloc);
    Ok(index.into_iter().collect())
}
