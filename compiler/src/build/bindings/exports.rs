//! Exports: the types `Exports` and `Instance`.

use super::interface::{Export, Item, quoted};
use super::style::Style;
use super::{Renames, doc, types};
use crate::build::names::{self, Names};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use types::Signature;

/// What `Exports` and `Instance` have themselves, and what Rust's prelude has for
/// all types by value, which calls mean rather than a method that borrows.
const RESERVED: &[&str] = &["of", "bind", "instance", "exports", "into_exports", "store", "into", "try_into"];

/// An export and what it is called.
struct Named<'a> {
    export: &'a Export,
    ident: Ident,
    style: Style,
}

/// The code for all exports.
///
/// # Errors
/// The message, if names clash.
pub(super) fn generate(exports: &[Export], renames: &mut Renames, style: Style) -> Result<TokenStream, String> {
    let mut names = Names::new("exports", ".rename_export(\"{}\", \"...\")");
    let mut named = Vec::new();
    for export in exports {
        let wanted = renames.export(&export.name);
        let name = wanted.or_else(|| names::snake(&export.name)).unwrap_or_else(|| format!("export_{}", export.number));
        let ident = names::ident(&name, RESERVED).ok_or_else(|| format!("`{name}` is not an identifier of Rust"))?;
        names.take(&ident, &export.name)?;
        named.push(Named { export, ident, style });
    }
    let fields = named.iter().filter_map(Named::field);
    let values = named.iter().filter_map(Named::value);
    let handles = named.iter().map(Named::on_exports);
    let methods = named.iter().map(Named::on_instance);
    let data = style.data();
    let unused = if named.iter().any(|n| !n.is_func()) { quote!(mut store) } else { quote!(_store) };
    Ok(quote! {
        #[doc = " What an instance exports. It can be kept and is used with the store that the"]
        #[doc = " instance lives in; with another one, methods panic."]
        #[derive(Clone, Debug)]
        pub struct Exports {
            instance: wasmc_loader::Instance,
            #(#fields,)*
        }

        fn found(
            #unused: impl wasmc_loader::AsContextMut,
            instance: wasmc_loader::Instance,
        ) -> wasmc_loader::Result<Exports> {
            Ok(Exports {
                instance,
                #(#values,)*
            })
        }

        impl Exports {
            #[doc = " The exports of an instance of this module, however it was made."]
            #[doc = ""]
            #[doc = " # Errors"]
            #[doc = " If it is an instance of another module."]
            pub fn of(
                mut store: impl wasmc_loader::AsContextMut,
                instance: wasmc_loader::Instance,
            ) -> wasmc_loader::Result<Exports> {
                let module = instance.module(&store.as_context_mut()).clone();
                Module::new(module)?;
                found(store, instance)
            }

            #[doc = " The instance without types."]
            #[must_use]
            pub fn instance(&self) -> wasmc_loader::Instance {
                self.instance
            }

            #[doc = " The instance together with its store."]
            pub fn bind<'s, T: 'static>(
                &self,
                store: impl Into<wasmc_loader::StoreContextMut<'s, T>>,
            ) -> Instance<'s, T> {
                Instance { store: store.into(), exports: Clone::clone(self) }
            }

            #(#handles)*
        }

        #[doc = " An instance together with its store, which it borrows."]
        pub struct Instance<'s, T: 'static> {
            store: wasmc_loader::StoreContextMut<'s, T>,
            exports: Exports,
        }

        impl<'s, T: #data> Instance<'s, T> {
            #[doc = " The exports, which can be kept: they do not borrow the store."]
            #[must_use]
            pub fn exports(&self) -> &Exports {
                &self.exports
            }

            #[doc = " Gives the store back, and keeps the exports."]
            #[must_use]
            pub fn into_exports(self) -> Exports {
                self.exports
            }

            #[doc = " The store: the host's data is there."]
            pub fn store(&mut self) -> &mut wasmc_loader::StoreContextMut<'s, T> {
                &mut self.store
            }

            #(#methods)*
        }

        impl<T: 'static> std::fmt::Debug for Instance<'_, T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Instance").field("exports", &self.exports).finish_non_exhaustive()
            }
        }
    })
}

