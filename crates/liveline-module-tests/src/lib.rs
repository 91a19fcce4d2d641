//! The interfaces that the test program and its modules share.
#![forbid(unsafe_code)]

use liveline_runtime::{ObjectRef, class, interface};

/// A counter.
#[interface]
pub trait Counter {
    /// The version of the code that answers.
    fn version(&self) -> u32;
    /// Adds, and gives the sum.
    fn add(&self, n: u64) -> u64;
    /// Adds, with a panic if that makes 13.
    fn risk(&self, n: u64) -> u64;
    /// Calls the other counter from inside, and survives its panic.
    fn ask(&self, other: &ObjectRef<dyn Counter>, n: u64) -> Option<u64>;
    /// Calls the other counter from inside.
    fn through(&self, other: &ObjectRef<dyn Counter>, n: u64) -> u64;
    /// Stays inside until the file exists.
    fn stay(&self, until: &str);
    /// Visits the other counter, adds, and adds one with [`Counter::risk`]; survives its panic.
    fn visited(&self, other: &ObjectRef<dyn Counter>, n: u64) -> Option<u64>;
    /// The other counter's sum, read from its field: only an object of this very code has it.
    fn looked(&self, other: &ObjectRef<dyn Counter>) -> Option<u64>;
    /// The words of a [`Plain`] that was made by this module or program, read from its field.
    fn words(&self, other: &ObjectRef<dyn Greeter>) -> Option<String>;
    /// Starts a thread by the object's own code, which calls the other counter; its sum.
    fn delegate(&self, other: &ObjectRef<dyn Counter>, n: u64) -> u64;
    /// A panic in a method that no version writes itself.
    fn fall(&self) -> u64 {
        panic!("fell in the interface's own code")
    }
    /// Adds after a while, which is spent waiting.
    async fn later(&self, n: u64) -> u64;
}

/// Another interface.
#[interface]
pub trait Greeter {
    /// A greeting.
    fn greet(&self) -> String;
}

/// A type that the program and its modules all have, each its own copy of its code.
#[derive(Debug)]
pub struct Plain {
    /// What it greets with.
    pub words: String,
}

#[class(state(words))]
impl Greeter for Plain {
    fn greet(&self) -> String {
        self.words.clone()
    }
}

/// A counter's code; the versions differ in their number alone.
#[macro_export]
macro_rules! counter {
    ($name:ident, $version:literal) => {
        struct $name {
            sum: ::std::sync::Arc<::std::sync::atomic::AtomicU64>,
        }

        impl $name {
            fn new(sum: u64) -> Self {
                Self { sum: ::std::sync::Arc::new(sum.into()) }
            }
        }

        #[liveline_runtime::class(version = $version, transfer)]
        impl $crate::Counter for $name {
            fn version(&self) -> u32 {
                $version
            }

            fn add(&self, n: u64) -> u64 {
                self.sum.fetch_add(n, ::std::sync::atomic::Ordering::SeqCst).wrapping_add(n)
            }

            fn risk(&self, n: u64) -> u64 {
                let sum = self.add(n);
                assert!(sum != 13, "13 brings bad luck to version {}", $version);
                sum
            }

            fn ask(&self, other: &liveline_runtime::ObjectRef<dyn $crate::Counter>, n: u64) -> Option<u64> {
                ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(|| other.risk(n))).ok()
            }

            fn through(&self, other: &liveline_runtime::ObjectRef<dyn $crate::Counter>, n: u64) -> u64 {
                other.risk(n)
            }

            fn visited(
                &self,
                other: &liveline_runtime::ObjectRef<dyn $crate::Counter>,
                n: u64,
            ) -> Option<u64> {
                let visit = || {
                    liveline_runtime::ObjectRef::visit(other, |other| {
                        other.add(n);
                        other.risk(1)
                    })
                };
                ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(visit)).ok()
            }

            fn looked(&self, other: &liveline_runtime::ObjectRef<dyn $crate::Counter>) -> Option<u64> {
                liveline_runtime::ObjectRef::visit_as::<Self, _>(other, |other| {
                    other.sum.load(::std::sync::atomic::Ordering::SeqCst)
                })
            }

            fn words(&self, other: &liveline_runtime::ObjectRef<dyn $crate::Greeter>) -> Option<String> {
                liveline_runtime::ObjectRef::visit_as::<$crate::Plain, _>(other, |plain| plain.words.clone())
            }

            fn stay(&self, until: &str) {
                while !::std::path::Path::new(until).exists() {
                    ::std::thread::sleep(::std::time::Duration::from_millis(1));
                }
            }

            fn delegate(&self, other: &liveline_runtime::ObjectRef<dyn $crate::Counter>, n: u64) -> u64 {
                let other = other.clone();
                ::std::thread::spawn(move || other.risk(n)).join().unwrap_or(0)
            }

            async fn later(&self, n: u64) -> u64 {
                ::std::future::ready(()).await;
                self.risk(n)
            }
        }

        impl liveline_runtime::Transfer for $name {
            fn formats(formats: &mut liveline_runtime::Formats<Self>) {
                formats.give("sum", |old| ::std::sync::Arc::clone(&old.sum)).try_take(
                    "sum",
                    |sum: ::std::sync::Arc<::std::sync::atomic::AtomicU64>| match sum
                        .load(::std::sync::atomic::Ordering::SeqCst)
                    {
                        sum @ (666 | 6_660..6_700) => {
                            Err(liveline_runtime::Refusal::new(format!("{sum} is not taken")))
                        }
                        1313 => panic!("1313 breaks the transfer"),
                        _ => Ok(Self { sum }),
                    },
                );
            }
        }
    };
}
