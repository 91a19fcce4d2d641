//! Objects and classes that a running program replaces while it calls them.
//!
//! ```
//! use liveline_runtime::{Class, Factory, class, interface};
//!
//! #[interface]
//! trait Greeter {
//!     fn greet(&self, name: &str) -> String;
//! }
//!
//! #[derive(Default)]
//! struct Plain;
//!
//! #[class(stateless)]
//! impl Greeter for Plain {
//!     fn greet(&self, name: &str) -> String {
//!         format!("hello {name}")
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Polite;
//!
//! #[class(version = 2, stateless)]
//! impl Greeter for Polite {
//!     fn greet(&self, name: &str) -> String {
//!         format!("good day, {name}")
//!     }
//! }
//!
//! # fn main() -> Result<(), liveline_runtime::ClassError> {
//! let class = Class::new("greeter", Factory::new(|()| Plain))?;
//! let greeter = class.create(());
//! assert_eq!(greeter.greet("Ada"), "hello Ada");
//! class.update(Factory::new(|()| Polite))?;
//! assert_eq!(greeter.greet("Ada"), "good day, Ada");
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]
// The models drive what classes and references drive otherwise.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(not(target_os = "linux"))]
compile_error!("liveline-runtime needs Linux: membarrier(2) and futex(2)");

mod call;
mod domain;
mod entry;
mod error;
mod fence;
mod hold;
mod object;
mod pool;
mod record;
mod sync;
mod transfer;
mod update;
mod version;
mod wait;

#[cfg(not(loom))]
mod class;
#[cfg(not(loom))]
mod factory;
#[cfg(not(loom))]
mod reference;
#[cfg(not(loom))]
mod registry;
#[cfg(not(loom))]
mod thread;

#[cfg(all(test, loom))]
mod models;

pub use error::{ClassError, Refusal, SwapError};
pub use hold::Patience;
pub use liveline_macros::{class, interface};
pub use object::{Concrete, Interface, Object, Transfer};
pub use transfer::Formats;
pub use update::Report;

#[cfg(not(loom))]
pub use class::{Class, Options, Sweep};
#[cfg(not(loom))]
pub use factory::Factory;
#[cfg(not(loom))]
pub use reference::{ObjectRef, Within};
#[cfg(not(loom))]
pub use registry::{AnyClass, classes};
