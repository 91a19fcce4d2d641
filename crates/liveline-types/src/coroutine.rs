//! `async` functions and blocks: code that is left in the middle, and gone on with in whatever it is by then.

use gimli::constants as dw;

use crate::types::{TypeId, Types};

/// What the code of a coroutine is called in debug information, `{async_fn#0}`; its state is `{async_fn_env#0}`.
const KINDS: [&str; 6] = ["async_fn", "async_block", "async_closure", "async_gen", "gen", "coroutine"];

impl Types {
    /// The states of the coroutines whose code is this function's, or inlined into it: names as of types.
    pub fn coroutines(&self, function: TypeId) -> Vec<String> {
        let mut out = Vec::new();
        let end = self.entry(function.0).end;
        for number in function.0..end {
            let own = number == function.0;
            if !own && self.entry(number).tag != dw::DW_TAG_inlined_subroutine {
                continue;
            }
            let root = self.root(number);
            let Some(state) = state_of(self.name(root)) else { continue };
            let Some(name) = self.qualified(TypeId(root)) else { continue };
            let scope = name.strip_suffix(self.name(root)).unwrap_or_default();
            let whole = format!("{scope}{state}");
            if !out.contains(&whole) {
                out.push(whole);
            }
        }
        out
    }

    /// Whether a coroutine has a place where it waits, by the name of its state.
    pub fn waits(&self, state: &str) -> bool {
        !self.defined(&format!("{state}::Suspend0")).is_empty()
    }
}

/// The name of a coroutine's state, by that of its code.
fn state_of(code: &str) -> Option<String> {
    let (kind, rest) = code.strip_prefix('{')?.split_once('#')?;
    let (number, generics) = rest.split_once('}')?;
    KINDS.contains(&kind).then(|| format!("{{{kind}_env#{number}}}{generics}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_states() {
        assert_eq!(state_of("{async_fn#0}").as_deref(), Some("{async_fn_env#0}"));
        assert_eq!(state_of("{async_block#12}<u32>").as_deref(), Some("{async_block_env#12}<u32>"));
        assert_eq!(state_of("{closure#0}"), None);
        assert_eq!(state_of("work"), None);
    }
}
