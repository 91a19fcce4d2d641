//! Holding all threads: many, short-lived, with signals in flight, in every kind of wait.
mod support;

use std::time::{Duration, Instant};

use liveline_process::{StopError, on_own_thread};
use support::{Target, pause};

const DEADLINE: Duration = Duration::from_secs(5);

#[test]
fn all_threads_are_held_and_go_on() {
    for threads in [1usize, 64, 512] {
        let mut target = Target::start("threads", &["sleep", &threads.to_string()]);
        let process = target.open();
        for turn in 0..20 {
            pause(turn, 5000);
            let stop = process.stop(DEADLINE).expect("stops");
            assert_eq!(stop.threads().len(), threads);
            let before = target.counter(0);
            std::thread::sleep(Duration::from_millis(3));
            assert_eq!(target.counter(0), before, "nothing moves while held");
            assert_eq!(stop.release().threads, threads);
            target.await_progress(0, threads as u64);
        }
        assert_eq!(target.counter(1), 0);
    }
}

#[test]
fn no_wait_ends_early_or_with_eintr() {
    let mut target = Target::start("waits", &["all"]);
    let process = target.open();
    for turn in 0..200 {
        process.stop(DEADLINE).expect("stops").release();
        pause(turn, 20_000);
    }
    target.await_progress(0, 100);
    let found: Vec<u64> = (1..5).map(|n| target.counter(n)).collect();
    assert_eq!(found, [0, 0, 0, 0], "EINTR, early, wrong, mask or stack changed");
    for kind in 16..34 {
        target.await_progress(kind, 2);
    }
}

#[test]
fn signals_in_flight_are_delivered_once() {
    let mut target = Target::start("signals", &[]);
    let process = target.open();
    target.await_progress(0, 10);
    for turn in 0..500 {
        process.stop(DEADLINE).expect("stops").release();
        pause(turn, 2000);
    }
    let counters: Vec<u64> = [1, 3].iter().map(|&n| target.counter(n)).collect();
    assert!(target.counter(0) > 100);
    let said = target.finish();
    let words: Vec<&str> = said.split_ascii_whitespace().collect();
    assert!(words.len() == 4 && words[1] == words[3], "{said}");
    assert_eq!(counters, [0, 0], "out of order, EINTR without a signal");
}

#[test]
fn threads_born_and_dying_during_stops() {
    let mut target = Target::start("threads", &["storm", "6"]);
    let process = target.open();
    for turn in 0..300 {
        let stop = process.stop(DEADLINE).expect("stops");
        let before = target.counter(0);
        if turn % 10 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(target.counter(0), before, "nobody was missed");
        stop.release();
        pause(turn, 3000);
    }
    target.await_progress(0, 1000);
    assert_eq!(target.counter(1), 0);
}

#[test]
fn a_process_whose_first_thread_ended() {
    let mut target = Target::start("threads", &["leaderless", "4"]);
    std::thread::sleep(Duration::from_millis(50));
    let process = target.open();
    for _ in 0..20 {
        let stop = process.stop(DEADLINE).expect("stops");
        assert_eq!(stop.threads().len(), 3);
        let mappings = process.mappings().expect("maps");
        assert!(!mappings.is_empty());
        let stacks = stop.read_stacks(&mappings, 1 << 20).expect("stacks");
        assert!(stacks.iter().all(|s| !s.words.is_empty() && !s.truncated), "{stacks:?}");
        stop.release();
        target.await_progress(0, 5);
    }
}

#[test]
fn some_threads_run_for_a_moment() {
    let mut target = Target::start("threads", &["sleep", "8"]);
    let process = target.open();
    let mut rounds = 0;
    for _ in 0..20 {
        let mut stop = process.stop(DEADLINE).expect("stops");
        let two: Vec<i32> = stop.threads().iter().take(2).map(|h| h.tid).collect();
        let before = target.counter(0);
        let began = Instant::now();
        stop.let_run(&two, Duration::from_millis(20)).expect("runs");
        // A round takes two milliseconds, and one may have been nearly over: all eight threads would make four times as many.
        let most = 2 * (began.elapsed().as_millis() as u64 / 2 + 2);
        let moved = target.counter(0) - before;
        assert!(moved <= most, "two threads made {moved} rounds, in a time for {most}");
        rounds += moved;
        assert_eq!(stop.threads().len(), 8);
        stop.release();
    }
    assert!(rounds > 0, "they ran");
    target.await_progress(0, 100);
    assert_eq!(target.counter(1), 0);
}

#[test]
fn a_vfork_parent_is_named_and_everything_goes_on() {
    let mut target = Target::start("vfork", &[]);
    std::thread::sleep(Duration::from_millis(50));
    let process = target.open();
    let error = on_own_thread(|| process.stop(Duration::from_millis(100)).map(drop).expect_err("can't stop"));
    assert!(matches!(error, StopError::Unstoppable { .. }), "{error}");
    target.await_progress(0, 10);
}

#[test]
fn a_dead_patcher_lets_go() {
    let mut target = Target::start("threads", &["sleep", "16"]);
    for _ in 0..20 {
        let mut probe = support::probe()
            .args(["hold", &target.pid().to_string()])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("the probe starts");
        let mut line = String::new();
        let out = probe.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("the probe speaks");
        assert_eq!(line.trim(), "held");
        probe.kill().expect("killed");
        probe.wait().expect("dead");
        target.await_progress(0, 50);
    }
}
