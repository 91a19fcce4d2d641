//! The store, and each object's part of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, TableDefinition, TableError};

use crate::action::Action;
use crate::{DurableError, Result, stored};

/// The format of each object's state.
pub(crate) const FORMATS: TableDefinition<'static, &str, &str> = TableDefinition::new("formats");
/// Values by object and key.
pub(crate) const VALUES: TableDefinition<'static, (&str, &[u8]), &[u8]> = TableDefinition::new("values");

/// A file that holds the state of durable objects. One process has it open at a time.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Opens a store, or makes one. What a crash interrupted is undone.
    ///
    /// # Errors
    /// [`DurableError::Store`], also if another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { database: Arc::new(stored(Database::create(path))?) })
    }

    /// The guardian of an object's state.
    pub fn guardian(&self, object: &str) -> Guardian {
        Guardian { database: Arc::clone(&self.database), object: object.into() }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

/// The state of one object. It is shared by counting, and handed from version to version.
#[derive(Clone)]
pub struct Guardian {
    pub(crate) database: Arc<Database>,
    pub(crate) object: Arc<str>,
}

impl Guardian {
    /// The format of the state; none if there is no state yet.
    ///
    /// # Errors
    /// [`DurableError::Store`].
    pub fn format(&self) -> Result<Option<String>> {
        let read = stored(self.database.begin_read())?;
        let formats = match read.open_table(FORMATS) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            formats => stored(formats)?,
        };
        Ok(stored(formats.get(&*self.object))?.map(|format| format.value().to_string()))
    }

    /// The value of a key, as last committed.
    ///
    /// # Errors
    /// [`DurableError::Store`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let read = stored(self.database.begin_read())?;
        let values = match read.open_table(VALUES) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            values => stored(values)?,
        };
        Ok(stored(values.get((&*self.object, key)))?.map(|value| value.value().to_vec()))
    }

    /// All keys and values, as last committed.
    ///
    /// # Errors
    /// [`DurableError::Store`].
    pub fn all(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let read = stored(self.database.begin_read())?;
        match read.open_table(VALUES) {
            Err(TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
            values => crate::action::entries(&stored(values)?, &self.object),
        }
    }

    /// Begins an action on a state of this format; a state that is not there yet gets it. Actions of one store
    /// wait for each other.
    ///
    /// # Errors
    /// [`DurableError::Format`] if the state has another format; [`DurableError::Store`].
    pub fn begin(&self, format: &str) -> Result<Action> {
        let action = Action::begin(self)?;
        match action.format()? {
            Some(found) if found != format => Err(DurableError::Format {
                object: self.object.to_string(),
                found,
                expected: format.to_string(),
            }),
            Some(_) => Ok(action),
            None => action.in_format(format),
        }
    }

    /// Brings the state from one format to another, in one action; where it has the other already, nothing is done.
    ///
    /// # Errors
    /// The state is as it was: [`DurableError::Migration`] if `convert` says no, [`DurableError::Format`] if the
    /// state has neither format, [`DurableError::Store`].
    pub fn migrate(
        &self,
        from: &str,
        to: &str,
        convert: impl FnOnce(&Action) -> std::result::Result<(), String>,
    ) -> Result<()> {
        if self.format()?.as_deref() == Some(to) {
            return Ok(());
        }
        let action = self.begin(from)?;
        convert(&action).map_err(|why| DurableError::Migration { object: self.object.to_string(), why })?;
        action.in_format(to)?.commit()
    }
}

impl fmt::Debug for Guardian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guardian of {}", self.object)
    }
}
