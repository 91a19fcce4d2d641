use liveline_runtime::interface;

#[interface]
trait Borrows {
    fn name(&self) -> &str;
}

#[interface]
trait BorrowsByName {
    fn name<'object>(&'object self, other: &str) -> Option<&'object str>;
}

#[interface]
trait Guards {
    fn lock(&self) -> std::sync::MutexGuard<'_, u32>;
}

#[interface]
trait Awaits {
    async fn name(&self) -> &str;
}

#[interface]
trait Hides {
    fn all(&self) -> impl Iterator<Item = u32>;
}

fn main() {}
