//! Classes: factories swapped, instances replaced, versions in a line.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use liveline_runtime::{
    Class, ClassError, Factory, Formats, Interface, ObjectRef, Options, Patience, Refusal, SwapError,
    Transfer, class, classes, interface,
};

#[interface]
trait Cell {
    fn version(&self) -> u32;
    fn value(&self) -> u64;
    fn add(&self, n: u64) -> u64;
    fn wait_for(&self, leave: Arc<AtomicBool>);
}

macro_rules! cell {
    ($name:ident, $version:literal) => {
        struct $name {
            value: AtomicU64,
        }

        #[class(version = $version, transfer)]
        impl Cell for $name {
            fn version(&self) -> u32 {
                $version
            }

            fn value(&self) -> u64 {
                self.value.load(Ordering::Relaxed)
            }

            fn add(&self, n: u64) -> u64 {
                self.value.fetch_add(n, Ordering::Relaxed) + n
            }

            fn wait_for(&self, leave: Arc<AtomicBool>) {
                while !leave.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
            }
        }

        impl Transfer for $name {
            fn formats(formats: &mut Formats<Self>) {
                // 13 is a state that no version takes.
                formats.give("value", |old| old.value()).try_take("value", |value: u64| match value {
                    13 => Err(Refusal::new("13 brings bad luck")),
                    _ => Ok(Self { value: AtomicU64::new(value) }),
                });
            }
        }
    };
}

cell!(One, 1);
cell!(Two, 2);
cell!(Three, 3);

/// However slow the machine is.
fn patient() -> Options {
    Options::with_patience(Patience { bound: Duration::from_secs(60), attempts: 1 })
}

fn one() -> Factory<dyn Cell, u64> {
    Factory::new(|value| One { value: AtomicU64::new(value) })
}

fn two() -> Factory<dyn Cell, u64> {
    Factory::new(|value| Two { value: AtomicU64::new(value) })
}

fn three() -> Factory<dyn Cell, u64> {
    Factory::new(|value| Three { value: AtomicU64::new(value) })
}

fn versions(cells: &[ObjectRef<dyn Cell>], version: u32) {
    for (n, cell) in cells.iter().enumerate() {
        assert_eq!((cell.version(), cell.value()), (version, 100 + n as u64));
    }
}

#[test]
fn an_update_replaces_every_instance_and_makes_new_ones_new() {
    let class = Class::new("cell.update", one()).unwrap();
    let count = if cfg!(miri) { 50 } else { 5000 };
    let cells: Vec<_> = (100..100 + count).map(|n| class.create(n)).collect();
    let count = cells.len();
    versions(&cells, 1);
    let report = class.update(two()).unwrap();
    assert_eq!((report.converted, report.kept.len()), (count, 0));
    versions(&cells, 2);
    assert_eq!(class.create(1).version(), 2);
    assert_eq!(class.len(), count, "the last one is dropped");

    let report = class.revert().unwrap();
    assert_eq!(report.converted, count);
    assert_eq!(class.version(), 3, "a revert is a version of its own");
    versions(&cells, 1);
    assert_eq!(class.create(1).version(), 1);
}

#[test]
fn each_revert_goes_one_update_further_back() {
    let class = Class::new("cell.back", one()).unwrap();
    let cell = [class.create(100)];
    class.update(two()).unwrap();
    class.update(three()).unwrap();
    for (code, number) in [(2, 4), (1, 5)] {
        class.revert().unwrap();
        versions(&cell, code);
        assert_eq!(class.version(), number);
    }
    assert_eq!(class.revert().unwrap_err(), ClassError::NothingToRevert);
    // And from there again.
    class.update(two().numbered(6)).unwrap();
    class.revert().unwrap();
    versions(&cell, 1);
    assert_eq!(class.revert().unwrap_err(), ClassError::NothingToRevert);
}

