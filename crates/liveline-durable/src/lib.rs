//! Durable objects: their state outlives a crash at any moment, and their replacement by a new version.
//!
//! A [`Guardian`] keeps one object's state in a [`Store`]: keys and values, in a *format* that has a name. An object
//! changes it by [`Action`]s, each of which happens as a whole or not at all, and stays once [`Action::commit`] has
//! returned. A new version takes the guardian of the old one and [migrates](Guardian::migrate) the state, which is an action
//! too: a crash leaves the old format or the new one, never a mixture.
//!
//! After a crash [`Guardian::format`] tells which version left the state.
#![forbid(unsafe_code)]

mod action;
mod store;

pub use action::Action;
pub use store::{Guardian, Store};

/// What the store could not do. The state is as it was when the last action was committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DurableError {
    /// The store failed: the medium, or the file.
    #[error("the store failed: {0}")]
    Store(#[from] redb::Error),
    /// The state is in another format than was expected.
    #[error("the state of {object} is in format {found}, not {expected}")]
    Format {
        /// Whose state.
        object: String,
        /// Its format.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The state could not be migrated, in the words of the new version.
    #[error("the state of {object} was not migrated: {why}")]
    Migration {
        /// Whose state.
        object: String,
        /// Why not.
        why: String,
    },
}

impl From<DurableError> for liveline_runtime::Refusal {
    fn from(error: DurableError) -> Self {
        Self::new(error.to_string())
    }
}

/// A result of the store.
pub type Result<T> = std::result::Result<T, DurableError>;

/// The store's many errors as one.
fn stored<T, E: Into<redb::Error>>(result: std::result::Result<T, E>) -> Result<T> {
    result.map_err(|error| DurableError::Store(error.into()))
}
