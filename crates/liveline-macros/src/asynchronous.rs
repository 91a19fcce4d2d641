//! `async fn` as a function that gives a boxed future, which a table of functions can hold.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, FnArg, GenericParam, Lifetime, ReturnType, Signature, TypeReference, parse_quote};

/// Rewrites the signature of an `async fn`; true if it was one.
pub(crate) fn desugar(signature: &mut Signature) -> bool {
    if signature.asyncness.take().is_none() {
        return false;
    }
    let call: Lifetime = parse_quote!('call);
    for parameter in &mut signature.generics.params {
        if let GenericParam::Lifetime(lifetime) = parameter {
            lifetime.bounds.push(call.clone());
        }
    }
    signature.generics.params.insert(0, parse_quote!('call));
    for input in &mut signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                if let Some((_, lifetime)) = &mut receiver.reference {
                    lifetime.get_or_insert_with(|| call.clone());
                }
                Elided.visit_type_mut(&mut receiver.ty);
            }
            FnArg::Typed(argument) => Elided.visit_type_mut(&mut argument.ty),
        }
    }
    let answer = answer(signature);
    signature.output = parse_quote! {
        -> ::core::pin::Pin<::std::boxed::Box<
            dyn ::core::future::Future<Output = #answer> + ::core::marker::Send + 'call
        >>
    };
    true
}

/// What the function gives, before it was rewritten.
pub(crate) fn answer(signature: &Signature) -> syn::Type {
    match &signature.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, answer) => (**answer).clone(),
    }
}

/// The body of an `async fn`, for the rewritten signature.
pub(crate) fn body(block: &Block, answer: &syn::Type) -> Block {
    // The branch never taken tells the compiler the type of the answer, which `?` needs to know.
    parse_quote!({
        ::std::boxed::Box::pin(async move {
            if let ::core::option::Option::Some(answer) = ::core::option::Option::None::<#answer> {
                #[allow(unreachable_code)]
                return answer;
            }
            let answer: #answer = #block;
            #[allow(unreachable_code)]
            answer
        })
    })
}

/// Gives every lifetime that was left out the name of the call's.
struct Elided;

impl VisitMut for Elided {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        reference.lifetime.get_or_insert_with(|| parse_quote!('call));
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = parse_quote!('call);
        }
    }

    // Their lifetimes are their own.
    fn visit_type_bare_fn_mut(&mut self, _: &mut syn::TypeBareFn) {}
    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut syn::ParenthesizedGenericArguments) {}
}

/// What a signature says, however it was laid out.
pub(crate) fn written(signature: &Signature) -> String {
    let mut text = String::new();
    write(signature.to_token_stream(), &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
    for token in tokens {
        if let TokenTree::Group(group) = token {
            let (open, close) = match group.delimiter() {
                Delimiter::Parenthesis => ("(", ")"),
                Delimiter::Brace => ("{", "}"),
                Delimiter::Bracket => ("[", "]"),
                Delimiter::None => ("", ""),
            };
            text.push_str(open);
            write(group.stream(), text);
            text.push_str(close);
        } else {
            let token = token.to_string();
            if text.ends_with(is_word) && token.starts_with(is_word) {
                text.push(' ');
            }
            text.push_str(&token);
        }
    }
}
