//! A cache manager with many live instances, made faster (the third example of the seed).
//!
//! Each open file has a manager. To unmap a page it tells all processors, also when the page is not mapped any
//! more. The new version looks first. All managers that live are replaced, each by itself, and keep their pages; new
//! files get the new version.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use liveline_runtime::{Class, Factory, class, interface};

/// How often all processors were told: the expensive part.
static TOLD: AtomicU64 = AtomicU64::new(0);

#[interface]
trait CacheManager {
    fn map(&self, page: u64);
    fn unmap(&self, page: u64);
    fn mapped(&self) -> usize;
}

struct Manager {
    pages: Arc<Mutex<BTreeSet<u64>>>,
}

#[class(state(pages))]
impl CacheManager for Manager {
    fn map(&self, page: u64) {
        self.pages.lock().unwrap().insert(page);
    }

    fn unmap(&self, page: u64) {
        TOLD.fetch_add(1, Ordering::Relaxed);
        self.pages.lock().unwrap().remove(&page);
    }

    fn mapped(&self) -> usize {
        self.pages.lock().unwrap().len()
    }
}

struct Careful {
    pages: Arc<Mutex<BTreeSet<u64>>>,
}

#[class(version = 2, state(pages))]
impl CacheManager for Careful {
    fn map(&self, page: u64) {
        self.pages.lock().unwrap().insert(page);
    }

    fn unmap(&self, page: u64) {
        let mut pages = self.pages.lock().unwrap();
        if pages.remove(&page) {
            TOLD.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn mapped(&self) -> usize {
        self.pages.lock().unwrap().len()
    }
}

pub(crate) fn main() {
    let first = Factory::new(|()| Manager { pages: Arc::default() });
    let class = Class::<dyn CacheManager>::new("cache manager", first).unwrap();
    let files: Vec<_> = (0..10_000).map(|_| class.create(())).collect();
    files.iter().for_each(|file| (0..3).for_each(|page| file.map(page)));

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Files are used all the time.
        scope.spawn(|| {
            for file in files.iter().cycle() {
                file.map(99);
                file.unmap(99);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let report = class.update(Factory::new(|()| Careful { pages: Arc::default() })).unwrap();
        assert_eq!((report.converted, report.kept.len()), (10_000, 0));
        stop.store(true, Ordering::Relaxed);
    });

    // The pages are still there, and pages that are not mapped cost nothing any more.
    assert!(files.iter().all(|file| file.mapped() == 3));
    let told = TOLD.load(Ordering::Relaxed);
    files.iter().for_each(|file| file.unmap(1234));
    class.create(()).unmap(1234);
    assert_eq!(TOLD.load(Ordering::Relaxed), told);

    // Back to the old code, as a third version of the class.
    class.revert().unwrap();
    assert_eq!(class.version(), 3);
    files[0].unmap(1234);
    assert_eq!(TOLD.load(Ordering::Relaxed), told + 1);
}
