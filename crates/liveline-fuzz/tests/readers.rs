//! Inputs that once failed, the seeds themselves, and a few damaged ones.

use std::path::Path;

use liveline_fuzz::corpus::regressions;
use liveline_fuzz::run::read_one;
use liveline_fuzz::target::ALL;
use liveline_fuzz::{Options, run};

#[test]
fn what_failed_once_is_read() {
    let folder = Path::new("/dev/shm").join(format!("liveline-regressions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut failures = Vec::new();
    for target in ALL {
        for (path, input) in regressions(target).expect("the corpus") {
            if let Err(what) = read_one(target, &input, &folder) {
                failures.push(format!("{}: {what}", path.display()));
            }
        }
    }
    std::fs::remove_dir_all(&folder).expect("the folder");
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn undamaged_seeds_are_good() {
    let folder = Path::new("/dev/shm").join(format!("liveline-seeds-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut failures = Vec::new();
    for target in ALL {
        let seeds = target.seeds().expect("the corpus");
        let mut good = 0;
        for seed in &seeds[0] {
            let mut input: Vec<Vec<u8>> = seeds.iter().map(|of| of[0].clone()).collect();
            input[0].clone_from(seed);
            good += usize::from(read_one(target, &input, &folder) == Ok(true));
        }
        // Not all pairs make a patch, not all programs have an index of their unwind tables.
        let all = !["diff", "memory", "filter"].contains(&target.name);
        if good != seeds[0].len() && (good == 0 || all) {
            failures.push(format!("{}: {good} of {}", target.name, seeds[0].len()));
        }
    }
    std::fs::remove_dir_all(&folder).expect("the folder");
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn twenty_thousand_damaged_inputs() {
    let options = Options { runs: 20_000, seed: 1, only: None, threads: 2, progress: false };
    let summary = run(options).expect("the corpus");
    let failure = summary.failure.as_ref().map(|failure| (failure.target.name, &failure.what));
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(summary.runs, 20_000);
    assert_eq!(summary.targets.len(), ALL.len(), "{:?}", summary.targets);
}
