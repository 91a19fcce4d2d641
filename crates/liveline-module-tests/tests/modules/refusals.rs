//! What a program does not let in, and what its entry may not do.

use liveline_control::message::State;

use crate::edited::{Edit, edited};
use crate::program::{Program, module};

#[test]
fn what_the_entry_does_wrong_changes_nothing() {
    let mut program = Program::start();
    for (case, state, words) in [
        ("panic", State::Failed, "its entry panicked: no good day"),
        ("refuse", State::Refused, "it will not be loaded: not on a Friday"),
        ("drop", State::Refused, "it will not be loaded: not on a Friday"),
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
fn a_crate_that_only_modules_have_is_one_in_all_of_them() {
    let program = Program::start();
    let private = |name: &str| edited(&module(name), "crate memchr ", Edit::To("crate of_own "));
    assert_eq!(program.apply(&private("module_two")).state, State::Applied);
    let changed = edited(&private("module_three"), "crate of_own ", Edit::LastDigit);
    for dry_run in [true, false] {
        let outcome = program.apply_with(&changed, |apply| apply.dry_run = dry_run);
        assert_eq!(outcome.state, State::Refused);
        assert_eq!(
            outcome.reasons,
            [
                "crate of_own is not what module module_two was built with, and its types would be taken for those: give it another version in its Cargo.toml"
            ]
        );
    }
    assert_eq!(program.apply(&private("module_three")).state, State::Applied);
}

#[test]
fn a_dry_run_runs_nothing() {
    let program = Program::start();
    program.case("panic");
    let outcome = program.apply_with(&module("module_two"), |apply| apply.dry_run = true);
    assert_eq!(outcome.state, State::Possible);
    assert!(program.status().modules.is_empty() && program.log().is_empty());
}
