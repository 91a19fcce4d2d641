//! A class with 1,000,000 instances, updated while its instances are called.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use liveline_runtime::{Class, Factory, Formats, ObjectRef, Options, Transfer, class, interface};

use crate::{Row, quantile};

const INSTANCES: usize = 1_000_000;
/// No call should take longer.
const LONG: Duration = Duration::from_millis(1);

#[interface]
trait Account {
    fn add(&self, n: u64) -> u32;
    fn balance(&self) -> u64;
}

/// The first layout: one word.
struct Plain {
    balance: AtomicU64,
}

/// Another layout: the number of changes is counted as well.
struct Counted {
    balance: AtomicU64,
    changes: AtomicU64,
}

#[class(transfer)]
impl Account for Plain {
    fn add(&self, n: u64) -> u32 {
        self.balance.fetch_add(n, Ordering::Relaxed);
        1
    }

    fn balance(&self) -> u64 {
        self.balance.load(Ordering::Relaxed)
    }
}

#[class(version = 2, transfer)]
impl Account for Counted {
    fn add(&self, n: u64) -> u32 {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.balance.fetch_add(n, Ordering::Relaxed);
        2
    }

    fn balance(&self) -> u64 {
        self.balance.load(Ordering::Relaxed)
    }
}

impl Transfer for Plain {
    fn formats(formats: &mut Formats<Self>) {
        formats
            .give("balance", Self::balance)
            .take("balance", |balance| Self { balance: AtomicU64::new(balance) });
    }
}

impl Transfer for Counted {
    fn formats(formats: &mut Formats<Self>) {
        formats
            .give("balance", Self::balance)
            .take("balance", |balance| Self { balance: AtomicU64::new(balance), changes: AtomicU64::new(0) });
    }
}

/// What one thread's calls took.
struct Took {
    /// Each call, ns.
    calls: Vec<u32>,
    /// Those over 1 ms in which the thread slept: it waited for somebody. In others it had no processor.
    waited: usize,
}

/// How often this thread went to sleep of its own accord.
fn sleeps() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).expect("getrusage(2)").voluntary_context_switches()
}

/// Calls random instances until told to stop, and notes how long each call took.
fn call(accounts: &[ObjectRef<dyn Account>], stop: &AtomicBool, seed: u64, added: &AtomicU64) -> Took {
    let mut took = Took { calls: Vec::with_capacity(1 << 24), waited: 0 };
    let mut random = seed;
    let mut slept = sleeps();
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let account = &accounts[(random >> 33) as usize % accounts.len()];
        let started = Instant::now();
        account.add(1);
        let elapsed = started.elapsed();
        took.calls.push(elapsed.as_nanos() as u32);
        if elapsed > LONG {
            took.waited += usize::from(sleeps() > slept);
            slept = sleeps();
        }
        added.fetch_add(1, Ordering::Relaxed);
        // A caller does other things too; without a pause the callers alone fill all processors.
        if took.calls.len().is_multiple_of(64) {
            std::thread::sleep(Duration::from_micros(50));
            slept = sleeps();
        }
    }
    took
}

/// What all calls took, ns, sorted; how many of them waited for over 1 ms.
type Calls = (Vec<f64>, usize);

/// Runs `work` while two threads call; how long it took, and how long the calls took.
fn under_load<R>(
    accounts: &[ObjectRef<dyn Account>],
    added: &AtomicU64,
    work: impl FnOnce() -> R,
) -> (R, Calls) {
    let stop = AtomicBool::new(false);
    let took: Mutex<Calls> = Mutex::default();
    let result = std::thread::scope(|scope| {
        for seed in [1, 2] {
            let (stop, took) = (&stop, &took);
            scope.spawn(move || {
                let own = call(accounts, stop, seed, added);
                let mut took = took.lock().unwrap();
                took.0.extend(own.calls.into_iter().map(f64::from));
                took.1 += own.waited;
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        let result = work();
        std::thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        result
    });
    let mut took = took.into_inner().unwrap();
    took.0.sort_by(f64::total_cmp);
    (result, took)
}

pub(crate) fn updates() -> Vec<Row> {
    let class =
        Class::new("account", Factory::new(|()| Plain { balance: AtomicU64::new(0) })).expect("a new class");
    let accounts: Vec<ObjectRef<dyn Account>> = (0..INSTANCES).map(|_| class.create(())).collect();
    let added = AtomicU64::new(0);
    let mut rows = Vec::new();
    let mut row =
        |what: &str, subject: &str, value: f64, unit| rows.push(Row::new(what, subject, value, unit));
    let mut calls = |subject: &str, (took, waited): &Calls| {
        row("call, 99.9 %", subject, quantile(took, 0.999) / 1e3, "µs");
        row("call, longest", subject, quantile(took, 1.0) / 1e3, "µs");
        let long = took.iter().filter(|ns| **ns > LONG.as_nanos() as f64).count();
        row("calls over 1 ms", subject, long as f64, "");
        row("of those, calls that waited for somebody", subject, *waited as f64, "");
        row("calls made", subject, took.len() as f64, "");
    };
    let ((), took) = under_load(&accounts, &added, || std::thread::sleep(Duration::from_millis(500)));
    calls("no update", &took);
    let ((), took) = under_load(&accounts, &added, || {
        let old: Vec<Box<Plain>> =
            (0..INSTANCES).map(|_| Box::new(Plain { balance: AtomicU64::new(0) })).collect();
        let new =
            old.into_iter().map(|old| Box::new(Counted { balance: old.balance, changes: AtomicU64::new(0) }));
        drop(std::hint::black_box(new.collect::<Vec<_>>()));
    });
    calls("no update, another thread replaces 1,000,000 boxes", &took);

    let counted = || Factory::new(|()| Counted { balance: AtomicU64::new(0), changes: AtomicU64::new(0) });
    let plain = || Factory::new(|()| Plain { balance: AtomicU64::new(0) });
    let (eager, took) = under_load(&accounts, &added, || {
        let started = Instant::now();
        let report = class.update(counted()).expect("the next version");
        assert_eq!(report.kept, [], "every instance goes over");
        assert_eq!(report.converted, INSTANCES);
        started.elapsed()
    });
    calls("eager update", &took);

    let (lazy, took) = under_load(&accounts, &added, || {
        let started = Instant::now();
        let sweep = class.update_lazily(plain().numbered(3), Options::default()).expect("the next version");
        let first = started.elapsed();
        let report = sweep.wait();
        assert_eq!(report.kept, [], "every instance goes over");
        (first, started.elapsed())
    });
    calls("lazy update", &took);
    let sum: u64 = accounts.iter().map(|account| account.balance()).sum();
    assert_eq!(sum, added.load(Ordering::Relaxed), "no call is lost or doubled");

    row("update of 1,000,000 instances under load, whole", "eager update", eager.as_secs_f64() * 1e3, "ms");
    row(
        "update of 1,000,000 instances under load, until new calls are new",
        "lazy update",
        lazy.0.as_secs_f64() * 1e3,
        "ms",
    );
    row(
        "update of 1,000,000 instances under load, background sweep",
        "lazy update",
        lazy.1.as_secs_f64() * 1e3,
        "ms",
    );
    let started = Instant::now();
    class.update(counted().numbered(4)).expect("the next version");
    row(
        "update of 1,000,000 instances, no load, whole",
        "eager update",
        started.elapsed().as_secs_f64() * 1e3,
        "ms",
    );
    rows
}
