//! One object swapped while 1,000 callers are in flight: how long each is delayed.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use liveline_runtime::{ObjectRef, Patience, class, interface};

use crate::{Row, quantile};

const CALLERS: usize = 1000;
/// How long a call takes, mostly.
const WORK: Duration = Duration::from_millis(50);
const SWAPS: usize = 20;
const LAST: &str = "delay beyond the longest call, last caller of the median swap";
const PATIENCE: Patience = Patience { bound: Duration::from_secs(10), attempts: 1 };

/// How the calls of different callers lie in time.
#[derive(Clone, Copy)]
enum Time {
    /// Each takes 25 to 75 ms, by chance: what callers do that know nothing of each other.
    Apart,
    /// All take as long, and the next swap begins as they end: one swap makes all callers begin at once, and the next one
    /// finds them so.
    InStep,
}

impl Time {
    fn name(self) -> &'static str {
        match self {
            Self::Apart => "",
            Self::InStep => " in step",
        }
    }

    /// How long the next call takes.
    fn work(self, chance: &mut u64) -> Duration {
        match self {
            Self::InStep => WORK,
            Self::Apart => {
                // Marsaglia's xorshift.
                *chance ^= *chance << 13;
                *chance ^= *chance >> 7;
                *chance ^= *chance << 17;
                WORK / 2 + WORK.mul_f64((*chance % 1000) as f64 / 1000.0)
            }
        }
    }

    /// How long to wait before the next swap.
    fn pause(self) -> Duration {
        match self {
            Self::InStep => WORK * 2,
            Self::Apart => WORK * 6,
        }
    }
}

/// Calls say when they were let in and when they left, ns since the start.
#[interface]
trait Slow {
    fn sleep(&self, clock: Instant, work: Duration) -> (u64, u64);
    async fn sleep_async(&self, clock: Instant, work: Duration) -> (u64, u64);
}

fn now(clock: Instant) -> u64 {
    clock.elapsed().as_nanos() as u64
}

macro_rules! slow {
    ($name:ident, $version:literal) => {
        #[derive(Default)]
        struct $name;

        #[class(version = $version, stateless)]
        impl Slow for $name {
            fn sleep(&self, clock: Instant, work: Duration) -> (u64, u64) {
                let entered = now(clock);
                std::thread::sleep(work);
                (entered, now(clock))
            }

            async fn sleep_async(&self, clock: Instant, work: Duration) -> (u64, u64) {
                let entered = now(clock);
                tokio::time::sleep(work).await;
                (entered, now(clock))
            }
        }
    };
}

slow!(Old, 1);
slow!(New, 2);

/// A call: when it was made, let in, and left.
type Call = (u64, u64, u64);
/// A swap: when it began and ended.
type Swap = (u64, u64);

/// What 1,000 threads call, and how it is swapped.
trait Subject: Sync {
    fn call(&self, clock: Instant, work: Duration) -> (u64, u64);
    fn swap(&self, n: usize);
}

impl Subject for ObjectRef<dyn Slow> {
    fn call(&self, clock: Instant, work: Duration) -> (u64, u64) {
        self.sleep(clock, work)
    }

    fn swap(&self, n: usize) {
        swap(self, n);
    }
}

/// What people write without a runtime: the writer waits for those inside, and those who come wait for it.
impl Subject for RwLock<Box<dyn Slow>> {
    fn call(&self, clock: Instant, work: Duration) -> (u64, u64) {
        self.read().unwrap().sleep(clock, work)
    }

    fn swap(&self, n: usize) {
        *self.write().unwrap() = if n.is_multiple_of(2) { Box::new(New) } else { Box::new(Old) };
    }
}

fn swap(object: &ObjectRef<dyn Slow>, n: usize) {
    match n % 2 {
        0 => ObjectRef::swap_with::<New>(object, PATIENCE),
        _ => ObjectRef::swap_with::<Old>(object, PATIENCE),
    }
    .expect("callers leave in time");
}

fn swaps(clock: Instant, time: Time, swap: impl Fn(usize)) -> Vec<Swap> {
    (0..SWAPS)
        .map(|n| {
            std::thread::sleep(time.pause());
            let began = now(clock);
            swap(n);
            (began, now(clock))
        })
        .collect()
}

fn thread<'s>(scope: &'s std::thread::Scope<'s, '_>, work: impl FnOnce() + Send + 's) {
    std::thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, work).expect("a thread");
}

/// 1,000 threads; the same with a lock; and what it takes to wake so many at all.
pub(crate) fn threads() -> Vec<Row> {
    let mut rows = Vec::new();
    for time in [Time::Apart, Time::InStep] {
        let name = format!("1,000 threads{}", time.name());
        let object: ObjectRef<dyn Slow> = ObjectRef::new(Old);
        rows.extend(threads_of(&name, time, &object));
        let locked: RwLock<Box<dyn Slow>> = RwLock::new(Box::new(Old));
        rows.extend(threads_of(&format!("{name}, RwLock<Box<dyn>>"), time, &locked));
    }
    rows.push(floor());
    rows
}

