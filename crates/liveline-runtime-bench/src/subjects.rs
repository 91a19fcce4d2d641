//! The object that is called, behind each of the peers.

use std::fs;
use std::process::Command;
use std::sync::RwLock;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use hot_lib_reloader::LibReloader;
use liveline_runtime::{ObjectRef, class, interface};

/// The work of a call, about as small as a call can be.
#[interface]
pub(crate) trait Work {
    fn work(&self, n: u64) -> u64;
}

#[derive(Default)]
pub(crate) struct Add;

#[class(stateless)]
impl Work for Add {
    #[inline(never)]
    fn work(&self, n: u64) -> u64 {
        n.wrapping_add(3)
    }
}

/// Calls another one: two calls in one.
pub(crate) struct Nested<W>(pub(crate) W);

#[class]
impl Work for Nested<ObjectRef<dyn Work>> {
    #[inline(never)]
    fn work(&self, n: u64) -> u64 {
        self.0.work(n) + 1
    }
}

/// The same with a box inside: no class, so written by hand.
pub(crate) struct NestedBox(pub(crate) Box<dyn Work>);

#[class]
impl Work for NestedBox {
    #[inline(never)]
    fn work(&self, n: u64) -> u64 {
        self.0.work(n) + 1
    }
}

/// One way to reach an object that may be replaced.
pub(crate) trait Subject: Sync {
    fn name(&self) -> &'static str;
    /// Calls it so often, and says what came of it. Each of the [`COPIES`] is the same loop elsewhere in memory: where
    /// the linker puts a loop makes a call up to half a nanosecond dearer, and another link puts it elsewhere.
    fn calls(&self, copy: usize, times: u64) -> u64;
}

/// Copies of each loop.
pub(crate) const COPIES: usize = 8;

macro_rules! subject {
    ($type:ident, $name:literal, $inner:ty, |$this:ident, $n:ident| $call:expr) => {
        pub(crate) struct $type(pub(crate) $inner);

        impl Subject for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn calls(&self, copy: usize, times: u64) -> u64 {
                /// The number tells the copies apart: the compiler would make one of them.
                #[inline(never)]
                fn copy_of<const COPY: u64>(object: &$inner, times: u64) -> u64 {
                    let mut sum = std::hint::black_box(COPY);
                    for $n in 0..times {
                        // Hidden from the compiler, so that it cannot call directly.
                        let $this = std::hint::black_box(object);
                        sum = sum.wrapping_add($call);
                    }
                    std::hint::black_box(sum)
                }
                let copies: [fn(&$inner, u64) -> u64; COPIES] = [
                    copy_of::<0>,
                    copy_of::<1>,
                    copy_of::<2>,
                    copy_of::<3>,
                    copy_of::<4>,
                    copy_of::<5>,
                    copy_of::<6>,
                    copy_of::<7>,
                ];
                copies[copy](&self.0, times)
            }
        }
    };
}

subject!(Boxed, "Box<dyn Trait>", Box<dyn Work>, |it, n| it.work(n));
subject!(Reference, "ObjectRef<dyn Trait>", ObjectRef<dyn Work>, |it, n| it.work(n));
subject!(Swapped, "arc-swap", ArcSwap<Box<dyn Work>>, |it, n| it.load().work(n));
subject!(Locked, "RwLock<Box<dyn Trait>>", RwLock<Box<dyn Work>>, |it, n| it.read().unwrap().work(n));
subject!(Epoch, "crossbeam-epoch pin", crossbeam_epoch::Atomic<Box<dyn Work>>, |it, n| {
    let guard = crossbeam_epoch::pin();
    // SAFETY: the pointer is never null and never replaced while this measures.
    unsafe { it.load(Ordering::Acquire, &guard).deref() }.work(n)
});
subject!(Reloaded, "hot-lib-reloader", RwLock<LibReloader>, |it, n| {
    let library = it.read().unwrap();
    // SAFETY: the library has this function of this type: it is written below.
    let work = unsafe { library.get_symbol::<fn(u64) -> u64>(b"work\0") }.unwrap();
    work(n)
});

/// A function in a shared library, called as the code that `hot_module` writes calls it.
pub(crate) fn reloaded(folder: &std::path::Path) -> Option<Reloaded> {
    let source = folder.join("hot.rs");
    let body = "#[unsafe(no_mangle)]\npub fn work(n: u64) -> u64 { n.wrapping_add(3) }\n";
    fs::write(&source, body).ok()?;
    let built = Command::new("rustc")
        .args(["--edition=2024", "--crate-type=cdylib", "-O", "--out-dir"])
        .arg(folder)
        .arg(&source)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return None;
    }
    LibReloader::new(folder, "hot", None, None).ok().map(|library| Reloaded(RwLock::new(library)))
}

/// The floor and ours.
pub(crate) fn plain_and_ours() -> Vec<Box<dyn Subject>> {
    vec![Box::new(Boxed(Box::new(Add))), Box::new(Reference(ObjectRef::new(Add)))]
}

/// All of them, the floor and ours first.
pub(crate) fn all(folder: &std::path::Path) -> Vec<Box<dyn Subject>> {
    let add = || Box::new(Add) as Box<dyn Work>;
    let mut all = plain_and_ours();
    all.push(Box::new(Swapped(ArcSwap::from_pointee(add()))));
    all.push(Box::new(Locked(RwLock::new(add()))));
    all.push(Box::new(Epoch(crossbeam_epoch::Atomic::new(add()))));
    match reloaded(folder) {
        Some(reloaded) => all.push(Box::new(reloaded)),
        None => eprintln!("hot-lib-reloader is left out: its library could not be built"),
    }
    all
}
