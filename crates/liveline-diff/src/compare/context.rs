//! What code does with a variable, by which variables of one name are told apart.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, FlowControl, Mnemonic, OpKind};

use crate::names;
use crate::unit::{Kind, To, Unit, instructions, is_near_branch};

/// How many instructions before and behind a use are looked at.
const NEAR: usize = 8;

/// Whether variables of one name are the same in this order: nothing that is done with one of them alone is done with another
/// one now, and something still is, unless all is as it was.
pub(crate) fn in_order((old, before): (&Unit, &[usize]), (new, after): (&Unit, &[usize])) -> bool {
    if before.len() < 2 {
        return true;
    }
    let (was, is) = (Uses::read(old, before), Uses::read(new, after));
    let same = was.near == is.near && was.order == is.order;
    let all = 0..before.len();
    let mut others = all.clone().flat_map(|i| all.clone().filter(move |&j| j != i).map(move |j| (i, j)));
    same || others.all(|(i, j)| {
        let own: BTreeSet<&String> = was.near[i].difference(&was.near[j]).collect();
        let stays = own.iter().any(|what| is.near[i].contains(*what) && !is.near[j].contains(*what));
        let goes = own.iter().any(|what| is.near[j].contains(*what) && !is.near[i].contains(*what));
        !goes && (stays || own.is_empty() && !was.near[j].is_subset(&was.near[i]))
    })
}

/// What code does with variables.
struct Uses {
    /// By variable: what is done before and behind its uses without a branch in between.
    near: Vec<BTreeSet<String>>,
    /// By function: variables in the order of its code.
    order: BTreeMap<String, Vec<usize>>,
}

/// An instruction, in words that are the same in another build.
struct Step {
    words: String,
    ends_block: bool,
}

impl Uses {
    fn read(unit: &Unit, variables: &[usize]) -> Self {
        let mut out = Self { near: vec![BTreeSet::new(); variables.len()], order: BTreeMap::new() };
        for piece in unit.pieces.iter().filter(|piece| piece.kind == Kind::Code) {
            let is_use = |to: To| variables.iter().position(|variable| to == To::Piece(*variable));
            if !piece.relocs.iter().any(|reloc| is_use(reloc.to).is_some()) {
                continue;
            }
            let mut steps: Vec<Step> = Vec::new();
            let mut uses: Vec<(usize, usize)> = Vec::new();
            instructions(piece.bytes, 0, |_: &Decoder, instruction| {
                let mut words = format!("{:?}", instruction.mnemonic());
                for reloc in &piece.relocs {
                    if !(instruction.ip()..instruction.next_ip()).contains(&reloc.offset) {
                        continue;
                    }
                    match is_use(reloc.to) {
                        Some(variable) => uses.push((steps.len(), variable)),
                        None => words.push_str(&target(unit, reloc.to)),
                    }
                }
                if !is_near_branch(instruction) {
                    let values = (0..instruction.op_count()).filter(|&at| is_value(instruction.op_kind(at)));
                    values.for_each(|at| words.push_str(&format!(" {}", instruction.immediate(at))));
                }
                // An addition, in other words.
                if instruction.mnemonic() == Mnemonic::Lea && !instruction.is_ip_rel_memory_operand() {
                    words.push_str(&format!(" {}", instruction.memory_displacement64()));
                }
                let flow = instruction.flow_control();
                let ends_block =
                    !matches!(flow, FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall);
                steps.push(Step { words, ends_block });
            });
            out.order.entry(names::stem(piece.label())).or_default().extend(uses.iter().map(|one| one.1));
            for (at, variable) in uses {
                let before = steps[..at].iter().rev().take(NEAR).take_while(|step| !step.ends_block);
                let behind = steps[at..].iter().take(NEAR).take_while(|step| !step.ends_block);
                out.near[variable].extend(before.chain(behind).map(|step| step.words.clone()));
            }
        }
        out
    }
}

fn is_value(kind: OpKind) -> bool {
    use OpKind::*;
    matches!(
        kind,
        Immediate8
            | Immediate8to16
            | Immediate8to32
            | Immediate8to64
            | Immediate16
            | Immediate32
            | Immediate32to64
            | Immediate64
    )
}

/// What is meant, in words that are the same in another build.
fn target(unit: &Unit, to: To) -> String {
    match to {
        To::Extern(index) => format!(" {}", unit.externs[index].name),
        To::Piece(index) if unit.pieces[index].is_named() => {
            format!(" {}", names::stem(unit.pieces[index].label()))
        }
        To::Piece(index) => format!(" {:?}", unit.pieces[index].bytes),
        To::Nowhere => String::new(),
    }
}
