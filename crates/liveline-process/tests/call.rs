//! Calls into the target while it does all sorts of things, and with the caller killed at every step.
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use liveline_process::{Arg, CallError, Process, SystemCall, kill_point};
use support::{Target, pause};

const DEADLINE: Duration = Duration::from_secs(5);

fn mmap() -> SystemCall {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    SystemCall::new(libc::SYS_mmap, &[0, 4096, libc::PROT_READ as u64, flags, u64::MAX, 0])
}

fn map_and_unmap(process: &Process) {
    let entry = process.entry_point().expect("an entry point");
    let report = process.call(&[mmap(), SystemCall::new(libc::SYS_getpid, &[])], entry, DEADLINE);
    let report = report.expect("the calls are made");
    assert_eq!(report.results[1], i64::from(process.pid()));
    let address = report.results[0] as u64;
    process.read_word(address).expect("the page is there");
    let unmap = SystemCall::new(libc::SYS_munmap, &[address, 4096]);
    assert_eq!(process.call(&[unmap], entry, DEADLINE).expect("the call is made").results, [0]);
    process.read_word(address).expect_err("the page is gone");
}

#[test]
fn registers_survive_calls_into_spinning_threads() {
    for threads in ["1", "3"] {
        let mut target = Target::start("spin", &[threads]);
        let process = target.open();
        for turn in 0..150 {
            map_and_unmap(&process);
            pause(turn, 3000);
        }
        target.await_progress(0, 20);
        let found: Vec<u64> = (1..5).map(|n| target.counter(n)).collect();
        assert_eq!(found, [0; 4], "vector, x87, general registers, red zone");
    }
}

#[test]
fn calls_into_sleepers_are_not_seen() {
    let kinds = [
        "epoll",
        "epoll_pwait",
        "epoll_pwait2",
        "poll",
        "ppoll",
        "select",
        "nanosleep",
        "clock",
        "futex",
        "sigwait",
        "sem",
        "recv",
        "accept",
        "aio",
        "read",
        "epoll_endless",
        "futex_endless",
        "poll_endless",
    ];
    let mut wrong = Vec::new();
    for kind in kinds {
        let mut target = Target::start("waits", &[kind]);
        let process = target.open();
        target.await_progress(0, 1);
        for turn in 0..20 {
            map_and_unmap(&process);
            // Stops in between leave the kernel in the middle of restart_syscall.
            if turn % 3 == 0 {
                pause(turn, 30_000);
                process.stop(DEADLINE).expect("stops").release();
            }
            pause(turn, 10_000);
        }
        target.await_progress(0, 2);
        let found: Vec<u64> = (1..5).map(|n| target.counter(n)).collect();
        if found != [0; 4] {
            wrong.push((kind, found));
        }
    }
    assert!(wrong.is_empty(), "EINTR, early, wrong, mask or stack changed: {wrong:?}");
}

#[test]
fn the_borrowed_code_is_put_back_and_bytes_are_passed() {
    let mut target = Target::start("waits", &["all"]);
    let process = target.open();
    let entry = process.entry_point().expect("an entry point");
    let (mut before, mut after) = ([0; 64], [0; 64]);
    process.read(entry, &mut before).expect("reads");
    let value = Arg::Value;
    let name = Arg::Bytes(b"a name\0".to_vec());
    let create = SystemCall {
        number: libc::SYS_memfd_create as u64,
        args: [name, value(0), value(0), value(0), value(0), value(0)],
    };
    let report = process.call(&[create], entry, DEADLINE).expect("the call is made");
    process.read(entry, &mut after).expect("reads");
    assert_eq!(before, after);
    let link =
        std::fs::read_link(format!("/proc/{}/fd/{}", process.pid(), report.results[0])).expect("the file");
    assert!(link.to_string_lossy().starts_with("/memfd:a name"), "{link:?}");
    target.await_progress(0, 50);
}

#[test]
fn a_function_is_called_with_the_stack_as_it_must_be() {
    let mut target = Target::start_with("functions", &["-no-pie"], &[]);
    let process = target.open();
    let entry = process.entry_point().expect("an entry point");
    let function = (0..4).find_map(|_| Some(target.counter(1)).filter(|f| *f != 0)).expect("its address");
    for turn in 0..50 {
        let sum = process.call_function(function, &[1, 20, 300, 4000, 50_000, turn], entry, DEADLINE);
        assert_eq!(sum.expect("the function runs"), 54_321 + turn);
        pause(turn, 1000);
    }
    target.await_progress(0, 5);
    assert_eq!(target.counter(2), 0, "misaligned stack");
}

