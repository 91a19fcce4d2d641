//! A patcher in the small, for tests that kill it and for measuring: `probe call PID`, `probe stop PID`,
//! `probe pause PID ADDRESS COUNT`, `probe hold PID`, `probe walk PID`.

use std::error::Error;
use std::time::Duration;

use liveline_process::unwind::Unwinder;
use liveline_process::{Process, SystemCall, kill_point};

const DEADLINE: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let arg =
        |n: usize| args.get(n).map(String::as_str).ok_or("usage: probe call|stop|pause|hold|walk PID …");
    let process = Process::open(arg(2)?.parse()?)?;
    match arg(1)? {
        "call" => call(&process)?,
        "stop" => {
            let stop = process.stop(DEADLINE)?;
            println!("{:?}", stop.release());
        }
        "pause" => {
            let address = u64::from_str_radix(arg(3)?, 16)?;
            for _ in 0..arg(4)?.parse()? {
                pause(&process, address)?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        "hold" => {
            let _stop = process.stop(DEADLINE)?;
            println!("held");
            std::thread::sleep(Duration::from_secs(3600));
        }
        "walk" => walk(&process)?,
        other => return Err(format!("unknown: {other}").into()),
    }
    kill_point::report()?;
    Ok(())
}

/// Maps a page, has it unmapped again.
fn call(process: &Process) -> Result<(), Box<dyn Error>> {
    let _lock = process.lock()?;
    let entry = process.entry_point()?;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let map = SystemCall::new(libc::SYS_mmap, &[0, 4096, libc::PROT_READ as u64, flags, u64::MAX, 0]);
    let pid = SystemCall::new(libc::SYS_getpid, &[]);
    let report = process.call(&[map, pid], entry, DEADLINE)?;
    let &[address, pid] = report.results.as_slice() else { return Err("two results were expected".into()) };
    if pid != i64::from(process.pid()) {
        return Err(format!("getpid gave {pid}").into());
    }
    let unmap = SystemCall::new(libc::SYS_munmap, &[address as u64, 4096]);
    let unmapped = process.call(&[unmap], entry, DEADLINE)?;
    println!("{address:#x} {:?} {:?}", unmapped.results, report.longest_stop);
    Ok(())
}

/// What `measure/floor.c` does: stop, read the stacks, write 8 bytes of code, go on.
fn pause(process: &Process, address: u64) -> Result<(), Box<dyn Error>> {
    let mut code = [0; 8];
    process.read(address, &mut code)?;
    let mappings = process.mappings()?;
    let stop = process.stop(DEADLINE)?;
    let stopped = stop.longest();
    let stacks = stop.read_stacks(&mappings, 1 << 20)?;
    let read = stop.longest();
    process.write(address, &code)?;
    let released = stop.release();
    let words: usize = stacks.iter().map(|s| s.words.len()).sum();
    println!("stop {stopped:?} read {read:?} total {:?}, {words} words", released.longest_stop);
    Ok(())
}

fn walk(process: &Process) -> Result<(), Box<dyn Error>> {
    let unwinder = Unwinder::of_process(process, &process.mappings()?);
    let stop = process.stop(DEADLINE)?;
    for thread in stop.threads() {
        let walk = unwinder.walk(&thread.regs, &|at| process.read_word(at).ok(), 256);
        println!("thread {} {}: {:?}", thread.tid, thread.name(), walk.end);
        for frame in walk.frames {
            println!(
                "  {:#x} cfa {:#x}{}",
                frame.pc,
                frame.cfa,
                if frame.is_signal_frame { " signal" } else { "" }
            );
        }
    }
    Ok(())
}
