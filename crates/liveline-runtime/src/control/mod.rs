//! The control socket: how `liveline` talks to this program.

mod requests;
mod socket;
mod turns;
mod worker;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use liveline_control::fingerprint::Fingerprint;
use liveline_control::frame;
use liveline_control::message::Answer;

use crate::control::requests::Served;
use crate::control::turns::Turns;
use crate::control::worker::Worker;
use crate::sync::lock;

/// How many clients may be there that have not asked yet.
const CLIENTS: usize = 32;

/// Opens the program's control socket; [`serve!`](macro@crate::serve) calls this.
///
/// # Errors
/// The socket could not be made. That it is open already is no error.
#[doc(hidden)]
pub fn serve_as(description: &'static str) -> io::Result<()> {
    static SERVING: Mutex<bool> = Mutex::new(false);
    let mut serving = lock(&SERVING);
    // A module is served by its program.
    if *serving || crate::shared::is_module() {
        return Ok(());
    }
    let program = Fingerprint::parse(description).and_then(|program| {
        let supported = crate::panics::SUPPORTED;
        supported.then_some(program).ok_or_else(|| "panics cannot pass between modules here".to_string())
    });
    let listener = socket::open()?;
    let served = Arc::new(Served { program, worker: Worker::start()? });
    socket::in_background(move || answer_all(&listener, &served))?;
    *serving = true;
    Ok(())
}

/// Each client has a thread, so that one that is slow, or waits for a change, holds up no other.
fn answer_all(listener: &UnixListener, served: &Arc<Served>) {
    let turns = Arc::new(Turns::default());
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => Arc::new(stream),
            // No descriptor is free, say: it may be otherwise soon.
            Err(_) => {
                std::thread::sleep(std::time::Duration::from_millis(100));
                continue;
            }
        };
        let Some(turn) = turns.take(CLIENTS) else {
            turn_away(&stream, &format!("{CLIENTS} others have not said yet what they want: ask again"));
            continue;
        };
        let (own, served) = (Arc::clone(&stream), Arc::clone(served));
        let started = std::thread::Builder::new()
            .name("liveline".to_string())
            // Whatever a client does ends its own connection, and nothing else.
            .spawn(move || drop(requests::answer(&own, turn, &served)));
        if let Err(why) = started {
            turn_away(&stream, &format!("the program has no thread for this: {why}"));
        }
    }
}

fn turn_away(mut stream: &UnixStream, why: &str) {
    drop(stream.set_nonblocking(true));
    drop(frame::write(&mut stream, &Answer::Denied(why.to_string())));
}