impl Named<'_> {
    fn is_func(&self) -> bool {
        matches!(self.export.item, Item::Func(..))
    }

    fn signature(&self) -> Option<Signature> {
        let Item::Func(ty, names) = &self.export.item else { return None };
        Signature::of(ty, names, types::value, "store")
    }

    fn field(&self) -> Option<TokenStream> {
        let ident = &self.ident;
        let ty = match (self.is_func(), self.signature()) {
            (true, Some(Signature { params, result, .. })) => {
                quote!(wasmc_loader::bindings::support::LazyFunc<(#(#params,)*), #result>)
            }
            (true, None) => return None,
            (false, _) => types::handle(&self.export.item),
        };
        Some(quote!(#ident: #ty))
    }

    fn value(&self) -> Option<TokenStream> {
        let (ident, number) = (&self.ident, self.export.number);
        if self.is_func() {
            self.signature()?;
            return Some(quote!(#ident: Default::default()));
        }
        Some(quote!(#ident: wasmc_loader::bindings::support::export(&instance, #number, &mut store)?))
    }

    /// The documentation's first lines.
    fn title(&self) -> TokenStream {
        let (name, text) = (quoted(&self.export.name), self.export.item.text());
        doc(&format!("The export {name}: `{text}`."))
    }

    /// The documentation of a function.
    fn func_doc(&self, typed: bool) -> TokenStream {
        let title = self.title();
        let slices = if typed {
            TokenStream::new()
        } else {
            doc(
                "\nIt has more parameters or results than functions with native arguments can have, or\nsome of a type that there is no native one for; so all of them are in slices.",
            )
        };
        let later = self.style.call_doc();
        let errors = doc("\n# Errors\nIf it traps, or a host function that it calls fails.");
        quote!(#title #slices #later #errors)
    }

    fn on_exports(&self) -> TokenStream {
        let (ident, number) = (&self.ident, self.export.number);
        if !self.is_func() {
            let (title, ty) = (self.title(), types::handle(&self.export.item));
            let copy = if self.export.item.is_shared() { quote!(.clone()) } else { TokenStream::new() };
            return quote! {
                #title
                #[must_use]
                pub fn #ident(&self) -> #ty {
                    self.#ident #copy
                }
            };
        }
        let (asynchronous, wait, store) = (self.style.keyword(), self.style.wait(), self.style.store());
        let call = self.style.name("call");
        match self.signature() {
            Some(Signature { names, params, result }) => {
                let doc = self.func_doc(true);
                quote! {
                    #doc
                    #[inline]
                    pub #asynchronous fn #ident(
                        &self,
                        store: #store,
                        #(#names: #params),*
                    ) -> wasmc_loader::Result<#result> {
                        self.#ident.#call(&self.instance, #number, store, (#(#names,)*)) #wait
                    }
                }
            }
            None => {
                let doc = self.func_doc(false);
                quote! {
                    #doc
                    pub #asynchronous fn #ident(
                        &self,
                        store: #store,
                        params: &[wasmc_loader::Val],
                        results: &mut [wasmc_loader::Val],
                    ) -> wasmc_loader::Result<()> {
                        wasmc_loader::bindings::support::#call(&self.instance, #number, store, params, results) #wait
                    }
                }
            }
        }
    }

    fn on_instance(&self) -> TokenStream {
        let ident = &self.ident;
        if !self.is_func() {
            return self.accessor();
        }
        let (asynchronous, wait) = (self.style.keyword(), self.style.wait());
        match self.signature() {
            Some(Signature { names, params, result }) => {
                let doc = self.func_doc(true);
                quote! {
                    #doc
                    #[inline]
                    pub #asynchronous fn #ident(&mut self, #(#names: #params),*) -> wasmc_loader::Result<#result> {
                        self.exports.#ident(&mut self.store, #(#names),*) #wait
                    }
                }
            }
            None => {
                let doc = self.func_doc(false);
                quote! {
                    #doc
                    pub #asynchronous fn #ident(
                        &mut self,
                        params: &[wasmc_loader::Val],
                        results: &mut [wasmc_loader::Val],
                    ) -> wasmc_loader::Result<()> {
                        self.exports.#ident(&mut self.store, params, results) #wait
                    }
                }
            }
        }
    }

    fn accessor(&self) -> TokenStream {
        let (ident, title, ty) = (&self.ident, self.title(), types::handle(&self.export.item));
        // These have nothing to do with the store.
        if self.export.item.is_shared() || matches!(self.export.item, Item::Tag(_)) {
            return quote! {
                #title
                #[must_use]
                pub fn #ident(&self) -> #ty {
                    self.exports.#ident()
                }
            };
        }
        quote! {
            #title
            pub fn #ident(&mut self) -> wasmc_loader::bindings::Bound<'_, T, #ty> {
                wasmc_loader::bindings::Bound::new(&mut self.store, self.exports.#ident)
            }
        }
    }
}
