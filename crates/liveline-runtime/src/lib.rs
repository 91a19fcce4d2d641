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
//! # What does not compile
//!
//! A version with another interface:
//! ```compile_fail
//! # use liveline_runtime::{ObjectRef, class, interface};
//! # #[interface] trait Cache { fn get(&self) -> u32; }
//! # #[interface] trait Other { fn get(&self) -> u32; }
//! # struct Old; #[class] impl Cache for Old { fn get(&self) -> u32 { 1 } }
//! # struct New; #[class(version = 2)] impl Other for New { fn get(&self) -> u32 { 2 } }
//! let cache: ObjectRef<dyn Cache> = ObjectRef::new(Old);
//! ObjectRef::swap::<New>(&cache).unwrap();
//! ```
//! An object that only one thread may use:
//! ```compile_fail
//! # use liveline_runtime::{class, interface};
//! # #[interface] trait Counter { fn next(&self) -> u32; }
//! struct Count(std::cell::Cell<u32>);
//!
//! #[class]
//! impl Counter for Count {
//!     fn next(&self) -> u32 {
//!         self.0.replace(self.0.get() + 1)
//!     }
//! }
//! ```
//! A borrow of the object kept beyond its visit, since it may be replaced then:
//! ```compile_fail
//! # use liveline_runtime::{ObjectRef, class, interface};
//! # #[interface] trait Cache { fn get(&self) -> u32; }
//! # fn keep(cache: &ObjectRef<dyn Cache>) {
//! let kept: &dyn Cache = ObjectRef::visit(cache, |cache| cache);
//! # }
//! ```
//! A state in a field that the object does not have:
//! ```compile_fail
//! # use liveline_runtime::{class, interface};
//! # #[interface] trait Cache { fn get(&self) -> u32; }
//! struct Old { entries: u32 }
//!
//! #[class(state(missing))]
//! impl Cache for Old {
//!     fn get(&self) -> u32 {
//!         self.entries
//!     }
//! }
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
mod control;
#[cfg(not(loom))]
mod factory;
#[cfg(not(loom))]
mod module;
#[cfg(not(loom))]
mod panics;
#[cfg(not(loom))]
mod reference;
#[cfg(not(loom))]
mod registry;
#[cfg(not(loom))]
mod shared;
#[cfg(not(loom))]
mod thread;

#[cfg(all(test, loom))]
mod models;

pub use error::{ClassError, Refusal, SwapError};
pub use hold::Patience;
pub use liveline_macros::{class, interface, module, serve};
pub use object::{Concrete, Interface, Object, Transfer};
pub use transfer::Formats;
pub use update::Report;

#[cfg(not(loom))]
pub use class::{Class, Options, Sweep};
#[cfg(not(loom))]
pub use control::serve_as;
#[cfg(not(loom))]
pub use factory::Factory;
#[cfg(not(loom))]
pub use module::{Entrance, Loaded, Module, ProgramAllocator};
#[cfg(not(loom))]
pub use panics::{Guarded, GuardedCall, outward};
#[cfg(not(loom))]
pub use reference::{ObjectRef, Within};
#[cfg(not(loom))]
pub use registry::{AnyClass, classes};
