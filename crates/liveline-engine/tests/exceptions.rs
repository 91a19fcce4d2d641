//! Exceptions, cancellation and constructors through new code, with patches made by hand from compiled C++.

#[path = "support/object_file.rs"]
mod object_file;
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use liveline_engine::{Options, State};
use liveline_patch::Patch;
use support::{Running, expect};

fn patch(target: &Running) -> Patch {
    let folder = tempfile::tempdir().unwrap();
    let mut patch = target.patch("throws", &["change", "initialized"], 0);
    let object = object_file::compile("throws_new.cc", folder.path());
    object_file::fill(&mut patch, &target.program, &object);
    patch.meta.unwinds = true;
    let constructor = patch.symbols.iter().position(|symbol| symbol.name == "construct");
    patch.meta.initializers = vec![constructor.unwrap()];
    patch
}

#[test]
fn exceptions_and_cancellation_pass_new_code_both_ways_and_constructors_run_once() {
    for flags in [&[][..], &["-no-pie"]] {
        let mut target = Running::start_source("throws.cc", flags, &["2", "200"]);
        let patch = patch(&target);
        assert_eq!(target.say("t\n")[0], -1003);
        for _ in 0..3 {
            expect(target.apply(&patch), State::Applied);
            assert_eq!(target.ask()[..3], [15, 101, 0], "constructed once, however often it goes in");
            assert_eq!(target.say("t\n")[0], -7000, "old code threw, new caught and threw, old caught");
            assert_eq!(target.say("c\n")[..3], [2, 0, 0], "a cancelled thread cleans up in both new frames");
            expect(target.revert("throws"), State::Reverted);
            assert_eq!(target.ask()[..3], [6, 1, 0]);
            assert_eq!(target.say("t\n")[0], -1003);
        }
    }
}

#[test]
fn a_storm_of_exceptions_while_patches_come_and_go() {
    let mut target = Running::start_source("throws.cc", &[], &["4", "0"]);
    let patch = patch(&target);
    let before = target.ask()[3];
    for round in 0..40 {
        expect(target.apply(&patch), State::Applied);
        if round % 10 == 0 {
            assert_eq!(target.say("t\n")[0], -7000);
        }
        expect(target.revert("throws"), State::Reverted);
    }
    let after = target.ask();
    assert_eq!(after[..3], [6, 1, 0]);
    assert!(after[3] > before, "they went on");
}

#[test]
fn a_program_whose_unwinder_cannot_be_told_is_refused() {
    let target = Running::start(&[], &["1", "1000"]);
    let mut patch = target.patch("ten", &["first"], 10);
    patch.meta.unwinds = true;
    let reason = expect(target.apply(&patch), State::Refused).reason.unwrap();
    assert!(reason.contains("__register_frame_info"), "{reason}");
}

#[test]
fn without_a_safe_point_the_image_stays_and_goes_in_later_without_a_second_start() {
    let mut target = Running::start_source("throws.cc", &[], &["1", "1000", "-"]);
    let patch = patch(&target);
    // A thread stays inside the old function until it is cancelled.
    target.say("h\n");
    let options = Options { timeout: Duration::from_millis(500), ..Options::default() };
    let bytes = patch.encode().unwrap();
    let outcome = liveline_engine::apply(target.pid(), &patch, &bytes, options);
    expect(outcome, State::Timeout);
    assert!(liveline_engine::status(target.pid()).patches.is_empty());
    target.say("l\n");
    expect(target.apply(&patch), State::Applied);
    assert_eq!(target.ask()[..3], [15, 101, 0]);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", target.pid())).unwrap();
    assert_eq!(maps.matches("throws.1.liveline").count(), 2, "the same image, both parts: {maps}");
    assert_eq!(maps.matches(".liveline").count(), 2);
}

/// What the test below has its own program do, as a patcher that can be killed.
#[test]
fn patcher() {
    let Ok(pid) = std::env::var("LIVELINE_TEST_PID") else { return };
    let file = std::fs::read(std::env::var("LIVELINE_TEST_PATCH").unwrap()).unwrap();
    let patch = Patch::decode(&file).unwrap();
    expect(liveline_engine::apply(pid.parse().unwrap(), &patch, &file, Options::default()), State::Applied);
}

#[test]
fn a_patcher_killed_around_the_start_leaves_a_program_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("throws.llp");
    let mut kills = 0;
    for operation in (1..).step_by(7) {
        let mut target = Running::start_source("throws.cc", &[], &["2", "200"]);
        let patch = patch(&target);
        let bytes = patch.encode().unwrap();
        std::fs::write(&file, &bytes).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "patcher"])
            .env("LIVELINE_TEST_PID", target.pid().to_string())
            .env("LIVELINE_TEST_PATCH", &file)
            .env("LIVELINE_TEST_KILL_AT", operation.to_string())
            .status()
            .unwrap();
        let seen = target.ask();
        assert!([[15, 101, 0], [6, 1, 0]].contains(&[seen[0], seen[1], seen[2]]), "{operation}: {seen:?}");
        let recovered = liveline_engine::recover(target.pid(), Options::default());
        assert!([State::Recovered, State::Clean].contains(&recovered.state), "{operation}: {recovered:?}");
        let outcome = target.apply(&patch);
        assert!([State::Applied, State::Already].contains(&outcome.state), "{operation}: {outcome:?}");
        assert_eq!(target.ask()[..3], [15, 101, 0], "{operation}: constructed once");
        assert_eq!(target.say("t\n")[0], -7000, "{operation}");
        expect(target.revert("throws"), State::Reverted);
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "{operation}: {status:?}");
        kills += 1;
    }
    assert!(kills > 10, "{kills} kills");
}
