//! The engine alone, with patches made by hand: a function that returns its argument plus a number.

mod support;

use std::process::Command;

use liveline_engine::{Options, State};
use liveline_patch::*;
use support::{Running, expect, patch_of};

#[test]
fn in_and_out_with_threads_busy_and_asleep() {
    for flags in [&[][..], &["-no-pie"], &["-static"], &["-static-pie"]] {
        for arguments in [["1", "0"], ["40", "1000"]] {
            let mut target = Running::start(flags, &arguments);
            let patch = target.patch("ten", &["first", "second"], 10);
            for _ in 0..5 {
                expect(target.apply(&patch), State::Applied);
                assert_eq!(target.ask()[..3], [10, 10, 0]);
                expect(target.apply(&patch), State::Already);
                expect(target.revert("ten"), State::Reverted);
                assert_eq!(target.ask()[..3], [1, 1, 0]);
                expect(target.revert("ten"), State::Clean);
            }
        }
    }
}

#[test]
fn generations_of_one_function_in_every_order_of_leaving() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut target = Running::start(&[], &["4", "100"]);
        let names = ["a", "b", "c"];
        let mut present = vec![];
        for (index, name) in names.iter().enumerate() {
            let patch = target.patch(name, &["first"], 10 + index as u8);
            expect(target.apply(&patch), State::Applied);
            present.push(index);
            assert_eq!(target.ask()[0], 10 + index as i64);
        }
        for leaving in order {
            expect(target.revert(names[leaving]), State::Reverted);
            present.retain(|index| *index != leaving);
            let newest = present.iter().max().map_or(1, |index| 10 + *index as i64);
            assert_eq!(target.ask()[0], newest, "order {order:?}, {} left", names[leaving]);
        }
    }
}

#[test]
fn a_requirement_must_be_there_and_holds_its_patch_in() {
    let target = Running::start(&[], &["2", "100"]);
    let base = target.patch("base", &["first"], 10);
    let mut above = target.patch("above", &["second"], 10);
    above.meta.requires = vec![Requirement { name: "base".into(), version: "1".into() }];
    let outcome = expect(target.apply(&above), State::Refused);
    assert!(outcome.reason.unwrap().contains("base 1"));
    expect(target.apply(&base), State::Applied);
    expect(target.apply(&above), State::Applied);
    assert!(expect(target.revert("base"), State::Refused).reason.unwrap().contains("above"));
    expect(target.revert("above"), State::Reverted);
    expect(target.revert("base"), State::Reverted);
}

#[test]
fn status_tells_what_is_in_and_nothing_stays_afterwards() {
    let target = Running::start(&[], &["2", "100"]);
    let before = std::fs::read(format!("/proc/{}/maps", target.pid())).unwrap();
    let patch = target.patch("ten", &["first"], 10);
    let dry =
        liveline_engine::apply(target.pid(), &patch, b"", Options { dry_run: true, ..Options::default() });
    expect(dry, State::Possible);
    assert_eq!(
        std::fs::read(format!("/proc/{}/maps", target.pid())).unwrap(),
        before,
        "a dry run touches nothing"
    );
    expect(target.apply(&patch), State::Applied);
    let status = liveline_engine::status(target.pid());
    assert_eq!(status.error, None);
    assert_eq!(status.patches.len(), 1);
    assert_eq!((status.patches[0].name.as_str(), status.patches[0].state), ("ten", "active"));
    expect(target.revert("ten"), State::Reverted);
    assert!(liveline_engine::status(target.pid()).patches.is_empty());
}

#[test]
fn threads_that_sleep_inside_and_come_straight_back_are_waited_for() {
    for (threads, sleep) in [("1", "3000"), ("1", "50000"), ("2", "2000")] {
        let mut target = Running::start(&["-DSLEEPS"], &[threads, "0", sleep]);
        let patch = target.patch("ten", &["first"], 10);
        let outcome = expect(target.apply(&patch), State::Applied);
        println!("{threads} threads, {sleep} us: {} looks, {} ms", outcome.attempts, outcome.apply_ms);
        assert_eq!(target.ask()[..3], [10, 1, 0]);
        expect(target.revert("ten"), State::Reverted);
    }
}

#[test]
fn threads_that_never_seem_to_leave_pass_the_gate_on_their_way_in_only() {
    let mut target = Running::start_source("nested.c", &[], &["3"]);
    let patch = target.patch("ten", &["first", "outer"], 10);
    for _ in 0..3 {
        expect(target.apply(&patch), State::Applied);
        assert_eq!(target.ask()[..3], [10, 10, 0]);
        expect(target.revert("ten"), State::Reverted);
        assert_eq!(target.ask()[..3], [1, 1, 0]);
    }
}

#[test]
fn a_thread_that_stays_inside_is_named_and_nothing_changes() {
    let mut target = Running::start(&["-DSLEEPS"], &["1", "0", "900000000"]);
    let patch = target.patch("ten", &["first"], 10);
    let options = Options { timeout: std::time::Duration::from_millis(600), ..Options::default() };
    let outcome = liveline_engine::apply(target.pid(), &patch, &patch.encode().unwrap(), options);
    let outcome = expect(outcome, State::Timeout);
    let blocker = &outcome.blockers[0];
    assert_eq!((blocker.function.as_str(), blocker.thread.as_str()), ("first", "pair"));
    assert!(blocker.backtrace.iter().any(|frame| frame.starts_with("worker")), "{blocker:?}");
    assert!(liveline_engine::status(target.pid()).patches.is_empty());
    drop(target.child.kill());
}

#[test]
fn a_patched_library_that_was_closed_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("library.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/targets/library.c");
    let built =
        Command::new("gcc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(built.unwrap().success());
    let mut target = Running::start_source("opens.c", &[], &[library.to_str().unwrap()]);
    let patch = patch_of(&library, "ten", &["first"], 10);
    expect(target.apply(&patch), State::Applied);
    assert_eq!(target.ask()[0], 10);
    assert_eq!(target.say("close\n")[0], -1);
    expect(target.revert("ten"), State::Reverted);
    assert_eq!(target.ask()[0], -1);
    assert!(liveline_engine::status(target.pid()).patches.is_empty());
}

#[test]
fn a_suspended_coroutine_inside_is_seen() {
    let mut target = Running::start_source("coroutine.c", &[], &[]);
    let patch = target.patch("ten", &["first"], 10);
    let options = Options { timeout: std::time::Duration::from_millis(300), ..Options::default() };
    let outcome = liveline_engine::apply(target.pid(), &patch, &patch.encode().unwrap(), options);
    let outcome = expect(outcome, State::Timeout);
    assert_eq!(outcome.blockers[0].function, "first");
    assert!(outcome.blockers[0].thread.starts_with("suspended stack"), "{outcome:?}");
    assert_eq!(target.say("go\n")[0], 1);
    expect(target.apply(&patch), State::Applied);
    assert_eq!(target.ask()[0], 10);
}

#[test]
fn a_pid_that_is_gone_is_a_clear_error() {
    let mut target = Running::start(&[], &["1", "0"]);
    let patch = target.patch("ten", &["first"], 10);
    drop(target.child.kill());
    drop(target.child.wait());
    let outcome = expect(target.apply(&patch), State::Failed);
    assert!(outcome.reason.unwrap().contains("no"), "says that it is gone");
}
