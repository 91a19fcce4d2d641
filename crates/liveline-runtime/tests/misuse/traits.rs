use liveline_runtime::interface;

#[interface]
trait Parameter<T> {
    fn get(&self) -> T;
}

#[interface]
trait Constant {
    const SIZE: usize;
}

#[interface]
unsafe trait Promise {}

#[interface(fast)]
trait Fast {}

fn main() {}
