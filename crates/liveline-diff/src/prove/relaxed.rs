//! Relocated instructions, as the linker left or rewrote them (System V ABI x86-64, B.2 and 4.4.1; "ELF
//! Handling For Thread-Local Storage" 5.5).

use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use object::elf::{self, RelocationType};

use super::{Seen, Side, is_got, same_but};
use crate::unit::{Piece, Reloc, is_near_branch};

/// One instruction on either side, the left one relocated.
pub(super) struct Step<'s, 'd, 'e, 'p> {
    pub(super) left: &'s mut Side<'d>,
    pub(super) right: &'s mut Side<'e>,
    pub(super) x: Instruction,
    pub(super) y: Instruction,
    pub(super) piece: &'s Piece<'p>,
    pub(super) next_reloc: &'s mut usize,
    pub(super) seen: &'s mut Vec<(usize, Seen)>,
}

impl Step<'_, '_, '_, '_> {
    /// Compares the two; none if they differ.
    pub(super) fn relocated(&mut self, relocs: &[(usize, &Reloc)]) -> Option<()> {
        let &(index, reloc) = relocs.first()?;
        let kind = RelocationType(reloc.kind);
        if is_near_branch(&self.x) {
            let same =
                is_near_branch(&self.y) && self.x.code().as_near_branch() == self.y.code().as_near_branch();
            let meant = reloc.addend.wrapping_add(reloc.tail) as u64;
            let target = self.y.near_branch_target().wrapping_sub(meant);
            self.seen.push((index, Seen::Address(target)));
            return same.then_some(());
        }
        let plain = self.same_fields(relocs);
        match kind {
            _ if is_got(reloc.kind) => {
                let seen = if plain {
                    Seen::Slot(self.y.ip_rel_memory_address())
                } else {
                    Seen::Address(self.relaxed_got()?)
                };
                self.seen.push((index, seen));
                // A second relocation of the same instruction (`movq $sym, …@GOTPCREL`) does not exist.
                Some(())
            }
            elf::R_X86_64_GOTTPOFF | elf::R_X86_64_CODE_4_GOTTPOFF => {
                let seen = if plain {
                    Seen::Slot(self.y.ip_rel_memory_address())
                } else {
                    Seen::Thread(self.relaxed_tpoff()?)
                };
                self.seen.push((index, seen));
                Some(())
            }
            elf::R_X86_64_TLSGD | elf::R_X86_64_TLSLD => {
                if plain {
                    self.seen.push((index, Seen::Slot(self.y.ip_rel_memory_address())));
                    return Some(());
                }
                self.thread_sequence(index, kind == elf::R_X86_64_TLSGD)
            }
            elf::R_X86_64_GOTPC32_TLSDESC => {
                if plain {
                    self.seen.push((index, Seen::Slot(self.y.ip_rel_memory_address())));
                    return Some(());
                }
                if self.y.mnemonic() != Mnemonic::Mov || self.y.op0_register() != self.x.op0_register() {
                    return None;
                }
                let seen = if self.y.is_ip_rel_memory_operand() {
                    Seen::Slot(self.y.ip_rel_memory_address())
                } else {
                    Seen::Thread(self.y.try_immediate(1).ok()? as i64)
                };
                self.seen.push((index, seen));
                Some(())
            }
            elf::R_X86_64_TLSDESC_CALL => {
                if !plain {
                    // Relaxed to a nop, which was skipped: the instruction is the next one.
                    self.unread();
                }
                Some(())
            }
            _ if plain => {
                for &(index, reloc) in relocs {
                    if let Some(seen) = self.field(reloc) {
                        self.seen.push((index, seen));
                    }
                }
                Some(())
            }
            _ => None,
        }
    }

    /// Puts the right instruction back.
    fn unread(&mut self) {
        let position = (self.y.ip() - self.right.base) as usize;
        if self.right.decoder.try_set_position(position).is_ok() {
            self.right.decoder.set_ip(self.y.ip());
        }
    }

    /// Whether both instructions are the same outside the relocated fields.
    fn same_fields(&self, relocs: &[(usize, &Reloc)]) -> bool {
        let fields: Vec<_> = relocs
            .iter()
            .map(|(_, reloc)| {
                let start = (reloc.offset - self.x.ip()) as usize;
                start..start + reloc.width() as usize
            })
            .collect();
        same_but(self.left.raw(&self.x), self.right.raw(&self.y), &fields)
    }

