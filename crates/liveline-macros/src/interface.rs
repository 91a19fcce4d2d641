//! `#[interface]`: a trait, and the reference that implements it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, FnArg, ItemTrait, Pat, Result, Signature, TraitItem, TraitItemFn, parse_quote, parse2,
};

use crate::{asynchronous, section, signature};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[interface]` takes no arguments"));
    }
    let mut item: ItemTrait = parse2(item)?;
    check(&item)?;
    item.supertraits.push(parse_quote!(::liveline_runtime::Concrete));

    let (mut written, mut methods) = (Vec::new(), Vec::new());
    let mut forwards = Vec::new();
    let mut guards = Vec::new();
    for method in &mut item.items {
        let TraitItem::Fn(method) = method else { unreachable!("checked") };
        let conditions: Vec<Attribute> =
            method.attrs.iter().filter(|a| a.path().is_ident("cfg")).cloned().collect();
        let words = asynchronous::written(&method.sig);
        methods.push(quote!(#(#conditions)* #words));
        written.push((conditions, format!("method {words}\n")));
        let answer = asynchronous::answer(&method.sig);
        let is_async = asynchronous::desugar(&mut method.sig);
        if let (true, Some(default)) = (is_async, &mut method.default) {
            *default = asynchronous::body(default, &answer);
        }
        forwards.push(forward(method, is_async));
        guards.push(guard(method, is_async));
    }

    let name = &item.ident;
    let text = name.to_string();
    // As it can be read in the files of programs and modules, to tell how two of one name differ.
    let own = std::env::var("CARGO_CRATE_NAME").unwrap_or_default();
    written.insert(0, (Vec::new(), format!("interface {own} {text}\n")));
    let described = section::lines(&format_ident!("INTERFACE"), ".liveline.interfaces", &written);
    Ok(quote! {
        #item

        const _: () = {
            #described
        };

        #[automatically_derived]
        impl ::liveline_runtime::Interface for dyn #name {
            const NAME: &'static str = #text;
            const METHODS: &'static [&'static str] = &[#(#methods),*];
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl #name for ::liveline_runtime::ObjectRef<dyn #name> {
            #(#forwards)*
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl<Guarded: #name> #name for ::liveline_runtime::Guarded<Guarded> {
            #(#guards)*
        }
    })
}

fn check(item: &ItemTrait) -> Result<()> {
    if let Some(unsafety) = &item.unsafety {
        return Err(Error::new_spanned(unsafety, "an interface is safe to implement"));
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(&item.generics, "an interface has no parameters"));
    }
    for item in &item.items {
        match item {
            TraitItem::Fn(method) => signature::check(&method.sig)?,
            other => return Err(Error::new_spanned(other, "an interface has methods only")),
        }
    }
    Ok(())
}

/// The method of the reference: visits the object and calls it.
fn forward(method: &TraitItemFn, is_async: bool) -> TokenStream {
    let conditions = method.attrs.iter().filter(|a| is_condition(a));
    let mut signature = method.sig.clone();
    let arguments = rename(&mut signature);
    let name = &signature.ident;
    let body = if is_async {
        quote!(::liveline_runtime::ObjectRef::visit_async(self, move |object, _| object.#name(#(#arguments),*)))
    } else {
        quote!(::liveline_runtime::ObjectRef::visit(self, move |object| object.#name(#(#arguments),*)))
    };
    quote! {
        #(#conditions)*
        #[inline]
        #signature {
            #body
        }
    }
}

/// The method of a module's object: calls it so that a panic leaves as the program's.
fn guard(method: &TraitItemFn, is_async: bool) -> TokenStream {
    let conditions = method.attrs.iter().filter(|a| is_condition(a));
    let mut signature = method.sig.clone();
    let arguments = rename(&mut signature);
    let name = &signature.ident;
    let call = quote!(::liveline_runtime::outward(move || self.object().#name(#(#arguments),*)));
    let body =
        if is_async { quote!(::std::boxed::Box::pin(::liveline_runtime::GuardedCall(#call))) } else { call };
    quote! {
        #(#conditions)*
        #signature {
            #body
        }
    }
}

fn is_condition(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") || attribute.path().is_ident("allow")
}

/// Gives all arguments names, and tells them.
fn rename(signature: &mut Signature) -> Vec<syn::Ident> {
    let mut names = Vec::new();
    for input in &mut signature.inputs {
        if let FnArg::Typed(argument) = input {
            let name = format_ident!("argument_{}", names.len());
            *argument.pat = Pat::Verbatim(quote!(#name));
            names.push(name);
        }
    }
    names
}
