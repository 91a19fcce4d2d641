//! Where pieces start and end.

use super::read::{RawSection, RawSymbol};
use super::{Kind, Name};
use crate::names;

/// A range of a section with the symbols in it.
#[derive(Debug)]
pub(crate) struct Span<'d> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) names: Vec<Name<'d>>,
}

/// Splits a section: named ranges by its symbols, the rest by `cuts` (offsets something refers to).
pub(crate) fn spans<'d>(section: &RawSection<'d>, symbols: &[RawSymbol<'d>], cuts: &[u64]) -> Vec<Span<'d>> {
    let mut spans = if section.merge { Vec::new() } else { named(section, symbols) };
    fill(section, symbols, cuts, &mut spans);
    spans
}

fn name_of<'d>(symbol: &RawSymbol<'d>, start: u64) -> Name<'d> {
    Name {
        name: symbol.name,
        offset: symbol.value - start,
        source: symbol.source,
        local: symbol.local,
        weak: symbol.weak,
        hidden: symbol.hidden,
    }
}

/// The ranges that symbols with a type and a size claim; overlapping ones become one.
fn named<'d>(section: &RawSection<'d>, symbols: &[RawSymbol<'d>]) -> Vec<Span<'d>> {
    let mut spans: Vec<Span<'d>> = Vec::new();
    let limit = section.size;
    let mut starts: Vec<u64> =
        symbols.iter().filter(|symbol| starts_piece(section, symbol)).map(|symbol| symbol.value).collect();
    starts.dedup();
    for symbol in symbols {
        if names::is_private(symbol.name) || symbol.value > limit {
            continue;
        }
        if let Some(last) = spans.last_mut()
            && symbol.value < last.end
        {
            let end = symbol.value.saturating_add(symbol.size).min(limit);
            last.end = last.end.max(end);
            last.names.push(name_of(symbol, last.start));
            continue;
        }
        if !starts_piece(section, symbol) {
            continue;
        }
        let end = if symbol.size != 0 {
            symbol.value.saturating_add(symbol.size).min(limit)
        } else {
            // Hand-written assembly without `.size`: up to the next symbol.
            let next = starts.partition_point(|start| *start <= symbol.value);
            starts.get(next).copied().unwrap_or(limit)
        };
        spans.push(Span { start: symbol.value, end, names: vec![name_of(symbol, symbol.value)] });
    }
    for span in &mut spans {
        // The main name: at the start, global before local, as the linker's map would say it.
        span.names.sort_by_key(|name| (name.offset, name.local, name.weak));
    }
    spans
}

fn starts_piece(section: &RawSection, symbol: &RawSymbol) -> bool {
    let typed = symbol.typed;
    let label = !symbol.local || section.kind != Kind::Code;
    !names::is_private(symbol.name) && (typed || label)
}

/// Adds what no symbol claims.
fn fill<'d>(section: &RawSection<'d>, symbols: &[RawSymbol<'d>], cuts: &[u64], spans: &mut Vec<Span<'d>>) {
    let mut gaps = Vec::new();
    let mut at = 0;
    for span in spans.iter() {
        if span.start > at {
            gaps.push((at, span.start));
        }
        at = at.max(span.end);
    }
    if at < section.size {
        gaps.push((at, section.size));
    }
    for (start, end) in gaps {
        match section.kind {
            Kind::Code => {
                let padding = |byte: &u8| matches!(byte, 0 | 0x90 | 0xcc);
                let bytes = section.slice(start, end);
                if !bytes.iter().all(padding) && !is_nops(bytes) {
                    spans.push(Span { start, end, names: Vec::new() });
                }
            }
            _ if section.merge && section.strings => strings(section, start, end, spans),
            _ if section.merge && section.entry > 0 => {
                for start in (start..end).step_by(usize::try_from(section.entry).unwrap_or(1)) {
                    spans.push(Span { start, end: (start + section.entry).min(end), names: Vec::new() });
                }
            }
            _ => {
                let mut inside: Vec<u64> =
                    cuts.iter().copied().filter(|cut| start < *cut && *cut < end).collect();
                let private = symbols.iter().map(|symbol| symbol.value);
                inside.extend(private.filter(|value| start < *value && *value < end));
                inside.push(start);
                inside.sort_unstable();
                inside.dedup();
                let ends: Vec<u64> = inside.iter().skip(1).copied().chain([end]).collect();
                for (start, end) in inside.into_iter().zip(ends) {
                    spans.push(Span { start, end, names: Vec::new() });
                }
            }
        }
    }
    spans.sort_by_key(|span| (span.start, span.end));
}

fn strings<'d>(section: &RawSection<'d>, start: u64, end: u64, spans: &mut Vec<Span<'d>>) {
    let width = usize::try_from(section.entry.max(1)).unwrap_or(1);
    let bytes = section.slice(start, end);
    let mut from = start;
    for (index, unit) in bytes.chunks(width).enumerate() {
        let next = start + ((index + 1) * width) as u64;
        if unit.iter().all(|byte| *byte == 0) || next >= end {
            spans.push(Span { start: from, end: next.min(end), names: Vec::new() });
            from = next;
        }
    }
}

fn is_nops(bytes: &[u8]) -> bool {
    let mut nops = true;
    super::decode::instructions(bytes, 0, |_, instruction| {
        nops &= matches!(instruction.mnemonic(), iced_x86::Mnemonic::Nop | iced_x86::Mnemonic::Int3);
    });
    nops
}
