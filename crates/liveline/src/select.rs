//! From `--pid` and `--exe` to processes.

use std::path::Path;

use crate::failure::{Code, Failure};

/// The processes that a command names, each once.
pub(crate) fn processes(pids: &[i32], exe: Option<&Path>) -> Result<Vec<i32>, Failure> {
    let Some(exe) = exe else {
        let mut unique = Vec::new();
        for pid in pids {
            if !unique.contains(pid) {
                unique.push(*pid);
            }
        }
        return Ok(unique);
    };
    let found = liveline_process::processes_running(exe).map_err(|error| Failure::file(exe, error))?;
    if found.is_empty() {
        let message = format!("no process that you may look at runs {} or has it mapped", exe.display());
        return Err(Failure::new(Code::Nothing, message));
    }
    Ok(found)
}
