//! Ways in for the fuzzer; no part of the interface.

use liveline_patch::Patch;

use crate::continuation::{Continuation, displace};
use crate::image::{Image, ImageError, Inputs, Shape, description_check};
use crate::layout::Layout;
use crate::plan::describe;
use crate::record::{HEADER_SIZE, Header};
use crate::registry::{Registry, read_whole};
use crate::safe_point::Forbidden;
use crate::table::DETOUR_SIZE;

/// Makes the image of a patch for `base` as for a process in which every outer symbol is at 0 and every old
/// function begins with `body`; gives its bytes from the record on.
pub fn image(patch: &Patch, base: u64, body: &[u8]) -> Result<Vec<u8>, String> {
    let made = make(patch, base, body).map_err(|error| error.to_string())?;
    Ok(made.bytes[made.header.code_size as usize..].to_vec())
}

fn make(patch: &Patch, base: u64, body: &[u8]) -> Result<Image, ImageError> {
    let old_bytes = vec![[0; DETOUR_SIZE as usize]; patch.meta.functions.len()];
    let describe = |layout: &Layout| describe(patch, layout, "", 0, &old_bytes);
    let (shape, _) = Shape::new(patch, true, None, describe)?;
    shape.imported(patch).for_each(drop);
    let functions = patch.meta.functions.iter().enumerate();
    let continuations: Vec<Option<Continuation>> = functions
        .map(|(index, function)| {
            let at = function.address + function.detour;
            let moved = displace(body, function.room, at, base + shape.layout.continuation(index));
            moved.map(Some).map_err(|error| ImageError::Displace(function.name.clone(), error))
        })
        .collect::<Result<_, _>>()?;
    let outer = vec![0; patch.symbols.len()];
    shape.build(base, &Inputs { patch, outer: &outer, generation: 1, bias: 0, continuations: &continuations })
}

/// Reads a record from the memory it begins, once as it is and once with its check mended, and asks everything
/// that is asked of one. Whether it is good.
pub fn record(memory: &[u8]) -> bool {
    let Some(header) = memory.get(..HEADER_SIZE as usize).and_then(Header::decode) else { return false };
    let start = usize::try_from(header.description_offset()).unwrap_or(usize::MAX);
    let mut good = judge(&header, memory);
    let description = memory.get(start..).and_then(|rest| rest.get(..header.description_size as usize));
    if let (false, Some(description)) = (good, description) {
        let mended = Header { check: description_check(description), ..header };
        let mut memory = memory.to_vec();
        memory[..HEADER_SIZE as usize].copy_from_slice(&mended.encode());
        good = judge(&mended, &memory);
    }
    good
}

fn judge(header: &Header, memory: &[u8]) -> bool {
    let at = header.record();
    let read = |address: u64, out: &mut [u8]| {
        let start = usize::try_from(address.checked_sub(at)?).ok()?;
        out.copy_from_slice(memory.get(start..start.checked_add(out.len())?)?);
        Some(())
    };
    let Some(installed) = read_whole(at, &memory[..HEADER_SIZE as usize], read) else { return false };
    let registry = Registry { patches: vec![installed.clone(), installed], unknown: Vec::new() };
    let mut forbidden = Forbidden::default();
    registry.forbid_tables(&mut forbidden);
    for installed in &registry.patches {
        installed.forbid_all(&mut forbidden);
    }
    for (detour, replaced) in registry.detours() {
        if let Some(owner) = registry.owner(detour, &replaced.old_bytes) {
            registry.wanted(detour, owner);
        }
    }
    let _ = (registry.find("seed"), registry.unfinished(), registry.next_generation());
    true
}
