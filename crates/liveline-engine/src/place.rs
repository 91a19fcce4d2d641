//! Where in the address space an image may go.

use liveline_process::Mapping;

use crate::layout::PAGE;

/// The lowest address used: the kernel's default `vm.mmap_min_addr`.
const LOWEST: u64 = 0x1_0000;
/// What a 32-bit displacement reaches, less a margin for instruction lengths.
const REACH: u64 = (1 << 31) - PAGE;
/// Kept free behind a heap, so that `brk` can go on growing.
const HEAP_ROOM: u64 = 1 << 30;

/// Bases for an image of `size` bytes near the module at `range`, best first: in gaps below the module, since
/// a mapping above it stops `brk`, then far above. A module linked to a fixed address wants the low 2 GiB.
pub(crate) fn candidates(mappings: &[Mapping], range: (u64, u64), size: u64, fixed: bool) -> Vec<u64> {
    let lowest = range.1.saturating_sub(REACH).max(LOWEST);
    let highest = if fixed { REACH } else { range.0.saturating_add(REACH).min((1 << 47) - PAGE) };
    let mut gaps = Vec::new();
    let mut free_from = 0;
    let mut behind_heap = false;
    for mapping in mappings {
        gaps.push((free_from, mapping.start, behind_heap, mapping.path.as_deref() == Some("[stack]")));
        free_from = mapping.end;
        behind_heap = mapping.path.as_deref() == Some("[heap]") || (mapping.end == range.1 && !behind_heap);
    }
    gaps.push((free_from, 1 << 47, behind_heap, false));
    let fits = |&(from, to, behind_heap, below_stack): &(u64, u64, bool, bool)| {
        // A stack grows into the gap below it.
        let to = if below_stack { to.saturating_sub(HEAP_ROOM) } else { to };
        let from = if behind_heap { from.saturating_add(HEAP_ROOM) } else { from };
        let low = from.max(lowest).checked_add(PAGE)?;
        let base = to.min(highest).checked_sub(size + PAGE)? & !(PAGE - 1);
        (base >= low).then_some(base)
    };
    let (below, above): (Vec<u64>, Vec<u64>) = gaps.iter().filter_map(fits).partition(|base| *base < range.0);
    below.into_iter().rev().chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[&str]) -> Vec<Mapping> {
        lines.iter().filter_map(|line| Mapping::parse(line)).collect()
    }

    #[test]
    fn below_the_module_first() {
        let mappings = map(&[
            "555555554000-555555560000 r-xp 00000000 00:01 1 /bin/x",
            "555555560000-555555581000 rw-p 00000000 00:00 0 [heap]",
            "7ffff7d00000-7ffff7f00000 r-xp 00000000 00:01 2 /lib/c",
            "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]",
        ]);
        let found = candidates(&mappings, (0x5555_5555_4000, 0x5555_5556_0000), 0x3000, false);
        assert_eq!(found[0], 0x5555_5555_0000);
        assert!(found[1] >= 0x5555_5558_1000 + HEAP_ROOM && found[1] < 0x5555_5555_4000 + REACH);
        let library = candidates(&mappings, (0x7fff_f7d0_0000, 0x7fff_f7f0_0000), 0x3000, false);
        assert_eq!(library[0], 0x7fff_f7cf_c000);
    }

    #[test]
    fn the_low_two_gigabytes_for_fixed_programs() {
        let mappings = map(&[
            "00400000-00500000 r-xp 00000000 00:01 1 /bin/x",
            "00a00000-00b00000 rw-p 00000000 00:00 0 [heap]",
        ]);
        let found = candidates(&mappings, (0x40_0000, 0x50_0000), 0x3000, true);
        assert_eq!(found[0], 0x3f_c000);
        let large = candidates(&mappings, (0x40_0000, 0x50_0000), 0x100_0000, true);
        assert!(large.iter().all(|base| *base > 0xb0_0000 + HEAP_ROOM && base + 0x100_0000 <= 1 << 31));
        assert!(!large.is_empty());
    }
}
