//! A program and modules that are loaded into it while it runs.
#![forbid(unsafe_code)]

mod program;

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use liveline_control::frame;
use liveline_control::message::{Answer, Command, State};
use program::{Program, module};

#[test]
fn a_module_replaces_the_code_of_a_running_program_and_goes_again() {
    let mut program = Program::start();
    assert_eq!(program.say("add 5"), "5");
    program.say("create 40");
    let outcome = program.apply(&module("module_two"));
    assert_eq!(outcome.state, State::Applied, "{outcome:?}");
    assert_eq!((outcome.classes[0].version, outcome.classes[0].converted), (2, 2));
    assert_eq!(program.say("version"), "2");
    assert_eq!(program.say("add 1"), "6");
    assert_eq!(program.say("create 7"), "2");
    assert_eq!(program.say("sums"), "[6, 40, 7]");

    assert_eq!(program.apply(&module("module_two")).state, State::Already);
    let outcome = program.apply(&module("module_three"));
    assert_eq!(outcome.state, State::Applied, "{outcome:?}");
    assert_eq!(program.say("version"), "3");

    let blocked = program.revert("module_two");
    assert_eq!(blocked.state, State::Refused);
    assert_eq!(
        blocked.reasons,
        ["class counter is at version 3 by now, and module_two brought version 2: revert module_three first"]
    );
    let replaced = program.apply(&module("module_two"));
    assert_eq!(replaced.state, State::Already);
    assert_eq!(replaced.reasons, ["newer code runs in all its classes: that of module_three"]);
    assert_eq!(program.revert("module_three").state, State::Reverted);
    assert_eq!((program.say("version"), program.say("sums")), ("2".into(), "[6, 40, 7]".into()));
    assert_eq!(program.revert("module_three").state, State::Clean);

    let status = program.status();
    let states: Vec<_> = status.modules.iter().map(|m| (m.name.as_str(), m.state.as_str())).collect();
    assert_eq!(states, [("module_two", "active"), ("module_three", "reverted")]);
    let class = status.classes.iter().find(|c| c.name == "counter").unwrap();
    assert_eq!((class.interface.as_str(), class.version, class.instances), ("Counter", 4, 3));

    let log = program.log();
    let told: Vec<_> = log.iter().map(|e| (e.action.as_str(), e.outcome.state)).collect();
    assert_eq!(
        told,
        [
            ("apply", State::Applied),
            ("apply", State::Already),
            ("apply", State::Applied),
            ("revert", State::Refused),
            ("apply", State::Already),
            ("revert", State::Reverted),
            ("revert", State::Clean),
        ]
    );
    assert!(log.iter().all(|e| e.process == std::process::id() as i32));
}

#[test]
fn modules_go_one_after_the_other() {
    let mut program = Program::start();
    assert_eq!(program.apply(&module("module_two")).state, State::Applied);
    assert_eq!(program.apply(&module("module_three")).state, State::Applied);
    for (name, version) in [("module_three", "2"), ("module_two", "1")] {
        let outcome = program.revert(name);
        assert_eq!(
            (outcome.state, program.say("version").as_str()),
            (State::Reverted, version),
            "{outcome:?}"
        );
    }
    // One that did not come is not in the way of one that is in.
    let renumbered = |program: &Program, name: &str| {
        program.apply_with(&module(name), |apply| (apply.renumber, apply.timeout_ms) = (true, 100)).state
    };
    assert_eq!(renumbered(&program, "module_two"), State::Applied);
    let until = program.folder.path().join("leave");
    program.say(&format!("stay {}", until.display()));
    assert_eq!(renumbered(&program, "module_three"), State::Timeout);
    std::fs::write(&until, "").unwrap();
    let states: Vec<_> = program.status().modules.into_iter().map(|module| module.state).collect();
    assert_eq!((states, program.say("version").as_str()), (vec!["active".into(), "reverted".into()], "2"));
    let outcome = program.revert("module_two");
    assert_eq!((outcome.state, program.say("version").as_str()), (State::Reverted, "1"), "{outcome:?}");
}

