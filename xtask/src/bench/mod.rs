//! Benchmarks: each prints a table and writes docs/bench/NAME.md.

pub(crate) mod call;
pub(crate) mod coverage;
pub(crate) mod diff;
pub(crate) mod pause;
pub(crate) mod runtime;

pub(crate) mod page;
pub(crate) mod quiet;

use std::path::{Path, PathBuf};

use crate::shell::{Quiet, Result, workspace};

/// The middle value; of an even number the lower middle. 0 if there is none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// Sources of the targets.
fn target_source(name: &str) -> PathBuf {
    workspace().join("xtask/targets").join(name)
}

/// Compiles in `folder`: `gcc FLAGS -o OUTPUT SOURCES`.
fn gcc(folder: &Path, flags: &str, output: &str, sources: &[&str]) -> Result<()> {
    let sources: Vec<_> = sources.iter().map(|s| target_source(s).display().to_string()).collect();
    Quiet::new(folder, &format!("gcc {flags} -o {output} {}", sources.join(" "))).run()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(super::median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(super::median(&[4.0, 1.0, 2.0, 3.0]), 2.0);
        assert_eq!(super::median(&[]), 0.0);
    }
}
