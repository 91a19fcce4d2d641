//! Many runs on all processors, watched.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::allocation;
use crate::corpus::{CorpusError, Input, pack};
use crate::random::Random;
use crate::target::{ALL, Target, make};

/// How long one input may keep a processor busy.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// How long one input may take where it does not keep a processor busy: it waits for ever. A starved machine gave a
/// worker no processor for over 60 s.
const STUCK: Duration = Duration::from_secs(300);
/// Runs of one target in a row.
const BLOCK: u64 = 64;
/// How often the watchdog looks.
const LOOK: Duration = Duration::from_millis(20);
/// How often it says how far things are.
const SAY: Duration = Duration::from_secs(5);
/// The main thread's usual stack: what is too deep there is to be too deep here.
const STACK: usize = 8 << 20;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many inputs.
    pub runs: u64,
    /// What they are made from, together with their numbers.
    pub seed: u64,
    /// One target; all if none.
    pub only: Option<&'static Target>,
    /// Threads.
    pub threads: usize,
    /// Says how far it is, on standard error.
    pub progress: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Inputs read.
    pub runs: u64,
    /// For each target that was run: name, inputs, how many of them were taken for good, processor time in it.
    pub targets: Vec<(&'static str, u64, u64, Duration)>,
    /// The first failure; everything stops at it.
    pub failure: Option<Failure>,
    /// How long it took.
    pub took: Duration,
}

/// An input that was not read as it should be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Target.
    pub target: &'static Target,
    /// What happened.
    pub what: String,
    /// The input.
    pub input: Input,
}

impl Failure {
    /// Writes the input to a folder, under a name that says the target.
    pub fn save(&self, folder: &Path) -> std::io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let bytes = pack(&self.input);
        let hash = bytes.iter().fold(5381u64, |hash, byte| hash.wrapping_mul(33) ^ u64::from(*byte));
        let path = folder.join(format!("{}-{hash:016x}", self.target.name));
        fs::write(&path, bytes)?;
        Ok(path)
    }
}

/// Reads one input; what went wrong, if anything did.
pub fn read_one(target: &Target, input: &[Vec<u8>], folder: &Path) -> Result<bool, String> {
    catch_unwind(AssertUnwindSafe(|| (target.read)(input, folder))).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        format!("panic: {}", text.unwrap_or("(no text)"))
    })
}

struct Plan {
    options: Options,
    seeds: Vec<Vec<Vec<Vec<u8>>>>,
    /// By thousandth, the target.
    table: Vec<usize>,
}

impl Plan {
    fn new(options: Options) -> Result<Self, CorpusError> {
        let wanted = |target: &Target| options.only.is_none_or(|only| only.name == target.name);
        let seeds = ALL.iter().map(|target| if wanted(target) { target.seeds() } else { Ok(Vec::new()) });
        let shares = ALL.iter().enumerate().filter(|(_, target)| wanted(target));
        let table = shares.flat_map(|(index, target)| std::iter::repeat_n(index, target.share)).collect();
        Ok(Self { options, seeds: seeds.collect::<Result<_, _>>()?, table })
    }

    /// Index of the target of a run.
    fn target(&self, run: u64) -> usize {
        // 617 has no factor in common with 1000: every thousand blocks each share comes to its due.
        self.table[(run / BLOCK).wrapping_mul(617) as usize % self.table.len()]
    }

    fn input(&self, run: u64) -> Input {
        make(&mut Random::new(self.options.seed, run), &self.seeds[self.target(run)])
    }
}

/// What the watchdog knows of a worker.
#[derive(Default)]
struct Worker {
    /// Number of the run it is in, plus 1; 0 between runs.
    current: AtomicU64,
    /// Its `/proc` folder.
    proc: Mutex<PathBuf>,
    finished: AtomicBool,
    /// By target: inputs, good ones, nanoseconds.
    counts: Vec<[AtomicU64; 3]>,
}

