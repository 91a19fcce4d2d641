//! The control socket: clients that are slow, broken, gone, or too many.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use liveline_control::frame;
use liveline_control::message::{Answer, Command, State};

use crate::program::{Program, module};

#[test]
fn broken_clients_do_no_harm() {
    let program = Program::start();
    // Gone at once; gone in the middle of a module, as one that is killed; words that are no request.
    drop(program.connect());
    let whole = module("module_two");
    let mut stream = program.connect();
    program.request(&mut stream, program.loading(&whole));
    stream.write_all(&whole[..whole.len() / 2]).unwrap();
    drop(stream);
    let mut stream = program.connect();
    frame::write(&mut stream, &"what?").unwrap();
    assert!(
        matches!(frame::read(&mut stream, frame::ANSWER).unwrap(), Answer::Denied(why) if why.starts_with("not understood"))
    );
    let name = "n".repeat(1000);
    let mut stream = program.connect();
    program.request(&mut stream, Command::Revert { name, dry_run: false, timeout_ms: 1 });
    assert!(
        matches!(frame::read(&mut stream, frame::ANSWER).unwrap(), Answer::Denied(why) if why == "a module's name of 1000 bytes is too long")
    );
    let mut stream = program.connect();
    stream.write_all(&[0xff; 64]).unwrap();
    assert!(
        matches!(frame::read(&mut stream, frame::ANSWER).unwrap(), Answer::Denied(why) if why.contains("too long"))
    );
    let mut stream = program.connect();
    frame::write(&mut stream, &liveline_control::message::Request { version: 77, command: Command::Status })
        .unwrap();
    assert!(
        matches!(frame::read(&mut stream, frame::ANSWER).unwrap(), Answer::Denied(why) if why.contains("version 1 of the control"))
    );
    assert!(program.log().is_empty() && program.status().modules.is_empty());
    assert_eq!(program.apply(&whole).state, State::Applied);
}

/// A program with `module_three`, in the entry of `module_two`, which never returns. Who asked for that has gone.
fn hung() -> Program {
    let program = Program::start();
    assert_eq!(
        program.apply_with(&module("module_three"), |apply| apply.renumber = true).state,
        State::Applied
    );
    program.case("never");
    let whole = module("module_two");
    let mut stream = program.connect();
    program.request(&mut stream, program.loading(&whole));
    stream.write_all(&whole).unwrap();
    while program.status().modules.iter().all(|module| module.state != "loading") {
        std::thread::yield_now();
    }
    drop(stream);
    program
}

#[test]
fn an_entry_that_never_returns_holds_up_nothing_but_other_changes() {
    let mut program = hung();
    // Others that are slow may stay.
    let mut slow = program.connect();
    slow.write_all(&[7]).unwrap();
    let states: Vec<_> = program.status().modules.into_iter().map(|m| (m.name, m.state)).collect();
    assert_eq!(
        states,
        [("module_three".into(), "active".into()), ("module_two".into(), "loading".to_string())]
    );
    assert_eq!((program.log().len(), program.say("add 5").as_str()), (1, "5"));
    let other = program.revert("module_three");
    assert_eq!((other.state, other.module.as_str()), (State::Timeout, "module_three"), "{other:?}");
    assert!(other.reasons[0].starts_with("apply module_two, asked for by process "), "{other:?}");
    assert!(other.reasons[0].contains(" has been under way for "), "{other:?}");
    assert_eq!(program.say("version"), "3");
    assert_eq!(program.log().len(), 2);
}

#[test]
fn what_a_killed_client_asked_for_is_done_before_the_next_one_is_answered() {
    let program = Program::start();
    let whole = module("module_two");
    for _ in 0..20 {
        let mut command = program.loading(&whole);
        if let Command::Apply(apply) = &mut command {
            apply.renumber = true;
        }
        let mut stream = program.connect();
        program.request(&mut stream, command);
        stream.write_all(&whole).unwrap();
        drop(stream);
        assert_eq!(program.status().modules[0].state, "active");
        let mut stream = program.connect();
        let name = "module_two".to_owned();
        program.request(&mut stream, Command::Revert { name, dry_run: false, timeout_ms: 10_000 });
        drop(stream);
        assert_eq!(program.log().last().unwrap().outcome.state, State::Reverted);
    }
}

#[test]
fn clients_that_went_hold_nothing_behind_an_entry_that_never_returns() {
    let program = hung();
    for round in 1..4 {
        for _ in 0..30 {
            let mut stream = program.connect();
            let name = "module_three".to_owned();
            program.request(&mut stream, Command::Revert { name, dry_run: false, timeout_ms: u64::MAX });
        }
        // Each takes its change along, and the log says so.
        while program.log().len() < 1 + 30 * round {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    assert!(program.log()[1..].iter().all(|entry| entry.outcome.state == State::Timeout));
    let tasks = || std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap().count();
    while tasks() > 5 {
        std::thread::yield_now();
    }
    assert_eq!(program.status().modules[0].state, "active");
}

#[test]
fn clients_that_are_too_many_are_told() {
    let program = Program::start();
    let mut waiting: Vec<_> = (0..40).map(|_| program.connect()).collect();
    let told: Vec<_> = waiting
        .iter_mut()
        .skip(32)
        .map(|stream| frame::read::<Answer>(stream, frame::ANSWER).unwrap())
        .collect();
    assert!(
        told.iter().all(
            |answer| matches!(answer, Answer::Denied(why) if why.starts_with("32 others have not said yet"))
        ),
        "{told:?}"
    );
    drop(waiting);
    while !program.is_served() {
        std::thread::yield_now();
    }
}

#[test]
fn of_several_clients_at_once_each_is_answered() {
    let mut program = Program::start();
    let (whole, program_ref) = (module("module_two"), &program);
    let states: Vec<State> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| program_ref.apply(&whole).state)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(states.iter().filter(|s| **s == State::Applied).count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|s| **s == State::Already).count(), 7, "{states:?}");
    assert_eq!(program.say("version"), "2");
}

#[test]
fn the_socket_is_its_users_own_and_goes_with_the_program() {
    let mut program = Program::start();
    let path = program.socket();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(std::fs::metadata(&path).unwrap().uid(), std::fs::metadata("/proc/self").unwrap().uid());
    program.end();
    assert!(!path.exists());

    // A killed one leaves its socket, and the next program sweeps it.
    let mut killed = Program::start_in(program.folder.path());
    let stale = killed.socket();
    killed.kill();
    assert!(stale.exists() && UnixStream::connect(&stale).is_err());
    let next = Program::start_in(program.folder.path());
    assert!(next.socket().exists() && !stale.exists());
}
