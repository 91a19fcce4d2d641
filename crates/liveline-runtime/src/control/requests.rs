//! Requests, and what is done about them.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use liveline_control::fingerprint::Fingerprint;
use liveline_control::frame;
use liveline_control::message::{
    Answer, Apply, Class, Command, Entry, LARGEST, Outcome, Request, State, Status, VERSION,
};

use crate::control::socket::{self, Peer};
use crate::control::turns::Turn;
use crate::control::worker::{Unanswered, Worker};
use crate::module::bytes::Bytes;
use crate::module::loaded;
use crate::sync::lock;

/// How long a client may say nothing.
const SILENCE: Duration = Duration::from_secs(5);

/// How long one who only wants to look waits for changes, and anyone for those who came before and have not asked yet.
const PROMPT: Duration = Duration::from_secs(1);

/// A crate's name is shorter: it is a file's.
const LONGEST_NAME: usize = 255;

/// How many entries the log keeps.
const KEPT: usize = 1000;

static LOG: Mutex<VecDeque<Entry>> = Mutex::new(VecDeque::new());

/// What clients talk to.
pub(super) struct Served {
    /// What the program is made of, or why that is not known.
    pub(super) program: Result<Fingerprint, String>,
    pub(super) worker: Worker,
}

/// Reads a client's request and answers it when it is his turn.
pub(super) fn answer(mut stream: &UnixStream, turn: Turn, served: &Arc<Served>) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let peer = socket::peer(stream)?;
    if !peer.may_ask() {
        let words = format!("user {} may not: the program runs as user {}", peer.user, socket::own_user());
        return frame::write(&mut stream, &Answer::Denied(words));
    }
    let answer = match frame::read::<Request>(&mut stream, frame::REQUEST) {
        Ok(request) if request.version != VERSION => Answer::Denied(format!(
            "the program speaks version {VERSION} of the control protocol, and this liveline version {}",
            request.version
        )),
        Ok(request) => carry_out(request.command, (stream, &peer), turn, served)?,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Answer::Denied(error.to_string()),
        Err(error) => return Err(error),
    };
    match frame::write(&mut stream, &answer) {
        // A panic may say as much as it likes.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            frame::write(&mut stream, &Answer::Denied(format!("it was done, but of its answer: {error}")))
        }
        result => result,
    }
}

fn carry_out(
    command: Command,
    (stream, peer): (&UnixStream, &Peer),
    turn: Turn,
    served: &Arc<Served>,
) -> io::Result<Answer> {
    let change = match command {
        Command::Status => return Ok(Answer::Status(look(turn, served, status))),
        Command::Log => return Ok(Answer::Log(look(turn, served, log))),
        Command::Apply(apply) => {
            let bytes = match receive(stream, &apply)? {
                Ok(bytes) => bytes,
                Err(why) => return Ok(Answer::Denied(why)),
            };
            let (made, served) = (loaded::made(&bytes), Arc::clone(served));
            Change {
                action: "apply",
                module: made.as_ref().map_or_else(|_| String::new(), |made| made.name.clone()),
                is_dry_run: apply.dry_run,
                timeout_ms: apply.timeout_ms,
                work: Box::new(move || loaded::apply(&served.program, made, &apply, &bytes)),
            }
        }
        Command::Revert { name, .. } if name.len() > LONGEST_NAME => {
            return Ok(Answer::Denied(format!("a module's name of {} bytes is too long", name.len())));
        }
        Command::Revert { name, dry_run, timeout_ms } => Change {
            action: "revert",
            module: name.clone(),
            is_dry_run: dry_run,
            timeout_ms,
            work: Box::new(move || loaded::revert(&name, dry_run, timeout_ms)),
        },
    };
    change.carry_out((stream, peer), turn, served).map(Answer::Outcome)
}

/// Looks when what was asked for before is done; or while it is, if that takes long.
fn look<R: Send + 'static>(turn: Turn, served: &Served, at: fn() -> R) -> R {
    turn.come(PROMPT);
    let asked = (!served.worker.is_busy_since(PROMPT)).then(|| served.worker.ask("a look".to_string(), at));
    drop(turn);
    let Some(asked) = asked else { return at() };
    asked.answer(PROMPT, || false).unwrap_or_else(|_| at())
}

/// The last entries of the log.
fn log() -> Vec<Entry> {
    frame::last(lock(&LOG).make_contiguous()).to_vec()
}

/// Something that is to be done to the program's modules.
struct Change {
    action: &'static str,
    /// Where its name is known.
    module: String,
    is_dry_run: bool,
    timeout_ms: u64,
    work: Box<dyn FnOnce() -> Outcome + Send>,
}

impl Change {
    /// Does it, and notes it in the log. Error: who asked is gone, and it goes on.
    fn carry_out(
        self,
        (stream, peer): (&UnixStream, &Peer),
        turn: Turn,
        served: &Served,
    ) -> io::Result<Outcome> {
        let Self { action, module, is_dry_run, timeout_ms, work } = self;
        let (user, process) = (peer.user, peer.process);
        let note = move |time_ms: u128, outcome: &Outcome| {
            if is_dry_run {
                return;
            }
            let mut log = lock(&LOG);
            if log.len() == KEPT {
                log.pop_front();
            }
            log.push_back(Entry {
                time_ms: time_ms.try_into().unwrap_or(u64::MAX),
                action: action.to_string(),
                user,
                process,
                outcome: outcome.clone(),
            });
        };
        let words = format!("{action} {module}, asked for by process {process},");
        turn.come(PROMPT);
        let since = Instant::now();
        let asked = served.worker.ask(words, move || {
            let began = now();
            let outcome = work();
            // Here, since who asked may be gone.
            note(began, &outcome);
            outcome
        });
        drop(turn);
        let patience = Duration::from_millis(timeout_ms).max(PROMPT);
        let (state, why) = match asked.answer(patience, || socket::is_closed(stream)) {
            Ok(outcome) => return Ok(outcome),
            Err(Unanswered::Gone) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(Unanswered::NotBegun(why)) => (State::Timeout, why),
            Err(Unanswered::Panicked) => (
                State::Failed,
                "it panicked, as the program's standard error tells: what it changed by then stays"
                    .to_owned(),
            ),
        };
        let outcome = Outcome {
            state,
            module,
            reasons: vec![why],
            classes: Vec::new(),
            clashes: Vec::new(),
            microseconds: since.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
        };
        note(now(), &outcome);
        Ok(outcome)
    }
}

/// Milliseconds since 1970.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis())
}

/// The module's bytes. They come whole, or nothing is done.
fn receive(mut stream: &UnixStream, apply: &Apply) -> io::Result<Result<Bytes, String>> {
    if apply.size > LARGEST {
        return Ok(Err(format!("a module of {} bytes is too large", apply.size)));
    }
    let size = apply.size.try_into().unwrap_or(usize::MAX);
    match Bytes::read(&mut stream, size) {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
            Ok(Err(format!("no memory for a module of {size} bytes")))
        }
        result => result.map(Ok),
    }
}

fn status() -> Status {
    let class = |class: &&'static dyn crate::registry::AnyClass| Class {
        name: class.name().to_string(),
        interface: class.interface().to_string(),
        version: class.version(),
        instances: class.instances(),
    };
    Status { modules: loaded::status(), classes: crate::registry::classes().iter().map(class).collect() }
}
