//! What stands above [`liveline_runtime`]'s objects.
//!
//! - [`adapter`]: callers of an old interface go on when what is behind it has a new one.
//! - [`service`]: sessions that began stay with their version, new ones get the new version.
//! - [`links`]: components with typed ports, wired and rewired from outside while they are inactive.
#![cfg_attr(not(loom), forbid(unsafe_code))]
// Under loom there are no objects: its models drive what links stand on.
#![cfg_attr(loom, allow(dead_code))]

mod activity;

#[cfg(not(loom))]
pub mod adapter;
#[cfg(not(loom))]
pub mod links;
#[cfg(not(loom))]
pub mod service;