#[test]
fn versions_are_linear() {
    let class = Class::new("cell.linear", one()).unwrap();
    let cell = class.create(100);
    let skipped = class.update(three()).unwrap_err();
    assert_eq!(skipped, ClassError::Version { running: 1, offered: 3 });
    assert_eq!(class.revert().unwrap_err(), ClassError::NothingToRevert);
    class.update(two()).unwrap();
    assert!(matches!(class.update(two()), Err(ClassError::Version { running: 2, offered: 2 })));
    class.revert().unwrap();
    assert!(matches!(class.update(three()), Err(ClassError::Version { running: 3, offered: 3 })));
    class.update(three().numbered(4)).unwrap();
    versions(&[cell], 3);
}

#[test]
fn names_and_kinds_are_checked() {
    let class = Class::new("cell.names", one()).unwrap();
    assert_eq!(Class::new("cell.names", one()).unwrap_err(), ClassError::NameTaken("cell.names".into()));
    let found = Class::<dyn Cell, u64>::find("cell.names").unwrap();
    assert_eq!(found.create(7).value(), 7);
    assert_eq!(
        Class::<dyn Cell, u64>::find("cell.none").unwrap_err(),
        ClassError::Unknown("cell.none".into())
    );
    let other = Class::<dyn Cell, String>::find("cell.names").unwrap_err();
    assert!(other.to_string().contains("made from u64, not a class of Cell made from alloc::string::String"));
    let known = classes().into_iter().find(|c| c.name() == "cell.names").unwrap();
    assert_eq!((known.interface(), known.version(), known.instances()), ("Cell", 1, class.len()));
    assert_eq!(known.methods()[1], "fn value(&self)->u64");
}

#[test]
fn a_lazy_update_converts_who_is_called_first_and_then_the_rest() {
    let class = Class::new("cell.lazy", one()).unwrap();
    let count = if cfg!(miri) { 50 } else { 20000 };
    let cells: Vec<_> = (100..100 + count).map(|n| class.create(n)).collect();
    let count = cells.len();
    let sweep = class.update_lazily(two(), Options::default()).unwrap();
    // Called before the sweep can have come here, or after: it is new either way.
    assert_eq!(cells.last().unwrap().version(), 2);
    assert_eq!(class.create(1).version(), 2);
    let report = sweep.wait();
    assert_eq!((report.converted, report.kept.len()), (count, 0));
    versions(&cells, 2);
    class.update_lazily(three(), Options::default()).unwrap();
    // The next update lets the sweep end first.
    class.revert().unwrap();
    versions(&cells, 2);
}

#[test]
fn an_instance_that_cannot_go_over_stays_whole() {
    let class = Class::new("cell.unlucky", one()).unwrap();
    let cells: Vec<_> = (10..20).map(|n| class.create(n)).collect();
    let report = class.update(two()).unwrap();
    assert_eq!(report.converted, 9);
    assert_eq!(report.kept, [SwapError::Refused(Refusal::new("13 brings bad luck"))]);
    assert_eq!((cells[3].version(), cells[3].add(1)), (1, 14));
    // The next update takes it along.
    let report = class.update(three()).unwrap();
    assert_eq!((report.converted, report.kept.len()), (10, 0));
    assert_eq!((cells[3].version(), cells[3].value()), (3, 14));
}

#[test]
fn a_busy_instance_goes_over_when_its_call_has_left() {
    let class = Class::new("cell.busy", one()).unwrap();
    let cells: Vec<_> = (100..110).map(|n| class.create(n)).collect();
    let leave = Arc::new(AtomicBool::new(false));
    let short = Options::with_patience(Patience { bound: Duration::from_millis(1), attempts: 2 });
    thread::scope(|scope| {
        let stuck = scope.spawn(|| cells[4].wait_for(leave.clone()));
        thread::sleep(Duration::from_millis(20));
        let report = class.update_with(two(), short).unwrap();
        assert_eq!(report.converted, 9);
        assert!(matches!(report.kept[..], [SwapError::Busy { calls: 1, .. }]), "{:?}", report.kept);
        assert_eq!(cells[4].version(), 1, "the others are served as before");
        leave.store(true, Ordering::Relaxed);
        stuck.join().unwrap();
    });
    let report = class.update(three()).unwrap();
    assert_eq!(report.converted, 10);
    versions(&cells, 3);
}

