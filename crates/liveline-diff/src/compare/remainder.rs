//! What is left to do of a function that waits for a call.
//!
//! `main` is entered once and left at the end: nobody can wait until no thread is inside. A thread may stay inside
//! the old code where what is left of it is the same in the new code, and depends on nothing that it did before:
//! neither version then has anything to do but that.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::Comparison;
use super::content::{Contents, same_kind};
use crate::unit::{Piece, Reloc, Unit, instructions, is_near_branch};

/// Calls of one function that are tried as the counterpart of a call.
const CANDIDATES: usize = 32;
/// Jumps followed in a row.
const JUMPS: usize = 16;

/// Offsets in an old function, behind calls, from where on the new one does the same with nothing of what the
/// function did before.
pub(crate) fn remainders(
    pairs: &Comparison,
    (old, before): (&Unit, usize),
    (new, after): (&Unit, usize),
) -> Vec<u64> {
    let (old_code, new_code) = (Code::of(old, before), Code::of(new, after));
    let mut compare = Compare { pairs, contents: Contents::new(old, new), old: &old_code, new: &new_code };
    let mut out = Vec::new();
    // A call may end elsewhere than behind itself.
    if compare.contents.catches(before) || old_code.calls_twice_returning() {
        return out;
    }
    for (&at, call) in old_code.calls() {
        let others: Vec<u64> = new_code
            .calls()
            .filter(|(other, _)| compare.same_instruction(at, **other))
            .map(|(o, _)| *o)
            .collect();
        let behind = call.next_ip();
        let same = |other: &u64| {
            new_code
                .instructions
                .get(other)
                .is_some_and(|other| compare.same_remainder(behind, other.next_ip()))
        };
        if others.iter().take(CANDIDATES).any(same) {
            out.push(behind);
        }
    }
    out
}

/// A function's code by offset.
struct Code<'p> {
    unit: &'p Unit<'p>,
    piece: &'p Piece<'p>,
    instructions: BTreeMap<u64, Instruction>,
}

impl<'p> Code<'p> {
    fn of(unit: &'p Unit<'p>, piece: usize) -> Self {
        let piece = &unit.pieces[piece];
        let mut all = BTreeMap::new();
        instructions(piece.bytes, 0, |_, instruction| {
            all.insert(instruction.ip(), *instruction);
        });
        Code { unit, piece, instructions: all }
    }

    fn calls(&self) -> impl Iterator<Item = (&u64, &Instruction)> {
        self.instructions.iter().filter(|(_, instruction)| is_call(instruction))
    }

    /// Whether it calls what may return again later, as `setjmp` does.
    fn calls_twice_returning(&self) -> bool {
        self.piece.relocs.iter().any(|reloc| {
            let name = self.unit.target_name(reloc);
            name.contains("setjmp") || ["getcontext", "savectx", "vfork"].contains(&name)
        })
    }

    /// Relocations of the instruction's fields.
    fn relocs(&self, instruction: &Instruction) -> &[Reloc] {
        let all = &self.piece.relocs;
        let from = all.partition_point(|reloc| reloc.offset < instruction.ip());
        let to = all.partition_point(|reloc| reloc.offset < instruction.next_ip());
        &all[from..to.max(from)]
    }

    /// The next instruction from an offset on that does more than give the frame back or go on elsewhere in the
    /// function. Registers that are given back on the way are taken from `known`.
    fn settle(&self, mut at: u64, known: &mut Known) -> Option<&Instruction> {
        let mut jumps = 0;
        loop {
            let instruction = self.instructions.get(&at)?;
            at = match instruction.mnemonic() {
                Mnemonic::Nop | Mnemonic::Endbr64 => instruction.next_ip(),
                Mnemonic::Pop | Mnemonic::Leave => {
                    known.forget(if instruction.mnemonic() == Mnemonic::Leave {
                        Register::RBP
                    } else {
                        instruction.op0_register()
                    });
                    instruction.next_ip()
                }
                Mnemonic::Add | Mnemonic::Sub | Mnemonic::Lea
                    if instruction.op0_kind() == OpKind::Register
                        && instruction.op0_register() == Register::RSP =>
                {
                    known.flags = false;
                    instruction.next_ip()
                }
                Mnemonic::Jmp if is_near_branch(instruction) && self.relocs(instruction).is_empty() => {
                    jumps += 1;
                    if jumps > JUMPS {
                        return None;
                    }
                    instruction.near_branch_target()
                }
                _ => match self.behind_canary(instruction) {
                    Some(behind) => {
                        known.forget(instruction.op0_register());
                        known.flags = false;
                        behind
                    }
                    None => return Some(instruction),
                },
            };
        }
    }

