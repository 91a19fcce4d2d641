//! Where a missing value comes from: something slow, as a data base would be.

use std::time::Duration;

use bytes::Bytes;

/// How long the origin takes to answer.
const DELAY: Duration = Duration::from_millis(2);

/// The value of a key at the origin.
pub(crate) async fn load(key: &str) -> Bytes {
    tokio::time::sleep(DELAY).await;
    Bytes::from(format!("the origin's value of {key}"))
}
