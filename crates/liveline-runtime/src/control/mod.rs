//! The control socket: how `liveline` talks to this program.

mod requests;
mod socket;

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Mutex;

use liveline_control::fingerprint::Fingerprint;

use crate::sync::lock;

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
    socket::in_background(move || answer_all(&listener, &program))?;
    *serving = true;
    Ok(())
}

fn answer_all(listener: &UnixListener, program: &Result<Fingerprint, String>) {
    loop {
        match listener.accept() {
            // Whatever a client does ends its own connection, and nothing else.
            Ok((stream, _)) => drop(requests::answer(stream, program)),
            // No descriptor is free, say: it may be otherwise soon.
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(100)),
        }
    }
}
