//! Code that reads another module's data as if it lay in the program (as compilers write it for programs, trusting
//! in a copy relocation): the instruction moves into a stub that takes the address from a word.

use iced_x86::{Encoder, Instruction, MemoryOperand, Mnemonic, OpKind, Register};
use liveline_patch::{Place, RelocationKind, Section, SectionKind};

use crate::emit::Emitter;
use crate::unit::{Piece, Reloc, find_instruction};

/// Bytes below the stack pointer that a leaf function may use (System V ABI, 3.2.2).
const RED_ZONE: i32 = 128;

/// Moves the instruction of a relocation into a stub. `word` is where its symbol's address is: symbol and addend.
pub(crate) fn detach(
    emitter: &mut Emitter,
    key: (usize, usize),
    piece: &Piece,
    reloc: &Reloc,
    name: &str,
    word: (usize, i64),
) -> Result<(), String> {
    let strange = || {
        format!(
            "it uses {name} of another module as if it lay in the program, in an instruction that cannot be moved; \
             compile the new objects with -fPIC, or use a variable the program already refers to"
        )
    };
    let instruction = find_instruction(piece, reloc.offset).ok_or_else(strange)?;
    let (start, end) = (instruction.ip(), instruction.next_ip());
    let alone = piece.relocs.iter().filter(|other| (start..end).contains(&other.offset)).count() == 1;
    if !alone || instruction.len() < 5 {
        return Err(strange());
    }
    let stub = code(&instruction, reloc).map_err(|_| strange())?.ok_or_else(strange)?;
    let own = emitter.here(key).ok_or_else(strange)?;
    let section = emitter.maker.sections.len();
    let mut bytes = stub.bytes;
    let back = bytes.len() as u64 + 1;
    bytes.extend([0xe9, 0, 0, 0, 0]);
    let size = bytes.len() as u64;
    let relocation = |offset, symbol, addend| liveline_patch::Relocation {
        offset,
        kind: RelocationKind::Pc32,
        symbol,
        addend,
    };
    emitter.maker.sections.push(Section {
        name: format!(".text.liveline.far.{name}.{section}"),
        kind: SectionKind::Text,
        align: 8,
        bytes,
        size,
        relocations: vec![relocation(stub.field, word.0, word.1 - 4), relocation(back, own, end as i64 - 4)],
    });
    let place = Place::Here { section, offset: 0, size, function: true };
    let symbol = emitter.maker.push(&format!("{name}@far"), place);
    let mut jump = vec![0x90; instruction.len()];
    jump[0] = 0xe9;
    emitter.put(key, start, &jump);
    emitter.add(key, start + 1, RelocationKind::Pc32, symbol, -4);
    Ok(())
}

struct Stub {
    bytes: Vec<u8>,
    /// Offset of the PC-relative field that reads the word.
    field: u64,
}

/// The stub's code without the jump back; none for instructions that cannot be moved.
fn code(instruction: &Instruction, reloc: &Reloc) -> Result<Option<Stub>, iced_x86::IcedError> {
    let label = reloc.effective();
    let memory = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
    if !memory {
        return immediate(instruction, label);
    }
    let plain = instruction.is_ip_rel_memory_operand() || instruction.memory_base() == Register::None;
    let stack = matches!(
        instruction.mnemonic(),
        Mnemonic::Push
            | Mnemonic::Pop
            | Mnemonic::Call
            | Mnemonic::Jmp
            | Mnemonic::Ret
            | Mnemonic::Enter
            | Mnemonic::Leave
    );
    let used: Vec<Register> = (0..instruction.op_count())
        .filter(|&operand| instruction.op_kind(operand) == OpKind::Register)
        .map(|operand| instruction.op_register(operand).full_register())
        .chain([instruction.memory_index().full_register()])
        .collect();
    if !plain || stack || used.contains(&Register::RSP) || instruction.has_segment_prefix() {
        return Ok(None);
    }
    let target = instruction.op0_register();
    let loads = matches!(
        instruction.mnemonic(),
        Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd | Mnemonic::Lea
    ) && instruction.op0_kind() == OpKind::Register
        && (target.is_gpr32() || target.is_gpr64())
        && instruction.memory_index().full_register() != target.full_register();
    let mut moved = *instruction;
    moved.set_memory_displacement64(label as u64);
    moved.set_memory_displ_size(8);
    if loads {
        let register = target.full_register();
        let (mut bytes, field) = load(register)?;
        moved.set_memory_base(register);
        bytes.extend(encode(&moved)?);
        return Ok(Some(Stub { bytes, field }));
    }
    let free = [Register::R11, Register::R10, Register::R9, Register::R8];
    let Some(scratch) = free.into_iter().find(|register| !used.contains(register)) else { return Ok(None) };
    moved.set_memory_base(scratch);
    // `lea` instead of `sub`: the flags belong to the code around.
    let down = MemoryOperand::with_base_displ(Register::RSP, i64::from(-RED_ZONE));
    let up = MemoryOperand::with_base_displ(Register::RSP, i64::from(RED_ZONE));
    let mut bytes = encode(&Instruction::with2(iced_x86::Code::Lea_r64_m, Register::RSP, down)?)?;
    bytes.extend(encode(&Instruction::with1(iced_x86::Code::Push_r64, scratch)?)?);
    let (loaded, field) = load(scratch)?;
    let field = bytes.len() as u64 + field;
    bytes.extend(loaded);
    bytes.extend(encode(&moved)?);
    bytes.extend(encode(&Instruction::with1(iced_x86::Code::Pop_r64, scratch)?)?);
    bytes.extend(encode(&Instruction::with2(iced_x86::Code::Lea_r64_m, Register::RSP, up)?)?);
    Ok(Some(Stub { bytes, field }))
}

/// `mov $x, %r` → `mov word(%rip), %r; lea label(%r), %r`.
fn immediate(instruction: &Instruction, label: i64) -> Result<Option<Stub>, iced_x86::IcedError> {
    let target = instruction.op0_register();
    if instruction.mnemonic() != Mnemonic::Mov || !(target.is_gpr32() || target.is_gpr64()) {
        return Ok(None);
    }
    let register = target.full_register();
    let (mut bytes, field) = load(register)?;
    if label != 0 {
        let place = MemoryOperand::with_base_displ(register, label);
        bytes.extend(encode(&Instruction::with2(iced_x86::Code::Lea_r64_m, register, place)?)?);
    }
    Ok(Some(Stub { bytes, field }))
}

/// `mov word(%rip), %r`, and where its field is.
fn load(register: Register) -> Result<(Vec<u8>, u64), iced_x86::IcedError> {
    let place = MemoryOperand::with_base_displ(Register::RIP, 7);
    let bytes = encode(&Instruction::with2(iced_x86::Code::Mov_r64_rm64, register, place)?)?;
    let field = bytes.len() as u64 - 4;
    Ok((bytes, field))
}

fn encode(instruction: &Instruction) -> Result<Vec<u8>, iced_x86::IcedError> {
    let mut encoder = Encoder::new(64);
    encoder.encode(instruction, 0)?;
    Ok(encoder.take_buffer())
}