#[test]
fn modules_leave_the_program_its_files() {
    const MODULES: usize = 16;
    let whole = module("module_two");
    let load_all = |program: &Program| {
        let each = (0..MODULES).map(|number| {
            // The same as another build of its own.
            let description = liveline_control::image::description(&whole).unwrap();
            let build = description.lines().find(|line| line.starts_with("build ")).unwrap();
            let other = format!("{}{number:02}", &build[..build.len() - 2]);
            program.apply_with(&edited(&whole, build, Edit::To(&other)), |apply| apply.renumber = true)
        });
        each.collect::<Vec<_>>()
    };
    // Those below the first limit, which the program could have for itself.
    let taken = |program: &Program| {
        let open = std::fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap().flatten();
        let own = open.filter(|file| file.file_name().to_str().unwrap().parse::<u64>().unwrap() < 40);
        let is_module = |path: std::path::PathBuf| path.to_string_lossy().contains("memfd:liveline");
        own.filter(|file| std::fs::read_link(file.path()).is_ok_and(is_module)).count()
    };
    let mut program = Program::start();
    program.limit("nofile", "40:1000");
    let outcomes = load_all(&program);
    assert!(outcomes.iter().all(|outcome| outcome.state == State::Applied), "{outcomes:?}");
    assert_eq!((taken(&program), program.say("add 5").as_str()), (0, "5"));

    // Where there is no more to be had the program keeps the most of it.
    let mut program = Program::start();
    program.limit("nofile", "40:40");
    let outcomes = load_all(&program);
    let applied = outcomes.iter().take_while(|outcome| outcome.state == State::Applied).count();
    assert_eq!((applied, taken(&program)), (10, 10));
    assert!(outcomes[applied].reasons[0].starts_with("modules keep 10 of the 40 files"), "{outcomes:?}");
    assert_eq!(program.say("add 5"), "5");
}

#[test]
fn a_module_brings_several_classes_or_none() {
    let program = Program::start();
    program.case("both");
    let outcome = program.apply(&module("module_two"));
    assert_eq!(outcome.state, State::Applied, "{outcome:?}");
    let names: Vec<_> = outcome.classes.iter().map(|c| (c.name.as_str(), c.new)).collect();
    assert_eq!(names, [("counter", false), ("other", false), ("greeter", true)]);
    assert_eq!(program.status().classes.len(), 3);
}

#[test]
fn what_the_entry_does_wrong_changes_nothing() {
    let mut program = Program::start();
    for (case, state, words) in [
        ("panic", State::Failed, "its entry panicked: no good day"),
        ("refuse", State::Refused, "it will not be loaded: not on a Friday"),
        ("unknown", State::Refused, "there is no class named nobody"),
        (
            "mismatch",
            State::Refused,
            "class counter is a class of Counter made from u64, not a class of Greeter made from ()",
        ),
        (
            "skip",
            State::Refused,
            "class counter: version 1 runs, so the next one is 2, but version 7 was offered",
        ),
        ("twice", State::Refused, "it names class counter twice"),
        ("nothing", State::Refused, "it brings no class"),
        ("make", State::Refused, ENTERING),
        ("change", State::Refused, ENTERING),
        ("swap", State::Refused, ENTERING),
    ] {
        program.case(case);
        let outcome = program.apply(&module("module_two"));
        assert_eq!((outcome.state, outcome.reasons), (state, vec![words.to_string()]), "{case}");
        assert_eq!(program.say("version"), "1");
    }
    let status = program.status();
    assert_eq!((status.modules[0].state.as_str(), status.classes.len()), ("failed", 2));
    program.case("update");
    assert_eq!(program.apply(&module("module_two")).state, State::Applied);
}

const ENTERING: &str = "it will not be loaded: the entry of a module changes nothing itself: it names what is to change, by `update` and `add`";

