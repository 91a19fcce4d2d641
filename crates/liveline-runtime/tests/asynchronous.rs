//! Async calls: they hold their object across awaits, wherever they are polled.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use liveline_runtime::{ObjectRef, Patience, SwapError, class, interface};

/// Ready once it was opened.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    fn open(&self) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = true;
        gate.1.drain(..).for_each(Waker::wake);
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1.push(context.waker().clone());
        Poll::Pending
    }
}

#[interface]
trait Store {
    async fn read(&self, key: &str, gate: Gate) -> Result<String, String>;
    async fn nest(&self, own: &ObjectRef<dyn Store>, first: Gate) -> String;
    async fn fill(&self, into: &mut Vec<u32>);
    fn version(&self) -> u32;
}

macro_rules! store {
    ($name:ident, $version:literal) => {
        #[derive(Default)]
        struct $name;

        #[class(version = $version, stateless)]
        impl Store for $name {
            async fn read(&self, key: &str, gate: Gate) -> Result<String, String> {
                gate.await;
                let number: u32 = key.parse().map_err(|_| format!("{key} is no number"))?;
                Ok(format!("{number} of {}", self.version()))
            }

            async fn nest(&self, own: &ObjectRef<dyn Store>, first: Gate) -> String {
                first.await;
                format!("{}, {}", own.version(), own.read("7", Gate::opened()).await.unwrap())
            }

            async fn fill(&self, into: &mut Vec<u32>) {
                into.push($version);
            }

            fn version(&self) -> u32 {
                $version
            }
        }
    };
}

store!(Old, 1);
store!(New, 2);

impl Gate {
    fn opened() -> Self {
        let gate = Self::default();
        gate.open();
        gate
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize, Mutex<Option<thread::Thread>>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        if let Some(thread) = &*self.1.lock().unwrap() {
            thread.unpark();
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let woken = Arc::new(Woken(AtomicUsize::new(0), Mutex::new(Some(thread::current()))));
    let waker = Waker::from(woken);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

const LONG: Patience = Patience { bound: Duration::from_secs(100), attempts: 1 };
const SHORT: Patience = Patience { bound: Duration::from_millis(1), attempts: 1 };

#[test]
fn async_calls_are_answered_by_the_object_of_the_moment() {
    let store: ObjectRef<dyn Store> = ObjectRef::new(Old);
    assert_eq!(block_on(store.read("5", Gate::opened())), Ok("5 of 1".into()));
    assert_eq!(block_on(store.read("five", Gate::opened())), Err("five is no number".into()));
    ObjectRef::swap::<New>(&store).unwrap();
    assert_eq!(block_on(store.read("5", Gate::opened())), Ok("5 of 2".into()));
    let mut filled = Vec::new();
    block_on(store.fill(&mut filled));
    assert_eq!(filled, [2]);
}

#[test]
fn a_call_that_awaits_keeps_its_object_on_every_thread() {
    let store: ObjectRef<dyn Store> = ObjectRef::new(Old);
    let gate = Gate::default();
    let mut call = store.read("5", gate.clone());
    assert!(poll(&mut call).is_pending());
    let busy = ObjectRef::swap_with::<New>(&store, SHORT).unwrap_err();
    assert!(matches!(busy, SwapError::Busy { calls: 1, .. }), "{busy}");
    gate.open();
    // It ends on another thread than it began on.
    let answer = thread::scope(|scope| scope.spawn(|| block_on(call)).join().unwrap());
    assert_eq!(answer, Ok("5 of 1".into()));
    ObjectRef::swap_with::<New>(&store, SHORT).unwrap();
}

#[test]
fn a_call_that_is_dropped_or_never_polled_is_no_call() {
    let store: ObjectRef<dyn Store> = ObjectRef::new(Old);
    let never = store.read("5", Gate::default());
    let mut dropped = store.read("6", Gate::default());
    assert!(poll(&mut dropped).is_pending());
    drop(dropped);
    ObjectRef::swap_with::<New>(&store, SHORT).unwrap();
    drop(never);
}

#[test]
fn async_callers_are_woken_when_the_swap_is_over() {
    let store: ObjectRef<dyn Store> = ObjectRef::new(Old);
    let gate = Gate::default();
    let mut inside = store.read("5", gate.clone());
    assert!(poll(&mut inside).is_pending());
    thread::scope(|scope| {
        let swap = scope.spawn(|| ObjectRef::swap_with::<New>(&store, LONG));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        // Until the swap holds the object, calls are answered by the old one.
        let mut waiting = loop {
            let mut call = store.read("6", Gate::opened());
            match call.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => assert_eq!(answer, Ok("6 of 1".into())),
                Poll::Pending => break call,
            }
        };
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        gate.open();
        assert_eq!(poll(&mut inside), Poll::Ready(Ok("5 of 1".into())));
        swap.join().unwrap().unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(poll(&mut waiting), Poll::Ready(Ok("6 of 2".into())));
    });
}

#[test]
fn an_async_chain_inside_comes_back_in_while_the_swap_waits() {
    let store: ObjectRef<dyn Store> = ObjectRef::new(Old);
    let gate = Gate::default();
    let mut chain = store.nest(&store, gate.clone());
    assert!(poll(&mut chain).is_pending());
    thread::scope(|scope| {
        let swap = scope.spawn(|| ObjectRef::swap_with::<New>(&store, LONG));
        while poll(&mut store.read("6", Gate::opened())).is_ready() {
            thread::yield_now();
        }
        gate.open();
        // The object is held, and yet the chain calls it, synchronously and asynchronously.
        assert_eq!(poll(&mut chain), Poll::Ready("1, 7 of 1".into()));
        swap.join().unwrap().unwrap();
    });
    assert_eq!(store.version(), 2);
}

#[test]
fn a_thousand_calls_in_flight_are_counted_and_forgotten() {
    let count = if cfg!(miri) { 100 } else { 1000 };
    let store: ObjectRef<dyn Store> = ObjectRef::new(Old);
    for round in 0..3 {
        let gate = Gate::default();
        let mut calls: Vec<_> = (0..count).map(|_| store.read("5", gate.clone())).collect();
        for call in &mut calls {
            assert!(poll(call).is_pending());
        }
        let busy = ObjectRef::swap_with::<New>(&store, SHORT).unwrap_err();
        assert!(matches!(busy, SwapError::Busy { calls, .. } if calls == count), "round {round}: {busy}");
        gate.open();
        for call in &mut calls {
            assert_eq!(poll(call), Poll::Ready(Ok("5 of 1".into())));
        }
    }
    ObjectRef::swap_with::<New>(&store, SHORT).unwrap();
}