#[test]
fn a_slow_constructor_has_the_update_taken_back() {
    let leave = Arc::new(AtomicBool::new(false));
    let entered = Arc::new(AtomicBool::new(false));
    let slow = Factory::new({
        let (leave, entered) = (leave.clone(), entered.clone());
        move |value| {
            entered.store(true, Ordering::Relaxed);
            while !leave.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            One { value: AtomicU64::new(value) }
        }
    });
    let class = Class::new("cell.slow", slow).unwrap();
    thread::scope(|scope| {
        let creator = scope.spawn(|| class.create(100));
        while !entered.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let short = Options::with_patience(Patience { bound: Duration::from_millis(1), attempts: 1 });
        let error = class.update_with(two(), short).unwrap_err();
        assert!(matches!(error, ClassError::Factory(SwapError::Busy { .. })), "{error}");
        assert_eq!(class.len(), 0);
        leave.store(true, Ordering::Relaxed);
        let cell = creator.join().unwrap();
        class.update(two()).unwrap();
        versions(&[cell], 2);
    });
}

#[test]
fn a_panicking_constructor_tracks_nothing() {
    let class = Class::new(
        "cell.panic",
        Factory::new(|value: u64| {
            assert!(value > 0, "no zero");
            One { value: AtomicU64::new(value) }
        }),
    )
    .unwrap();
    thread::spawn(move || class.create(0)).join().unwrap_err();
    std::panic::catch_unwind(|| drop(class.create(0))).unwrap_err();
    assert!(class.is_empty());
    let cell = class.create(100);
    class.update(two()).unwrap();
    versions(&[cell], 2);
}

/// What a factory captured: it does not go quietly.
struct Sour;

impl Drop for Sour {
    fn drop(&mut self) {
        assert!(thread::panicking(), "sour");
    }
}

fn sour() -> Factory<dyn Cell, u64> {
    let held = Sour;
    Factory::new(move |value| {
        let _held = &held;
        Two { value: AtomicU64::new(value) }
    })
}

#[test]
fn what_a_factory_captured_may_panic_in_its_drop() {
    drop(sour());
    let class = Class::new("cell.sour", one()).unwrap();
    assert_eq!(class.update(sour().numbered(7)).unwrap_err(), ClassError::Version { running: 1, offered: 7 });
    let cell = class.create(100);
    // Gone by the second update: nobody can go back to it.
    class.update(sour()).unwrap();
    class.revert().unwrap();
    class.update(three().numbered(4)).unwrap();
    versions(&[cell], 3);
}

/// What a file says of its interfaces leaves out what was not compiled.
#[test]
#[cfg_attr(miri, ignore = "Miri's program has no file")]
fn a_file_tells_the_methods_that_it_was_compiled_with() {
    let file = std::fs::read("/proc/self/exe").unwrap();
    let has = |method: &str| {
        let line = format!("method fn {method}(");
        file.windows(line.len()).any(|bytes| bytes == line.as_bytes())
    };
    assert!(has("pair") && has("second"));
    assert!(!has("absent"));
}

/// What an interface may have besides.
#[interface]
trait Odd {
    fn pair(&self) -> (u64, u64);

    #[deprecated = "ask for the pair"]
    fn first(&self) -> u64;

    #[cfg(windows)]
    fn absent(&self);

    #[cfg(not(windows))]
    fn second(&self) -> u64;
}

