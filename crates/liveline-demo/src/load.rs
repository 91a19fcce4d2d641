//! A load on a server: many connections, every answer checked, every latency kept.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One connection to the server under load.
pub trait Client: Send {
    /// Sends one request (or one batch) and checks the whole answer.
    ///
    /// # Errors
    /// A [`Fault`] if there is no answer, or not exactly the right one. The connection is then given up.
    fn request(&mut self) -> Result<(), Fault>;
}

/// A request that failed or was answered wrongly.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Fault(format!("no answer in {} s", ANSWER_LIMIT.as_secs()))
            }
            _ => Fault(format!("connection lost: {error}")),
        }
    }
}

/// How long a client waits for an answer: only a hung server takes that long.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// One request as measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When the answer was complete, in µs since the load began.
    pub at_us: u32,
    /// How long the request took, in ns; 4.29 s stands for anything longer.
    pub took_ns: u32,
}

/// What a load measured.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// All requests, by time.
    pub samples: Vec<Sample>,
    /// What went wrong: one entry a lost connection, in words.
    pub faults: Vec<String>,
}

/// The requests of one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Start, in ms since the load began.
    pub start_ms: f64,
    /// Requests completed.
    pub requests: u64,
    /// Median latency in µs.
    pub p50_us: f64,
    /// 99th percentile of the latency in µs.
    pub p99_us: f64,
    /// Highest latency in µs.
    pub max_us: f64,
}

impl Recording {
    /// The recording cut into stretches of `width_ms`; empty stretches count 0 requests.
    pub fn buckets(&self, width_ms: f64) -> Vec<Bucket> {
        let width_us = width_ms * 1000.0;
        let Some(last) = self.samples.last() else { return Vec::new() };
        let count = (f64::from(last.at_us) / width_us) as usize + 1;
        let mut cut: Vec<Vec<u32>> = vec![Vec::new(); count];
        for sample in &self.samples {
            cut[(f64::from(sample.at_us) / width_us) as usize].push(sample.took_ns);
        }
        cut.into_iter()
            .enumerate()
            .map(|(i, mut took)| {
                took.sort_unstable();
                Bucket {
                    start_ms: i as f64 * width_ms,
                    requests: took.len() as u64,
                    p50_us: quantile_us(&took, 0.50),
                    p99_us: quantile_us(&took, 0.99),
                    max_us: quantile_us(&took, 1.0),
                }
            })
            .collect()
    }

    /// The latencies of the requests that ended between two times (ms since the load began), as one bucket.
    pub fn between(&self, from_ms: f64, to_ms: f64) -> Bucket {
        let mut took: Vec<u32> = self
            .samples
            .iter()
            .filter(|s| (from_ms..to_ms).contains(&(f64::from(s.at_us) / 1000.0)))
            .map(|s| s.took_ns)
            .collect();
        took.sort_unstable();
        Bucket {
            start_ms: from_ms,
            requests: took.len() as u64,
            p50_us: quantile_us(&took, 0.50),
            p99_us: quantile_us(&took, 0.99),
            max_us: quantile_us(&took, 1.0),
        }
    }
}

/// The nearest-rank quantile of sorted latencies (ns), in µs; 0 if there are none.
fn quantile_us(sorted_ns: &[u32], q: f64) -> f64 {
    if sorted_ns.is_empty() {
        return 0.0;
    }
    let rank = (sorted_ns.len() as f64 * q).ceil() as usize;
    f64::from(sorted_ns[rank.clamp(1, sorted_ns.len()) - 1]) / 1000.0
}

/// A running load. Dropping it stops it.
pub struct Load {
    began: Instant,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<Sample>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Vec<String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// Starts the clients, one thread each. `pace` is the time from one request of a client to its next;
    /// `None` is as fast as the server answers.
    pub fn start(clients: Vec<Box<dyn Client>>, pace: Option<Duration>) -> Load {
        let began = Instant::now();
        let shared = Arc::new(Shared::default());
        let count = clients.len() as u32;
        let threads = clients
            .into_iter()
            .enumerate()
            .map(|(i, mut client)| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // Spread the first requests over one pace, or all would come at once for ever.
                    let offset = pace.map(|p| p * i as u32 / count);
                    drive(client.as_mut(), &shared, began, pace, offset)
                })
            })
            .collect();
        Load { began, shared, threads }
    }

    /// Time since the load began, in ms.
    pub fn now_ms(&self) -> f64 {
        self.began.elapsed().as_secs_f64() * 1000.0
    }

    /// Requests answered rightly so far.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Requests that failed so far.
    pub fn failed(&self) -> usize {
        self.shared.faults().len()
    }

    /// Stops the load and gives what it measured.
    pub fn finish(mut self) -> Recording {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut samples = Vec::new();
        for thread in std::mem::take(&mut self.threads) {
            match thread.join() {
                Ok(mut some) => samples.append(&mut some),
                Err(_) => self.shared.faults().push("a client of the load crashed".into()),
            }
        }
        samples.sort_unstable_by_key(|s| s.at_us);
        Recording { samples, faults: std::mem::take(&mut *self.shared.faults()) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn drive(
    client: &mut dyn Client,
    shared: &Shared,
    began: Instant,
    pace: Option<Duration>,
    offset: Option<Duration>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut next = began + offset.unwrap_or_default();
    while !shared.stop.load(Ordering::Relaxed) {
        if let Some(pace) = pace {
            let now = Instant::now();
            if next > now {
                std::thread::sleep(next - now);
            }
            // After a delay go on at the pace rather than make up for it in a burst.
            next = next.max(now) + pace;
        }
        let sent = Instant::now();
        if let Err(fault) = client.request() {
            let at = began.elapsed().as_secs_f64();
            shared.faults().push(format!("at {at:.3} s: {fault}"));
            break;
        }
        let took = sent.elapsed();
        samples.push(Sample {
            at_us: began.elapsed().as_micros().try_into().unwrap_or(u32::MAX),
            took_ns: took.as_nanos().try_into().unwrap_or(u32::MAX),
        });
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
    samples
}

/// Small pseudo-random numbers (xorshift64*): a load must be repeatable, not secret.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to `n` - 1; `n` must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % n
    }

    /// `length` printable bytes without spaces.
    pub fn text(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(u32);

    impl Client for Fails {
        fn request(&mut self) -> Result<(), Fault> {
            self.0 += 1;
            if self.0 > 3 { Err(Fault("wrong answer".into())) } else { Ok(()) }
        }
    }

    #[test]
    fn a_fault_is_counted_and_ends_its_connection() {
        let load = Load::start(vec![Box::new(Fails(0)), Box::new(Fails(1))], None);
        while load.failed() < 2 {
            std::thread::yield_now();
        }
        let recording = load.finish();
        assert_eq!(recording.samples.len(), 5);
        assert_eq!(recording.faults.len(), 2);
        assert!(recording.faults[0].ends_with("wrong answer"));
    }

    #[test]
    fn buckets_hold_every_sample_once() {
        let samples = [(500, 1000), (900, 3000), (2500, 2000)];
        let recording = Recording {
            samples: samples.map(|(at_us, took_ns)| Sample { at_us, took_ns }).to_vec(),
            faults: vec![],
        };
        let buckets = recording.buckets(1.0);
        assert_eq!(buckets.iter().map(|b| b.requests).collect::<Vec<_>>(), [2, 0, 1]);
        assert_eq!((buckets[0].p50_us, buckets[0].p99_us, buckets[0].max_us), (1.0, 3.0, 3.0));
        assert_eq!(recording.between(0.6, 3.0).requests, 2);
    }
}