#[test]
fn panics_pass_between_a_program_and_its_modules() {
    let mut program = Program::start();
    let say = |program: &mut Program, line: &str| program.say(line);
    assert_eq!(program.apply(&module("module_two")).state, State::Applied);
    for _ in 0..3 {
        // The module's panic, caught by the program: of its own code, of the interface's, of an async call.
        assert_eq!(say(&mut program, "add 12"), "12");
        assert_eq!(say(&mut program, "risk 1"), PANIC);
        assert_eq!(say(&mut program, "fall 0"), "panic: fell in the interface's own code");
        assert_eq!(say(&mut program, "add 18446744073709551615"), "12");
        assert_eq!(say(&mut program, "later 1"), PANIC);
        assert_eq!(say(&mut program, "later 1"), "14");
        assert_eq!(say(&mut program, "add 18446744073709551602"), "0");
        // The program's panic, caught by the module, and by the end of a thread that the module started.
        assert_eq!(say(&mut program, "ask 13"), "None");
        assert_eq!(say(&mut program, "ask 1"), "Some(14)");
        assert_eq!(say(&mut program, "ask 18446744073709551602"), "Some(0)");
        assert_eq!(say(&mut program, "delegate 13"), "0");
        assert_eq!(say(&mut program, "delegate 18446744073709551603"), "0");
        // Through the module, from the program to the program; and the other way round.
        assert_eq!(say(&mut program, "through 13"), "panic: 13 brings bad luck to version 1");
        assert_eq!(say(&mut program, "ask 18446744073709551603"), "Some(0)");
        assert_eq!(say(&mut program, "asked 13"), "None");
        assert_eq!(say(&mut program, "add 18446744073709551603"), "0");
    }
    // With two modules: none of them is the program.
    let mut program = Program::start();
    program.case("both");
    assert_eq!(program.apply(&module("module_two")).state, State::Applied);
    assert_eq!(program.apply(&module("module_three")).state, State::Applied);
    assert_eq!(say(&mut program, "ask 13"), "None");
    assert_eq!(say(&mut program, "through 0"), PANIC);
}

#[test]
fn a_visit_sees_fields_of_this_very_code_only() {
    let mut program = Program::start();
    program.say("add 5");
    assert_eq!(["one", "looked", "words"].map(|line| program.say(line)), SEEN);
    // The counter is the module's now; what the module meets, and what the program meets, is the other's.
    assert_eq!(program.apply(&module("module_two")).state, State::Applied);
    assert_eq!(["one", "looked", "words"].map(|line| program.say(line)), ["None"; 3]);
    // Calls in a visit, by the module, of the program's object.
    assert_eq!(["visited 2", "visited 9", "visited 1"].map(|line| program.say(line)), VISITED);

    let mut program = Program::start();
    program.case("both");
    assert_eq!(program.apply(&module("module_two")).state, State::Applied);
    assert_eq!(["one", "looked", "words"].map(|line| program.say(line)), ["None", "Some(0)", "None"]);
    assert_eq!(["visited 2", "visited 9", "visited 1"].map(|line| program.say(line)), VISITED);
    assert_eq!(program.say("looked"), "Some(15)");
}

const SEEN: [&str; 3] = ["Some(5)", "Some(0)", "Some(\"good morning\")"];
/// Between the two 13 brings bad luck.
const VISITED: [&str; 3] = ["Some(3)", "None", "Some(15)"];

const PANIC: &str = "panic: 13 brings bad luck to version 2";

#[test]
fn a_panic_in_the_transfer_takes_the_module_back() {
    let mut program = Program::start();
    program.say("create 1313");
    let outcome = program.apply(&module("module_two"));
    assert_eq!(outcome.state, State::Refused, "{outcome:?}");
    assert!(
        outcome.reasons[0].ends_with("the state transfer panicked: 1313 breaks the transfer"),
        "{outcome:?}"
    );
    assert_eq!((program.say("version"), program.say("sums")), ("1".into(), "[0, 1313]".into()));
    // The program's own code, run by a module's update and by the program's revert.
    program.say("forget");
    assert_eq!(
        program.apply_with(&module("module_two"), |apply| apply.renumber = true).state,
        State::Applied
    );
    program.say("add 1313");
    let outcome = program.revert("module_two");
    assert_eq!(outcome.state, State::Refused, "{outcome:?}");
    assert!(outcome.reasons[0].ends_with("1313 breaks the transfer"), "{outcome:?}");
    assert_eq!((program.say("version"), program.say("add 0")), ("2".into(), "1313".into()));
    // It is in as it was, and goes when it can.
    assert_eq!(program.status().modules[0].state, "active");
    program.say("add 1");
    assert_eq!(program.revert("module_two").state, State::Reverted);
    assert_eq!((program.say("version"), program.say("add 0")), ("1".into(), "1314".into()));
}

