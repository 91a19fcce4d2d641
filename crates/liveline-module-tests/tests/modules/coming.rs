//! Modules come into a running program, do their work there, and go.

use liveline_control::message::State;

use crate::edited::other_build;
use crate::program::{Program, module};

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
        let each = (0..MODULES)
            .map(|number| program.apply_with(&other_build(&whole, number), |apply| apply.renumber = true));
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

    // The next build does not add again what an earlier one added, where numbers are given.
    let next = other_build(&module("module_two"), 1);
    let refused = program.apply(&next);
    assert_eq!(refused.state, State::Refused);
    assert!(refused.reasons.contains(&"a class named greeter exists".to_owned()), "{refused:?}");
    let outcome = program.apply_with(&next, |apply| apply.renumber = true);
    assert_eq!(outcome.state, State::Applied, "{outcome:?}");
    let versions: Vec<_> = outcome.classes.iter().map(|c| (c.name.as_str(), c.version, c.new)).collect();
    assert_eq!(versions, [("counter", 3, false), ("other", 3, false), ("greeter", 3, false)]);
    assert_eq!(program.revert("module_two").state, State::Reverted);
    // Nor when it comes again, nor the next one after that.
    for build in [next, other_build(&module("module_two"), 2)] {
        let outcome = program.apply_with(&build, |apply| apply.renumber = true);
        assert_eq!(outcome.state, State::Applied, "{outcome:?}");
        assert!(outcome.classes.iter().all(|class| !class.new), "{outcome:?}");
    }
    // The first one again, which is the one that added.
    assert_eq!(program.revert("module_two").state, State::Reverted);
    assert_eq!(program.revert("module_two").state, State::Reverted);
    assert_eq!(program.revert("module_two").state, State::Reverted);
    for build in [module("module_two"), other_build(&module("module_two"), 3)] {
        let outcome = program.apply_with(&build, |apply| apply.renumber = true);
        assert_eq!(outcome.state, State::Applied, "{outcome:?}");
    }
}

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
    assert_eq!(outcome.reasons[1], "class counter was taken back, which made it version 3");
    program.say("forget");
    let outcome = program.apply_with(&module("module_two"), |apply| apply.renumber = true);
    assert_eq!(outcome.state, State::Applied, "{outcome:?}");
}

#[test]
fn of_many_reasons_some_are_told() {
    let mut program = Program::start();
    for n in 6_660..6_700 {
        program.say(&format!("create {n}"));
    }
    let outcome = program.apply(&module("module_two"));
    assert_eq!((outcome.state, outcome.reasons.len()), (State::Refused, 12));
    assert_eq!(outcome.reasons[10], "and others of class counter, for 30 more reasons");
    assert_eq!(outcome.reasons[11], "class counter was taken back, which made it version 3");
    assert_eq!(program.log()[0].outcome, outcome);
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