struct Shared {
    plan: Plan,
    next: AtomicU64,
    stop: AtomicBool,
    workers: Vec<Worker>,
    failure: Mutex<Option<(u64, String)>>,
    folder: PathBuf,
}

/// Makes and reads inputs until all are done or one fails. Errors: the corpus cannot be read.
pub fn run(options: Options) -> Result<Summary, CorpusError> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let counts = || ALL.iter().map(|_| Default::default()).collect();
    let folder = Path::new("/dev/shm").join(format!("liveline-fuzz-{}-{serial}", std::process::id()));
    let shared = Arc::new(Shared {
        plan: Plan::new(options)?,
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        workers: (0..options.threads.max(1))
            .map(|_| Worker { counts: counts(), ..Worker::default() })
            .collect(),
        failure: Mutex::new(None),
        folder,
    });
    let start = Instant::now();
    for index in 0..shared.workers.len() {
        let folder = shared.folder.join(index.to_string());
        let cannot = |source| CorpusError::Read { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(cannot)?;
        let worker = Arc::clone(&shared);
        let own = folder.clone();
        let thread = std::thread::Builder::new().name(format!("fuzz-{index}")).stack_size(STACK);
        thread.spawn(move || work(&worker, index, &own)).map_err(cannot)?;
    }
    let failure = watch(&shared, start);
    // The others finish what they are at. A hanging one is left to the end of the process.
    let patience = Instant::now();
    let finished = |worker: &Worker| worker.finished.load(Ordering::Acquire);
    while !shared.workers.iter().all(finished) && patience.elapsed() < DEADLINE {
        std::thread::sleep(LOOK);
    }
    let _ = fs::remove_dir_all(&shared.folder);
    let count = |target: usize, what: usize| -> u64 {
        shared.workers.iter().map(|worker| worker.counts[target][what].load(Ordering::Relaxed)).sum()
    };
    let targets = ALL.iter().enumerate().filter(|(index, _)| count(*index, 0) != 0).map(|(index, target)| {
        (target.name, count(index, 0), count(index, 1), Duration::from_nanos(count(index, 2)))
    });
    let targets: Vec<_> = targets.collect();
    Ok(Summary { runs: targets.iter().map(|target| target.1).sum(), targets, failure, took: start.elapsed() })
}

