//! What a method of an interface may look like.

use syn::visit::{self, Visit};
use syn::{
    Error, FnArg, GenericParam, Lifetime, Receiver, Result, ReturnType, Signature, Type, TypeReference,
};

/// Refuses what cannot be called through a reference to an object that may be replaced.
pub(crate) fn check(signature: &Signature) -> Result<()> {
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new_spanned(unsafety, "a method of an interface is safe to call"));
    }
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            return Err(Error::new_spanned(
                parameter,
                "a method of an interface has no type parameters: it is called through a table of functions",
            ));
        }
    }
    let receiver = receiver(signature)?;
    for input in signature.inputs.iter().skip(1) {
        let FnArg::Typed(argument) = input else { continue };
        if let Some(condition) = argument.attrs.iter().find(|a| a.path().is_ident("cfg")) {
            return Err(Error::new_spanned(
                condition,
                "an argument of a method of an interface has no `#[cfg]`: write the method twice, each with its own",
            ));
        }
        if let Type::ImplTrait(implied) = &*argument.ty {
            return Err(Error::new_spanned(
                implied,
                "a method of an interface has no type parameters: take a `Box<dyn …>` instead",
            ));
        }
    }
    let ReturnType::Type(_, answer) = &signature.output else { return Ok(()) };
    let mut borrows = Borrows { own: receiver.lifetime().cloned(), error: None };
    borrows.visit_type(answer);
    borrows.error.map_or(Ok(()), Err)
}

fn receiver(signature: &Signature) -> Result<&Receiver> {
    let Some(receiver) = signature.receiver() else {
        return Err(Error::new_spanned(&signature.ident, "a method of an interface takes `&self`"));
    };
    if receiver.reference.is_none() || receiver.mutability.is_some() {
        return Err(Error::new_spanned(
            receiver,
            "a method of an interface takes `&self`: any thread may call it at any time",
        ));
    }
    Ok(receiver)
}

/// Finds what an answer would borrow from the object.
struct Borrows {
    own: Option<Lifetime>,
    error: Option<Error>,
}

impl Borrows {
    fn found(&mut self, what: &dyn quote::ToTokens) {
        self.error.get_or_insert_with(|| {
            Error::new_spanned(
                what,
                "an answer cannot borrow from the object, which may be replaced when the call is over: give it away \
                 as a value, or share it in an `Arc`",
            )
        });
    }
}

impl<'ast> Visit<'ast> for Borrows {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        if reference.lifetime.is_none() {
            self.found(reference);
        }
        visit::visit_type_reference(self, reference);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident == "_" || Some(lifetime) == self.own.as_ref() {
            self.found(lifetime);
        }
    }

    fn visit_type_impl_trait(&mut self, implied: &'ast syn::TypeImplTrait) {
        self.error.get_or_insert_with(|| {
            Error::new_spanned(
                implied,
                "an answer has one type for all versions: give a `Box<dyn …>` instead",
            )
        });
    }

    // Their lifetimes are their own.
    fn visit_type_bare_fn(&mut self, _: &'ast syn::TypeBareFn) {}
    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast syn::ParenthesizedGenericArguments) {}
}
