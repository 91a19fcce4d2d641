//# opt: 0,2
//# units: 1,4
//# before: 7
//# after: 8
// An `async` block that never waits is never in the middle.
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub fn start() {}

#[inline(never)]
fn run(task: impl Future<Output = u64>) -> u64 {
    match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(number) => number,
        Poll::Pending => 0,
    }
}

#[inline(never)]
async fn work(start: u64) -> u64 {
    std::hint::black_box(start) + if cfg!(v2) { 3 } else { 2 }
}

#[inline(never)]
pub fn answer() -> String {
    run(work(std::hint::black_box(5))).to_string()
}
