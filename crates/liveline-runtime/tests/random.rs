//! Random calls, nested calls, panics, swaps, updates and reverts, against a model that has no concurrency; and
//! the same from several threads, where every call must be answered once, by a whole version, in order.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use liveline_runtime::{
    Class, Factory, Formats, ObjectRef, Options, Patience, Refusal, SwapError, Transfer, class, interface,
};
use proptest::prelude::*;

/// What is taken over: everything that was ever added.
type Log = Arc<Mutex<Vec<u64>>>;

#[interface]
trait Ledger {
    /// Adds and says the version and how much was added before.
    fn add(&self, n: u64) -> (u32, usize);
    /// Adds here and, from inside, in the other one.
    fn add_both(&self, n: u64, other: ObjectRef<dyn Ledger>) -> (u32, u32);
    /// Adds, then panics.
    fn add_and_panic(&self, n: u64);
    fn sum(&self) -> u64;
    fn log(&self) -> Vec<u64>;
}

macro_rules! ledger {
    ($name:ident, $version:literal, $twice:literal) => {
        struct $name {
            log: Log,
            /// Differs from the version if half of one object were mixed with half of another.
            witness: u32,
        }

        #[class(version = $version, transfer)]
        impl Ledger for $name {
            fn add(&self, n: u64) -> (u32, usize) {
                assert_eq!(self.witness, $version);
                let mut log = self.log.lock().unwrap();
                log.push(n);
                (self.witness, log.len() - 1)
            }

            fn add_both(&self, n: u64, other: ObjectRef<dyn Ledger>) -> (u32, u32) {
                self.add(n);
                (self.witness, other.add(n).0)
            }

            fn add_and_panic(&self, n: u64) {
                self.add(n);
                panic!("as asked");
            }

            fn sum(&self) -> u64 {
                self.log.lock().unwrap().iter().sum()
            }

            fn log(&self) -> Vec<u64> {
                self.log.lock().unwrap().clone()
            }
        }

        impl Transfer for $name {
            fn formats(formats: &mut Formats<Self>) {
                // Odd versions prefer the pointer, even ones a copy; both can do both.
                let shared = |log: Log| Self { log, witness: $version };
                let copied = |log: Vec<u64>| match log.last() {
                    // Both refuse some states, one in words and one by a panic.
                    Some(n) if n % 97 == 13 => Err(Refusal::new("it ends with bad luck")),
                    Some(n) if n % 97 == 14 => panic!("it ends worse"),
                    _ => Ok(Self { log: Arc::new(Mutex::new(log)), witness: $version }),
                };
                formats.give("log", |old| Arc::clone(&old.log)).give("copy", |old| old.log());
                if $twice {
                    formats.try_take("copy", copied).take("log", shared);
                } else {
                    formats.take("log", shared).try_take("copy", copied);
                }
            }
        }
    };
}

ledger!(Sharing, 1, false);
ledger!(Copying, 2, true);

fn sharing() -> Factory<dyn Ledger> {
    Factory::new(|()| Sharing { log: Log::default(), witness: 1 })
}

fn copying() -> Factory<dyn Ledger> {
    Factory::new(|()| Copying { log: Log::default(), witness: 2 })
}

/// However slow the machine is.
fn patient() -> Options {
    Options::with_patience(Patience { bound: Duration::from_secs(60), attempts: 1 })
}

/// A step of a program.
#[derive(Debug, Clone)]
enum Step {
    Add { at: usize, n: u64 },
    AddBoth { at: usize, other: usize, n: u64 },
    Panic { at: usize, n: u64 },
    Create,
    Drop { at: usize },
    Update { lazy: bool },
    Revert,
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0usize..64;
    let n = 0u64..200;
    prop_oneof![
        8 => (at.clone(), n.clone()).prop_map(|(at, n)| Step::Add { at, n }),
        4 => (at.clone(), at.clone(), n.clone()).prop_map(|(at, other, n)| Step::AddBoth { at, other, n }),
        1 => (at.clone(), n).prop_map(|(at, n)| Step::Panic { at, n }),
        3 => Just(Step::Create),
        1 => at.prop_map(|at| Step::Drop { at }),
        2 => any::<bool>().prop_map(|lazy| Step::Update { lazy }),
        1 => Just(Step::Revert),
    ]
}

/// What the model knows of an object: its state, and whether it is of the sharing code.
#[derive(Clone)]
struct Known {
    log: Vec<u64>,
    sharing: bool,
}

impl Known {
    /// What an update to the other or the same code does.
    fn go_over(&mut self, sharing: bool) {
        let refused = !sharing && self.log.last().is_some_and(|n| [13, 14].contains(&(n % 97)));
        if !refused {
            self.sharing = sharing;
        }
    }

    fn version(&self) -> u32 {
        if self.sharing { 1 } else { 2 }
    }
}

static NAMES: AtomicU64 = AtomicU64::new(0);

