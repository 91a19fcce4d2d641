//! The thread on which modules come and go, one after the other.
//!
//! It never ends: a module's thread-locals are not dropped, and a panic in such a drop would end the program. Whoever
//! asks waits no longer than he said for those before him, so that an entry that never returns holds up nobody.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::control::socket;
use crate::sync::lock;

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
        // Where the thread is gone, so is the answer's other end.
        drop(lock(&self.jobs).send(Job { words, work: Arc::clone(&work) }));
        Asked { worker: self, answer, work }
    }
}

impl<R> Asked<'_, R> {
    /// What came of it. Error: what was asked for before took longer than `patience`, and nothing of the work was begun or
    /// will be; the words say what is under way.
    pub(super) fn answer(self, patience: Duration) -> Result<R, String> {
        let gone = || "the thread that loads modules is gone".to_owned();
        match self.answer.recv_timeout(patience) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if lock(&self.work).take().is_none() {
            // It was begun, and keeps to its own bounds.
            return self.answer.recv().map_err(|_| gone());
        }
        Err(match &*lock(&self.worker.doing) {
            Some(doing) => format!("{} is under way since {:.1?}", doing.words, doing.since.elapsed()),
            None => "others were before it".to_owned(),
        })
    }
}

fn work(asked: &Receiver<Job>, doing: &Mutex<Option<Doing>>) {
    for job in asked {
        let Some(work) = lock(&job.work).take() else { continue };
        *lock(doing) = Some(Doing { words: job.words, since: Instant::now() });
        work();
        *lock(doing) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(60);

    #[test]
    fn who_waits_too_long_gets_nothing_and_the_next_one_is_served() {
        let worker = Worker::start().unwrap();
        let (go, leave) = channel::<()>();
        let (begun, began) = channel();
        let one = worker.ask("apply of one".to_owned(), move || {
            begun.send(()).unwrap();
            leave.recv().unwrap();
            1
        });
        began.recv().unwrap();
        let two = worker.ask("apply of two".to_owned(), || panic!("it was given up"));
        let why = two.answer(Duration::from_millis(1)).map(|()| "done").unwrap_err();
        assert!(why.starts_with("apply of one is under way since "), "{why}");
        go.send(()).unwrap();
        assert_eq!(one.answer(PATIENT).unwrap(), 1);
        assert_eq!(worker.ask("apply of three".to_owned(), || 3).answer(PATIENT).unwrap(), 3);
    }

    #[test]
    fn what_was_begun_is_waited_for() {
        let worker = Worker::start().unwrap();
        let (begun, began) = channel();
        let asked = worker.ask("apply".to_owned(), move || {
            begun.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            "done"
        });
        began.recv().unwrap();
        assert_eq!(asked.answer(Duration::ZERO).unwrap(), "done");
    }
}
