//! Whose addresses the target holds, so that pointers to them may be anywhere.

use std::collections::BTreeSet;

use liveline_elf::module::ModuleKind;

use crate::program::Program;

/// `mod` and `r/m` of a ModRM byte, and what they are where an address relative to the instruction follows (Intel SDM, volume
/// 2, section 2.2.1.6).
const MODRM: u8 = 0xc7;
const RELATIVE: u8 = 0x05;
/// Bytes an instruction may have behind its address: an immediate.
const LONGEST_IMMEDIATE: u64 = 4;

impl Program<'_> {
    /// Those of the functions at these addresses that something but a call names: data, code that takes an address, or
    /// another module. What merely looks like it counts, too.
    pub(crate) fn held(&self, functions: &BTreeSet<u64>) -> BTreeSet<u64> {
        let mut out = BTreeSet::new();
        if functions.is_empty() {
            return out;
        }
        let mut found = |address: u64| {
            if functions.contains(&address) {
                out.insert(address);
            }
        };
        // What a program exports is for its plugins; what a library exports is for everybody.
        if self.is_library() {
            let defined = self.module.dynamic_symbols.iter().filter(|symbol| symbol.defined);
            defined.for_each(|symbol| found(symbol.address));
        }
        for relocation in &self.module.relocations {
            found(relocation.addend as u64);
        }
        let fixed = self.module.kind == ModuleKind::Fixed;
        let symbols = self.module.sections.iter().find(|section| section.name == ".dynsym");
        let symbols =
            symbols.map_or(0..0, |section| section.address..section.address.saturating_add(section.size));
        for load in &self.module.loads {
            let Some(bytes) = self.bytes(load.address, load.file_size) else { continue };
            for (at, word) in bytes.windows(8).enumerate() {
                if symbols.contains(&(load.address + at as u64)) {
                    continue;
                }
                let wide = u64::from_le_bytes(word.try_into().expect("eight bytes"));
                if load.execute {
                    let near = wide as u32;
                    if at.checked_sub(1).is_some_and(|before| bytes[before] & MODRM == RELATIVE) {
                        let next = load.address.wrapping_add(at as u64 + 4);
                        let base = next.wrapping_add_signed(i64::from(near as i32));
                        (0..=LONGEST_IMMEDIATE).for_each(|behind| found(base.wrapping_add(behind)));
                    }
                    if fixed {
                        found(u64::from(near));
                    }
                }
                found(wide);
            }
        }
        out
    }
}
