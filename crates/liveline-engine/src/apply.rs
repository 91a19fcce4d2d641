//! Applying a patch: plan, stage, commit.

use liveline_patch::Patch;

use crate::image::Image;
use crate::modules::hex;
use crate::mount::MountError;
use crate::operation::{Operation, Options, operate};
use crate::outcome::{Outcome, Problem, State};
use crate::place;
use crate::plan::Plan;
use crate::record::{Header, PHASE, Phase, START, Start};
use crate::recover::tidy;
use crate::registry::{Installed, Registry};
use crate::safe_point::Forbidden;
use crate::start;
use crate::switch::{self, Direction};

/// Bases tried before it is given up that a place can be kept.
const PLACES: usize = 8;
/// Memory that must be left to the program beside the patch: 256 KiB.
const MARGIN: u64 = 256 << 10;

/// Puts a patch into one process. `file` is the patch file's contents, which the registry remembers by hash.
pub fn apply(pid: i32, patch: &Patch, file: &[u8], options: Options) -> Outcome {
    let hash = hex(blake3::hash(file).as_bytes());
    let mut outcome = operate(pid, &patch.meta.name, options, |operation| run(operation, patch, &hash));
    if outcome.state == State::Applied || outcome.state == State::Possible {
        outcome.functions = patch.meta.functions.iter().map(|function| function.name.clone()).collect();
    }
    outcome
}

fn run(operation: &mut Operation<'_>, patch: &Patch, hash: &str) -> Result<(), Problem> {
    crate::mount::sweep();
    if !operation.options.dry_run {
        tidy(operation)?;
    }
    if check_registry(&operation.registry, patch, hash)? {
        operation.outcome.state = State::Already;
        return Ok(());
    }
    let mut plan = Plan::new(operation.process, &operation.mappings, &operation.registry, patch, hash)?;
    let bases = place::candidates(&operation.mappings, plan.range, plan.size(), patch.meta.target.fixed);
    if bases.is_empty() {
        return Err(Problem::Refused(format!(
            "no room for {} KiB of new code within 2 GiB of {}",
            plan.size() / 1024,
            patch.meta.target.file_name
        )));
    }
    if operation.options.dry_run {
        plan.image(bases[0]).map_err(|error| Problem::Refused(error.to_string()))?;
        operation.outcome.state = State::Possible;
        return Ok(());
    }
    check_memory(operation, &plan)?;
    let again = again(operation, &mut plan)?;
    let (image, header) = match again {
        Some(index) => (None, operation.registry.patches[index].header),
        None => {
            let image = stage(operation, &mut plan, &bases)?;
            let header = image.header;
            (Some(image), header)
        }
    };
    let started = match plan.shape.starter_at(header.base) {
        Some(starter) => start::run(operation, patch, starter, header.record()),
        None => Ok(()),
    };
    match started.and_then(|()| commit(operation, &plan, image.as_ref(), again)) {
        Ok(()) => {
            operation.outcome.state = State::Applied;
            Ok(())
        }
        Err(problem) => {
            if let Some(image) = image {
                take_back(operation, &image);
            }
            Err(problem)
        }
    }
}

/// Refuses where the new pages could take the program over a memory limit: there the kernel kills.
fn check_memory(operation: &Operation<'_>, plan: &Plan<'_>) -> Result<(), Problem> {
    // A page of code for each detour, at most; the image; page tables, and what the program itself may want.
    let needed = plan.size() + plan.owners.len() as u64 * crate::layout::PAGE + MARGIN;
    match operation.process.memory_headroom() {
        Some(left) if left < needed => Err(Problem::Failed(format!(
            "the program's memory limit (cgroup) leaves {} KiB, {} KiB are needed: beyond it the kernel would kill \
             the program; raise the limit",
            left / 1024,
            needed / 1024
        ))),
        _ => Ok(()),
    }
}

