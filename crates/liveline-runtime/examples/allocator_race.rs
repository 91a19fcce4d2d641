//! A race in an allocator, fixed by a class that adds a lock and inherits the rest (the second example of the seed).
//!
//! The allocator hands out descriptors. It reads which one is next and writes the following one, and two threads
//! may read the same. It is one object, so no factory is needed: it is swapped by itself, while threads go on
//! allocating.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use liveline_runtime::{ObjectRef, class, interface};

#[interface]
pub(crate) trait Allocator {
    fn descriptor(&self) -> u64;
    fn page_size(&self) -> u64;
    fn allocated(&self) -> u64;
}

#[derive(Clone)]
struct Pinned {
    next: Arc<AtomicU64>,
}

#[class(state(next))]
impl Allocator for Pinned {
    fn descriptor(&self) -> u64 {
        let descriptor = self.next.load(Ordering::Relaxed);
        // Another thread may read the same one here.
        thread::yield_now();
        self.next.store(descriptor + 1, Ordering::Relaxed);
        descriptor
    }

    fn page_size(&self) -> u64 {
        4096
    }

    fn allocated(&self) -> u64 {
        self.next.load(Ordering::Relaxed) * self.page_size()
    }
}

/// The fix: the old class with a lock in front of what raced.
mod fix {
    use super::*;
    use liveline_runtime::{Formats, Transfer};

    pub(crate) struct PinnedUpdate {
        base: Pinned,
        next: Mutex<()>,
    }

    #[class(version = 2, transfer)]
    impl Allocator for PinnedUpdate {
        fn descriptor(&self) -> u64 {
            let _one = self.next.lock().unwrap();
            self.base.descriptor()
        }

        fn page_size(&self) -> u64 {
            self.base.page_size()
        }

        fn allocated(&self) -> u64 {
            self.base.allocated()
        }
    }

    impl Transfer for PinnedUpdate {
        fn formats(formats: &mut Formats<Self>) {
            // The format that `#[class(state(next))]` gives: the fields by name.
            formats
                .give("next", |old| (Arc::clone(&old.base.next),))
                .take("next", |(next,)| Self { base: Pinned { next }, next: Mutex::default() });
        }
    }
}

pub(crate) fn main() {
    let allocator: ObjectRef<dyn Allocator> = ObjectRef::new(Pinned { next: Arc::default() });
    let (stop, fixed) = (AtomicBool::new(false), AtomicBool::new(false));
    let (before, after) = thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut before, mut after) = (Vec::new(), Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        let new = fixed.load(Ordering::SeqCst);
                        let descriptor = allocator.descriptor();
                        if new { after.push(descriptor) } else { before.push(descriptor) }
                    }
                    (before, after)
                })
            })
            .collect();
        while allocator.allocated() < 1000 * allocator.page_size() {
            thread::yield_now();
        }
        ObjectRef::swap::<fix::PinnedUpdate>(&allocator).unwrap();
        fixed.store(true, Ordering::SeqCst);
        let fixed_at = allocator.allocated();
        while allocator.allocated() < fixed_at + 1000 * allocator.page_size() {
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        let callers = callers.into_iter().map(|caller| caller.join().unwrap());
        callers.fold((Vec::new(), Vec::new()), |(mut before, mut after), (b, a)| {
            before.extend(b);
            after.extend(a);
            (before, after)
        })
    });
    let twice = |all: &[u64]| all.len() - all.iter().collect::<BTreeSet<_>>().len();
    println!(
        "given twice: {} of {} before, {} of {} after",
        twice(&before),
        before.len(),
        twice(&after),
        after.len()
    );
    assert_eq!(twice(&after), 0, "the race is gone");
    assert_eq!(ObjectRef::version(&allocator), 2);
}
