//! Taking a patch back.

use crate::operation::{Operation, Options, operate};
use crate::outcome::{Outcome, Problem, State};
use crate::record::Phase;
use crate::recover::tidy;
use crate::safe_point::Forbidden;
use crate::switch::Direction;

/// Takes the patch of this name out of one process. [`State::Clean`] if it is not in.
pub fn revert(pid: i32, name: &str, options: Options) -> Outcome {
    operate(pid, name, options, |operation| run(operation, name))
}

fn run(operation: &mut Operation<'_>, name: &str) -> Result<(), Problem> {
    if !operation.options.dry_run {
        tidy(operation)?;
    }
    let registry = &operation.registry;
    let Some(index) = registry
        .patches
        .iter()
        .rposition(|installed| installed.description.name == name && installed.header.phase == Phase::Active)
    else {
        operation.outcome.state = State::Clean;
        operation.outcome.reason = Some(format!("the patch {name} is not in this process"));
        return Ok(());
    };
    let needs_it = |other: &&crate::registry::Installed| {
        other.committed() && other.description.requires.iter().any(|needed| needed.name == name)
    };
    if let Some(other) = registry.patches.iter().find(needs_it) {
        let other = &other.description.name;
        return Err(Problem::Refused(format!("the patch {other} needs it: revert {other} first")));
    }
    let installed = &registry.patches[index];
    let functions = installed.description.functions.iter().map(|function| function.name.clone()).collect();
    if operation.options.dry_run {
        operation.outcome.state = State::Possible;
        return Ok(());
    }
    let mut forbidden = Forbidden::default();
    installed.forbid_all(&mut forbidden);
    operation.turn(forbidden, index, Direction::Out)?;
    operation.outcome.state = State::Reverted;
    operation.outcome.functions = functions;
    Ok(())
}