fn work(shared: &Shared, index: usize, folder: &Path) {
    let own = &shared.workers[index];
    let proc = fs::read_link("/proc/thread-self").unwrap_or_default();
    *own.proc.lock().unwrap_or_else(PoisonError::into_inner) = Path::new("/proc").join(proc);
    let runs = shared.plan.options.runs;
    loop {
        let from = shared.next.fetch_add(BLOCK, Ordering::Relaxed);
        if from >= runs || shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let number = shared.plan.target(from);
        let start = Instant::now();
        let (mut done, mut good) = (0, 0);
        for run in from..(from + BLOCK).min(runs) {
            let input = shared.plan.input(run);
            own.current.store(run + 1, Ordering::Release);
            allocation::begin(index);
            let result = read_one(&ALL[number], &input, folder);
            own.current.store(0, Ordering::Release);
            done += 1;
            match result {
                Ok(taken) => good += u64::from(taken),
                Err(what) => {
                    let mut failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert((run, what));
                    shared.stop.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        for (count, more) in own.counts[number].iter().zip([done, good, start.elapsed().as_nanos() as u64]) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }
    own.finished.store(true, Ordering::Release);
}

/// What was seen of a worker when its current run was first seen.
struct Seen {
    run: u64,
    at: Instant,
    busy: Duration,
}

/// Waits for the workers; gives the first failure.
fn watch(shared: &Shared, start: Instant) -> Option<Failure> {
    let failed = |run: u64, what: String| {
        shared.stop.store(true, Ordering::Relaxed);
        let target = &ALL[shared.plan.target(run)];
        Some(Failure { target, what, input: shared.plan.input(run) })
    };
    let mut seen: Vec<Option<Seen>> = shared.workers.iter().map(|_| None).collect();
    let mut said = start;
    loop {
        std::thread::sleep(LOOK);
        if let Some((run, what)) = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return failed(run, what);
        }
        if let Some(run) = refused(shared) {
            return failed(run, format!("asks for more than {} MiB", allocation::LIMIT >> 20));
        }
        for (worker, seen) in shared.workers.iter().zip(&mut seen) {
            if let Some((run, what)) = overdue(worker, seen) {
                return failed(run, what);
            }
        }
        if shared.workers.iter().all(|worker| worker.finished.load(Ordering::Acquire)) {
            let failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            return failure.and_then(|(run, what)| failed(run, what));
        }
        if shared.plan.options.progress && said.elapsed() >= SAY {
            said = Instant::now();
            let done = shared.next.load(Ordering::Relaxed).min(shared.plan.options.runs);
            let seconds = start.elapsed().as_secs_f64();
            let rate = done as f64 / seconds;
            eprintln!(
                "fuzz: {done} of {} runs, {seconds:.0} s, {rate:.0} a second",
                shared.plan.options.runs
            );
        }
    }
}

/// The run whose memory was refused.
fn refused(shared: &Shared) -> Option<u64> {
    let current = |worker: &Worker| worker.current.load(Ordering::Acquire).checked_sub(1);
    match allocation::refused() {
        allocation::NONE => None,
        // Only the comparison of whole builds starts threads.
        allocation::OTHER => {
            shared.workers.iter().filter_map(current).find(|run| ALL[shared.plan.target(*run)].name == "diff")
        }
        index => shared.workers.get(index).and_then(current),
    }
}

/// The worker's run, if it has taken too long, and in what way. Other programs may keep a worker waiting: what counts
/// is the time a processor gave to it.
fn overdue(worker: &Worker, seen: &mut Option<Seen>) -> Option<(u64, String)> {
    let run = worker.current.load(Ordering::Acquire);
    let Some(before) = seen.as_ref().filter(|seen| seen.run == run && run != 0) else {
        *seen = Some(Seen { run, at: Instant::now(), busy: busy(worker) });
        return None;
    };
    let elapsed = before.at.elapsed();
    let what = if elapsed > STUCK {
        format!("waits, for more than {} s", STUCK.as_secs())
    } else if elapsed > DEADLINE && busy(worker).saturating_sub(before.busy) > DEADLINE {
        format!("keeps a processor busy for more than {} s", DEADLINE.as_secs())
    } else {
        return None;
    };
    Some((run - 1, what))
}

/// Time the worker's thread has had a processor (`/proc/PID/task/TID/schedstat`, first field).
fn busy(worker: &Worker) -> Duration {
    let path = worker.proc.lock().unwrap_or_else(PoisonError::into_inner).join("schedstat");
    let text = fs::read_to_string(path).unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_gets_no_processor_is_waited_for() {
        let folder = Path::new("/dev/shm").join(format!("liveline-overdue-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let worker = Worker { proc: Mutex::new(folder.clone()), ..Worker::default() };
        let had = |time: Duration| {
            fs::write(folder.join("schedstat"), format!("{} 0 0\n", time.as_nanos())).expect("a file");
        };
        let mut seen = None;
        worker.current.store(8, Ordering::Release);
        had(Duration::from_secs(50));
        assert_eq!(overdue(&worker, &mut seen), None);
        let mut after = |seconds| {
            seen.as_mut().expect("seen").at = Instant::now() - Duration::from_secs(seconds);
            overdue(&worker, &mut seen)
        };
        assert_eq!(after(100), None);
        had(Duration::from_secs(53));
        assert_eq!(after(1), None);
        assert_eq!(after(4), Some((7, "keeps a processor busy for more than 2 s".to_owned())));
        had(Duration::from_secs(50));
        assert_eq!(after(301), Some((7, "waits, for more than 300 s".to_owned())));
        fs::remove_dir_all(&folder).expect("the folder");
    }
}
