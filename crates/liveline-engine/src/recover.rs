//! Completing, or taking back, what a killed patcher left.

use crate::operation::{Operation, Options, operate};
use crate::outcome::{Outcome, Problem, State};
use crate::record::Phase;
use crate::switch;

/// Makes one process tidy: patches that were committed are completed, others taken back.
pub fn recover(pid: i32, options: Options) -> Outcome {
    operate(pid, "", options, run)
}

fn run(operation: &mut Operation<'_>) -> Result<(), Problem> {
    crate::mount::sweep();
    let tidied = tidy(operation)?;
    let mut mounter = operation.mounter()?;
    let closed = mounter.close_left_over()?;
    crate::mount::remove_unmapped(operation.process);
    let longest_stop = mounter.cost.longest_stop;
    operation.note_stop(longest_stop);
    operation.outcome.state = if tidied || closed > 0 { State::Recovered } else { State::Clean };
    Ok(())
}

/// Settles what is unfinished; whether there was anything. Every operation begins with this.
pub(crate) fn tidy(operation: &mut Operation<'_>) -> Result<bool, Problem> {
    if !operation.registry.unfinished() {
        return Ok(false);
    }
    let process = operation.process;
    let unfinished = |phase: Phase| phase != Phase::Retired;
    let before: Vec<String> = operation
        .registry
        .patches
        .iter()
        .filter(|installed| unfinished(installed.header.phase) && !installed.committed())
        .map(|installed| installed.description.name.clone())
        .collect();
    operation.held(|registry| switch::settle(process, registry))?;
    // What nothing ever led to can go altogether.
    let unused: Vec<(u64, u64)> = operation
        .registry
        .patches
        .iter()
        .filter(|installed| installed.header.phase == Phase::Mapped)
        .map(|installed| (installed.header.base, installed.header.code_size + installed.header.data_size))
        .collect();
    let mut mounter = operation.mounter()?;
    for (base, size) in &unused {
        mounter.unmap(*base, *size)?;
    }
    mounter.close_left_over()?;
    let longest_stop = mounter.cost.longest_stop;
    operation.note_stop(longest_stop);
    operation.registry.patches.retain(|installed| installed.header.phase != Phase::Mapped);
    operation.mappings = process.mappings().map_err(|error| Problem::Failed(error.to_string()))?;
    if !before.is_empty() {
        operation.outcome.reason =
            Some(format!("taken back, left half-way by a killed liveline: {}", before.join(", ")));
    }
    Ok(true)
}
