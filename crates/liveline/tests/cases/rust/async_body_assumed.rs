//# opt: 0,2
//# units: 1,4
//# stateful
//# diff: --assume;program::case::work::{async_fn_env#0}
//# verdict: program::case::work::{async_fn_env#0} assumed
//# before: 2
//# after: pending
//# after: 112
//# reverted: pending
//# reverted: 202
// A person knows that the awaits are as they were: tasks in flight go on in the new body.
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

struct Later(bool);
impl Future for Later {
    type Output = u64;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context) -> Poll<u64> {
        if self.0 {
            return Poll::Ready(1);
        }
        self.0 = true;
        Poll::Pending
    }
}

type Task = Pin<Box<dyn Future<Output = u64> + Send>>;
static LIVE: Mutex<Vec<Task>> = Mutex::new(Vec::new());

#[inline(never)]
fn spawn(start: u64) {
    LIVE.lock().unwrap().push(Box::pin(work(start)));
}

pub fn start() {
    for number in 0..3 {
        spawn(number * 100);
    }
    answer();
}

#[inline(never)]
pub fn answer() -> String {
    let mut context = Context::from_waker(Waker::noop());
    let mut live = LIVE.lock().unwrap();
    if live.is_empty() {
        return "none".into();
    }
    match live[0].as_mut().poll(&mut context) {
        Poll::Pending => "pending".into(),
        Poll::Ready(number) => {
            live.remove(0);
            number.to_string()
        }
    }
}

async fn work(start: u64) -> u64 {
    let first = Later(false).await;
    first + start + if cfg!(v2) { 11 } else { 1 }
}
