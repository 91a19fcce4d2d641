use liveline_runtime::{class, interface};

#[interface]
trait Plain {
    fn get(&self) -> u32;
}

struct Object(u32);

#[class]
impl Object {
    fn get(&self) -> u32 {
        self.0
    }
}

struct Zero;

#[class(version = 0)]
impl Plain for Zero {
    fn get(&self) -> u32 {
        0
    }
}

struct Twice;

#[class(stateless, transfer)]
impl Plain for Twice {
    fn get(&self) -> u32 {
        2
    }
}

struct Nothing;

#[class(state())]
impl Plain for Nothing {
    fn get(&self) -> u32 {
        0
    }
}

struct Unknown;

#[class(durable)]
impl Plain for Unknown {
    fn get(&self) -> u32 {
        0
    }
}

struct Generic<T>(T);

#[class]
impl<T> Plain for Generic<T> {
    fn get(&self) -> u32 {
        0
    }
}

fn main() {}