#[test]
fn the_next_number_is_given_on_demand() {
    let mut program = Program::start();
    let outcome = program.apply(&module("module_three"));
    assert_eq!(
        outcome.reasons,
        ["class counter: version 1 runs, so the next one is 2, but version 3 was offered"]
    );
    let outcome = program.apply_with(&module("module_three"), |apply| apply.renumber = true);
    assert_eq!((outcome.state, outcome.classes[0].version), (State::Applied, 2));
    assert_eq!(program.say("version"), "3");
}

#[test]
fn an_instance_that_does_not_give_its_state_takes_the_module_back() {
    let mut program = Program::start();
    program.say("create 666");
    let outcome = program.apply(&module("module_two"));
    assert_eq!(outcome.state, State::Refused, "{outcome:?}");
    assert!(outcome.reasons[0].ends_with("the state was not transferred: 666 is not taken"), "{outcome:?}");
    assert_eq!((program.say("version"), program.say("sums")), ("1".into(), "[0, 666]".into()));
    program.say("forget");
    let outcome = program.apply_with(&module("module_two"), |apply| apply.renumber = true);
    assert_eq!(outcome.state, State::Applied, "{outcome:?}");
}

#[test]
fn calls_that_do_not_leave_in_time_take_the_module_back() {
    let mut program = Program::start();
    let until = program.folder.path().join("leave");
    program.say(&format!("stay {}", until.display()));
    let outcome = program.apply_with(&module("module_two"), |apply| apply.timeout_ms = 100);
    assert_eq!(outcome.state, State::Timeout, "{outcome:?}");
    assert!(outcome.reasons[0].contains("still inside"), "{outcome:?}");
    assert_eq!(program.say("version"), "1");
    std::fs::write(&until, "").unwrap();
    let outcome = program.apply_with(&module("module_two"), |apply| apply.renumber = true);
    assert_eq!((outcome.state, program.say("version")), (State::Applied, "2".into()));
}

#[test]
fn a_module_of_another_make_is_refused_before_anything_of_it_runs() {
    let program = Program::start();
    // Had it run, the entry would have panicked.
    program.case("panic");
    let whole = module("module_two");
    for (from, edit, words) in [
        ("rustc rustc 1.", Edit::To("rustc rustc 9."), "the module by rustc 9."),
        ("crate liveline_runtime ", Edit::FirstDigit, "crate liveline_runtime was built in another way"),
        ("liveline 1\n", Edit::To("liveline 9\n"), "it describes itself as 'liveline 9'"),
        (
            "crate liveline_module_tests ",
            Edit::LastDigit,
            "crate liveline_module_tests is not what the program was built with",
        ),
    ] {
        let outcome = program.apply(&edited(&whole, from, edit));
        assert_eq!(outcome.state, State::Refused);
        assert!(outcome.reasons.iter().any(|r| r.contains(words)), "{words}: {outcome:?}");
    }
    assert!(program.status().modules.is_empty());
}

/// What becomes of words in a description.
enum Edit<'e> {
    /// Others of the same length stand there.
    To(&'e str),
    /// The digit behind them is another.
    FirstDigit,
    /// The last digit of their line is another.
    LastDigit,
}

/// The file with an edited description.
fn edited(file: &[u8], from: &str, edit: Edit<'_>) -> Vec<u8> {
    let mut file = file.to_vec();
    let description = liveline_control::image::description(&file).unwrap();
    let line = description.find(from).expect("the words");
    let start = description.as_ptr() as usize - file.as_ptr() as usize + line;
    let end = start + description[line..].find('\n').unwrap();
    let digit = match edit {
        Edit::To(words) => {
            file[start..start + words.len()].copy_from_slice(words.as_bytes());
            return file;
        }
        Edit::FirstDigit => start + from.len(),
        Edit::LastDigit => end - 1,
    };
    file[digit] = if file[digit] == b'0' { b'1' } else { b'0' };
    file
}

#[test]
fn a_file_that_is_no_module_is_refused() {
    let mut program = Program::start();
    let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let whole = module("module_two");
    for file in [&b""[..], b"words", &this, &whole[..whole.len() / 2]] {
        let outcome = program.apply(file);
        assert_eq!(outcome.state, State::Refused);
        assert!(outcome.reasons[0].starts_with("it is no module"), "{outcome:?}");
    }
    assert_eq!(program.say("version"), "1");
}