fn threads_of(name: &str, time: Time, subject: &impl Subject) -> Vec<Row> {
    let (clock, stop) = (Instant::now(), AtomicBool::new(false));
    let calls = Mutex::new(Vec::new());
    let swaps = std::thread::scope(|scope| {
        for caller in 1..=CALLERS {
            let (calls, stop) = (&calls, &stop);
            thread(scope, move || {
                let (mut own, mut chance): (Vec<Call>, _) = (Vec::new(), caller as u64);
                while !stop.load(Ordering::Relaxed) {
                    let work = time.work(&mut chance);
                    let made = now(clock);
                    let (entered, left) = subject.call(clock, work);
                    own.push((made, entered, left));
                }
                calls.lock().unwrap().extend(own);
            });
        }
        let swaps = swaps(clock, time, |n| subject.swap(n));
        stop.store(true, Ordering::Relaxed);
        swaps
    });
    report(name, &calls.into_inner().unwrap(), &swaps)
}

/// 1,000 threads that sleep on one word, woken by one call of the kernel: when the last of them runs.
fn floor() -> Row {
    let mut last = Vec::new();
    for _ in 0..SWAPS {
        let (clock, word, asleep) = (Instant::now(), AtomicU32::new(0), AtomicUsize::new(0));
        let (woken, latest) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                thread(scope, || {
                    asleep.fetch_add(1, Ordering::Relaxed);
                    while word.load(Ordering::Acquire) == 0 {
                        futex(&word, libc::FUTEX_WAIT, 0);
                    }
                    latest.fetch_max(now(clock), Ordering::Relaxed);
                });
            }
            while asleep.load(Ordering::Relaxed) < CALLERS {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(WORK);
            woken.store(now(clock), Ordering::Relaxed);
            word.store(1, Ordering::Release);
            futex(&word, libc::FUTEX_WAKE, libc::c_int::MAX);
        });
        last.push((latest.into_inner() - woken.into_inner()) as f64 / 1e3);
    }
    last.sort_by(f64::total_cmp);
    Row::new(LAST, "1,000 threads woken by one futex call (floor)", quantile(&last, 0.5), "µs")
}

fn futex(word: &AtomicU32, operation: libc::c_int, value: libc::c_int) {
    let nothing = std::ptr::null::<libc::timespec>();
    // SAFETY: futex(2) reads the word, which lives; there is no timespec.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), operation | libc::FUTEX_PRIVATE_FLAG, value, nothing)
    };
}

/// 1,000 tasks on as many threads as there are processors.
pub(crate) fn tasks() -> Vec<Row> {
    [Time::Apart, Time::InStep].into_iter().flat_map(tasks_of).collect()
}

fn tasks_of(time: Time) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    let object: ObjectRef<dyn Slow> = ObjectRef::new(Old);
    let clock = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (1..=CALLERS)
        .map(|caller| {
            let (object, stop) = (object.clone(), Arc::clone(&stop));
            runtime.spawn(async move {
                let (mut own, mut chance): (Vec<Call>, _) = (Vec::new(), caller as u64);
                while !stop.load(Ordering::Relaxed) {
                    let work = time.work(&mut chance);
                    let made = now(clock);
                    let (entered, left) = object.sleep_async(clock, work).await;
                    own.push((made, entered, left));
                }
                own
            })
        })
        .collect();
    let swaps = swaps(clock, time, |n| swap(&object, n));
    stop.store(true, Ordering::Relaxed);
    let calls: Vec<Call> =
        runtime.block_on(async { futures_of(tasks).await }).into_iter().flatten().collect();
    report(&format!("1,000 tasks{}", time.name()), &calls, &swaps)
}

async fn futures_of<T>(tasks: Vec<tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("no task panics"));
    }
    results
}

/// By how much callers were delayed beyond the longest call that was inside when the swap began.
fn report(subject: &str, calls: &[Call], swaps: &[Swap]) -> Vec<Row> {
    let (mut opened, mut beyond, mut worst) = (Vec::new(), Vec::new(), Vec::new());
    for &(began, ended) in swaps {
        let inside = calls.iter().filter(|(_, entered, left)| *entered < began && began < *left);
        let Some(last_left) = inside.map(|(_, _, left)| *left).max() else { continue };
        opened.push((ended.saturating_sub(last_left)) as f64 / 1e3);
        let longest = last_left - began;
        let held = |&&(made, entered, _): &&Call| made < ended && entered > began && entered - made > 1000;
        let mut delays: Vec<f64> = calls
            .iter()
            .filter(held)
            .map(|(made, entered, _)| (entered - made).saturating_sub(longest) as f64 / 1e3)
            .collect();
        delays.sort_by(f64::total_cmp);
        worst.push(delays.last().copied().unwrap_or(0.0));
        beyond.extend(delays);
    }
    for values in [&mut opened, &mut beyond, &mut worst] {
        values.sort_by(f64::total_cmp);
    }
    let late = beyond.iter().filter(|delay| **delay > 50.0).count() as f64 / beyond.len().max(1) as f64;
    vec![
        Row::new("last call left → swap returned, median swap", subject, quantile(&opened, 0.5), "µs"),
        Row::new("last call left → swap returned, worst swap", subject, quantile(&opened, 1.0), "µs"),
        Row::new("delay beyond the longest call, median caller", subject, quantile(&beyond, 0.5), "µs"),
        Row::new("delay beyond the longest call, 99 % of callers", subject, quantile(&beyond, 0.99), "µs"),
        Row::new("callers delayed by more than that and 50 µs", subject, late * 100.0, "%"),
        Row::new(LAST, subject, quantile(&worst, 0.5), "µs"),
        Row::new("callers delayed a swap", subject, beyond.len() as f64 / swaps.len() as f64, ""),
    ]
}
