//! What `liveline` and a program with `liveline-runtime` say to each other over its control socket, and what a
//! module says of itself before anything of it runs.
#![forbid(unsafe_code)]

pub mod fingerprint;
pub mod frame;
pub mod image;
pub mod message;
pub mod place;