fn new_class() -> Class<dyn Ledger> {
    let name = format!("ledger {}", NAMES.fetch_add(1, Ordering::Relaxed));
    Class::new(&name, sharing()).unwrap()
}

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let class = new_class();
    let mut objects: Vec<(ObjectRef<dyn Ledger>, Known)> = Vec::new();
    let (mut current, mut before) = (true, Vec::new());
    for step in steps {
        match *step {
            Step::Create => {
                objects.push((class.create(()), Known { log: Vec::new(), sharing: current }));
            }
            Step::Update { lazy } => {
                let next = if current { copying() } else { sharing() }.numbered(class.version() + 1);
                let kept = if lazy {
                    class.update_lazily(next, Options::default()).unwrap().wait().kept
                } else {
                    class.update(next).unwrap().kept
                };
                before.push(current);
                current = !current;
                objects.iter_mut().for_each(|(_, known)| known.go_over(current));
                let stayed = objects.iter().filter(|(_, known)| known.sharing != current).count();
                prop_assert_eq!(kept.len(), stayed);
                let right = |why: &SwapError| matches!(why, SwapError::Refused(_) | SwapError::Panicked(_));
                prop_assert!(kept.iter().all(right));
            }
            Step::Revert => match before.pop() {
                None => prop_assert!(class.revert().is_err()),
                Some(back) => {
                    class.revert().unwrap();
                    current = back;
                    objects.iter_mut().for_each(|(_, known)| known.go_over(current));
                }
            },
            _ if objects.is_empty() => {}
            Step::Drop { at } => {
                let at = at % objects.len();
                objects.swap_remove(at);
                prop_assert_eq!(class.len(), objects.len());
            }
            Step::Add { at, n } => {
                let at = at % objects.len();
                let (object, known) = &mut objects[at];
                prop_assert_eq!(object.add(n), (known.version(), known.log.len()));
                known.log.push(n);
            }
            Step::AddBoth { at, other, n } => {
                let (at, other) = (at % objects.len(), other % objects.len());
                let second = objects[other].0.clone();
                let versions = objects[at].0.add_both(n, second);
                prop_assert_eq!(versions, (objects[at].1.version(), objects[other].1.version()));
                objects[at].1.log.push(n);
                objects[other].1.log.push(n);
            }
            Step::Panic { at, n } => {
                let at = at % objects.len();
                let (object, known) = &mut objects[at];
                let panicked = catch_unwind(AssertUnwindSafe(|| object.add_and_panic(n)));
                prop_assert!(panicked.is_err());
                known.log.push(n);
            }
        }
    }
    for (object, known) in &objects {
        prop_assert_eq!(object.log(), known.log.clone());
    }
    Ok(())
}

/// The same steps from several threads: nobody knows the order, but nothing may be lost or doubled.
fn run_together(programs: &[Vec<Step>]) -> Result<(), TestCaseError> {
    let class = new_class();
    let objects: Vec<_> = (0..4).map(|_| class.create(())).collect();
    let added = AtomicU64::new(0);
    let updates = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for program in programs {
            let (objects, added, updates) = (&objects, &added, &updates);
            scope.spawn(move || {
                for step in program {
                    match *step {
                        Step::Add { at, n } => {
                            objects[at % 4].add(n);
                            added.fetch_add(n, Ordering::Relaxed);
                        }
                        Step::AddBoth { at, other, n } => {
                            objects[at % 4].add_both(n, objects[other % 4].clone());
                            added.fetch_add(2 * n, Ordering::Relaxed);
                        }
                        Step::Panic { at, n } => {
                            let call = || objects[at % 4].add_and_panic(n);
                            assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
                            added.fetch_add(n, Ordering::Relaxed);
                        }
                        Step::Create | Step::Drop { .. } => {
                            let own = class.create(());
                            assert_eq!(own.add(1).1, 0);
                            assert_eq!(own.add(1).1, 1);
                        }
                        // One updater at a time: versions are linear.
                        Step::Update { .. } | Step::Revert if updates.swap(true, Ordering::Acquire) => {}
                        Step::Update { lazy } => {
                            let number = class.version() + 1;
                            let next = if number % 2 == 0 { copying() } else { sharing() }.numbered(number);
                            if lazy {
                                class.update_lazily(next, patient()).unwrap();
                            } else {
                                class.update_with(next, patient()).unwrap();
                            }
                            updates.store(false, Ordering::Release);
                        }
                        Step::Revert => {
                            // Refused while there is no version to go back to.
                            let _ = class.revert_with(patient());
                            updates.store(false, Ordering::Release);
                        }
                    }
                }
            });
        }
    });
    let sum: u64 = objects.iter().map(|object| object.sum()).sum();
    prop_assert_eq!(sum, added.load(Ordering::Relaxed));
    Ok(())
}

/// Panics are part of these programs: their words would drown what matters.
fn quietly<R>(run: impl FnOnce() -> R) -> R {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let words = panic.payload().downcast_ref::<&str>().copied().unwrap_or_default();
            if !["as asked", "it ends worse"].contains(&words) {
                told(panic);
            }
        }));
    });
    run()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_thread_agrees_with_the_model(steps in prop::collection::vec(step(), 1..120)) {
        quietly(|| run(&steps))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn several_threads_lose_and_double_nothing(
        programs in prop::collection::vec(prop::collection::vec(step(), 20..100), 2..5)
    ) {
        quietly(|| run_together(&programs))?;
    }
}
