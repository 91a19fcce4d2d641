//! What 1,000,000 objects take.

use liveline_runtime::{Class, Factory, ObjectRef, class, interface};

use crate::{Row, resident};

const OBJECTS: usize = 1_000_000;

#[interface]
trait Thing {
    fn byte(&self) -> u8;
}

/// 64 bytes: the allocator gives 80.
struct Object([u8; 64]);

#[class]
impl Thing for Object {
    fn byte(&self) -> u8 {
        self.0[0]
    }
}

/// Bytes of resident memory for each object, handle included.
pub(crate) fn of(subject: &str) -> Vec<Row> {
    let object = |n: usize| Object([n as u8; 64]);
    let class = Class::new("thing", Factory::new(object)).expect("a new class");
    let handle;
    let before = resident();
    let after = match subject {
        "box" => {
            handle = size_of::<Box<dyn Thing>>();
            let all: Vec<Box<dyn Thing>> =
                (0..OBJECTS).map(|n| Box::new(object(n)) as Box<dyn Thing>).collect();
            assert!(all.iter().enumerate().all(|(n, thing)| thing.byte() == n as u8));
            resident()
        }
        _ => {
            handle = size_of::<ObjectRef<dyn Thing>>();
            let all: Vec<ObjectRef<dyn Thing>> = (0..OBJECTS).map(|n| class.create(n)).collect();
            assert!(all.iter().enumerate().all(|(n, thing)| thing.byte() == n as u8));
            resident()
        }
    };
    let name = if subject == "box" { "Box<dyn Trait>" } else { "ObjectRef<dyn Trait>" };
    let each = (after - before) as f64 / OBJECTS as f64;
    vec![
        Row::new("memory of an object of 64 bytes with its handle", name, each, "bytes"),
        Row::new("of that, the handle", name, handle as f64, "bytes"),
    ]
}