    /// What a plainly relocated field says.
    fn field(&self, reloc: &Reloc) -> Option<Seen> {
        let start = (reloc.offset - self.x.ip()) as usize;
        let bytes = self.right.raw(&self.y).get(start..start + reloc.width() as usize)?;
        let place = self.y.ip().wrapping_add(start as u64);
        let signed = match *bytes {
            [a] => i64::from(a as i8),
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => i64::from_le_bytes(bytes.try_into().ok()?),
        };
        let base = signed.wrapping_sub(reloc.addend);
        match RelocationType(reloc.kind) {
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 | elf::R_X86_64_PC64 | elf::R_X86_64_PC8 => {
                Some(Seen::Address(place.wrapping_add(base as u64)))
            }
            elf::R_X86_64_64 | elf::R_X86_64_32S => Some(Seen::Address(base as u64)),
            elf::R_X86_64_32 => Some(Seen::Address((signed as u32 as u64).wrapping_sub(reloc.addend as u64))),
            elf::R_X86_64_TPOFF32 | elf::R_X86_64_TPOFF64 => Some(Seen::Thread(base)),
            _ => None,
        }
    }

    /// `mov x@GOTPCREL(%rip), %r` → `lea x(%rip), %r` or `mov $x, %r`; `call *x@GOTPCREL(%rip)` → `call x`;
    /// `cmp x@GOTPCREL(%rip), %r` → `cmp $x, %r`. The symbol's address.
    fn relaxed_got(&self) -> Option<u64> {
        let (x, y) = (&self.x, &self.y);
        match (x.mnemonic(), y.mnemonic()) {
            (Mnemonic::Call, Mnemonic::Call) | (Mnemonic::Jmp, Mnemonic::Jmp) => {
                is_near_branch(y).then(|| y.near_branch_target())
            }
            (Mnemonic::Mov, Mnemonic::Lea) => (x.op0_register() == y.op0_register()
                && y.is_ip_rel_memory_operand())
            .then(|| y.ip_rel_memory_address()),
            (a, b) if a == b => {
                let register = |i: &Instruction| {
                    (0..i.op_count()).find(|&n| i.op_kind(n) == OpKind::Register).map(|n| i.op_register(n))
                };
                let immediate = (0..y.op_count()).find_map(|n| y.try_immediate(n).ok())?;
                (register(x).map(Register::full_register) == register(y).map(Register::full_register))
                    .then_some(immediate)
            }
            _ => None,
        }
    }

    /// `mov x@gottpoff(%rip), %r` → `mov $x@tpoff, %r`; `add …` → `add $…` or `lea …(%r), %r`.
    fn relaxed_tpoff(&self) -> Option<i64> {
        let (x, y) = (&self.x, &self.y);
        if x.op0_register() != y.op0_register() {
            return None;
        }
        match (x.mnemonic(), y.mnemonic()) {
            (Mnemonic::Mov, Mnemonic::Mov) | (Mnemonic::Add, Mnemonic::Add) => {
                y.try_immediate(1).ok().map(|value| value as i64)
            }
            (Mnemonic::Add, Mnemonic::Lea) => {
                (y.memory_base() == x.op0_register()).then(|| y.memory_displacement64() as i64)
            }
            _ => None,
        }
    }

    /// `lea x@tlsgd(%rip), %rdi; call __tls_get_addr` → `mov %fs:0, %rax; lea x@tpoff(%rax), %rax` (or `add
    /// x@gottpoff(%rip), %rax`), or just the `mov` for a module base.
    fn thread_sequence(&mut self, index: usize, general: bool) -> Option<()> {
        let y = &self.y;
        let pointer = y.mnemonic() == Mnemonic::Mov
            && y.op0_register() == Register::RAX
            && y.memory_segment() == Register::FS;
        let call = self.left.next()?;
        if !pointer || call.mnemonic() != Mnemonic::Call {
            return None;
        }
        while self.piece.relocs.get(*self.next_reloc).is_some_and(|reloc| reloc.offset < call.next_ip()) {
            *self.next_reloc += 1;
        }
        if general {
            let second = self.right.next()?;
            let seen = match second.mnemonic() {
                Mnemonic::Lea => Seen::Thread(second.memory_displacement64() as i64),
                Mnemonic::Add if second.is_ip_rel_memory_operand() => {
                    Seen::Slot(second.ip_rel_memory_address())
                }
                _ => return None,
            };
            self.seen.push((index, seen));
            // One instruction more on the right or left would shift the ordinals of later branches: both had two.
        } else {
            self.right.count += 1;
        }
        Some(())
    }
}
