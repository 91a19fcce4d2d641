//! Which version of each class may answer at a moment.

use std::sync::atomic::{AtomicU64, Ordering};

use liveline_demo::load::Fault;
use serde::Serialize;

/// A class of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    Policy,
    Storage,
    Handler,
}

impl Class {
    pub(super) const ALL: [Class; 3] = [Class::Policy, Class::Storage, Class::Handler];

    /// Its name in the service.
    pub(super) fn name(self) -> &'static str {
        ["policy", "storage", "handler"][self as usize]
    }

    /// What the old and the new version call themselves.
    fn versions(self) -> [&'static str; 2] {
        [["fifo", "lru"], ["plain", "tagged"], ["cache/1", "cache/2"]][self as usize]
    }
}

/// A number for each class: 0 the old version runs, 1 it is being updated, 2 the new one runs, 3 it is being taken
/// back, 4 the old one runs, and so on.
#[derive(Default)]
pub(super) struct Phases([AtomicU64; 3]);

/// The phases at a moment.
#[derive(Clone, Copy)]
pub(super) struct Moment([u64; 3]);

impl Phases {
    /// The next phase of a class begins.
    pub(super) fn advance(&self, class: Class) {
        self.0[class as usize].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> Moment {
        Moment([0, 1, 2].map(|class| self.0[class].load(Ordering::SeqCst)))
    }

    /// Whether the new version answered; a fault if what answered did not run from `sent` until now.
    pub(super) fn judge(&self, class: Class, seen: &str, sent: Moment) -> Result<bool, Fault> {
        let [old, new] = class.versions();
        let (before, after) = (sent.0[class as usize], self.0[class as usize].load(Ordering::SeqCst));
        let certain = (before == after).then_some(before % 4);
        match (certain, seen) {
            (Some(0 | 1 | 3) | None, seen) if seen == old => Ok(false),
            (Some(1..=3) | None, seen) if seen == new => Ok(true),
            _ => Err(Fault(format!("{} {seen:?} answered in phase {before}-{after}", class.name()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_version_after_its_update_is_a_fault() {
        let phases = Phases::default();
        let judge = |seen, sent| phases.judge(Class::Policy, seen, sent).map_err(|_| ());
        let start = phases.now();
        assert_eq!([judge("fifo", start), judge("lru", start)], [Ok(false), Err(())]);
        phases.advance(Class::Policy);
        assert_eq!([judge("fifo", start), judge("lru", start)], [Ok(false), Ok(true)]);
        phases.advance(Class::Policy);
        assert_eq!([judge("fifo", start), judge("lru", start)], [Ok(false), Ok(true)]);
        let updated = phases.now();
        assert_eq!([judge("fifo", updated), judge("lru", updated)], [Err(()), Ok(true)]);
        assert_eq!(judge("other", updated), Err(()));
    }
}
