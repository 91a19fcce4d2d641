//! Words that stand in a section of the program or module, to be read from its file.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use syn::Attribute;

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

/// The static that puts lines there, each where its conditions (`#[cfg]`) hold: only the compiler knows that.
pub(crate) fn lines(name: &Ident, section: &str, lines: &[(Vec<Attribute>, String)]) -> TokenStream {
    let (mut fields, mut values) = (Vec::new(), Vec::new());
    for (number, (conditions, line)) in lines.iter().enumerate() {
        let (field, length) = (format_ident!("line_{number}"), line.len());
        let words = Literal::byte_string(line.as_bytes());
        fields.push(quote!(#(#conditions)* #field: [u8; #length]));
        values.push(quote!(#(#conditions)* #field: *#words));
    }
    quote! {
        #[allow(dead_code)]
        #[repr(C)]
        struct Lines { #(#fields),* }
        #[used]
        #[unsafe(link_section = #section)]
        static #name: Lines = Lines { #(#values),* };
    }
}
