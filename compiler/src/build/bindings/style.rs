//! Whether functions are called, or awaited.

use super::doc;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

/// How the functions of a guest and of the host become functions of Rust.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    asynchronous: bool,
}

impl Style {
    pub fn new(asynchronous: bool) -> Style {
        Style { asynchronous }
    }

    pub fn is_async(self) -> bool {
        self.asynchronous
    }

    fn only(self, tokens: TokenStream) -> TokenStream {
        if self.asynchronous { tokens } else { TokenStream::new() }
    }

    /// What stands before `fn`.
    pub fn keyword(self) -> TokenStream {
        self.only(quote!(async))
    }

    /// What stands behind a call.
    pub fn wait(self) -> TokenStream {
        self.only(quote!(.await))
    }

    /// The loader's function of this name.
    pub fn name(self, name: &str) -> Ident {
        if self.asynchronous { format_ident!("{name}_async") } else { format_ident!("{name}") }
    }

    /// What the data of a store must be.
    pub fn data(self) -> TokenStream {
        if self.asynchronous { quote!(Send + 'static) } else { quote!('static) }
    }

    /// What a function takes a store as.
    pub fn store(self) -> TokenStream {
        let data = self.only(quote!(<Data: Send>));
        quote!(impl wasmc_loader::AsContextMut #data)
    }

    /// What a method of a trait returns that results in this.
    pub fn returned(self, result: &TokenStream) -> TokenStream {
        if self.asynchronous {
            quote!(impl std::future::Future<Output = wasmc_loader::Result<#result>> + Send)
        } else {
            quote!(wasmc_loader::Result<#result>)
        }
    }

    /// More to say about functions of the guest.
    pub fn call_doc(self) -> TokenStream {
        self.only(doc("\nNothing happens before it is awaited. A future that is dropped ends the call where it waits."))
    }

    /// Says what is missing if the loader is without what is needed.
    pub fn check(self) -> TokenStream {
        self.only(quote!(wasmc_loader::__needs_async!();))
    }
}
