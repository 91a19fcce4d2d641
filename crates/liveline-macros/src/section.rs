//! Words that stand in a section of the program or module, to be read from its file.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;

/// The static that puts them there.
pub(crate) fn text(name: &Ident, section: &str, words: &str) -> TokenStream {
    let length = words.len();
    let words = Literal::byte_string(words.as_bytes());
    quote! {
        #[used]
        #[unsafe(link_section = #section)]
        static #name: [u8; #length] = *#words;
    }
}
