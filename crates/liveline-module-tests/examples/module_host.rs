//! A program that serves counters by lines of text, and takes in modules.
#![forbid(unsafe_code)]

use std::future::Future;
use std::io::{BufRead, stdin};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};

use liveline_module_tests::{Counter, Greeter, Plain, counter};
use liveline_runtime::{Class, Factory, ObjectRef};

counter!(One, 1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let class = Class::new("counter", Factory::new(One::new))?;
    let other = Class::new("other", Factory::new(One::new))?;
    let mut counters: Vec<ObjectRef<dyn Counter>> = vec![class.create(0)];
    let single = other.create(0);
    let plain: ObjectRef<dyn Greeter> = ObjectRef::new(Plain { words: "good morning".to_string() });
    liveline_runtime::serve!()?;
    println!("ready");
    for line in stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let number = || words.get(1).and_then(|w| w.parse().ok()).unwrap_or(0);
        let counter = &counters[0];
        let answer = match words[0] {
            "version" => counter.version().to_string(),
            "add" => counter.add(number()).to_string(),
            "risk" => caught(|| counter.risk(number())),
            "fall" => caught(|| counter.fall()),
            "later" => caught(|| finish(counter.later(number()))),
            "ask" => format!("{:?}", counter.ask(&single, number())),
            "through" => caught(|| counter.through(&single, number())),
            "asked" => format!("{:?}", single.ask(counter, number())),
            "visited" => format!("{:?}", counter.visited(&single, number())),
            "looked" => format!("{:?}", counter.looked(&single)),
            "words" => format!("{:?}", counter.words(&plain)),
            // The program's own look at what a module's object may stand behind.
            "one" => format!("{:?}", ObjectRef::visit_as::<One, _>(counter, |one| one.sum.load(SeqCst))),
            "delegate" => counter.delegate(&single, number()).to_string(),
            "create" => {
                counters.push(class.create(number()));
                counters.last().map_or(0, |new| new.version()).to_string()
            }
            "sums" => format!("{:?}", counters.iter().map(|c| c.add(0)).collect::<Vec<_>>()),
            "forget" => {
                counters.truncate(1);
                "1".to_string()
            }
            "stay" => {
                let (counter, until) = (counter.clone(), words[1].to_string());
                std::thread::spawn(move || counter.stay(&until));
                "inside".to_string()
            }
            _ => format!("what is {line}?"),
        };
        println!("{answer}");
    }
    Ok(())
}

/// The answer, or the words of the panic.
fn caught(call: impl FnOnce() -> u64) -> String {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(sum) => sum.to_string(),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            format!("panic: {}", words.unwrap_or_default().lines().next().unwrap_or_default())
        }
    }
}

fn finish<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(answer) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return answer;
        }
    }
}
