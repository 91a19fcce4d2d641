//! Actions: changes that happen as a whole.

use std::fmt;
use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};

use crate::store::{FORMATS, Guardian, VALUES};
use crate::{Result, stored};

/// A change under way. Dropped without [`Action::commit`], or by a crash, it never happened.
pub struct Action {
    transaction: WriteTransaction,
    object: Arc<str>,
}

impl Action {
    pub(crate) fn begin(guardian: &Guardian) -> Result<Self> {
        let transaction = stored(guardian.database.begin_write())?;
        Ok(Self { transaction, object: Arc::clone(&guardian.object) })
    }

    pub(crate) fn format(&self) -> Result<Option<String>> {
        let formats = stored(self.transaction.open_table(FORMATS))?;
        let format = stored(formats.get(&*self.object))?;
        Ok(format.map(|format| format.value().to_string()))
    }

    pub(crate) fn in_format(self, format: &str) -> Result<Self> {
        let mut formats = stored(self.transaction.open_table(FORMATS))?;
        stored(formats.insert(&*self.object, format))?;
        drop(formats);
        Ok(self)
    }

    /// The value of a key, as this action left it.
    ///
    /// # Errors
    /// [`crate::DurableError::Store`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let values = stored(self.transaction.open_table(VALUES))?;
        let value = stored(values.get((&*self.object, key)))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// All keys and values, as this action left them.
    ///
    /// # Errors
    /// [`crate::DurableError::Store`].
    pub fn all(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        entries(&stored(self.transaction.open_table(VALUES))?, &self.object)
    }

    /// Gives a key a value.
    ///
    /// # Errors
    /// [`crate::DurableError::Store`].
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut values = stored(self.transaction.open_table(VALUES))?;
        stored(values.insert((&*self.object, key), value))?;
        Ok(())
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`crate::DurableError::Store`].
    pub fn remove(&self, key: &[u8]) -> Result<()> {
        let mut values = stored(self.transaction.open_table(VALUES))?;
        stored(values.remove((&*self.object, key)))?;
        Ok(())
    }

    /// All of it has happened when this returns, whatever comes.
    ///
    /// # Errors
    /// [`crate::DurableError::Store`]; nothing has happened then.
    pub fn commit(self) -> Result<()> {
        stored(self.transaction.commit())
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an action on the state of {}", self.object)
    }
}

/// All keys and values of an object.
pub(crate) fn entries(
    values: &impl ReadableTable<(&'static str, &'static [u8]), &'static [u8]>,
    object: &str,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut entries = Vec::new();
    for entry in stored(values.range((object, &b""[..])..))? {
        let (key, value) = stored(entry)?;
        let (of, key) = key.value();
        if of != object {
            break;
        }
        entries.push((key.to_vec(), value.value().to_vec()));
    }
    Ok(entries)
}
