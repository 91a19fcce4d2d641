//! The thread on which modules come and go, one after the other.
//!
//! It never ends: a module's thread-locals are not dropped, and a panic in such a drop would end the program. Whoever
//! asks waits no longer than he said for those before him, so that an entry that never returns holds up nobody.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use liveline_control::message::Outcome;

use crate::control::socket;
use crate::sync::lock;

/// Does the work of one request after the other.
pub(super) struct Worker {
    jobs: Mutex<Sender<Job>>,
    doing: Arc<Mutex<Option<Doing>>>,
}

type Work = Box<dyn FnOnce() -> Outcome + Send>;

struct Job {
    words: String,
    work: Work,
    answer: Sender<Outcome>,
    /// Taken by the worker, or given up by who asked.
    is_taken: Arc<AtomicBool>,
}

struct Doing {
    words: String,
    since: Instant,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, asked) = channel();
        let doing = Arc::default();
        let told = Arc::clone(&doing);
        socket::in_background(move || work(&asked, &told))?;
        Ok(Self { jobs: Mutex::new(jobs), doing })
    }

    /// Does the work when what was asked for before is done. Error: that took longer than `patience`, and nothing of the
    /// work was begun; the words say what is under way.
    pub(super) fn carry_out(
        &self,
        words: String,
        patience: Duration,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<Outcome, String> {
        let (answer, answered) = channel();
        let is_taken = Arc::new(AtomicBool::new(false));
        let job = Job { words, work: Box::new(work), answer, is_taken: Arc::clone(&is_taken) };
        let gone = || "the thread that loads modules is gone".to_owned();
        lock(&self.jobs).send(job).map_err(|_| gone())?;
        match answered.recv_timeout(patience) {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if is_taken.swap(true, Ordering::AcqRel) {
            // It was begun, and keeps to its own bounds.
            return answered.recv().map_err(|_| gone());
        }
        Err(match &*lock(&self.doing) {
            Some(doing) => format!("{} is under way since {:.1?}", doing.words, doing.since.elapsed()),
            None => "others were before it".to_owned(),
        })
    }
}

fn work(asked: &Receiver<Job>, doing: &Mutex<Option<Doing>>) {
    for job in asked {
        if job.is_taken.swap(true, Ordering::AcqRel) {
            continue;
        }
        *lock(doing) = Some(Doing { words: job.words, since: Instant::now() });
        let outcome = (job.work)();
        *lock(doing) = None;
        // Nobody may wait for it any more.
        drop(job.answer.send(outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use liveline_control::message::State;

    fn outcome(module: &str) -> Outcome {
        let (reasons, classes) = (Vec::new(), Vec::new());
        Outcome { state: State::Applied, module: module.to_owned(), reasons, classes, microseconds: 0 }
    }

    #[test]
    fn who_waits_too_long_gets_nothing_and_the_next_one_is_served() {
        let worker = Worker::start().unwrap();
        let (go, leave) = channel::<()>();
        let patient = Duration::from_secs(60);
        std::thread::scope(|scope| {
            let (begun, began) = channel();
            let first = scope.spawn(|| {
                worker.carry_out("apply of one".to_owned(), patient, move || {
                    begun.send(()).unwrap();
                    leave.recv().unwrap();
                    outcome("one")
                })
            });
            began.recv().unwrap();
            let two = worker
                .carry_out("apply of two".to_owned(), Duration::from_millis(1), || panic!("it was given up"));
            assert!(two.unwrap_err().starts_with("apply of one is under way since "));
            go.send(()).unwrap();
            assert_eq!(first.join().unwrap().unwrap().module, "one");
        });
        let three = worker.carry_out("apply of three".to_owned(), patient, || outcome("three"));
        assert_eq!(three.unwrap().module, "three");
    }

    #[test]
    fn what_was_begun_is_waited_for() {
        let worker = Worker::start().unwrap();
        loop {
            let (begun, began) = channel();
            let done = worker.carry_out("apply".to_owned(), Duration::from_millis(200), move || {
                begun.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(400));
                outcome("long")
            });
            // A machine may be too busy to begin in time.
            if began.recv().is_ok() {
                assert_eq!(done.unwrap().module, "long");
                break;
            }
        }
    }
}
