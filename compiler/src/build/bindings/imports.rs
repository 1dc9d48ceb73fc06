//! Imports: a trait for the functions of every imported module, a struct for
//! what else is imported from it, and the type `Imports`.

use super::interface::{Import, Item, quoted};
use super::style::Style;
use super::types::{self, Signature};
use super::{Renames, doc};
use crate::build::names::{self, Names};
use heck::ToSnakeCase as _;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use std::collections::HashMap;

/// What the bindings are made of, with the parameter `T`, and what they use of
/// Rust's prelude.
const RESERVED: &[&str] = &[
    "T", "Module", "Imports", "Instance", "Exports", "Option", "Result", "Some", "None", "Ok", "Err", "Sized", "Send",
    "Into", "From", "Default", "Clone", "Debug", "AsRef",
];

/// A module from which things are imported.
struct Source<'a> {
    name: &'a str,
    /// Of the trait.
    ident: Ident,
    functions: Vec<Named<'a>>,
    others: Vec<Named<'a>>,
    /// Whether some function may be awaited.
    style: Style,
}

/// An import and what it is called.
struct Named<'a> {
    import: &'a Import,
    ident: Ident,
    style: Style,
}

/// The code for all imports: what stands beside `Module`, and its methods.
///
/// # Errors
/// The message, if names clash.
pub(super) fn generate(
    imports: &[Import],
    renames: &mut Renames,
    style: Style,
) -> Result<(TokenStream, TokenStream), String> {
    let sources = sources(imports, renames, style)?;
    let traits = sources.iter().map(Source::declare);
    let items = sources.iter().map(Source::items);
    let links = sources.iter().filter(|source| !source.functions.is_empty()).map(Source::link);
    let imports = imports_method(&sources);
    let types = quote! {
        #(#traits)*
        #(#items)*

        #[doc = " What the module imports, found and checked: instances are made of it."]
        pub struct Imports<T: 'static> {
            pre: wasmc_loader::InstancePre<T>,
        }

        impl<T: 'static> Imports<T> {
            #[doc = " The same without types."]
            #[must_use]
            pub fn pre(&self) -> &wasmc_loader::InstancePre<T> {
                &self.pre
            }
        }

        impl<T: 'static> Clone for Imports<T> {
            fn clone(&self) -> Self {
                Imports { pre: self.pre.clone() }
            }
        }

        impl<T: 'static> std::fmt::Debug for Imports<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Imports").finish_non_exhaustive()
            }
        }
    };
    let methods = quote! {
        #imports
        #(#links)*
    };
    Ok((types, methods))
}

/// Sorts the imports by the modules that they come from.
fn sources<'a>(imports: &'a [Import], renames: &mut Renames, style: Style) -> Result<Vec<Source<'a>>, String> {
    // In the order in which they come first.
    let mut sources: Vec<Source<'a>> = Vec::new();
    let mut from: Vec<Vec<&'a Import>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for import in imports {
        let place = *places.entry(&import.module).or_insert(sources.len());
        if place == sources.len() {
            let name = renames.module(&import.module).or_else(|| names::camel(&import.module));
            let name = name.unwrap_or_else(|| format!("Import{}", import.number));
            let ident = names::ident(&name, RESERVED).ok_or_else(|| not_an_identifier(&name))?;
            sources.push(Source { name: &import.module, ident, functions: Vec::new(), others: Vec::new(), style });
            from.push(Vec::new());
        }
        from[place].push(import);
    }
    for (source, imports) in sources.iter_mut().zip(from) {
        source.fill(&imports, renames)?;
    }
    check_modules(&sources)?;
    Ok(sources)
}

