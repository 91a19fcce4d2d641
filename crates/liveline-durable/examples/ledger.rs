//! Accounts that outlive crashes, and a version that keeps them in another format.
//!
//! Money is moved from account to account, so the sum of all never changes. `ledger PATH` works until it is killed:
//! it moves money, and replaces the version after every fourth move.
#![forbid(unsafe_code)]

use liveline_durable::{Action, Guardian, Store};
use liveline_runtime::{Formats, ObjectRef, Refusal, Transfer, class, interface};

pub(crate) const ACCOUNTS: u8 = 8;
pub(crate) const EACH: u64 = 1000;
pub(crate) const WHOLE: &str = "ledger: whole units";
pub(crate) const CENTS: &str = "ledger: cents";

#[interface]
pub(crate) trait Ledger {
    /// Moves money; whether there was enough.
    fn transfer(&self, from: u8, to: u8, amount: u64) -> Result<bool, String>;
    /// What all have together, in whole units.
    fn sum(&self) -> Result<u64, String>;
}

/// Version 1 counts whole units.
pub(crate) struct Whole(pub(crate) Guardian);

#[class(transfer)]
impl Ledger for Whole {
    fn transfer(&self, from: u8, to: u8, amount: u64) -> Result<bool, String> {
        move_money(&self.0, WHOLE, from, to, amount)
    }

    fn sum(&self) -> Result<u64, String> {
        sum(&self.0)
    }
}

impl Transfer for Whole {
    fn formats(formats: &mut Formats<Self>) {
        formats.give("guardian", |old| old.0.clone()).try_take("guardian", |guardian: Guardian| {
            guardian.migrate(CENTS, WHOLE, |action| each(action, |cents| cents / 100))?;
            Ok(Self(guardian))
        });
    }
}

/// Version 2 counts cents.
pub(crate) struct Cents(pub(crate) Guardian);

#[class(version = 2, transfer)]
impl Ledger for Cents {
    fn transfer(&self, from: u8, to: u8, amount: u64) -> Result<bool, String> {
        move_money(&self.0, CENTS, from, to, amount * 100)
    }

    fn sum(&self) -> Result<u64, String> {
        sum(&self.0).map(|cents| cents / 100)
    }
}

impl Transfer for Cents {
    fn formats(formats: &mut Formats<Self>) {
        formats.give("guardian", |old| old.0.clone()).try_take("guardian", |guardian: Guardian| {
            guardian
                .migrate(WHOLE, CENTS, |action| each(action, |units| units * 100))
                .map_err(Refusal::from)?;
            Ok(Self(guardian))
        });
    }
}

/// The ledger as a crash left it: the format tells which version knows it.
pub(crate) fn recover(store: &Store) -> Result<ObjectRef<dyn Ledger>, String> {
    let guardian = store.guardian("ledger");
    match guardian.format().map_err(words)?.as_deref() {
        Some(CENTS) => Ok(ObjectRef::new(Cents(guardian))),
        Some(_) => Ok(ObjectRef::new(Whole(guardian))),
        None => {
            let action = guardian.begin(WHOLE).map_err(words)?;
            for account in 0..ACCOUNTS {
                action.put(&[account], &EACH.to_le_bytes()).map_err(words)?;
            }
            action.commit().map_err(words)?;
            Ok(ObjectRef::new(Whole(guardian)))
        }
    }
}

fn move_money(guardian: &Guardian, format: &str, from: u8, to: u8, amount: u64) -> Result<bool, String> {
    let action = guardian.begin(format).map_err(words)?;
    let has =
        |account: u8| action.get(&[account]).map_err(words).map(|value| number(&value.unwrap_or_default()));
    let Some(left) = has(from)?.checked_sub(amount) else { return Ok(false) };
    action.put(&[from], &left.to_le_bytes()).map_err(words)?;
    let more = has(to)? + amount;
    action.put(&[to], &more.to_le_bytes()).map_err(words)?;
    action.commit().map_err(words)?;
    Ok(true)
}

fn sum(guardian: &Guardian) -> Result<u64, String> {
    Ok(guardian.all().map_err(words)?.iter().map(|(_, value)| number(value)).sum())
}

fn each(action: &Action, convert: impl Fn(u64) -> u64) -> Result<(), String> {
    for (key, value) in action.all().map_err(words)? {
        action.put(&key, &convert(number(&value)).to_le_bytes()).map_err(words)?;
    }
    Ok(())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn words(error: liveline_durable::DurableError) -> String {
    error.to_string()
}

/// Moves money and replaces the version, again and again, `rounds` times.
pub(crate) fn work(ledger: &ObjectRef<dyn Ledger>, rounds: u64) -> Result<(), String> {
    for round in 0..rounds {
        let (from, to) = (round % u64::from(ACCOUNTS), (round * 5 + 3) % u64::from(ACCOUNTS));
        ledger.transfer(from as u8, to as u8, round % 90)?;
        if round % 4 == 3 {
            let swapped = match ObjectRef::version(ledger) {
                1 => ObjectRef::swap::<Cents>(ledger),
                _ => ObjectRef::swap::<Whole>(ledger),
            };
            swapped.map_err(|why| why.to_string())?;
        }
    }
    Ok(())
}

pub(crate) fn main() -> Result<(), String> {
    let path = std::env::args().nth(1).ok_or("usage: ledger PATH")?;
    let ledger = recover(&Store::open(path).map_err(words)?)?;
    println!("{} units, in version {}", ledger.sum()?, ObjectRef::version(&ledger));
    work(&ledger, u64::MAX)
}
