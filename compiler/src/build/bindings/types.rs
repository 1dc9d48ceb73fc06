//! WebAssembly's types in Rust.

use super::interface::Item;
use crate::build::names;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use std::collections::BTreeSet;
use wasmc_artifacts::abi::{FuncType, HeapType, TypeKind, ValType};

/// Functions with more parameters or results take and give them in slices.
pub(super) const MOST: usize = 16;

/// The Rust type of a value that the host gives to code or gets from it.
/// References to something of a defined type are of that type's kind; code
/// that is called checks them.
pub(super) fn value(ty: ValType) -> Option<TokenStream> {
    if let ValType::Ref(reference) = ty
        && let HeapType::Concrete(concrete) = reference.heap
    {
        let kind = match concrete.kind {
            TypeKind::Func => quote!(wasmc_loader::Func),
            TypeKind::Struct => quote!(wasmc_loader::Rooted<wasmc_loader::StructRef>),
            TypeKind::Array => quote!(wasmc_loader::Rooted<wasmc_loader::ArrayRef>),
        };
        return Some(nullable(reference.nullable, kind));
    }
    exact(ty)
}

/// The Rust type that stands for this very type.
pub(super) fn exact(ty: ValType) -> Option<TokenStream> {
    let reference = match ty {
        ValType::I32 => return Some(quote!(i32)),
        ValType::I64 => return Some(quote!(i64)),
        ValType::F32 => return Some(quote!(f32)),
        ValType::F64 => return Some(quote!(f64)),
        ValType::V128 => return Some(quote!(wasmc_loader::V128)),
        ValType::Ref(reference) => reference,
    };
    let rooted = |name: &str| {
        let name = format_ident!("{name}");
        quote!(wasmc_loader::Rooted<wasmc_loader::#name>)
    };
    let referent = match reference.heap {
        HeapType::Func => quote!(wasmc_loader::Func),
        HeapType::I31 => quote!(wasmc_loader::I31),
        HeapType::Extern => rooted("ExternRef"),
        HeapType::Any => rooted("AnyRef"),
        HeapType::Eq => rooted("EqRef"),
        HeapType::Struct => rooted("StructRef"),
        HeapType::Array => rooted("ArrayRef"),
        HeapType::Exn => rooted("ExnRef"),
        // Of these there are no values but null.
        HeapType::NoFunc | HeapType::NoExtern | HeapType::None | HeapType::NoExn | HeapType::Concrete(_) => {
            return None;
        }
    };
    Some(nullable(reference.nullable, referent))
}

fn nullable(nullable: bool, referent: TokenStream) -> TokenStream {
    if nullable { quote!(Option<#referent>) } else { referent }
}

/// The type of the elements of a table, if the loader has one for such tables.
fn element(ty: ValType) -> Option<TokenStream> {
    let ValType::Ref(reference) = ty else { return None };
    let known = matches!(reference.heap, HeapType::Func | HeapType::Extern | HeapType::Any | HeapType::Exn);
    if known { exact(ty) } else { None }
}

/// The type of a handle for something that is not a function.
pub(super) fn handle(item: &Item) -> TokenStream {
    match item {
        Item::Func(..) => quote!(wasmc_loader::Func),
        Item::Memory(ty) if ty.shared => quote!(wasmc_loader::SharedMemory),
        Item::Memory(_) => quote!(wasmc_loader::Memory),
        Item::Table(_, ty) => match element(*ty) {
            Some(element) => quote!(wasmc_loader::bindings::TypedTable<#element>),
            None => quote!(wasmc_loader::Table),
        },
        Item::Global(ty, mutable) => match (exact(*ty), mutable) {
            (Some(value), true) => quote!(wasmc_loader::bindings::TypedGlobal<#value>),
            (Some(value), false) => quote!(wasmc_loader::bindings::ConstGlobal<#value>),
            (None, _) => quote!(wasmc_loader::Global),
        },
        Item::Tag(_) => quote!(wasmc_loader::Tag),
    }
}

/// A function with native parameters and results.
pub(super) struct Signature {
    /// Names of the parameters.
    pub names: Vec<Ident>,
    /// Their types.
    pub params: Vec<TokenStream>,
    /// The type of all results: nothing, one, or a tuple.
    pub result: TokenStream,
}

impl Signature {
    /// The signature of a function, unless it has more parameters or results
    /// than the loader's typed API, or values that it has no type for.
    ///
    /// `value` maps types; `taken` is the name of a parameter that comes first.
    pub fn of(
        ty: &FuncType,
        names: &[Option<String>],
        value: fn(ValType) -> Option<TokenStream>,
        taken: &str,
    ) -> Option<Signature> {
        if ty.params().len().max(ty.results().len()) > MOST {
            return None;
        }
        let params: Vec<_> = ty.params().iter().map(|ty| value(*ty)).collect::<Option<_>>()?;
        let results: Vec<_> = ty.results().iter().map(|ty| value(*ty)).collect::<Option<_>>()?;
        let result = if let [one] = results.as_slice() { one.clone() } else { quote!((#(#results),*)) };
        Some(Signature { names: idents(names, taken), params, result })
    }
}

/// Names for parameters: those that the guest has for them if it has one for
/// each, and they differ.
fn idents(names: &[Option<String>], taken: &str) -> Vec<Ident> {
    let known = names.iter().map(|name| names::ident(&names::snake(name.as_deref()?)?, &[taken]));
    if let Some(known) = known.collect::<Option<Vec<_>>>()
        && known.iter().collect::<BTreeSet<_>>().len() == known.len()
    {
        return known;
    }
    (0..names.len()).map(|i| format_ident!("arg{i}")).collect()
}
