//! What happens at the edges: no memory, a thread that ends, a program that ends.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use liveline_runtime::{
    Class, Factory, Formats, ObjectRef, Options, Patience, SwapError, Transfer, class, interface,
};

/// Gives nothing to a thread that says so.
struct Refusing;

thread_local! {
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: everything is passed on to the system's allocator, or refused, which an allocator may do.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if REFUSED.get() {
            return std::ptr::null_mut();
        }
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

#[interface]
trait Counter {
    fn next(&self) -> (u32, u64);
    fn slow(&self, entered: Arc<AtomicBool>, leave: Arc<AtomicBool>);
}

macro_rules! counter {
    ($name:ident, $version:literal, $import:expr) => {
        struct $name {
            count: Arc<AtomicU64>,
        }

        #[class(version = $version, transfer)]
        impl Counter for $name {
            fn next(&self) -> (u32, u64) {
                ($version, self.count.fetch_add(1, Ordering::Relaxed))
            }

            fn slow(&self, entered: Arc<AtomicBool>, leave: Arc<AtomicBool>) {
                entered.store(true, Ordering::SeqCst);
                while !leave.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
        }

        impl Transfer for $name {
            fn formats(formats: &mut Formats<Self>) {
                formats.give("count", |old| Arc::clone(&old.count)).take("count", |count| {
                    $import();
                    Self { count }
                });
            }
        }
    };
}

counter!(First, 1, || ());
counter!(Second, 2, || ());
counter!(Sleepy, 2, || thread::sleep(Duration::from_millis(20)));

fn counter() -> ObjectRef<dyn Counter> {
    ObjectRef::new(First { count: Arc::default() })
}

#[test]
fn without_memory_to_see_the_calls_inside_nothing_is_swapped() {
    let counter = counter();
    // Everything that is made once is made now.
    ObjectRef::swap::<Second>(&counter).unwrap();
    ObjectRef::swap::<First>(&counter).unwrap();
    let (entered, leave) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    thread::scope(|scope| {
        scope.spawn(|| counter.slow(entered.clone(), leave.clone()));
        while !entered.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let patience = Patience { bound: Duration::from_secs(60), attempts: 1 };
        REFUSED.set(true);
        let result = ObjectRef::swap_with::<Second>(&counter, patience);
        REFUSED.set(false);
        assert_eq!(result, Err(SwapError::OutOfMemory));
        assert_eq!(counter.next(), (1, 0), "the object goes on");
        leave.store(true, Ordering::SeqCst);
    });
    ObjectRef::swap::<Second>(&counter).unwrap();
    assert_eq!(counter.next(), (2, 1));
}

#[test]
fn a_call_allocates_nothing() {
    let counter = counter();
    counter.next();
    REFUSED.set(true);
    let answer = counter.next();
    REFUSED.set(false);
    assert_eq!(answer, (1, 1));
}

#[test]
fn threads_that_end_may_call_to_the_last() {
    thread_local! {
        static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    }
    struct AtEnd(ObjectRef<dyn Counter>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            self.0.next();
        }
    }
    let counter = counter();
    for n in 0..20 {
        let own = counter.clone();
        thread::spawn(move || {
            // Made before or after the thread is known to the runtime: dropped after or before it is forgotten.
            if n % 2 == 0 {
                own.next();
            }
            LAST.set(Some(AtEnd(own.clone())));
            if n % 2 == 1 {
                own.next();
            }
        })
        .join()
        .unwrap();
        match n % 2 {
            0 => ObjectRef::swap::<Second>(&counter).unwrap(),
            _ => ObjectRef::swap::<First>(&counter).unwrap(),
        }
    }
    assert_eq!(counter.next(), (1, 40));
}

/// Ends the program while a call is stuck, a swap waits for it, callers wait for the swap, and a lazy update runs.
fn end_in_the_middle() {
    let counter = counter();
    let (entered, leave) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let stuck = (counter.clone(), entered.clone());
    thread::spawn(move || stuck.0.slow(stuck.1, leave));
    while !entered.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    let swapped = counter.clone();
    let patience = Patience { bound: Duration::from_secs(600), attempts: 1 };
    thread::spawn(move || ObjectRef::swap_with::<Second>(&swapped, patience));
    for _ in 0..4 {
        let waiting = counter.clone();
        thread::spawn(move || {
            loop {
                waiting.next();
            }
        });
    }
    let class = Class::new("counter.end", Factory::new(|()| First { count: Arc::default() })).unwrap();
    let _all: Vec<_> = (0..1000).map(|_| class.create(())).collect();
    class.update_lazily(Factory::new(|()| Sleepy { count: Arc::default() }), Options::default()).unwrap();
    thread::sleep(Duration::from_millis(50));
    std::process::exit(7);
}

#[test]
fn a_program_ends_in_the_middle_of_swaps() {
    if std::env::var_os("END_IN_THE_MIDDLE").is_some() {
        end_in_the_middle();
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_program_ends_in_the_middle_of_swaps"])
        .env("END_IN_THE_MIDDLE", "1")
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}
