//! The thread on which modules come and go, one after the other.
//!
//! It never ends: a module's thread-locals are not dropped, and a panic in such a drop would end the program. Whoever
//! asks waits no longer than he said for those before him, so that an entry that never returns holds up nobody.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::control::socket;
use crate::sync::lock;

/// How often it is looked whether somebody still waits.
const LOOK: Duration = Duration::from_secs(1);

/// Does the work of one request after the other.
pub(super) struct Worker {
    jobs: Mutex<Sender<Job>>,
    doing: Arc<Mutex<Option<Doing>>>,
}

struct Job {
    words: String,
    work: Work,
}

/// Taken out by the worker, or by who gave up: with all it holds.
type Work = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Work that was asked for.
pub(super) struct Asked<'w, R> {
    worker: &'w Worker,
    answer: Receiver<R>,
    work: Work,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// What was asked for before took too long: nothing of the work was begun, or will be. What is under way.
    NotBegun(String),
    /// Who asked is gone, and the work goes on.
    Gone,
    /// It panicked.
    Panicked,
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

    /// Asks for work, to be done when what was asked for before is done.
    pub(super) fn ask<R: Send + 'static>(
        &self,
        words: String,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Asked<'_, R> {
        let (done, answer) = channel();
        // Nobody may wait for the answer any more.
        let work: Box<dyn FnOnce() + Send> = Box::new(move || drop(done.send(work())));
        let work = Arc::new(Mutex::new(Some(work)));
        lock(&self.jobs).send(Job { words, work: Arc::clone(&work) }).expect("the worker never ends");
        Asked { worker: self, answer, work }
    }

    /// Whether one work has been under way for so long.
    pub(super) fn is_busy_since(&self, bound: Duration) -> bool {
        lock(&self.doing).as_ref().is_some_and(|doing| doing.since.elapsed() >= bound)
    }
}

impl<R> Asked<'_, R> {
    /// What came of it. What was asked for before may take as long as `patience`. It is looked now and then whether who asked
    /// `is_gone`: then nobody waits.
    pub(super) fn answer(self, patience: Duration, is_gone: impl Fn() -> bool) -> Result<R, Unanswered> {
        let since = Instant::now();
        let mut is_begun = false;
        loop {
            let left = if is_begun { LOOK } else { patience.saturating_sub(since.elapsed()) };
            match self.answer.recv_timeout(left.min(LOOK)) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(Unanswered::Panicked),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let is_gone = is_gone();
            if !is_begun && (is_gone || since.elapsed() >= patience) {
                // What was begun is waited for: it keeps to its own bounds.
                is_begun = lock(&self.work).take().is_none();
                if !is_begun {
                    return Err(Unanswered::NotBegun(self.worker.told()));
                }
            }
            if is_gone {
                return Err(Unanswered::Gone);
            }
        }
    }
}

impl Worker {
    /// What is under way, for people.
    fn told(&self) -> String {
        match &*lock(&self.doing) {
            Some(doing) => format!("{} has been under way for {:.1?}", doing.words, doing.since.elapsed()),
            None => "others were before it".to_owned(),
        }
    }
}

fn work(asked: &Receiver<Job>, doing: &Mutex<Option<Doing>>) {
    for job in asked {
        let work = {
            let mut doing = lock(doing);
            let Some(work) = lock(&job.work).take() else { continue };
            *doing = Some(Doing { words: job.words, since: Instant::now() });
            work
        };
        // Whoever waits finds that there is no answer.
        drop(catch_unwind(AssertUnwindSafe(work)));
        *lock(doing) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(60);

    fn stays() -> bool {
        false
    }

    #[test]
    fn who_waits_too_long_or_goes_gets_nothing_and_the_next_one_is_served() {
        let worker = Worker::start().unwrap();
        let (go, leave) = channel::<()>();
        let (begun, began) = channel();
        let one = worker.ask("apply of one".to_owned(), move || {
            begun.send(()).unwrap();
            leave.recv().unwrap();
            1
        });
        began.recv().unwrap();
        let given_up = || worker.ask("apply of two".to_owned(), || panic!("it was given up"));
        for why in
            [given_up().answer(Duration::from_millis(1), stays), given_up().answer(Duration::MAX, || true)]
        {
            let Err(Unanswered::NotBegun(words)) = why.map(|()| "done") else { panic!("it was begun") };
            assert!(words.starts_with("apply of one has been under way for "), "{words}");
        }
        assert!(worker.is_busy_since(Duration::ZERO) && !worker.is_busy_since(PATIENT));
        go.send(()).unwrap();
        assert_eq!(one.answer(PATIENT, stays), Ok(1));
        assert_eq!(worker.ask("apply of three".to_owned(), || 3).answer(PATIENT, stays), Ok(3));
    }

    #[test]
    fn what_was_begun_is_waited_for_unless_nobody_does() {
        let worker = Worker::start().unwrap();
        let (go, leave) = channel::<()>();
        let (begun, began) = channel();
        let asked = worker.ask("apply".to_owned(), move || {
            begun.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            "done"
        });
        began.recv().unwrap();
        assert_eq!(asked.answer(Duration::ZERO, stays), Ok("done"));
        let (begun, began) = channel();
        let asked = worker.ask("apply".to_owned(), move || {
            begun.send(()).unwrap();
            leave.recv().unwrap();
        });
        began.recv().unwrap();
        assert_eq!(asked.answer(PATIENT, || true), Err(Unanswered::Gone));
        go.send(()).unwrap();
    }

    #[test]
    fn a_panic_ends_one_work_alone() {
        let worker = Worker::start().unwrap();
        let asked = worker.ask("apply".to_owned(), || panic!("no good day"));
        assert_eq!(asked.answer(PATIENT, stays).map(|()| "done"), Err(Unanswered::Panicked));
        assert_eq!(worker.ask("apply".to_owned(), || 2).answer(PATIENT, stays), Ok(2));
        // The answer comes a moment before the worker is done with the work.
        while worker.is_busy_since(Duration::ZERO) {
            std::thread::yield_now();
        }
    }
}
