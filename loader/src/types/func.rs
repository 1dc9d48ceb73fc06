//! Types of functions.

use crate::engine::Engine;
use std::fmt;
use wasmc_artifacts::abi::{self, TypeId, ValType};

/// The type of a function: of its parameters and results.
///
/// Modules can define types that differ although they look the same: types
/// that can have subtypes, that have a supertype, or that are part of a group
/// of types which refer to each other. A function type that comes from such a
/// definition says which one it is, and only equal definitions are equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FuncType {
    ty: abi::FuncType,
    defined: Option<TypeId>,
}

impl FuncType {
    /// A type that has no subtypes and no supertype.
    pub fn new(params: impl IntoIterator<Item = ValType>, results: impl IntoIterator<Item = ValType>) -> FuncType {
        FuncType { ty: abi::FuncType::new(params, results), defined: None }
    }

    /// The defined type with this id, or, without one, a plain type.
    pub(crate) fn defined(ty: abi::FuncType, defined: Option<TypeId>) -> FuncType {
        FuncType { ty, defined }
    }

    /// Which defined type it is, if it is none that its parameters and results
    /// tell alone.
    pub(crate) fn definition(&self) -> Option<TypeId> {
        self.defined
    }

    /// Types of the parameters.
    pub fn params(&self) -> &[ValType] {
        self.ty.params()
    }

    /// The type of a parameter, if there are so many.
    pub fn param(&self, index: usize) -> Option<ValType> {
        self.params().get(index).copied()
    }

    /// The type of a result, if there are so many.
    pub fn result(&self, index: usize) -> Option<ValType> {
        self.results().get(index).copied()
    }

    /// Types of the results.
    pub fn results(&self) -> &[ValType] {
        self.ty.results()
    }

    /// The type without saying which definition it comes from.
    pub(crate) fn as_abi(&self) -> &abi::FuncType {
        &self.ty
    }

    /// Whether a function of this type can be used where one of type `other`
    /// is wanted: whether it is the same type or a subtype. Both have to come
    /// from `engine`'s modules, unless they are plain types.
    pub fn matches(&self, engine: &Engine, other: &FuncType) -> bool {
        self == other
            || match (self.defined, other.defined) {
                (Some(id), Some(other)) => engine.types().is_subtype(id, other),
                _ => false,
            }
    }
}

impl From<abi::FuncType> for FuncType {
    fn from(ty: abi::FuncType) -> FuncType {
        FuncType { ty, defined: None }
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ty.fmt(f)?;
        match self.defined {
            Some(id) => write!(f, " (type {:016x})", id.0),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