#[test]
fn signals_during_calls_are_delivered_once() {
    let mut target = Target::start("signals", &[]);
    let process = target.open();
    target.await_progress(0, 10);
    for turn in 0..300 {
        map_and_unmap(&process);
        pause(turn, 1000);
    }
    let counters: Vec<u64> = [1, 3].iter().map(|&n| target.counter(n)).collect();
    let said = target.finish();
    let words: Vec<&str> = said.split_ascii_whitespace().collect();
    assert!(words.len() == 4 && words[1] == words[3], "{said}");
    assert_eq!(counters, [0, 0], "out of order, EINTR without a signal");
}

#[test]
fn the_caller_may_die_at_every_step() {
    // The counter of EINTR that nobody should see, and the others that must stay 0.
    type Case<'a> = (&'a str, &'a [&'a str], Option<usize>, &'a [usize]);
    let targets: [Case<'_>; 4] = [
        ("spin", &["1"], None, &[1, 2, 3, 4]),
        ("waits", &["epoll"], Some(1), &[3, 4]),
        ("waits", &["clock"], None, &[1, 2, 3, 4]),
        ("signals", &[], Some(3), &[1]),
    ];
    for (name, args, eintr, bad) in targets {
        let mut target = Target::start(name, args);
        let pid = target.pid().to_string();
        let count = std::env::temp_dir().join(format!("liveline-count-{}", std::process::id()));
        // A run that has to look for another thread makes more operations than one that doesn't.
        let counted = || {
            let mut whole = support::probe();
            let whole = whole.args(["call", &pid]).env("LIVELINE_TEST_COUNT", &count).output();
            let whole = whole.expect("the probe runs");
            assert!(whole.status.success(), "{whole:?}");
            let total = std::fs::read_to_string(&count).expect("a count");
            std::fs::remove_file(&count).expect("removed");
            total.trim().parse::<u64>().expect("a number")
        };
        let total = counted().min(counted()).min(counted());
        assert!(total > 20, "{total} operations");
        let mut killed = 0;
        for at in 1..=total {
            let mut probe = support::probe();
            probe.args(["call", &pid]).env("LIVELINE_TEST_KILL_AT", at.to_string());
            let status = probe.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the probe runs");
            killed += u64::from(status.signal() == Some(libc::SIGKILL));
            target.await_progress(0, 1);
        }
        assert!(killed >= total / 2, "{killed} of {total} killed");
        map_and_unmap(&target.open());
        target.await_progress(0, 3);
        let found: Vec<u64> = bad.iter().map(|&n| target.counter(n)).collect();
        assert!(found.iter().all(|n| *n == 0), "{name} {args:?}: {found:?}");
        // The one thing that can't be helped: epoll_wait answers EINTR by itself when the thread is interrupted,
        // and a patcher killed before it has looked at the registers or mended them can't hide that. Two calls,
        // two such steps each.
        let cut_short = eintr.map_or(0, |n| target.counter(n));
        assert!(cut_short <= 4, "{name}: {cut_short} EINTR");
    }
}

#[test]
fn a_filter_that_would_kill_is_respected() {
    for (mode, refused) in [("mmap", true), ("sigreturn", true), ("log", false)] {
        let mut target = Target::start("sandbox", &[mode]);
        target.await_progress(0, 3);
        let process = target.open();
        let entry = process.entry_point().expect("an entry point");
        let result = process.call(&[mmap()], entry, DEADLINE);
        assert_eq!(matches!(result, Err(CallError::Seccomp { .. })), refused, "{mode}: {result:?}");
        assert_eq!(result.is_ok(), !refused, "{mode}: {result:?}");
        target.await_progress(0, 20);
    }
    let mut target = Target::start("sandbox", &["strict"]);
    target.await_progress(0, 3);
    let process = target.open();
    let result = process.call(&[mmap()], process.entry_point().expect("an entry point"), DEADLINE);
    assert!(matches!(result, Err(CallError::SeccompUnjudged(_))), "{result:?}");
    target.await_progress(0, 20);
}

#[test]
fn operations_are_counted() {
    let before = kill_point::total();
    let target = Target::start("threads", &["sleep", "1"]);
    drop(target.open());
    assert!(kill_point::total() > before);
}
