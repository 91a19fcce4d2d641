//! A program and modules that are loaded into it while it runs.

mod coming;
mod edited;
mod program;
mod refusals;
mod socket;
