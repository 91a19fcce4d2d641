use std::io::BufRead;

include!(concat!(env!("OUT_DIR"), "/word.rs"));

fn main() {
    let mut store = engine::Store::default();
    for _ in 0..20 {
        store.add("ask");
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        say(&mut store, &line.unwrap());
    }
}

#[inline(never)]
fn say(store: &mut engine::Store, line: &str) {
    println!("{}", reply(store, line));
}

#[inline(never)]
fn reply(store: &mut engine::Store, line: &str) -> String {
    let mark = if cfg!(marked) { " (marked)" } else { "" };
    format!("{line} {WORD} {} of {}{mark}", engine::describe(store.add(line)), engine::largest(&[3u64, 5, 4]))
}
