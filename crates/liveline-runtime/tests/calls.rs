//! Calls through references, while the objects behind them are replaced.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use liveline_runtime::{Formats, ObjectRef, Patience, Refusal, SwapError, Transfer, class, interface};

#[interface]
trait Counter {
    /// Counts, and says which version did.
    fn next(&self) -> (u32, u64);
    fn slow(&self, entered: mpsc::Sender<()>, leave: Arc<AtomicBool>) -> u32;
    fn through(&self, other: ObjectRef<dyn Counter>) -> (u32, u64);
    fn fail(&self);
    fn address(&self) -> usize;
}

macro_rules! counter {
    ($name:ident, $version:literal) => {
        struct $name {
            count: Arc<AtomicU64>,
        }

        #[class(version = $version, state(count))]
        impl Counter for $name {
            fn next(&self) -> (u32, u64) {
                ($version, self.count.fetch_add(1, Ordering::Relaxed))
            }

            fn slow(&self, entered: mpsc::Sender<()>, leave: Arc<AtomicBool>) -> u32 {
                entered.send(()).unwrap();
                while !leave.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_micros(100));
                }
                $version
            }

            fn through(&self, other: ObjectRef<dyn Counter>) -> (u32, u64) {
                other.next()
            }

            fn fail(&self) {
                panic!("as asked");
            }

            fn address(&self) -> usize {
                Arc::as_ptr(&self.count).addr()
            }
        }
    };
}

counter!(First, 1);
counter!(Second, 2);

/// However slow the machine is.
const LONG: Patience = Patience { bound: Duration::from_secs(60), attempts: 1 };

fn counter() -> ObjectRef<dyn Counter> {
    ObjectRef::new(First { count: Arc::default() })
}

#[test]
fn a_swap_keeps_the_state_and_hands_it_over_by_pointer() {
    let counter = counter();
    let before = counter.address();
    assert_eq!(counter.next(), (1, 0));
    ObjectRef::swap::<Second>(&counter).unwrap();
    assert_eq!(counter.next(), (2, 1));
    assert_eq!(counter.address(), before);
    assert_eq!(ObjectRef::version(&counter), 2);
    ObjectRef::swap::<First>(&counter).unwrap();
    assert_eq!(counter.next(), (1, 2));
}

#[test]
fn a_panic_leaves_the_object_callable_and_swappable() {
    let counter = counter();
    let same = counter.clone();
    thread::spawn(move || same.fail()).join().unwrap_err();
    assert_eq!(counter.next(), (1, 0));
    ObjectRef::swap::<Second>(&counter).unwrap();
    assert_eq!(counter.next(), (2, 1));
}

#[test]
fn a_swap_waits_for_a_call_and_new_calls_wait_for_the_swap() {
    let counter = counter();
    let leave = Arc::new(AtomicBool::new(false));
    let (entered, inside) = mpsc::channel();
    thread::scope(|scope| {
        let slow = scope.spawn({
            let (counter, leave) = (counter.clone(), leave.clone());
            move || counter.slow(entered, leave)
        });
        inside.recv().unwrap();
        let swap = scope.spawn(|| ObjectRef::swap_with::<Second>(&counter, LONG));
        // Whether this one comes before the swap holds the object or waits, it gets a whole answer.
        let other = scope.spawn(|| counter.next());
        thread::sleep(Duration::from_millis(5));
        assert!(!swap.is_finished());
        leave.store(true, Ordering::Relaxed);
        assert_eq!(slow.join().unwrap(), 1);
        swap.join().unwrap().unwrap();
        other.join().unwrap();
        assert_eq!(counter.next().0, 2);
    });
}

#[test]
fn a_call_that_does_not_return_has_the_swap_taken_back() {
    let counter = counter();
    let leave = Arc::new(AtomicBool::new(false));
    let (entered, inside) = mpsc::channel();
    thread::scope(|scope| {
        let stuck = scope.spawn({
            let (counter, leave) = (counter.clone(), leave.clone());
            move || counter.slow(entered, leave)
        });
        inside.recv().unwrap();
        let error = ObjectRef::swap_with::<Second>(
            &counter,
            Patience { bound: Duration::from_millis(2), attempts: 2 },
        )
        .unwrap_err();
        assert!(matches!(error, SwapError::Busy { calls: 1, .. }), "{error}");
        assert_eq!(counter.next(), (1, 0));
        leave.store(true, Ordering::Relaxed);
        stuck.join().unwrap();
    });
    ObjectRef::swap::<Second>(&counter).unwrap();
    assert_eq!(counter.next(), (2, 1));
}

