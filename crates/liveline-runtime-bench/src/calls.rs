//! What a call costs, on one thread and on all.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use liveline_runtime::ObjectRef;

use crate::Row;
use crate::subjects::{Add, Boxed, Nested, NestedBox, Reference, Subject, all};

const CALLS: u64 = 200_000;
const ROUNDS: usize = 300;

/// The best of many short rounds, ns a call. What else runs on the machine can only make it dearer.
fn best(subjects: &[Box<dyn Subject>]) -> Vec<f64> {
    let mut best = vec![f64::MAX; subjects.len()];
    for round in 0..ROUNDS {
        for (best, subject) in best.iter_mut().zip(subjects) {
            // The slowest peers are clear after a few rounds.
            if round > 30 && *best > 20.0 {
                continue;
            }
            let started = Instant::now();
            subject.calls(CALLS);
            *best = best.min(started.elapsed().as_secs_f64() * 1e9 / CALLS as f64);
        }
    }
    best
}

/// A call on one thread, beside all peers; and a call within a call.
pub(crate) fn one_thread() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let subjects = all(folder.path());
    let mut rows: Vec<Row> = best(&subjects)
        .into_iter()
        .zip(&subjects)
        .map(|(ns, subject)| Row::new("call, one thread", subject.name(), ns, "ns"))
        .collect();
    let nested: Vec<Box<dyn Subject>> = vec![
        Box::new(Boxed(Box::new(NestedBox(Box::new(Add))))),
        Box::new(Reference(ObjectRef::new(Nested(ObjectRef::new(Add))))),
    ];
    for (ns, subject) in best(&nested).into_iter().zip(&nested) {
        rows.push(Row::new("call within a call, both", subject.name(), ns, "ns"));
    }
    rows
}

/// A call while all processors call the same object.
pub(crate) fn all_cores() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut rows = Vec::new();
    for subject in &all(folder.path()) {
        let mut best = f64::MAX;
        for _ in 0..20 {
            best = best.min(together(&**subject, threads));
        }
        rows.push(Row::new(format!("call, {threads} threads at once"), subject.name(), best, "ns"));
    }
    rows
}

/// ns a call of the first thread, while the others call as well.
fn together(subject: &dyn Subject, threads: usize) -> f64 {
    let start = Barrier::new(threads);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                start.wait();
                while !stop.load(Ordering::Relaxed) {
                    subject.calls(1000);
                }
            });
        }
        start.wait();
        let mut best = f64::MAX;
        for _ in 0..10 {
            let started = Instant::now();
            subject.calls(CALLS / 4);
            best = best.min(started.elapsed().as_secs_f64() * 1e9 / (CALLS / 4) as f64);
        }
        stop.store(true, Ordering::Relaxed);
        best
    })
}