/// The retired image of this very patch, if there is one that can go in again as it is: its code and addresses
/// are what they would be anew. Its data stays what it has become; the program may have pointers into it.
/// Without this, each time in and out would leave one more image behind.
fn again(operation: &mut Operation<'_>, plan: &mut Plan<'_>) -> Result<Option<usize>, Problem> {
    let failed = |error: liveline_process::MemoryError| Problem::Failed(error.to_string());
    let hash = &plan.description.hash;
    let retired = operation.registry.patches.iter().rposition(|installed| {
        installed.header.phase == Phase::Retired
            && installed.description.hash == *hash
            && installed.header.bias == plan.bias
    });
    let Some(index) = retired else { return Ok(None) };
    resolve(operation, plan)?;
    let header = operation.registry.patches[index].header;
    let Ok(image) = plan.image(header.base) else { return Ok(None) };
    let code = header.code_size as usize;
    if image.header.code_size != header.code_size || image.header.data_size != header.data_size {
        return Ok(None);
    }
    let mut there = vec![0; image.bytes.len()];
    operation.process.read(header.base, &mut there).map_err(failed)?;
    let same = there[..code] == image.bytes[..code]
        && plan.shape.imported(plan.patch).all(|at| there.get(at.clone()) == image.bytes.get(at));
    if !same {
        return Ok(None);
    }
    let generation = plan.generation;
    switch::renew(operation.process, &mut operation.registry.patches[index], generation).map_err(failed)?;
    let installed = operation.registry.patches.remove(index);
    operation.registry.patches.push(installed);
    // The places of records have moved.
    plan.find_owners(operation.process, &operation.registry).map_err(failed)?;
    Ok(Some(operation.registry.patches.len() - 1))
}

/// Calls the IFUNC resolvers that the patch needs the answers of.
fn resolve(operation: &mut Operation<'_>, plan: &mut Plan<'_>) -> Result<(), Problem> {
    if !plan.resolvers.is_empty() {
        let mut mounter = operation.mounter()?;
        for (symbol, resolver) in std::mem::take(&mut plan.resolvers) {
            plan.outer[symbol] = mounter.resolve(resolver)?;
        }
    }
    Ok(())
}

/// Whether the very same patch is in already.
fn check_registry(registry: &Registry, patch: &Patch, hash: &str) -> Result<bool, Problem> {
    let meta = &patch.meta;
    if let Some(installed) = registry.find(&meta.name) {
        let there = &installed.description;
        if there.hash == hash {
            return Ok(true);
        }
        let what = if there.version == meta.version { "another build of version" } else { "version" };
        return Err(Problem::Refused(format!(
            "{what} {} of {} is in this process; revert it first: liveline revert {} --pid …",
            there.version, meta.name, meta.name
        )));
    }
    for needed in &meta.requires {
        let there =
            registry.find(&needed.name).filter(|installed| installed.description.version == needed.version);
        if there.is_none() {
            return Err(Problem::Refused(format!(
                "it needs the patch {} {} in the process first",
                needed.name, needed.version
            )));
        }
    }
    Ok(false)
}

/// Maps the image; nothing leads to it yet.
fn stage(operation: &mut Operation<'_>, plan: &mut Plan<'_>, bases: &[u64]) -> Result<Image, Problem> {
    let name = plan.patch.meta.name.clone();
    resolve(operation, plan)?;
    let mut mounter = operation.mounter()?;
    let mut mapped = Err(Problem::Failed("every place for the new code was taken meanwhile".into()));
    for base in bases.iter().take(PLACES) {
        let image = match plan.image(*base) {
            Ok(image) => image,
            Err(error) => {
                mapped = Err(Problem::Refused(error.to_string()));
                continue;
            }
        };
        match mounter.map(&image, &name) {
            Ok(()) => {
                mapped = Ok(image);
                break;
            }
            Err(MountError::Taken) => {}
            Err(MountError::Problem(problem)) => {
                mapped = Err(problem);
                break;
            }
        }
    }
    let longest_stop = mounter.cost.longest_stop;
    operation.note_stop(longest_stop);
    let image = mapped?;
    if let Err(problem) = verify(operation, &image) {
        take_back(operation, &image);
        return Err(problem);
    }
    Ok(image)
}