/// Checks that nothing that is named after an imported module has the name of
/// another.
fn check_modules(sources: &[Source<'_>]) -> Result<(), String> {
    let names = || Names::new("imported modules", ".rename_module(\"{}\", \"...\")");
    let (mut types, mut methods) = (names(), names());
    for source in sources {
        types.take(&source.ident, source.name)?;
        if !source.others.is_empty() {
            types.take(&source.items_ident(), source.name)?;
        }
        methods.take(&source.link_ident(), source.name)?;
    }
    Ok(())
}

/// What documentation calls a module that things are imported from.
fn source(name: &str) -> String {
    if name.is_empty() { "a module with no name".to_owned() } else { quoted(name) }
}

fn not_an_identifier(name: &str) -> String {
    format!("`{name}` is not an identifier of Rust")
}

/// The method that makes `Imports` of the host's data and what the host gives.
fn imports_method(sources: &[Source<'_>]) -> TokenStream {
    let bounds: Vec<_> = sources.iter().filter(|source| !source.functions.is_empty()).map(|s| &s.ident).collect();
    let bounds = if bounds.is_empty() { quote!('static) } else { quote!(#(#bounds)+*) };
    let links = sources.iter().filter(|source| !source.functions.is_empty()).map(|source| {
        let link = source.link_ident();
        quote!(self.#link(&mut linker)?;)
    });
    let links: Vec<_> = links.collect();
    let linker = if sources.is_empty() { quote!(linker) } else { quote!(mut linker) };
    let given: Vec<_> = sources.iter().filter(|source| !source.others.is_empty()).collect();
    let errors =
        doc("\n# Errors\n[`LimitError`](wasmc_loader::LimitError) if instances do not fit into the engine's pool.");
    if given.is_empty() {
        let title = doc(
            "Provides what the module imports: functions by the methods that `T`, the data of the\nstore, has for it.",
        );
        return quote! {
            #title
            #errors
            pub fn imports<T: #bounds>(&self) -> wasmc_loader::Result<Imports<T>> {
                let #linker = wasmc_loader::Linker::new(self.module.engine());
                #(#links)*
                self.imports_from(&linker)
            }
        };
    }
    let (args, types): (Vec<_>, Vec<_>) = given.iter().map(|source| (source.field(), source.items_ident())).unzip();
    let title = doc(
        "Provides what the module imports: functions by the methods that `T`, the data of the\nstore, has for it; memories and the like, which live in the store, as given.",
    );
    quote! {
        #title
        #errors
        pub fn imports<T: #bounds>(
            &self,
            store: impl wasmc_loader::AsContext<Data = T>,
            #(#args: &#types),*
        ) -> wasmc_loader::Result<Imports<T>> {
            let mut linker = wasmc_loader::Linker::new(self.module.engine());
            #(#links)*
            #(#args.define(&store, &mut linker)?;)*
            self.imports_from(&linker)
        }
    }
}

impl<'a> Source<'a> {
    /// Takes the imports that come from this module.
    fn fill(&mut self, imports: &[&'a Import], renames: &mut Renames) -> Result<(), String> {
        let way_out = format!(".rename_import(\"{}\", \"{{}}\", \"...\")", self.name.escape_debug());
        let mut names = Names::new(format!("imports from `{}`", self.name), way_out);
        let mut seen: HashMap<&str, &Import> = HashMap::new();
        for &import in imports {
            // The same may be imported several times.
            if let Some(before) = seen.get(&*import.name) {
                if !before.item.is_same_type(&import.item) {
                    return Err(format!(
                        "`{}` is imported from `{}` with two types, {} and {}, and bindings have one for each name; switch them off with `.bindings(false)`",
                        import.name,
                        import.module,
                        before.item.text(),
                        import.item.text()
                    ));
                }
                continue;
            }
            seen.insert(&import.name, import);
            let name = renames.import(self.name, &import.name).or_else(|| names::snake(&import.name));
            let name = name.unwrap_or_else(|| format!("import_{}", import.number));
            let ident = names::ident(&name, &[]).ok_or_else(|| not_an_identifier(&name))?;
            names.take(&ident, &import.name)?;
            if !matches!(import.item, Item::Func(..)) {
                self.others.push(Named { import, ident, style: self.style });
                continue;
            }
            let awaited = self.style.is_async() && !renames.is_synchronous(self.name, &import.name);
            self.functions.push(Named { import, ident, style: Style::new(awaited) });
        }
        Ok(())
    }

    fn items_ident(&self) -> Ident {
        format_ident!("{}Items", self.ident)
    }

    /// A name for the items as an argument.
    fn field(&self) -> Ident {
        let snake = self.snake();
        let digit = snake.starts_with(|c: char| !unicode_ident::is_xid_start(c));
        format_ident!("{}{snake}_items", if digit { "_" } else { "" })
    }

    fn link_ident(&self) -> Ident {
        format_ident!("link_{}", self.snake())
    }

    fn snake(&self) -> String {
        self.ident.to_string().trim_start_matches("r#").to_snake_case()
    }

    /// The trait with the functions.
    fn declare(&self) -> TokenStream {
        if self.functions.is_empty() {
            return TokenStream::new();
        }
        let (ident, name) = (&self.ident, source(self.name));
        let title = doc(&format!(
            "The functions that the module imports from {name}, to be implemented for the data of\nthe store ([`Store::data`](wasmc_loader::Store::data)). An error ends the guest's call."
        ));
        let methods = self.functions.iter().map(|named| {
            let (ident, title) = (&named.ident, named.title());
            let errors = doc("\n# Errors\nWhatever the host finds: it is what the call into the guest fails with.");
            let signature = match named.signature() {
                Some(Signature { names, params, result }) => {
                    let returned = named.style.returned(&result);
                    quote! {
                        fn #ident(caller: &mut wasmc_loader::Caller<'_, Self>, #(#names: #params),*) -> #returned;
                    }
                }
                None => {
                    let returned = named.style.returned(&quote!(()));
                    quote! {
                        fn #ident(
                            caller: &mut wasmc_loader::Caller<'_, Self>,
                            params: &[wasmc_loader::Val],
                            results: &mut [wasmc_loader::Val],
                        ) -> #returned;
                    }
                }
            };
            quote!(#title #errors #signature)
        });
        let data = self.style.data();
        quote! {
            #title
            pub trait #ident: Sized + #data {
                #(#methods)*
            }
        }
    }

    /// The struct with what is no function.
    fn items(&self) -> TokenStream {
        if self.others.is_empty() {
            return TokenStream::new();
        }
        let (ident, name) = (self.items_ident(), source(self.name));
        let title = doc(&format!("What the module imports from {name} besides functions; lives in a store."));
        let idents: Vec<_> = self.others.iter().map(|named| &named.ident).collect();
        let types: Vec<_> = self.others.iter().map(|named| types::handle(&named.import.item)).collect();
        let docs = self.others.iter().map(Named::title);
        let numbers = self.others.iter().map(|named| named.import.number);
        let copies = self.others.iter().map(|named| {
            let ident = &named.ident;
            if named.import.item.is_shared() { quote!(self.#ident.clone()) } else { quote!(self.#ident) }
        });
        let (module, names) = (self.name, self.others.iter().map(|named| &named.import.name));
        quote! {
            #title
            #[derive(Clone, Debug)]
            pub struct #ident {
                #(#docs pub #idents: #types,)*
            }

            impl #ident {
                #[doc = " New ones: memories and tables of the least size that the module accepts,"]
                #[doc = " globals that are zero or null, tags of nobody else."]
                #[doc = ""]
                #[doc = " # Errors"]
                #[doc = " If there is no memory for them, or a global or table is of references that"]
                #[doc = " cannot be null."]
                pub fn new(
                    module: &Module,
                    mut store: impl wasmc_loader::AsContextMut,
                ) -> wasmc_loader::Result<Self> {
                    Ok(#ident {
                        #(#idents: wasmc_loader::bindings::support::new_import(
                            &module.module, #numbers, &mut store,
                        )?,)*
                    })
                }

                #[doc = " Defines them in a linker."]
                #[doc = ""]
                #[doc = " # Errors"]
                #[doc = " If one of the names is defined already."]
                pub fn define<T: 'static>(
                    &self,
                    store: impl wasmc_loader::AsContext<Data = T>,
                    linker: &mut wasmc_loader::Linker<T>,
                ) -> wasmc_loader::Result<()> {
                    #(linker.define(&store, #module, #names, #copies)?;)*
                    Ok(())
                }
            }
        }
    }

    /// The method that defines the functions in a linker.
    fn link(&self) -> TokenStream {
        let (link, ident, module) = (self.link_ident(), &self.ident, self.name);
        let title = doc(&format!(
            "Defines the functions that the module imports from {} in a linker, beside what\nothers define there.\n\n# Errors\nIf one of the names is defined already.",
            source(self.name)
        ));
        let definitions = self.functions.iter().map(|named| {
            let (method, name, number) = (&named.ident, &named.import.name, named.import.number);
            let waits = named.style.is_async();
            let Some(Signature { names, params, .. }) = named.signature() else {
                let define = named.style.name("func_new");
                let body = quote!(<T as #ident>::#method(&mut caller, params, results));
                let body = if waits { future(&body) } else { body };
                return quote! {
                    let ty = wasmc_loader::bindings::support::import_func_type(&self.module, #number)?;
                    linker.#define(#module, #name, ty, |mut caller, params, results| { #body })?;
                };
            };
            let define = named.style.name("func_wrap");
            let body = quote!(<T as #ident>::#method(&mut caller, #(#names),*));
            let (args, body) = if waits {
                // A tuple, since it is a type parameter of the loader's.
                (quote!((#(#names,)*): (#(#params,)*)), future(&body))
            } else {
                (quote!(#(#names: #params),*), body)
            };
            quote! {
                linker.#define(#module, #name, |mut caller: wasmc_loader::Caller<'_, T>, #args| { #body })?;
            }
        });
        quote! {
            #title
            pub fn #link<T: #ident>(
                &self,
                linker: &mut wasmc_loader::Linker<T>,
            ) -> wasmc_loader::Result<()> {
                #(#definitions)*
                Ok(())
            }
        }
    }
}

/// The future of a host function, for the loader.
fn future(call: &TokenStream) -> TokenStream {
    quote!(std::boxed::Box::new(async move { #call.await }))
}

impl Named<'_> {
    fn signature(&self) -> Option<Signature> {
        let Item::Func(ty, names) = &self.import.item else { return None };
        // A host function must have the very type that is imported.
        Signature::of(ty, names, types::exact, "caller")
    }

    fn title(&self) -> TokenStream {
        doc(&format!("The import {}: `{}`.", quoted(&self.import.name), self.import.item.text()))
    }
}
