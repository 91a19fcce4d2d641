//! From `--pid` and `--exe` to processes.

use std::path::Path;

use crate::failure::Failure;

/// The processes that a command names, each once; none if nobody runs the program.
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
    liveline_process::processes_running(exe).map_err(|error| Failure::file(exe, error))
}
