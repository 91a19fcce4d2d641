//! What the server and its modules share.
#![forbid(unsafe_code)]

use liveline_runtime::interface;

/// What things cost.
#[interface]
pub trait Policy {
    /// Sells, and says what was sold in all and what this costs.
    fn sell(&self, count: u64) -> String;
    /// Stays inside until the file exists.
    fn stay(&self, until: &str);
}

/// A version of the policy.
#[macro_export]
macro_rules! policy {
    ($name:ident, $version:literal, $price:expr) => {
        #[derive(Default)]
        pub struct $name {
            sold: ::std::sync::Arc<::std::sync::atomic::AtomicU64>,
        }

        #[liveline_runtime::class(version = $version, state(sold))]
        impl $crate::Policy for $name {
            fn sell(&self, count: u64) -> String {
                let before = self.sold.fetch_add(count, ::std::sync::atomic::Ordering::SeqCst);
                format!("{} sold, {}", before + count, $price * count)
            }

            fn stay(&self, until: &str) {
                while !::std::path::Path::new(until).exists() {
                    ::std::thread::sleep(::std::time::Duration::from_millis(1));
                }
            }
        }
    };
}
