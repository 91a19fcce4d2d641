//# opt: 0,2
//# units: 1,4
//# refused: layout
//# note: Account
// Values of the old layout live on; new code would read them wrongly.
use std::sync::Mutex;

struct Account {
    number: u64,
    #[cfg(v2)]
    limit: u32,
    name: String,
}

static LIVE: Mutex<Vec<Account>> = Mutex::new(Vec::new());

pub fn start() {
    #[cfg(v2)]
    let account = Account { number: 1, limit: 5, name: "a".into() };
    #[cfg(not(v2))]
    let account = Account { number: 1, name: "a".into() };
    LIVE.lock().unwrap().push(account);
}

#[inline(never)]
pub fn answer() -> String {
    let live = LIVE.lock().unwrap();
    let account = &live[0];
    #[cfg(v2)]
    return format!("{} {} {}", account.number, account.name, account.limit);
    #[cfg(not(v2))]
    format!("{} {}", account.number, account.name)
}
