use liveline_runtime::interface;

#[interface]
trait Changes {
    fn change(&mut self);
}

#[interface]
trait Takes {
    fn take(self: Box<Self>);
}

#[interface]
trait NoSelf {
    fn make() -> u32;
}

#[interface]
trait Generic {
    fn show<T: ToString>(&self, what: T);
}

#[interface]
trait Implied {
    fn show(&self, what: impl ToString);
}

#[interface]
trait Conditional {
    fn show(&self, #[cfg(unix)] what: u32);
}

#[interface]
trait Dangerous {
    unsafe fn poke(&self);
}

fn main() {}
