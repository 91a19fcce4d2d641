//! The control socket: how `liveline` talks to this program.

mod requests;
mod socket;
mod turns;
mod worker;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use liveline_control::fingerprint::Fingerprint;
use liveline_control::frame;
use liveline_control::message::Answer;

use crate::control::requests::Served;
use crate::control::turns::Turns;
use crate::control::worker::Worker;
use crate::sync::lock;

/// How many clients may be in conversation with the program.
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
    static TALKING: AtomicUsize = AtomicUsize::new(0);
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
        let (own, turn, served) = (Arc::clone(&stream), turns.take(), Arc::clone(served));
        let started = if TALKING.fetch_add(1, Ordering::Relaxed) < CLIENTS {
            std::thread::Builder::new().name("liveline".to_string()).spawn(move || {
                // Whatever a client does ends its own connection, and nothing else.
                drop(requests::answer(&own, turn, &served));
                TALKING.fetch_sub(1, Ordering::Relaxed);
            })
        } else {
            Err(io::Error::other(format!("{CLIENTS} others talk to it")))
        };
        if let Err(why) = started {
            TALKING.fetch_sub(1, Ordering::Relaxed);
            turn_away(&stream, &format!("the program has no thread for this: {why}"));
        }
    }
}

fn turn_away(mut stream: &UnixStream, why: &str) {
    drop(stream.set_nonblocking(true));
    drop(frame::write(&mut stream, &Answer::Denied(why.to_string())));
}
