//! The commands, one file each.

pub(crate) mod build;
pub(crate) mod change;
mod debian;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod inspect;
pub(crate) mod module;
pub(crate) mod pages;
mod patch_file;
pub(crate) mod status;
pub(crate) mod watch;