#[test]
fn a_damaged_file_is_refused_and_a_sound_one_comes_in_its_place() {
    let mut program = Program::start();
    let whole = module("module_two");
    let with = |at: usize, byte: u8| {
        let mut file = whole.clone();
        file[at] = byte;
        file
    };
    // The machine, the first segment's place, and the end of the file.
    for (file, words) in [
        (with(18, 0xb7), "it is for another machine (ELF machine 183, not 62)"),
        (with(64 + 8 + 5, 1), "its file is cut or damaged"),
        (whole[..whole.len() - 1].to_vec(), "its file is cut or damaged"),
    ] {
        let outcome = program.apply(&file);
        assert_eq!(outcome.state, State::Refused);
        assert!(outcome.reasons[0].starts_with(words), "{outcome:?}");
    }
    // What only the linker finds: a library that is missing.
    let mut lacking = whole.clone();
    let name = whole.windows(10).position(|words| words == b"libc.so.6\0").unwrap();
    lacking[name + 3] = b'?';
    let outcome = program.apply(&lacking);
    assert_eq!(outcome.state, State::Failed, "{outcome:?}");
    assert!(outcome.reasons[0].starts_with("the dynamic linker refuses it: lib?.so.6: "), "{outcome:?}");
    assert!(program.status().modules.is_empty());
    assert_eq!(program.apply(&whole).state, State::Applied);
    assert_eq!(program.say("version"), "2");
}

#[test]
fn another_build_of_a_crate_that_is_loaded_is_refused() {
    let program = Program::start();
    program.apply(&module("module_two"));
    let mut other = module("module_two");
    other.push(0);
    let outcome = program.apply(&other);
    assert_eq!(outcome.state, State::Refused);
    assert!(outcome.reasons[0].starts_with("another build of crate module_two is loaded"), "{outcome:?}");
}

#[test]
fn a_dry_run_runs_nothing() {
    let program = Program::start();
    program.case("panic");
    let outcome = program.apply_with(&module("module_two"), |apply| apply.dry_run = true);
    assert_eq!(outcome.state, State::Possible);
    assert!(program.status().modules.is_empty() && program.log().is_empty());
}

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
        matches!(frame::read(&mut stream).unwrap(), Answer::Denied(why) if why.starts_with("not understood"))
    );
    let name = "n".repeat(1000);
    let mut stream = program.connect();
    program.request(&mut stream, Command::Revert { name, dry_run: false, timeout_ms: 1 });
    assert!(
        matches!(frame::read(&mut stream).unwrap(), Answer::Denied(why) if why == "a module's name of 1000 bytes is too long")
    );
    let mut stream = program.connect();
    stream.write_all(&[0xff; 64]).unwrap();
    assert!(matches!(frame::read(&mut stream).unwrap(), Answer::Denied(why) if why.contains("too long")));
    let mut stream = program.connect();
    frame::write(&mut stream, &liveline_control::message::Request { version: 77, command: Command::Status })
        .unwrap();
    assert!(
        matches!(frame::read(&mut stream).unwrap(), Answer::Denied(why) if why.contains("version 1 of the control"))
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
fn where_there_is_no_thread_to_spare_a_change_is_whole() {
    let mut program = Program::start_as_nobody_else();
    program.say("create 40");
    program.case("both");
    assert_eq!(program.apply(&module("module_two")).state, State::Applied);
    // Its own, the two that serve, and one that answers.
    program.limit("nproc", "4:4");
    let outcome = program.revert_when_it_can("module_two");
    assert_eq!(outcome.state, State::Reverted, "{outcome:?}");
    assert_eq!((program.say("version"), program.say("sums")), ("1".into(), "[0, 40]".into()));
    assert_eq!(program.revert_when_it_can("module_two").state, State::Clean);
}

#[test]
fn clients_that_are_too_many_are_told() {
    let program = Program::start();
    let mut waiting: Vec<_> = (0..40).map(|_| program.connect()).collect();
    let told: Vec<_> =
        waiting.iter_mut().skip(32).map(|stream| frame::read::<Answer>(stream).unwrap()).collect();
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
