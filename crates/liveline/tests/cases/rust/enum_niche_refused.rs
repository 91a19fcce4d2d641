//# opt: 0,2
//# units: 1,4
//# refused: layout|variant|State
//# note: State
// One more variant moves the values that tell the variants apart, and may move the fields.
use std::sync::Mutex;

enum State {
    Idle,
    #[cfg(v2)]
    Waiting,
    Busy(Option<bool>),
    Done(Box<u64>),
}

static LIVE: Mutex<State> = Mutex::new(State::Busy(Some(true)));

pub fn start() {
    if std::env::args().count() > 10 {
        *LIVE.lock().unwrap() = State::Idle;
    }
    if std::env::args().count() > 20 {
        *LIVE.lock().unwrap() = State::Done(Box::new(1));
    }
    #[cfg(v2)]
    if std::env::args().count() > 30 {
        *LIVE.lock().unwrap() = State::Waiting;
    }
}

#[inline(never)]
pub fn answer() -> String {
    match &*LIVE.lock().unwrap() {
        State::Idle => "idle".into(),
        #[cfg(v2)]
        State::Waiting => "waiting".into(),
        State::Busy(how) => format!("busy {how:?}"),
        State::Done(number) => format!("done {number}"),
    }
}
