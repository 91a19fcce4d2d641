//! Runs in the compiler: its objects are no part of any program.

use proc_macro::TokenStream;

#[proc_macro]
pub fn unit(_: TokenStream) -> TokenStream {
    "\"crates\"".parse().unwrap()
}
