//! One live process: its threads, memory and stacks, and calls into it. The only crate that touches another
//! process.
//!
//! [`Process`] is the way in; [`Stop`] holds all its threads; [`Process::call`] has one of its threads make
//! system calls; [`unwind`] walks stacks. Every operation on the target passes [`kill_point`], so that tests can
//! kill the patcher before any one of them: at each, the target must be able to go on by itself.

pub mod call;
mod candidate;
mod emerge;
mod find;
mod frame;
mod haste;
mod headroom;
pub mod kill_point;
mod lock;
mod mapping;
mod process;
mod program;
mod registers;
mod restart;
pub mod seccomp;
mod send;
pub mod stack;
mod stop;
mod task;
mod trace;
pub mod unwind;

pub use call::{Arg, CallError, CallReport, Suits, SystemCall};
pub use emerge::Emerged;
pub use find::{all_processes, processes_running};
pub use lock::{Lock, LockError};
pub use mapping::Mapping;
pub use process::{MemoryError, OpenError, Process};
pub use registers::Registers;
pub use send::Sent;
pub use stop::{Held, Released, Stop, StopError, on_own_thread};
