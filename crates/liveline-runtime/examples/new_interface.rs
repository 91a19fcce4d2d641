//! A new interface added to a running program (the first example of the seed).
//!
//! A program keeps regions of memory. One that many threads fill at once is slow: all its pages are found in one
//! table under one lock. A class of regions with a table for each part is written later, with an interface that
//! nobody knew when the program began. Nothing is replaced, so nothing waits and no state moves.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use liveline_runtime::{Class, Factory, Module, class, interface, module};

/// What every region can do.
#[interface]
trait Region {
    fn map(&self, page: u64, frame: u64);
    fn frame(&self, page: u64) -> Option<u64>;
}

#[derive(Default)]
struct Shared {
    table: Mutex<BTreeMap<u64, u64>>,
}

#[class]
impl Region for Shared {
    fn map(&self, page: u64, frame: u64) {
        self.table.lock().unwrap().insert(page, frame);
    }

    fn frame(&self, page: u64) -> Option<u64> {
        self.table.lock().unwrap().get(&page).copied()
    }
}

/// What came later, as a module brings it: an interface, a class, and an entry that makes it known.
mod partitioned {
    use super::*;

    /// A region whose makers say how many parts it has.
    #[interface]
    pub(crate) trait PartitionedRegion {
        fn map(&self, page: u64, frame: u64);
        fn frame(&self, page: u64) -> Option<u64>;
        fn parts(&self) -> usize;
    }

    struct Partitioned {
        tables: Vec<Mutex<BTreeMap<u64, u64>>>,
    }

    impl Partitioned {
        fn table(&self, page: u64) -> &Mutex<BTreeMap<u64, u64>> {
            &self.tables[(page % self.tables.len() as u64) as usize]
        }
    }

    #[class]
    impl PartitionedRegion for Partitioned {
        fn map(&self, page: u64, frame: u64) {
            self.table(page).lock().unwrap().insert(page, frame);
        }

        fn frame(&self, page: u64) -> Option<u64> {
            self.table(page).lock().unwrap().get(&page).copied()
        }

        fn parts(&self) -> usize {
            self.tables.len()
        }
    }

    pub(crate) fn factory() -> Factory<dyn PartitionedRegion, usize> {
        Factory::new(|parts: usize| Partitioned {
            tables: (0..parts.max(1)).map(|_| Mutex::default()).collect(),
        })
    }

    #[module]
    fn load(module: &mut Module) {
        module.add("region.partitioned", factory());
    }
}

pub(crate) fn main() {
    let regions = Class::<dyn Region>::new("region", Factory::new(|()| Shared::default())).unwrap();
    let old = regions.create(());
    old.map(7, 70);

    // Before the module came there is no such class.
    use partitioned::PartitionedRegion;
    assert!(Class::<dyn PartitionedRegion, usize>::find("region.partitioned").is_err());

    // The module comes while the program runs; here all is one program, which does what its `add` would.
    Class::new("region.partitioned", partitioned::factory()).unwrap();
    // Who asks for the class finds it from now on.
    let class = Class::<dyn PartitionedRegion, usize>::find("region.partitioned").unwrap();
    let region = class.create(4);
    thread::scope(|scope| {
        for part in 0..4 {
            let region = &region;
            scope.spawn(move || (0..1000).for_each(|n| region.map(n * 4 + part, n)));
        }
    });
    assert_eq!((region.parts(), region.frame(4001)), (4, None));
    assert_eq!(region.frame(3999), Some(999));
    assert_eq!(old.frame(7), Some(70));
}
