use std::sync::Mutex;

static STORE: Mutex<Option<engine::Store>> = Mutex::new(None);

/// What `plugin_host.c` asks.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_answer() -> u64 {
    let mut store = STORE.lock().unwrap();
    let store = store.get_or_insert_default();
    for _ in 0..20 {
        store.add("ask");
    }
    adjust(store.add("ask"))
}

#[inline(never)]
fn adjust(price: u64) -> u64 {
    std::hint::black_box(price) + 1
}
