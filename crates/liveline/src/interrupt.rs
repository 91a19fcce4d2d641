//! Signals that ask this program to end while it has work to leave behind in order.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Code, Failure};

/// Has the first of them set a flag, and the second end the program at once.
pub(crate) fn set_by_signals(asked: &Arc<AtomicBool>) -> Result<(), Failure> {
    let ignored = ignored();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // nohup, and shells that start it in the background, say which are not meant for it.
        if ignored & (1 << (signal - 1)) != 0 {
            continue;
        }
        flag::register_conditional_shutdown(signal, Code::Failed as i32, Arc::clone(asked))
            .and_then(|_| flag::register(signal, Arc::clone(asked)))
            .map_err(|error| Failure::failed(format!("cannot catch signals: {error}")))?;
    }
    Ok(())
}

/// The signals that this process was started to ignore, a bit each.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
