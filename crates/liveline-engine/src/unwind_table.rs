//! Unwind tables of an image: those of the new code, those of stubs and thunks, and the sorted index over all
//! that debuggers, profilers and our own stack walker look things up in (`.eh_frame_hdr`, LSB core spec).

use gimli::write::{
    Address, CallFrameInstruction, CommonInformationEntry, EhFrame, EndianVec, FrameDescriptionEntry,
    FrameTable,
};
use gimli::{BaseAddresses, Encoding, Format, LittleEndian, UnwindSection, X86_64};

use iced_x86::{Decoder, DecoderOptions};

use crate::layout::Layout;
use crate::starter::{STARTER_FRAMED, STARTER_PUSHED, STARTER_RETURN, STARTER_SAVED};
use crate::table::{
    GATE_SIZE, THUNK_AGAIN, THUNK_NEW, THUNK_NEW_JUMP, THUNK_OLD_JUMP, THUNK_PUSHED, THUNK_SIZE, THUNK_WAIT,
};

/// `.eh_frame` records for stubs, thunks and the gate (whose code is `gate`), with absolute addresses; the same
/// length for every base.
pub(crate) fn table_records(layout: &Layout, base: u64, gate: &[u8]) -> Result<Vec<u8>, gimli::write::Error> {
    let mut frames = FrameTable::default();
    let encoding = Encoding { format: Format::Dwarf32, version: 1, address_size: 8 };
    let mut cie = CommonInformationEntry::new(encoding, 1, -8, X86_64::RA);
    cie.fde_address_encoding = gimli::DW_EH_PE_absptr;
    cie.add_instruction(CallFrameInstruction::Cfa(X86_64::RSP, 8));
    cie.add_instruction(CallFrameInstruction::Offset(X86_64::RA, -8));
    let cie = frames.add_cie(cie);
    let stubs = (layout.thunks - layout.stubs) as u32;
    if stubs != 0 {
        frames.add_fde(cie, FrameDescriptionEntry::new(Address::Constant(base + layout.stubs), stubs));
        let thunks = (layout.gate - layout.thunks) as u32;
        let mut fde = FrameDescriptionEntry::new(Address::Constant(base + layout.thunks), thunks);
        for thunk in 0..layout.functions as u32 {
            let start = thunk * THUNK_SIZE as u32;
            let steps = [
                (0, 8),
                (THUNK_PUSHED, 16),
                (THUNK_OLD_JUMP, 8),
                (THUNK_NEW, 16),
                (THUNK_NEW_JUMP, 8),
                (THUNK_WAIT, 16),
                (THUNK_AGAIN, 8),
            ];
            for (offset, cfa) in steps {
                fde.add_instruction(start + offset, CallFrameInstruction::CfaOffset(cfa));
            }
        }
        frames.add_fde(cie, fde);
    }
    let mut fde = FrameDescriptionEntry::new(Address::Constant(base + layout.gate), GATE_SIZE as u32);
    for (offset, cfa) in gate_steps(gate) {
        fde.add_instruction(offset, CallFrameInstruction::CfaOffset(cfa));
    }
    frames.add_fde(cie, fde);
    if layout.starter_size != 0 {
        let length = layout.starter_size as u32;
        let mut fde = FrameDescriptionEntry::new(Address::Constant(base + layout.starter), length);
        for (offset, instruction) in [
            (STARTER_PUSHED, CallFrameInstruction::CfaOffset(16)),
            (STARTER_PUSHED, CallFrameInstruction::Offset(X86_64::RBP, -16)),
            (STARTER_FRAMED, CallFrameInstruction::CfaRegister(X86_64::RBP)),
            (STARTER_SAVED, CallFrameInstruction::Offset(X86_64::RBX, -24)),
            (STARTER_SAVED, CallFrameInstruction::Offset(X86_64::R12, -32)),
            (length - STARTER_RETURN, CallFrameInstruction::Cfa(X86_64::RSP, 8)),
        ] {
            fde.add_instruction(offset, instruction);
        }
        frames.add_fde(cie, fde);
    }
    let mut section = EhFrame(EndianVec::new(LittleEndian));
    frames.write_eh_frame(&mut section)?;
    Ok(section.0.into_vec())
}

/// How far the frame address is from the stack pointer, along the gate's code: it pushes, loops without moving
/// the stack pointer, and pops.
fn gate_steps(gate: &[u8]) -> Vec<(u32, i32)> {
    let mut steps = Vec::new();
    let mut cfa = 8;
    for instruction in &mut Decoder::new(64, gate, DecoderOptions::NONE) {
        let moved = instruction.stack_pointer_increment();
        if moved != 0 {
            cfa -= moved;
            steps.push((instruction.next_ip() as u32, cfa));
        }
    }
    // Behind the final return there is nothing.
    steps.pop();
    steps
}

/// Why the unwind tables of the new code cannot be indexed.
#[derive(Debug, thiserror::Error)]
#[error("the unwind tables of the new code cannot be read: {0}")]
pub(crate) struct IndexError(String);

/// Bytes of an index over `records` functions.
pub(crate) fn index_size(records: usize) -> u64 {
    12 + 8 * records as u64
}

/// Number of functions that `.eh_frame` bytes (without relocations applied) describe.
pub(crate) fn count(eh_frame: &[u8]) -> Result<usize, IndexError> {
    let section = gimli::EhFrame::new(eh_frame, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(0).set_text(0);
    let mut entries = section.entries(&bases);
    let mut count = 0;
    while let Some(entry) = entries.next().map_err(|error| IndexError(error.to_string()))? {
        if matches!(entry, gimli::CieOrFde::Fde(_)) {
            count += 1;
        }
    }
    Ok(count)
}

/// The `.eh_frame_hdr` for the relocated `.eh_frame` at `eh_frame_at`, itself at `at`.
pub(crate) fn index(eh_frame: &[u8], eh_frame_at: u64, at: u64) -> Result<Vec<u8>, IndexError> {
    let fail = |error: gimli::Error| IndexError(error.to_string());
    let section = gimli::EhFrame::new(eh_frame, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(eh_frame_at).set_text(0);
    let mut rows = Vec::new();
    let mut entries = section.entries(&bases);
    while let Some(entry) = entries.next().map_err(fail)? {
        if let gimli::CieOrFde::Fde(partial) = entry {
            let fde =
                partial.parse(|_, bases, offset| section.cie_from_offset(bases, offset)).map_err(fail)?;
            rows.push((fde.initial_address(), eh_frame_at + fde.offset() as u64));
        }
    }
    rows.sort_unstable();
    let near = |address: u64, from: u64| {
        i32::try_from(address.wrapping_sub(from) as i64)
            .map_err(|_| IndexError("an address too far away".into()))
    };
    // Version 1; pointer to .eh_frame pcrel sdata4, count udata4, rows datarel sdata4.
    let mut out = vec![1, 0x1b, 0x03, 0x3b];
    out.extend(near(eh_frame_at, at + 4)?.to_le_bytes());
    out.extend((rows.len() as u32).to_le_bytes());
    for (start, record) in rows {
        out.extend(near(start, at)?.to_le_bytes());
        out.extend(near(record, at)?.to_le_bytes());
    }
    Ok(out)
}