/// Reads the image back: from here on it is trusted. Also copies the code pages that will get a detour, so
/// that no page has to be copied while threads are held.
fn verify(operation: &Operation<'_>, image: &Image) -> Result<(), Problem> {
    let failed = |error: liveline_process::MemoryError| Problem::Failed(error.to_string());
    let mut there = vec![0; image.bytes.len()];
    operation.process.read(image.header.base, &mut there).map_err(failed)?;
    if there == image.bytes {
        Ok(())
    } else {
        Err(Problem::Failed("the new code did not arrive whole in the process".into()))
    }
}

fn warm(operation: &Operation<'_>, plan: &Plan<'_>, header: &Header) -> Result<(), Problem> {
    let process = operation.process;
    let mut pages: Vec<u64> = (0..plan.owners.len())
        .filter(|index| plan.owners[*index].is_none())
        .map(|index| plan.detour(index))
        .collect();
    pages.sort_unstable();
    pages.dedup_by_key(|at| *at / crate::layout::PAGE);
    pages.push(header.record());
    for at in pages {
        let mut byte = [0];
        let copied = process.read(at, &mut byte).and_then(|()| process.write(at, &byte));
        copied.map_err(|error| Problem::Failed(format!("the code cannot be written: {error}")))?;
    }
    Ok(())
}

fn commit(
    operation: &mut Operation<'_>,
    plan: &Plan<'_>,
    image: Option<&Image>,
    again: Option<usize>,
) -> Result<(), Problem> {
    let index = again.unwrap_or(operation.registry.patches.len());
    if let Some(image) = image {
        let installed = Installed { header: image.header, description: plan.description.clone() };
        operation.registry.patches.push(installed);
    }
    warm(operation, plan, &operation.registry.patches[index].header)?;
    let forbidden = forbidden(operation, plan);
    operation.turn(forbidden, index, Direction::In)
}

/// The code that is about to lose its meaning: what runs now of each function.
fn forbidden(operation: &Operation<'_>, plan: &Plan<'_>) -> Forbidden {
    let registry = &operation.registry;
    let mut forbidden = Forbidden::default();
    for (index, function) in plan.patch.meta.functions.iter().enumerate() {
        let name = &function.name;
        let top = registry.top(plan.detour(index), Installed::committed);
        let start = function.address.wrapping_add(plan.bias);
        forbidden.function(start, start + function.size, name);
        match top {
            // A thread that was left in the first code, in its remainder, was compared with that patch's code only.
            Some((installed, at)) => installed.forbid_new_code(at, &mut forbidden),
            None => function.remainders.iter().for_each(|offset| forbidden.remainder(start + offset)),
        }
        for part in &function.parts {
            let start = part.address.wrapping_add(plan.bias);
            forbidden.piece(start, start + part.size, &part.name);
        }
    }
    forbidden
}

/// Unmaps an image that did not come to be used.
fn take_back(operation: &mut Operation<'_>, image: &Image) {
    let base = image.header.base;
    let used = operation
        .registry
        .patches
        .iter()
        .any(|installed| installed.header.base == base && installed.header.phase != Phase::Mapped);
    operation.registry.patches.retain(|installed| installed.header.base != base);
    if used {
        return;
    }
    // The program's unwinder may know it, or come to know it. It goes in again, and is started once.
    let record = image.header.record();
    if operation.process.read_word(record + START).ok() != Some(Start::NotBegun.word()) {
        let retired = operation.process.write(record + PHASE, &Phase::Retired.word().to_le_bytes());
        if let Err(error) = retired {
            operation.outcome.reason = Some(error.to_string());
        }
        return;
    }
    let undone = operation
        .mounter()
        .and_then(|mut mounter| mounter.unmap(base, image.size).map(|()| mounter.cost.longest_stop));
    match undone {
        Ok(stop) => operation.note_stop(stop),
        // It is in nobody's way, and the next liveline finds and removes it.
        Err(problem) => operation.outcome.reason = Some(problem.to_string()),
    }
}