    /// The offset behind the check of the stack protector, if it begins here: `mov N(%rsp), %reg`,
    /// `sub %fs:0x28, %reg`, `jne` to a call of `__stack_chk_fail`.
    fn behind_canary(&self, load: &Instruction) -> Option<u64> {
        let check = self.instructions.get(&load.next_ip())?;
        let branch = self.instructions.get(&check.next_ip())?;
        let from_stack = load.mnemonic() == Mnemonic::Mov
            && load.op0_kind() == OpKind::Register
            && load.op1_kind() == OpKind::Memory
            && matches!(load.memory_base(), Register::RSP | Register::RBP)
            && load.memory_index() == Register::None;
        let with_canary = matches!(check.mnemonic(), Mnemonic::Sub | Mnemonic::Xor)
            && check.op0_kind() == OpKind::Register
            && check.op0_register() == load.op0_register()
            && check.op1_kind() == OpKind::Memory
            && check.segment_prefix() == Register::FS
            && check.memory_base() == Register::None
            && check.memory_displacement64() == 0x28;
        if !from_stack || !with_canary || branch.mnemonic() != Mnemonic::Jne {
            return None;
        }
        let fail = self.instructions.get(&branch.near_branch_target())?;
        let fails = self.relocs(branch).is_empty()
            && is_call(fail)
            && self.relocs(fail).iter().any(|reloc| self.unit.target_name(reloc) == "__stack_chk_fail");
        fails.then(|| branch.next_ip())
    }
}

/// What was computed since the call returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    registers: BTreeSet<Register>,
    flags: bool,
}

impl Known {
    /// Right behind a call: what it may have returned, and of what was known before, what a call leaves alone.
    fn behind_call(before: Option<&Known>) -> Self {
        let kept = [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];
        let returned = [Register::RAX, Register::RDX, Register::ZMM0, Register::ZMM1];
        let kept = kept.into_iter().filter(|register| before.is_some_and(|b| b.registers.contains(register)));
        Known { registers: kept.chain(returned).collect(), flags: false }
    }

    fn forget(&mut self, register: Register) {
        self.registers.remove(&register.full_register());
    }

    fn common(&self, other: &Known) -> Known {
        let registers = self.registers.intersection(&other.registers).copied().collect();
        Known { registers, flags: self.flags && other.flags }
    }

    /// What is known behind an instruction; none if it uses something else.
    fn behind(&self, instruction: &Instruction) -> Option<Known> {
        if !self.may_use(instruction) {
            return None;
        }
        if is_call(instruction) {
            return Some(Known::behind_call(Some(self)));
        }
        let mut out = self.clone();
        let mut factory = InstructionInfoFactory::new();
        for used in factory.info(instruction).used_registers() {
            // Writing a byte leaves the rest of a register as it was.
            let whole = used.register().is_gpr32() || used.register().is_gpr64();
            if whole && matches!(used.access(), OpAccess::Write | OpAccess::ReadWrite) {
                out.registers.insert(used.register().full_register());
            }
        }
        out.flags |= instruction.rflags_modified() != 0;
        Some(out)
    }