#[test]
fn a_call_chain_inside_comes_back_in_while_the_swap_waits() {
    #[interface]
    trait Outer {
        fn chain(
            &self,
            own: ObjectRef<dyn Outer>,
            depth: u32,
            at: Arc<Barrier>,
            held: Arc<AtomicBool>,
        ) -> u32;
    }
    #[derive(Default)]
    struct Old;
    #[class(stateless)]
    impl Outer for Old {
        fn chain(
            &self,
            own: ObjectRef<dyn Outer>,
            depth: u32,
            at: Arc<Barrier>,
            held: Arc<AtomicBool>,
        ) -> u32 {
            if depth == 0 {
                at.wait();
                while !held.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
            }
            // Deeper than the first places of a record, and than a block of more.
            if depth < 100 { own.chain(own.clone(), depth + 1, at, held) } else { 1 }
        }
    }
    #[derive(Default)]
    struct New;
    #[class(version = 2, stateless)]
    impl Outer for New {
        fn chain(&self, _: ObjectRef<dyn Outer>, _: u32, _: Arc<Barrier>, _: Arc<AtomicBool>) -> u32 {
            2
        }
    }
    let object: ObjectRef<dyn Outer> = ObjectRef::new(Old);
    let (at, held) = (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)));
    thread::scope(|scope| {
        let chain = scope.spawn(|| object.chain(object.clone(), 0, at.clone(), held.clone()));
        at.wait();
        let swap = scope.spawn(|| ObjectRef::swap_with::<New>(&object, LONG));
        // A caller that must wait shows that the object is held.
        let outsider = scope.spawn(|| object.chain(object.clone(), 99, at.clone(), held.clone()));
        thread::sleep(Duration::from_millis(5));
        held.store(true, Ordering::Relaxed);
        assert_eq!(chain.join().unwrap(), 1);
        swap.join().unwrap().unwrap();
        outsider.join().unwrap();
    });
    assert_eq!(object.chain(object.clone(), 0, at, held), 2);
}

#[test]
fn a_swap_from_inside_is_refused() {
    #[interface]
    trait Own {
        fn replace(&self, own: ObjectRef<dyn Own>) -> Result<(), SwapError>;
    }
    #[derive(Default)]
    struct Old;
    #[class(stateless)]
    impl Own for Old {
        fn replace(&self, own: ObjectRef<dyn Own>) -> Result<(), SwapError> {
            ObjectRef::swap::<Old>(&own)
        }
    }
    let object: ObjectRef<dyn Own> = ObjectRef::new(Old);
    assert_eq!(object.replace(object.clone()), Err(SwapError::FromInside));
}

#[interface]
trait Text {
    fn text(&self) -> String;
}

struct Plain(Mutex<String>);

