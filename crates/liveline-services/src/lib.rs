//! What stands above [`liveline_runtime`]'s objects.
//!
//! - [`adapter`]: callers of an old interface go on when what is behind it has a new one.
//! - [`service`]: sessions that began stay with their version, new ones get the new version.
//! - [`links`]: components with typed ports, wired and rewired from outside while they are inactive.
#![forbid(unsafe_code)]

pub mod adapter;
pub mod links;
pub mod service;