macro_rules! odd {
    ($name:ident, $version:literal) => {
        #[derive(Default)]
        struct $name(u64, bool, u64);

        #[class(version = $version, state(2, 0, ..))]
        impl Odd for $name {
            fn pair(&self) -> (u64, u64) {
                (self.0, self.2)
            }

            fn first(&self) -> u64 {
                self.0
            }

            fn second(&self) -> u64 {
                self.2 + u64::from(self.1)
            }
        }
    };
}

odd!(OddOne, 1);
odd!(OddTwo, 2);

#[test]
fn fields_without_names_and_methods_with_conditions() {
    let object: ObjectRef<dyn Odd> = ObjectRef::new(OddOne(1, true, 2));
    assert_eq!((object.pair(), object.second()), ((1, 2), 3));
    #[expect(deprecated)]
    let first = object.first();
    assert_eq!(first, 1);
    ObjectRef::swap::<OddTwo>(&object).unwrap();
    assert_eq!((object.pair(), object.second()), ((1, 2), 2));
    let methods = <dyn Odd as Interface>::METHODS;
    assert_eq!(methods.len(), 3);
    assert!(methods[2].starts_with("fn second"), "{methods:?}");
}

#[test]
fn the_longest_patience_and_the_largest_number() {
    let class = Class::new("cell.last", one().numbered(u32::MAX - 1)).unwrap();
    let cell = class.create(100);
    let options = Options::with_patience(Patience { bound: Duration::MAX, attempts: 1 });
    class.update_with(two().numbered(u32::MAX), options).unwrap();
    let last = ClassError::Version { running: u32::MAX, offered: u32::MAX };
    assert_eq!(class.revert().unwrap_err(), last);
    versions(&[cell], 2);
}

#[test]
fn an_instance_is_not_swapped_alone() {
    let class = Class::new("cell.tracked", one()).unwrap();
    assert_eq!(ObjectRef::swap::<Two>(&class.create(1)).unwrap_err(), SwapError::Tracked);
}

#[test]
fn instances_come_go_and_are_called_while_the_class_is_updated() {
    let class = Class::new("cell.load", one()).unwrap();
    let kept: Vec<_> = (0..if cfg!(miri) { 40 } else { 2000 }).map(|_| class.create(1000)).collect();
    let stop = AtomicBool::new(false);
    let added = Mutex::new(0);
    thread::scope(|scope| {
        for seed in 0..3 {
            let (stop, added, kept) = (&stop, &added, &kept);
            scope.spawn(move || {
                let mut own = Vec::new();
                let (mut at, mut sum, mut newest) = (seed, 0, 0);
                while !stop.load(Ordering::Relaxed) {
                    at = (at * 31 + 7) % kept.len();
                    kept[at].add(1);
                    sum += 1;
                    own.push(class.create(at as u64 + 1000));
                    if own.len() > 30 {
                        let cell = own.swap_remove(at % 30);
                        assert!(cell.value() >= 1000);
                        // Versions of one object never go back, and here the newest number rises.
                        newest = newest.max(class.version());
                    }
                }
                *added.lock().unwrap() += sum;
            });
        }
        let rounds = 0..if cfg!(miri) { 3 } else { 30 };
        let updates: Vec<_> = rounds
            .map(|round| {
                let number = class.version() + 1;
                let next = if round % 2 == 0 { two() } else { one() }.numbered(number);
                match round % 3 {
                    0 => class.update_lazily(next, patient()).map(|_| Vec::new()),
                    _ => class.update_with(next, patient()).map(|report| report.kept),
                }
            })
            .collect();
        // Before anything is asserted: the threads must end.
        stop.store(true, Ordering::Relaxed);
        for kept in updates {
            assert_eq!(kept.unwrap(), []);
        }
    });
    class.update(two().numbered(class.version() + 1)).unwrap();
    assert_eq!(class.len(), kept.len());
    let total: u64 = kept.iter().map(|cell| cell.value() - 1000).sum();
    assert_eq!(total, *added.lock().unwrap());
    assert!(kept.iter().all(|cell| cell.version() == 2));
}