#[class(transfer)]
impl Text for Plain {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl Transfer for Plain {
    fn formats(formats: &mut Formats<Self>) {
        formats.give("text", |old| old.text()).take("text", |text: String| Self(Mutex::new(text)));
    }
}

/// Takes only what begins with `a`, panics at `p`, and calls itself at `s`.
struct Picky(String);

static SELF: Mutex<Option<ObjectRef<dyn Text>>> = Mutex::new(None);

#[class(version = 2, transfer)]
impl Text for Picky {
    fn text(&self) -> String {
        format!("picky {}", self.0)
    }
}

impl Transfer for Picky {
    fn formats(formats: &mut Formats<Self>) {
        formats.try_take("text", |text: String| match text.as_bytes().first() {
            Some(b'a') => Ok(Self(text)),
            Some(b'p') => panic!("cannot read {text}"),
            Some(b's') => {
                let own = SELF.lock().unwrap().clone().unwrap();
                Ok(Self(own.text()))
            }
            _ => Err(Refusal::new("it does not begin with a")),
        });
    }
}

#[test]
fn a_refused_or_panicked_transfer_leaves_the_old_object() {
    let object: ObjectRef<dyn Text> = ObjectRef::new(Plain(Mutex::new("beta".into())));
    let refused = ObjectRef::swap::<Picky>(&object).unwrap_err();
    assert_eq!(refused, SwapError::Refused(Refusal::new("it does not begin with a")));
    assert_eq!(object.text(), "beta");

    let object: ObjectRef<dyn Text> = ObjectRef::new(Plain(Mutex::new("pi".into())));
    assert_eq!(ObjectRef::swap::<Picky>(&object).unwrap_err(), SwapError::Panicked("cannot read pi".into()));
    assert_eq!(object.text(), "pi");

    let object: ObjectRef<dyn Text> = ObjectRef::new(Plain(Mutex::new("alpha".into())));
    ObjectRef::swap::<Picky>(&object).unwrap();
    assert_eq!(object.text(), "picky alpha");
    // It gives nothing.
    assert!(matches!(ObjectRef::swap::<Plain>(&object), Err(SwapError::NoCommonFormat { .. })));
    assert_eq!(object.text(), "picky alpha");
}

#[test]
fn an_object_called_by_its_own_transfer_stays() {
    let object: ObjectRef<dyn Text> = ObjectRef::new(Plain(Mutex::new("self".into())));
    *SELF.lock().unwrap() = Some(object.clone());
    let error = ObjectRef::swap::<Picky>(&object).unwrap_err();
    assert_eq!(error, SwapError::Panicked("an object was called by its own state transfer".into()));
    assert_eq!(object.text(), "self");
    *SELF.lock().unwrap() = None;
}

#[test]
fn two_objects_that_call_each_other_are_swapped_at_once() {
    let (one, two) = (counter(), counter());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (from, to) in [(&one, &two), (&two, &one)] {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    from.through(to.clone());
                }
            });
        }
        let swaps: Vec<_> = [&one, &two]
            .into_iter()
            .map(|object| {
                scope.spawn(move || {
                    for _ in 0..if cfg!(miri) { 5 } else { 200 } {
                        // The bound is long: it would show if one waited for the other.
                        ObjectRef::swap_with::<Second>(object, LONG).unwrap();
                        ObjectRef::swap_with::<First>(object, LONG).unwrap();
                    }
                })
            })
            .collect();
        let swapped: Vec<_> = swaps.into_iter().map(|swap| swap.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(swapped.iter().all(Result::is_ok));
    });
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri an hour")]
fn under_load_every_call_is_answered_once_and_in_order() {
    let counter = counter();
    let stop = AtomicBool::new(false);
    let swaps = if cfg!(miri) { 10 } else { 1000 };
    let (answers, most) = thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut answers = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        answers.push(counter.next().1);
                    }
                    assert!(answers.is_sorted_by(|a, b| a < b));
                    answers
                })
            })
            .collect();
        let started = Instant::now();
        let swapped = (0..swaps / 2).try_for_each(|_| {
            ObjectRef::swap_with::<Second>(&counter, LONG)?;
            ObjectRef::swap_with::<First>(&counter, LONG)
        });
        let took = started.elapsed();
        stop.store(true, Ordering::Relaxed);
        swapped.unwrap();
        let answers: Vec<u64> = callers.into_iter().flat_map(|c| c.join().unwrap()).collect();
        (answers, took)
    });
    let mut sorted = answers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), answers.len(), "no call was answered twice");
    assert_eq!(counter.next().1 as usize, answers.len(), "none was lost in {most:?}");
}

#[test]
fn objects_are_dropped_with_their_last_reference() {
    let count: Arc<AtomicU64> = Arc::default();
    let object: ObjectRef<dyn Counter> = ObjectRef::new(First { count: Arc::clone(&count) });
    let other = object.clone();
    assert_eq!(object, other);
    ObjectRef::swap::<Second>(&object).unwrap();
    assert_eq!(Arc::strong_count(&count), 2, "the old object is gone");
    drop(object);
    assert_eq!(other.next().0, 2);
    drop(other);
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn a_drop_that_panics_ends_with_the_swap_and_leaves_nothing() {
    #[interface]
    trait Fragile {
        fn version(&self) -> u32;
    }
    struct Old(Arc<()>);
    impl Drop for Old {
        fn drop(&mut self) {
            std::panic::panic_any(Arc::clone(&self.0));
        }
    }
    #[class(transfer)]
    impl Fragile for Old {
        fn version(&self) -> u32 {
            1
        }
    }
    impl Transfer for Old {
        fn formats(formats: &mut Formats<Self>) {
            formats.give("nothing", |_| ());
        }
    }
    struct New;
    #[class(version = 2, transfer)]
    impl Fragile for New {
        fn version(&self) -> u32 {
            2
        }
    }
    impl Transfer for New {
        fn formats(formats: &mut Formats<Self>) {
            formats.take("nothing", |()| New);
        }
    }
    let carried = Arc::new(());
    let object: ObjectRef<dyn Fragile> = ObjectRef::new(Old(Arc::clone(&carried)));
    ObjectRef::swap::<New>(&object).unwrap();
    assert_eq!(object.version(), 2);
    assert_eq!(Arc::strong_count(&carried), 1, "what the panic carried is gone");
}
