//! What a call costs, on one thread and on all.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use liveline_runtime::ObjectRef;

use crate::subjects::{Add, Boxed, COPIES, Nested, NestedBox, Reference, Subject, all, plain_and_ours};
use crate::{Row, quantile};

const CALLS: u64 = 200_000;
/// For each copy of a loop.
const ROUNDS: usize = 40;

/// ns a call, by copy of the loop, cheapest first: each the best of many short rounds. What else runs on the machine
/// can only make it dearer.
type Copies = [f64; COPIES];

fn best(subjects: &[Box<dyn Subject>]) -> Vec<Copies> {
    let mut best = vec![[f64::MAX; COPIES]; subjects.len()];
    for round in 0..ROUNDS {
        for copy in 0..COPIES {
            for (best, subject) in best.iter_mut().zip(subjects) {
                // The slowest peers are clear after a few rounds.
                if round > 4 && best[copy] > 20.0 {
                    continue;
                }
                let started = Instant::now();
                subject.calls(copy, CALLS);
                best[copy] = best[copy].min(started.elapsed().as_secs_f64() * 1e9 / CALLS as f64);
            }
        }
    }
    best.iter_mut().for_each(|copies| copies.sort_by(f64::total_cmp));
    best
}

/// The median copy of each; and of the floor and ours, which come first, the dearest.
fn rows(what: &str, subjects: &[Box<dyn Subject>], best: &[Copies]) -> Vec<Row> {
    let all = subjects.iter().map(|subject| subject.name()).zip(best);
    let medians = all.clone().map(|(name, copies)| Row::new(what, name, quantile(copies, 0.5), "ns"));
    let dearest = all
        .take(2)
        .map(|(name, copies)| Row::new(format!("{what}, dearest copy"), name, copies[COPIES - 1], "ns"));
    medians.chain(dearest).collect()
}

/// A call on one thread, beside all peers; and a call within a call.
pub(crate) fn one_thread() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let subjects = all(folder.path());
    let mut all = rows("call, one thread", &subjects, &best(&subjects));
    let nested: Vec<Box<dyn Subject>> = vec![
        Box::new(Boxed(Box::new(NestedBox(Box::new(Add))))),
        Box::new(Reference(ObjectRef::new(Nested(ObjectRef::new(Add))))),
    ];
    all.extend(rows("call within a call, both", &nested, &best(&nested)));
    all
}

/// A call while all processors call the same object; beside it each an object of its own, where nothing is shared; and
/// one thread alone, measured in the same way.
pub(crate) fn all_cores() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let subjects = all(folder.path());
    let others = plain_and_ours();
    let mut pairs: Vec<_> = subjects.iter().map(|subject| [subject, subject]).collect();
    pairs.extend(subjects.iter().zip(&others).map(|(subject, other)| [subject, other]));
    let alone = pairs.len();
    pairs.extend(others.iter().map(|subject| [subject, subject]));
    let mut medians = vec![[0.0; COPIES]; pairs.len()];
    for copy in 0..COPIES {
        let mut seen = vec![Vec::new(); pairs.len()];
        for _ in 0..9 {
            for (number, (seen, [subject, other])) in seen.iter_mut().zip(&pairs).enumerate() {
                let threads = if number < alone { threads } else { 1 };
                seen.push(together(&***subject, &***other, copy, threads));
            }
        }
        for (copies, mut seen) in medians.iter_mut().zip(seen) {
            seen.sort_by(f64::total_cmp);
            copies[copy] = quantile(&seen, 0.5);
        }
    }
    medians.iter_mut().for_each(|copies| copies.sort_by(f64::total_cmp));
    let (shared, own) = medians.split_at(subjects.len());
    let what = format!("call, {threads} threads at once");
    let mut rows = rows(&what, &subjects, shared);
    let kinds = [format!("{what}, an object each"), "call, by turns with those, one thread alone".to_owned()];
    for (what, of_kind) in kinds.iter().zip(own.chunks(others.len())) {
        let named = others.iter().map(|subject| subject.name()).zip(of_kind);
        rows.extend(named.map(|(name, copies)| Row::new(what, name, quantile(copies, 0.5), "ns")));
    }
    rows
}

/// ns a call of the first thread, while the others call as well: the median of ten rounds. The best of them would be
/// one in which the others had no processor.
fn together(subject: &dyn Subject, other: &dyn Subject, copy: usize, threads: usize) -> f64 {
    let start = Barrier::new(threads);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                start.wait();
                while !stop.load(Ordering::Relaxed) {
                    other.calls(copy, 1000);
                }
            });
        }
        start.wait();
        let mut rounds = [0.0; 10];
        for round in &mut rounds {
            let started = Instant::now();
            subject.calls(copy, CALLS / 4);
            *round = started.elapsed().as_secs_f64() * 1e9 / (CALLS / 4) as f64;
        }
        stop.store(true, Ordering::Relaxed);
        rounds.sort_by(f64::total_cmp);
        quantile(&rounds, 0.5)
    })
}
