//! Typed bindings: from what a module imports and exports to Rust code.
//!
//! The code consists of tokens up to the end, where they are formatted. It uses
//! `wasmc-loader` only, by full paths, so that nothing in it can be confused
//! with what the guest's names become.

mod exports;
mod imports;
pub(super) mod interface;
mod style;
mod types;

use super::names;
use interface::Interface;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use std::collections::BTreeMap;
use style::Style;

/// What the builder was told of single imports and exports, above all how to
/// call what the guest calls otherwise, and whether it was of use.
#[derive(Debug, Clone, Default)]
pub(super) struct Renames {
    pub exports: BTreeMap<String, (String, bool)>,
    pub modules: BTreeMap<String, (String, bool)>,
    pub imports: BTreeMap<(String, String), (String, bool)>,
    /// Imports that are not to be awaited.
    pub synchronous: BTreeMap<(String, String), (String, bool)>,
}

fn used<K: Ord>(map: &mut BTreeMap<K, (String, bool)>, key: &K) -> Option<String> {
    let (name, used) = map.get_mut(key)?;
    *used = true;
    Some(name.clone())
}

impl Renames {
    fn export(&mut self, name: &str) -> Option<String> {
        used(&mut self.exports, &name.to_owned())
    }

    fn module(&mut self, name: &str) -> Option<String> {
        used(&mut self.modules, &name.to_owned())
    }

    fn import(&mut self, module: &str, name: &str) -> Option<String> {
        used(&mut self.imports, &(module.to_owned(), name.to_owned()))
    }

    fn is_synchronous(&mut self, module: &str, name: &str) -> bool {
        used(&mut self.synchronous, &(module.to_owned(), name.to_owned())).is_some()
    }

    /// Checks that each of them was for something.
    fn check(&self, style: Style) -> Result<(), String> {
        let exports = self.exports.iter().filter(|(_, (_, used))| !used).map(|(name, _)| format!("export `{name}`"));
        let modules =
            self.modules.iter().filter(|(_, (_, used))| !used).map(|(name, _)| format!("imported module `{name}`"));
        let imports = self.imports.iter().filter(|(_, (_, used))| !used);
        let imports = imports.map(|((module, name), _)| format!("import `{name}` from `{module}`"));
        if let Some(what) = exports.chain(modules).chain(imports).next() {
            return Err(format!("the module has no {what}, which is to get another name"));
        }
        let Some(((module, name), _)) = self.synchronous.iter().find(|(_, (_, used))| !used) else { return Ok(()) };
        Err(if style.is_async() {
            format!("the module imports no function `{name}` from `{module}`, which is not to be awaited")
        } else {
            format!("the import `{name}` from `{module}` is not awaited anyway: bindings are not asynchronous")
        })
    }
}

/// Where the artifact is at run time.
pub(super) enum Carried {
    /// In a file with this name, and in that one as long as the program is
    /// where cargo has put it.
    File { name: String, built: String },
    /// In the program, which includes the file with this name.
    Embedded { name: String },
    /// In the program, at this symbol.
    Linked { symbol: String },
}

/// What is generated.
pub(super) struct Bindings<'a> {
    /// The name of the Rust module.
    pub name: &'a Ident,
    /// What the bindings are of, for documentation.
    pub guest: &'a str,
    /// SHA-256 of the binary.
    pub source: [u8; 32],
    /// The hash of the artifact's content, if no other one will do.
    pub content: Option<[u8; 32]>,
    /// Whether functions are awaited.
    pub asynchronous: bool,
    /// How the host gets the artifact.
    pub carried: &'a Carried,
    /// Where the loader is found, if not as `wasmc_loader`.
    pub loader: Option<&'a syn::Path>,
}

