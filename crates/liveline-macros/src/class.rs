//! `#[class]`: an `impl` of an interface as a version of a class.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, ImplItem, ItemImpl, LitInt, Member, Result, Token, parenthesized, parse2};

use crate::asynchronous;

/// What stands behind `#[class`.
#[derive(Default)]
struct Arguments {
    version: Option<LitInt>,
    state: Option<State>,
}

/// Where an object's state is.
enum State {
    Fields { fields: Vec<Member>, rest: bool },
    None,
    Transfer,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            match word.to_string().as_str() {
                "version" => {
                    input.parse::<Token![=]>()?;
                    let version: LitInt = input.parse()?;
                    if version.base10_parse::<u32>()? == 0 {
                        return Err(Error::new_spanned(version, "versions are counted from 1"));
                    }
                    arguments.version = Some(version);
                }
                "state" => arguments.set(&word, State::fields(input)?)?,
                "stateless" => arguments.set(&word, State::None)?,
                "transfer" => arguments.set(&word, State::Transfer)?,
                _ => {
                    let known = "`version = N`, `state(…)`, `stateless` or `transfer`";
                    return Err(Error::new_spanned(word, format!("expected {known}")));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn set(&mut self, word: &Ident, state: State) -> Result<()> {
        if self.state.replace(state).is_some() {
            return Err(Error::new_spanned(
                word,
                "the state is told once: `state(…)`, `stateless` or `transfer`",
            ));
        }
        Ok(())
    }
}

impl State {
    fn fields(input: ParseStream<'_>) -> Result<Self> {
        let inner;
        parenthesized!(inner in input);
        let mut fields = Vec::new();
        let mut rest = false;
        while !inner.is_empty() {
            if inner.parse::<Option<Token![..]>>()?.is_some() {
                rest = true;
                break;
            }
            fields.push(inner.parse::<Member>()?);
            if !inner.is_empty() {
                inner.parse::<Token![,]>()?;
            }
        }
        if !inner.is_empty() {
            return Err(inner.error("`..` stands last"));
        }
        if fields.is_empty() {
            return Err(inner.error("name the fields that are the state, or say `stateless`"));
        }
        Ok(Self::Fields { fields, rest })
    }

    /// The body of `Object::formats`.
    fn formats(&self) -> TokenStream {
        match self {
            Self::Fields { fields, rest } => {
                let word = |field: &Member| match field {
                    Member::Named(name) => name.to_string(),
                    Member::Unnamed(place) => place.index.to_string(),
                };
                let name = fields.iter().map(word).collect::<Vec<_>>().join(", ");
                let values: Vec<Ident> = (0..fields.len()).map(|n| format_ident!("field_{n}")).collect();
                let clones = fields.iter().map(|f| quote!(::core::clone::Clone::clone(&old.#f)));
                let rest = rest.then(|| quote!(, ..::core::default::Default::default()));
                quote! {
                    formats
                        .give(#name, |old: &Self| (#(#clones,)*))
                        .take(#name, |(#(#values,)*)| Self { #(#fields: #values),* #rest });
                }
            }
            Self::None => quote! {
                formats
                    .give("stateless", |_: &Self| ())
                    .take("stateless", |()| <Self as ::core::default::Default>::default());
            },
            Self::Transfer => quote!(<Self as ::liveline_runtime::Transfer>::formats(formats);),
        }
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: Arguments = parse2(arguments)?;
    let mut item: ItemImpl = parse2(item)?;
    let Some((None, interface, _)) = &item.trait_ else {
        return Err(Error::new_spanned(
            &item.self_ty,
            "`#[class]` stands before the `impl` of an interface for a type",
        ));
    };
    let interface = interface.clone();
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "a class has no parameters: its objects are of one type",
        ));
    }
    for member in &mut item.items {
        let ImplItem::Fn(method) = member else { continue };
        let answer = asynchronous::answer(&method.sig);
        if asynchronous::desugar(&mut method.sig) {
            method.block = asynchronous::body(&method.block, &answer);
        }
    }
    let name = &item.self_ty;
    let version = arguments.version.map_or_else(|| quote!(1), |v| quote!(#v));
    let formats = arguments.state.as_ref().map(State::formats);
    let unused = arguments.state.is_none().then(|| quote!(let _ = formats;));
    Ok(quote! {
        #item

        #[automatically_derived]
        impl ::liveline_runtime::Object for #name {
            type Interface = dyn #interface;
            const VERSION: u32 = #version;

            fn into_interface(self: ::std::boxed::Box<Self>) -> ::std::boxed::Box<dyn #interface> {
                if ::liveline_runtime::Guarded::<Self>::is_needed() {
                    ::liveline_runtime::Guarded::over(self)
                } else {
                    self
                }
            }

            fn formats(formats: &mut ::liveline_runtime::Formats<Self>) {
                #unused
                #formats
            }
        }
    })
}
