//! `#[module]` and `serve!`: what a shared library and a program say of themselves.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, ItemFn, Result, parse2};

use crate::made::Made;
use crate::section;

/// The entry of a module.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[module]` takes no arguments"));
    }
    let item: ItemFn = parse2(item)?;
    let signature = &item.sig;
    if signature.asyncness.is_some() || !signature.generics.params.is_empty() || signature.inputs.len() != 1 {
        return Err(Error::new_spanned(
            signature,
            "the entry of a module is a `fn load(module: &mut Module)`",
        ));
    }
    let name = &signature.ident;
    let made = Made::now();
    if !made.is_module() {
        // A library among others, a test: nobody loads it.
        return Ok(quote! {
            #item
            const _: fn(&mut ::liveline_runtime::Module) = |module| {
                let _ = ::liveline_runtime::Loaded::loaded(#name(module));
            };
        });
    }
    let description = section::text(&format_ident!("DESCRIPTION"), ".liveline", &made.describe());
    Ok(quote! {
        #item
        const _: () = {
            #description

            #[unsafe(no_mangle)]
            pub static LIVELINE_MODULE: ::liveline_runtime::Entrance = ::liveline_runtime::Entrance::new(|module| {
                ::liveline_runtime::Loaded::loaded(#name(module))
            });

            #[global_allocator]
            static ALLOCATOR: ::liveline_runtime::ProgramAllocator = ::liveline_runtime::ProgramAllocator;
        };
    })
}

/// The call that opens a program's control socket.
pub(crate) fn serve(arguments: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`serve!()` takes no arguments"));
    }
    let text = Made::now().describe();
    Ok(quote!(::liveline_runtime::serve_as(#text)))
}
