//! The macros of `liveline-runtime`, which re-exports them.
#![forbid(unsafe_code)]

mod asynchronous;
mod class;
mod interface;
mod made;
mod module;
mod section;
mod signature;

use proc_macro::TokenStream;

/// Makes a trait an interface: a reference `ObjectRef<dyn Trait>` implements it, and each call of the reference
/// reaches the object that is behind it at that moment.
///
/// Methods take `&self`, since any thread may call, and may be `async`. They have no type parameters, and give
/// nothing that borrows from the object, which may be replaced as soon as the call is over.
#[proc_macro_attribute]
pub fn interface(arguments: TokenStream, item: TokenStream) -> TokenStream {
    written(interface::expand(arguments.into(), item.into()))
}

/// Makes an `impl` of an interface a version of a class.
///
/// - `version = 2`: its number in the class's line; without it 1.
/// - `state(field, other)`: the state is these fields, cloned: an `Arc` is handed over by pointer. With
///   `state(field, ..)` a new object has all other fields from `Default`.
/// - `stateless`: there is no state; a new object is `Default::default()`.
/// - `transfer`: the formats are those of the type's own `Transfer`.
///
/// A version with none of the last three can be created, but neither replaced nor a replacement.
#[proc_macro_attribute]
pub fn class(arguments: TokenStream, item: TokenStream) -> TokenStream {
    written(class::expand(arguments.into(), item.into()))
}

/// The entry of a module: a shared library (`crate-type = ["cdylib"]`) that `liveline apply` loads into a running
/// program. The function names what the module brings; it gives nothing, or a `Result` whose error stops it all.
///
/// It writes down what the crate is made of, which is read before anything of the module runs, and makes the
/// program's allocator the module's.
#[proc_macro_attribute]
pub fn module(arguments: TokenStream, item: TokenStream) -> TokenStream {
    written(module::expand(arguments.into(), item.into()))
}

/// Opens the program's control socket, through which `liveline` loads modules. Stands in the program's own crate,
/// since it writes down what that is made of.
#[proc_macro]
pub fn serve(arguments: TokenStream) -> TokenStream {
    written(module::serve(arguments.into()))
}

fn written(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.to_compile_error()).into()
}
