//! Source lines of instructions, and functions that differ in nothing but `__LINE__`.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};

use super::content::same_kind;
use super::relocated::{Relocated, place};
use super::{Comparison, Contents, parts};
use crate::unit::{Piece, Unit};

/// Source lines by section and offset.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Per section: `(offset, line)` by offset; line 0 ends a sequence.
    rows: HashMap<usize, Vec<(u64, u64)>>,
}

impl Lines {
    /// Reads `.debug_line`; what cannot be read is left out.
    pub(crate) fn read(unit: &Unit) -> Self {
        let mut out = Self::default();
        let section = Relocated::read(unit, ".debug_line");
        let table = gimli::DebugLine::from(section.reader());
        let mut at = 0;
        while at < section.len() {
            let Ok(program) = table.program(gimli::DebugLineOffset(at), 8, None, None) else { break };
            let header = program.header();
            let size = header.unit_length().saturating_add(if header.format() == gimli::Format::Dwarf64 {
                12
            } else {
                4
            });
            let mut rows = program.rows();
            while let Ok(Some((_, row))) = rows.next_row() {
                let (section, offset) = place(row.address());
                let line = if row.end_sequence() { 0 } else { row.line().map_or(0, |line| line.get()) };
                out.rows.entry(section).or_default().push((offset, line));
            }
            at = at.saturating_add(size);
        }
        for rows in out.rows.values_mut() {
            // Stable: the last row of an address counts, and the end of a sequence comes before a new start.
            rows.sort_by_key(|(offset, line)| (*offset, *line != 0));
        }
        out
    }

    /// Whether one of the rows of the instruction at this offset has this line.
    fn has(&self, section: usize, offset: u64, line: u64) -> bool {
        let Some(rows) = self.rows.get(&section) else { return false };
        let after = rows.partition_point(|(start, _)| *start <= offset);
        let Some(&(start, _)) = after.checked_sub(1).and_then(|at| rows.get(at)) else { return false };
        rows[..after].iter().rev().take_while(|(at, _)| *at == start).any(|(_, own)| *own == line)
    }
}

/// Whether two functions differ only in immediates that are the line of their own instruction.
pub(crate) fn line_only<'d>(
    pairs: &Comparison,
    contents: &mut Contents,
    (old, old_lines): (&Unit<'d>, &Lines),
    (new, new_lines): (&Unit<'d>, &Lines),
    before: usize,
    after: usize,
) -> bool {
    let mut all = vec![(before, after)];
    let old_parts: Vec<usize> = parts(old, before).collect();
    let new_parts: Vec<usize> = parts(new, after).collect();
    if old_parts.len() != new_parts.len() {
        return false;
    }
    for part in old_parts {
        match pairs.new_of[part] {
            Some(other) if new_parts.contains(&other) => all.push((part, other)),
            _ => return false,
        }
    }
    all.into_iter().all(|(a, b)| {
        let tables = contents.same_table(pairs, a, b);
        let (a, b) = (&old.pieces[a], &new.pieces[b]);
        tables && same_references(pairs, contents, a, b) && same_but_lines(a, old_lines, b, new_lines)
    })
}

fn same_references(pairs: &Comparison, contents: &mut Contents, a: &Piece, b: &Piece) -> bool {
    a.size == b.size
        && a.relocs.len() == b.relocs.len()
        && a.relocs.iter().zip(&b.relocs).all(|(left, right)| {
            left.offset == right.offset
                && same_kind(left.kind, right.kind)
                && contents.same_target(pairs, left, right)
        })
}

fn same_but_lines(a: &Piece, a_lines: &Lines, b: &Piece, b_lines: &Lines) -> bool {
    let mut left = Decoder::with_ip(64, a.bytes, a.start, DecoderOptions::NONE);
    let mut right = Decoder::with_ip(64, b.bytes, b.start, DecoderOptions::NONE);
    let mut relocs = a.relocs.iter().peekable();
    while left.can_decode() && right.can_decode() {
        let (x, y) = (left.decode(), right.decode());
        if x.len() != y.len() {
            return false;
        }
        let from = (x.ip() - a.start) as usize;
        let mut fields = Vec::new();
        while let Some(reloc) = relocs.next_if(|reloc| reloc.offset < (from + x.len()) as u64) {
            let start = (reloc.offset as usize).saturating_sub(from);
            fields.push(start..start + reloc.width() as usize);
        }
        let (Some(p), Some(q)) = (a.bytes.get(from..from + x.len()), b.bytes.get(from..from + y.len()))
        else {
            return false;
        };
        let plain = |index: usize| fields.iter().all(|field| !field.contains(&index));
        if (0..p.len()).all(|index| p[index] == q[index] || !plain(index)) {
            continue;
        }
        let (Some(m), Some(n)) = (immediate(&x), immediate(&y)) else { return false };
        let offsets = left.get_constant_offsets(&x);
        let field = offsets.immediate_offset()..offsets.immediate_offset() + offsets.immediate_size();
        let rest = (0..p.len()).all(|index| p[index] == q[index] || field.contains(&index) || !plain(index));
        let is_line = a_lines.has(a.section_index, x.ip(), m) && b_lines.has(b.section_index, y.ip(), n);
        if !rest || !is_line {
            return false;
        }
    }
    !left.can_decode() && !right.can_decode()
}

fn immediate(instruction: &Instruction) -> Option<u64> {
    let mut found = None;
    for operand in 0..instruction.op_count() {
        let kind = instruction.op_kind(operand);
        if matches!(kind, OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64) {
            return None;
        }
        if let Ok(value) = instruction.try_immediate(operand) {
            found = Some(value);
        }
    }
    found
}