    /// Whether an instruction reads nothing but what is known, globals and constants.
    fn may_use(&self, instruction: &Instruction) -> bool {
        if instruction.rflags_read() != 0 && !self.flags {
            return false;
        }
        let mut factory = InstructionInfoFactory::new();
        let own_zero = is_zeroing(instruction);
        let call = is_call(instruction);
        factory.info(instruction).used_registers().iter().all(|used| {
            let register = used.register().full_register();
            match used.access() {
                OpAccess::Write | OpAccess::None | OpAccess::NoMemAccess => register != Register::RSP || call,
                _ if register == Register::RSP => call,
                _ => own_zero || register.is_segment_register() || self.registers.contains(&register),
            }
        })
    }
}

/// Compares what is left of two functions.
struct Compare<'c, 'u, 'd> {
    pairs: &'c Comparison,
    contents: Contents<'u, 'd>,
    old: &'c Code<'u>,
    new: &'c Code<'u>,
}

impl Compare<'_, '_, '_> {
    fn same_remainder(&mut self, old: u64, new: u64) -> bool {
        let mut seen: BTreeMap<(u64, u64), Known> = BTreeMap::new();
        let mut open = vec![(old, new, Known::behind_call(None))];
        while let Some((old, new, mut known)) = open.pop() {
            let mut other = known.clone();
            let (Some(a), Some(b)) = (self.old.settle(old, &mut known), self.new.settle(new, &mut other))
            else {
                return false;
            };
            known = known.common(&other);
            let place = (a.ip(), b.ip());
            if let Some(before) = seen.get(&place) {
                known = known.common(before);
                if known == *before {
                    continue;
                }
            }
            seen.insert(place, known.clone());
            let (a, b) = (*a, *b);
            if !self.same_instruction(a.ip(), b.ip()) {
                return false;
            }
            match a.flow_control() {
                FlowControl::Return => continue,
                FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                    let Some(behind) = known.behind(&a) else { return false };
                    open.push((a.next_ip(), b.next_ip(), behind));
                }
                FlowControl::ConditionalBranch if self.old.relocs(&a).is_empty() => {
                    let Some(behind) = known.behind(&a) else { return false };
                    open.push((a.near_branch_target(), b.near_branch_target(), behind.clone()));
                    open.push((a.next_ip(), b.next_ip(), behind));
                }
                _ => return false,
            }
        }
        true
    }

    /// Whether two instructions mean the same; where a branch goes is for the caller to see.
    fn same_instruction(&mut self, old: u64, new: u64) -> bool {
        let (Some(a), Some(b)) = (self.old.instructions.get(&old), self.new.instructions.get(&new)) else {
            return false;
        };
        let (relocs, others) = (self.old.relocs(a), self.new.relocs(b));
        let same_relocs = relocs.len() == others.len()
            && relocs.iter().zip(others).all(|(left, right)| {
                left.offset - old == right.offset - new
                    && same_kind(left.kind, right.kind)
                    && self.contents.same_target(self.pairs, left, right)
            });
        if !same_relocs {
            return false;
        }
        if is_near_branch(a) && relocs.is_empty() {
            return a.mnemonic() == b.mnemonic() && !is_call(a);
        }
        let (Some(left), Some(right)) = (bytes(self.old.piece, a), bytes(self.new.piece, b)) else {
            return false;
        };
        let field = |at: usize| {
            relocs.iter().any(|reloc| {
                let start = (reloc.offset - old) as usize;
                (start..start + reloc.width() as usize).contains(&at)
            })
        };
        // Without a relocation, an address relative to the instruction says nothing about another place.
        let plain = !a.is_ip_rel_memory_operand() || !relocs.is_empty();
        plain && left.len() == right.len() && (0..left.len()).all(|at| left[at] == right[at] || field(at))
    }
}

fn bytes<'p>(piece: &Piece<'p>, instruction: &Instruction) -> Option<&'p [u8]> {
    piece.bytes.get(instruction.ip() as usize..instruction.next_ip() as usize)
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
}

/// `xor %eax, %eax` and its kin, which depend on nothing.
fn is_zeroing(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Xor | Mnemonic::Sub | Mnemonic::Pxor | Mnemonic::Xorps)
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register()
}