impl Bindings<'_> {
    /// The code; with typed imports and exports if there is an interface.
    ///
    /// # Errors
    /// The message, if names clash.
    pub fn generate(&self, interface: Option<&Interface>, renames: &Renames) -> Result<String, String> {
        let mut renames = renames.clone();
        let style = Style::new(self.asynchronous && interface.is_some());
        let (types, methods) = match interface {
            Some(interface) => {
                let exports = exports::generate(&interface.exports, &mut renames, style)?;
                let (types, methods) = imports::generate(&interface.imports, &mut renames, style)?;
                let (check, typed) = (style.check(), typed_methods(style));
                (quote!(#check #types #exports), quote!(#methods #typed))
            }
            None => Default::default(),
        };
        renames.check(style)?;
        Ok(self.file(&types, &methods))
    }

    fn file(&self, types: &TokenStream, methods: &TokenStream) -> String {
        let (name, guest) = (self.name, interface::plain(self.guest));
        let title = doc(&format!("The WebAssembly module `{guest}`, compiled by wasmc when this program was built."));
        let version = env!("CARGO_PKG_VERSION");
        let loader = self.loader.map(|path| quote!(use #path as wasmc_loader;));
        let (load, new) = (self.load(), self.check());
        let tokens = quote! {
            #title
            #[allow(
                dead_code,
                non_camel_case_types,
                non_snake_case,
                unreachable_pub,
                unused_results,
                clippy::default_trait_access,
                clippy::len_without_is_empty,
                clippy::many_single_char_names,
                clippy::module_name_repetitions,
                clippy::new_ret_no_self,
                clippy::pub_underscore_fields,
                clippy::should_implement_trait,
                clippy::similar_names,
                clippy::struct_field_names,
                clippy::too_many_arguments,
                clippy::too_many_lines,
                clippy::type_complexity,
                clippy::unnecessary_wraps,
                clippy::unused_self,
                clippy::used_underscore_binding,
                clippy::used_underscore_items,
                clippy::wrong_self_convention,
                reason = "the guest decides what there is and how it is called"
            )]
            pub mod #name {
                #loader
                use wasmc_loader::bindings::support::std;

                const _: () = std::assert!(
                    wasmc_loader::bindings::support::is_version(#version),
                    "`wasmc` and `wasmc-loader` must be of the same version"
                );

                #[doc = " The module, loaded. Cheap to clone; what it has without types is that of"]
                #[doc = " [`wasmc_loader::Module`], to which it dereferences."]
                #[derive(Clone, Debug)]
                pub struct Module {
                    module: wasmc_loader::Module,
                }

                impl Module {
                    #load

                    #new

                    #methods
                }

                impl std::ops::Deref for Module {
                    type Target = wasmc_loader::Module;

                    fn deref(&self) -> &wasmc_loader::Module {
                        &self.module
                    }
                }

                impl AsRef<wasmc_loader::Module> for Module {
                    fn as_ref(&self) -> &wasmc_loader::Module {
                        &self.module
                    }
                }

                #types
            }
        };
        // The tokens are whole items, so this parses.
        let code = match syn::parse2(tokens.clone()) {
            Ok(file) => prettyplease::unparse(&file),
            Err(_) => tokens.to_string(),
        };
        format!("// Generated by wasmc {version} from {guest}; the next build generates it anew.\n{code}")
    }

    /// The method that checks what was loaded.
    fn check(&self) -> TokenStream {
        let source = Literal::byte_string(&self.source);
        let (same, content) = match &self.content {
            None => ("How it was compiled does not matter.", TokenStream::new()),
            Some(content) => {
                let content = Literal::byte_string(content);
                let check = quote! {
                    const CONTENT: &[u8; 32] = #content;
                    wasmc_loader::bindings::support::check_content(&module, CONTENT)?;
                };
                ("And if it is not the very artifact that was made then.", check)
            }
        };
        let doc = doc(&format!(
            "Takes a module that was loaded in another way.\n\n# Errors\nIf it was not compiled from the WebAssembly that these bindings were made\nfor. {same}"
        ));
        quote! {
            #doc
            pub fn new(module: wasmc_loader::Module) -> wasmc_loader::Result<Module> {
                const SOURCE: &[u8; 32] = #source;
                wasmc_loader::bindings::support::check_source(&module, SOURCE)?;
                #content
                Ok(Module { module })
            }
        }
    }

    /// The method that loads the artifact.
    fn load(&self) -> TokenStream {
        let (text, load) = match self.carried {
            Carried::File { name, built } => {
                let text = format!(
                    "Loads the artifact `{name}` from the folder that the program is in, or, as long as\nthe program is where cargo has put it, from where the build has put it."
                );
                (text, quote!(wasmc_loader::__load_beside_program!(engine, #name, #built)))
            }
            Carried::Embedded { name } => {
                let path = format!("/{name}");
                let text = "Loads the artifact, which is embedded in this program, from the program's own file.";
                (
                    text.to_owned(),
                    quote!(wasmc_loader::__load_embedded!(engine, std::concat!(std::env!("OUT_DIR"), #path))),
                )
            }
            Carried::Linked { symbol } => {
                let symbol = format_ident!("{symbol}");
                let text = "Loads the artifact, which is linked into this program: its code is executed in place.";
                (text.to_owned(), quote!(wasmc_loader::__load_linked!(engine, #symbol)))
            }
        };
        let doc = doc(&format!(
            "{text}\n\n# Errors\nIf the artifact cannot be found or does not fit this machine, as for\n[`wasmc_loader::Module::open`]."
        ));
        quote! {
            #doc
            pub fn load(engine: &wasmc_loader::Engine) -> wasmc_loader::Result<Module> {
                Module::new(#load?)
            }
        }
    }
}

/// The methods of `Module` that go with typed imports and exports.
fn typed_methods(style: Style) -> TokenStream {
    let (asynchronous, wait, data) = (style.keyword(), style.wait(), style.data());
    let instantiate = style.name("instantiate");
    let later = if style.is_async() {
        doc("\nThe start function may wait. If the future is dropped meanwhile, the instance\nstays in the store.")
    } else {
        TokenStream::new()
    };
    quote! {
        #[doc = " Finds what the module imports in a linker."]
        #[doc = ""]
        #[doc = " # Errors"]
        #[doc = " As [`wasmc_loader::Linker::instantiate_pre`]."]
        pub fn imports_from<T: 'static>(
            &self,
            linker: &wasmc_loader::Linker<T>,
        ) -> wasmc_loader::Result<Imports<T>> {
            Ok(Imports { pre: linker.instantiate_pre(&self.module)? })
        }

        #[doc = " Makes an instance and calls its start function."]
        #later
        #[doc = ""]
        #[doc = " # Errors"]
        #[doc = " As [`wasmc_loader::InstancePre::instantiate`]; and if the imports are those of"]
        #[doc = " this module loaded another time."]
        pub #asynchronous fn instantiate<'s, T: #data>(
            &self,
            store: impl Into<wasmc_loader::StoreContextMut<'s, T>>,
            imports: &Imports<T>,
        ) -> wasmc_loader::Result<Instance<'s, T>> {
            wasmc_loader::bindings::support::check_same(&self.module, imports.pre.module())?;
            let mut store = store.into();
            let instance = imports.pre.#instantiate(&mut store) #wait?;
            let exports = found(&mut store, instance)?;
            Ok(Instance { store, exports })
        }
    }
}

/// Documentation, a line for each.
fn doc(text: &str) -> TokenStream {
    let lines = text.split('\n').map(|line| if line.is_empty() { String::new() } else { format!(" {line}") });
    quote!(#(#[doc = #lines])*)
}

/// Checks the name that the builder was given for the bindings.
pub(super) fn module_name(name: &str) -> Option<Ident> {
    let ident = names::ident(name, &[])?;
    (ident == name).then_some(ident)
}
