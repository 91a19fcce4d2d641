//! Swaps by the ten thousand under load: nothing lost, nothing doubled, nothing grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use liveline_runtime::{ObjectRef, class, interface};

use crate::{Row, resident};

#[interface]
trait Counter {
    fn next(&self) -> u64;
}

macro_rules! counter {
    ($name:ident, $version:literal) => {
        struct $name {
            count: Arc<AtomicU64>,
        }

        #[class(version = $version, state(count))]
        impl Counter for $name {
            fn next(&self) -> u64 {
                self.count.fetch_add(1, Ordering::Relaxed)
            }
        }
    };
}

counter!(First, 1);
counter!(Second, 2);

pub(crate) fn swaps(times: usize) -> Vec<Row> {
    let counter: ObjectRef<dyn Counter> = ObjectRef::new(First { count: Arc::default() });
    let stop = AtomicBool::new(false);
    let (mut early, mut refused) = (0, 0usize);
    let started = Instant::now();
    // Each caller's answers must rise; their sums tell whether any was lost or given twice.
    let answers: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut calls, mut sum, mut last) = (0u64, 0u64, None);
                    while !stop.load(Ordering::Relaxed) {
                        let answer = counter.next();
                        assert!(last < Some(answer), "answers of one caller come in order");
                        last = Some(answer);
                        calls += 1;
                        sum = sum.wrapping_add(answer);
                    }
                    (calls, sum)
                })
            })
            .collect();
        for n in 0..times {
            let swapped = match n % 2 {
                0 => ObjectRef::swap::<Second>(&counter),
                _ => ObjectRef::swap::<First>(&counter),
            };
            refused += usize::from(swapped.is_err());
            if n == times / 10 {
                early = resident();
            }
        }
        stop.store(true, Ordering::Relaxed);
        callers.into_iter().map(|caller| caller.join().expect("no caller panics")).collect()
    });
    let took = started.elapsed().as_secs_f64();
    let calls: u64 = answers.iter().map(|(calls, _)| calls).sum();
    let sum = answers.iter().fold(0u64, |all, (_, sum)| all.wrapping_add(*sum));
    let lost = counter.next().abs_diff(calls);
    let expected = (0..calls).fold(0u64, u64::wrapping_add);
    let grown = resident() as f64 - early as f64;
    let what = |text: &str| format!("{times} swaps under load: {text}");
    vec![
        Row::new(what("calls lost or doubled"), "ObjectRef<dyn Trait>", lost as f64, ""),
        Row::new(
            what("answers that add up"),
            "ObjectRef<dyn Trait>",
            f64::from(u8::from(sum == expected)),
            "",
        ),
        Row::new(what("swaps taken back"), "ObjectRef<dyn Trait>", refused as f64, ""),
        Row::new(what("memory grown since the first tenth"), "ObjectRef<dyn Trait>", grown / 1024.0, "KiB"),
        Row::new(what("calls"), "ObjectRef<dyn Trait>", calls as f64, ""),
        Row::new(what("time of a swap"), "ObjectRef<dyn Trait>", took * 1e6 / times as f64, "µs"),
    ]
}
