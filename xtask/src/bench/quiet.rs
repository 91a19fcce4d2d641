//! Whether the machine is quiet enough to measure.

use std::fs;
use std::time::{Duration, Instant};

use liveline_demo::Words;

/// Other work that a measurement bears, as a share of all processors.
const BEARABLE: f64 = 0.10;
/// How long to wait for quiet.
const PATIENCE: Duration = Duration::from_secs(240);

/// Waits until the machine is quiet, for a while; gives a sentence for the page on how quiet it was.
pub(crate) fn wait(words: Words) -> String {
    wait_for(words, PATIENCE)
}

/// As [`wait`], for as long as is said.
pub(crate) fn wait_for(words: Words, patience: Duration) -> String {
    let began = Instant::now();
    let mut said = false;
    loop {
        let busy = busy_share(Duration::from_secs(3));
        let percent = busy * 100.0;
        if busy <= BEARABLE {
            return format!("Other work took {percent:.0} % of the processors before the run.");
        }
        if began.elapsed() > patience {
            words.line(&format!("other work still takes {percent:.0} % of the processors; measuring anyway"));
            return format!(
                "**The machine was not quiet: other work took {percent:.0} % of the processors before the run, so gaps \
                 and times are too high.**"
            );
        }
        if !said {
            words.line(&format!("other work takes {percent:.0} % of the processors; waiting for quiet"));
            said = true;
        }
    }
}

/// The share of all processors' time that was not idle during `span`; 0 if the kernel does not say.
fn busy_share(span: Duration) -> f64 {
    let before = times();
    std::thread::sleep(span);
    match (before, times()) {
        (Some((busy0, all0)), Some((busy1, all1))) if all1 > all0 => (busy1 - busy0) / (all1 - all0),
        _ => 0.0,
    }
}

/// Busy and total ticks since boot: proc_stat(5), the line `cpu`.
fn times() -> Option<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    let all: f64 = fields.iter().take(8).sum();
    Some((all - fields.get(3)? - fields.get(4)?, all))
}
