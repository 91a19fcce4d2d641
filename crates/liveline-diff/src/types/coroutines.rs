//! Coroutines that may be in the middle of their old code.

use liveline_types::{Change, Kind, Types};

use super::{Checked, Object};

impl Object<'_, '_> {
    /// Refuses other code for an `async` function or block that waits anywhere. A function is replaced while no thread is
    /// in it; a task is in it for as long as it waits. It would go on behind the await of the new code that has the
    /// number of its own, and nothing tells whether that is the same one.
    pub(super) fn coroutines(&self, old: &Types, new: &Types, pieces: &[usize], out: &mut Checked) {
        for &piece in pieces {
            if !self.world.replaced.contains_key(&(self.pair, piece)) {
                continue;
            }
            let Some(function) = self.new_function(new, piece) else { continue };
            for state in new.coroutines(function) {
                let known = out.changes.iter().any(|change| change.change.name == state);
                if known || !old.waits(&state) {
                    continue;
                }
                let change = Change {
                    name: state.clone(),
                    kind: Kind::Coroutine,
                    heading: state.clone(),
                    title: state,
                    source: None,
                    before: None,
                    after: None,
                    reason:
                        "a task that waits in it would go on in the new code, at the await of the same number"
                            .into(),
                    rows: Vec::new(),
                };
                self.add(change, vec![self.name(piece)], out);
            }
        }
    }
}
