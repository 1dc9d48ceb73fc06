//! Values as the host sees them.

use crate::engine::Engine;
use crate::error::Result;
use crate::func::Func;
use crate::refs::{AnyRef, ArrayRef, EqRef, ExnRef, ExternRef, Rooted, StructRef, heap_type};
use crate::store::{AsContext, StoreOpaque};
use crate::types::{HeapType, RefType, ValType};
use std::fmt;
use wasmc_artifacts::abi::Hierarchy;

/// A 128-bit vector.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct V128(u128);

impl V128 {
    /// The bits; lane 0 is in the lowest ones.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl From<u128> for V128 {
    fn from(bits: u128) -> V128 {
        V128(bits)
    }
}
impl From<V128> for u128 {
    fn from(vector: V128) -> u128 {
        vector.0
    }
}

impl fmt::Debug for V128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#034x}", self.0)
    }
}

/// A value of any type. Floats are given as their bits.
#[derive(Debug, Clone, Copy)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// 128-bit vector.
    V128(V128),
    /// Function, or null.
    FuncRef(Option<Func>),
    /// Value of the host's, or null.
    ExternRef(Option<Rooted<ExternRef>>),
    /// Anything of wasm's own, or null.
    AnyRef(Option<Rooted<AnyRef>>),
    /// Exception, or null.
    ExnRef(Option<Rooted<ExnRef>>),
}

/// The null reference with the most precise type in a hierarchy.
fn null_type(hierarchy: Hierarchy) -> ValType {
    match hierarchy {
        Hierarchy::Func => ValType::NULLFUNCREF,
        Hierarchy::Extern => ValType::NULLEXTERNREF,
        Hierarchy::Any => ValType::NULLREF,
        Hierarchy::Exn => ValType::NULLEXNREF,
    }
}

fn non_null(heap: HeapType) -> ValType {
    ValType::Ref(RefType::new(false, heap))
}

impl Val {
    /// The null reference of a type.
    pub fn null_ref(ty: &HeapType) -> Val {
        match ty.hierarchy() {
            Hierarchy::Func => Val::FuncRef(None),
            Hierarchy::Extern => Val::ExternRef(None),
            Hierarchy::Any => Val::AnyRef(None),
            Hierarchy::Exn => Val::ExnRef(None),
        }
    }

    /// The null reference of functions.
    pub const fn null_func_ref() -> Val {
        Val::FuncRef(None)
    }

    /// The null reference of the host's values.
    pub const fn null_extern_ref() -> Val {
        Val::ExternRef(None)
    }

    /// The null reference of wasm's own values.
    pub const fn null_any_ref() -> Val {
        Val::AnyRef(None)
    }

    /// Zero, or null; `None` if the type has neither.
    pub fn default_for_ty(ty: &ValType) -> Option<Val> {
        Some(match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(V128(0)),
            ValType::Ref(RefType { nullable: true, heap }) => Val::null_ref(heap),
            ValType::Ref(_) => return None,
        })
    }

    /// The type, as precisely as it is known: of a reference that of what it
    /// refers to.
    ///
    /// # Errors
    /// If a reference is another store's, or its scope has ended.
    ///
    /// # Panics
    /// If a function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> Result<ValType> {
        self.ty_in(&store.as_context().0.opaque)
    }

    pub(crate) fn ty_in(&self, store: &StoreOpaque) -> Result<ValType> {
        Ok(match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(None) => null_type(Hierarchy::Func),
            Val::ExternRef(None) => null_type(Hierarchy::Extern),
            Val::AnyRef(None) => null_type(Hierarchy::Any),
            Val::ExnRef(None) => null_type(Hierarchy::Exn),
            Val::FuncRef(Some(func)) => non_null(func.heap_type(store)),
            Val::ExternRef(Some(reference)) => {
                reference.raw_in(store)?;
                non_null(HeapType::Extern)
            }
            Val::AnyRef(Some(reference)) => non_null(heap_type(store, reference.root())?),
            Val::ExnRef(Some(reference)) => {
                reference.raw_in(store)?;
                non_null(HeapType::Exn)
            }
        })
    }

    /// Whether this is a value of a type.
    ///
    /// # Errors
    /// If a reference is another store's, or its scope has ended.
    ///
    /// # Panics
    /// If a function belongs to another store.
    pub fn matches_ty(&self, store: impl AsContext, ty: &ValType) -> Result<bool> {
        self.matches_in(&store.as_context().0.opaque, *ty)
    }

    pub(crate) fn matches_in(&self, store: &StoreOpaque, ty: ValType) -> Result<bool> {
        Ok(match (self, ty) {
            (Val::I32(_), ValType::I32)
            | (Val::I64(_), ValType::I64)
            | (Val::F32(_), ValType::F32)
            | (Val::F64(_), ValType::F64)
            | (Val::V128(_), ValType::V128) => true,
            (Val::FuncRef(None), ValType::FUNCREF) | (Val::ExternRef(None), ValType::EXTERNREF) => true,
            (_, ValType::Ref(_)) => matches(&store.engine, self.ty_in(store)?, ty),
            _ => false,
        })
    }

    /// The number, if it is an i32.
    pub fn i32(&self) -> Option<i32> {
        if let Val::I32(v) = self { Some(*v) } else { None }
    }

    /// The number, if it is an i64.
    pub fn i64(&self) -> Option<i64> {
        if let Val::I64(v) = self { Some(*v) } else { None }
    }

    /// The number, if it is an f32.
    pub fn f32(&self) -> Option<f32> {
        if let Val::F32(v) = self { Some(f32::from_bits(*v)) } else { None }
    }

    /// The number, if it is an f64.
    pub fn f64(&self) -> Option<f64> {
        if let Val::F64(v) = self { Some(f64::from_bits(*v)) } else { None }
    }

    /// The vector, if it is one.
    pub fn v128(&self) -> Option<V128> {
        if let Val::V128(v) = self { Some(*v) } else { None }
    }

    /// The reference, if it is one.
    pub fn ref_(self) -> Option<Ref> {
        Some(match self {
            Val::FuncRef(func) => Ref::Func(func),
            Val::ExternRef(value) => Ref::Extern(value),
            Val::AnyRef(value) => Ref::Any(value),
            Val::ExnRef(value) => Ref::Exn(value),
            _ => return None,
        })
    }

    /// What it is, for messages.
    fn name(&self) -> &'static str {
        match self {
            Val::I32(_) => "an i32",
            Val::I64(_) => "an i64",
            Val::F32(_) => "an f32",
            Val::F64(_) => "an f64",
            Val::V128(_) => "a v128",
            Val::FuncRef(_) => "a funcref",
            Val::ExternRef(_) => "an externref",
            Val::AnyRef(_) => "an anyref",
            Val::ExnRef(_) => "an exnref",
        }
    }

    #[track_caller]
    fn expected(&self, ty: &str) -> ! {
        panic!("expected {ty}, found {}", self.name())
    }
}

macro_rules! unwraps {
    ($($unwrap:ident $get:ident $t:ty, $what:literal;)*) => {
        impl Val {
            $(
                #[doc = concat!("What [`", stringify!($get), "`](Self::", stringify!($get), ") finds.")]
                ///
                /// # Panics
                /// If it is of another type.
                #[track_caller]
                pub fn $unwrap(&self) -> $t {
                    self.$get().unwrap_or_else(|| self.expected($what))
                }
            )*
        }
    };
}

unwraps! {
    unwrap_i32 i32 i32, "an i32";
    unwrap_i64 i64 i64, "an i64";
    unwrap_f32 f32 f32, "an f32";
    unwrap_f64 f64 f64, "an f64";
    unwrap_v128 v128 V128, "a v128";
    unwrap_funcref funcref Option<&Func>, "a funcref";
    unwrap_externref externref Option<&Rooted<ExternRef>>, "an externref";
    unwrap_anyref anyref Option<&Rooted<AnyRef>>, "an anyref";
    unwrap_exnref exnref Option<&Rooted<ExnRef>>, "an exnref";
}

/// The references in values.
impl Val {
    /// The function or null, if it is a reference to functions.
    pub fn funcref(&self) -> Option<Option<&Func>> {
        if let Val::FuncRef(func) = self { Some(func.as_ref()) } else { None }
    }

    /// The reference or null, if it is one to values of the host's.
    pub fn externref(&self) -> Option<Option<&Rooted<ExternRef>>> {
        if let Val::ExternRef(value) = self { Some(value.as_ref()) } else { None }
    }

    /// The reference or null, if it is one to wasm's own.
    pub fn anyref(&self) -> Option<Option<&Rooted<AnyRef>>> {
        if let Val::AnyRef(value) = self { Some(value.as_ref()) } else { None }
    }

    /// The reference or null, if it is one to exceptions.
    pub fn exnref(&self) -> Option<Option<&Rooted<ExnRef>>> {
        if let Val::ExnRef(value) = self { Some(value.as_ref()) } else { None }
    }
}

/// Whether a value of one type is always one of another.
pub(crate) fn matches(engine: &Engine, ty: ValType, other: ValType) -> bool {
    ty.matches(other, |a, b| engine.is_subtype(a.id, b.id))
}

macro_rules! from {
    ($($t:ty => |$v:ident| $val:expr;)*) => {$(
        impl From<$t> for Val {
            fn from($v: $t) -> Val {
                $val
            }
        }
    )*};
}

from! {
    i32 => |v| Val::I32(v);
    u32 => |v| Val::I32(v as i32);
    i64 => |v| Val::I64(v);
    u64 => |v| Val::I64(v as i64);
    f32 => |v| Val::F32(v.to_bits());
    f64 => |v| Val::F64(v.to_bits());
    V128 => |v| Val::V128(v);
    Func => |v| Val::FuncRef(Some(v));
    Option<Func> => |v| Val::FuncRef(v);
    Ref => |v| match v {
        Ref::Func(func) => Val::FuncRef(func),
        Ref::Extern(value) => Val::ExternRef(value),
        Ref::Any(value) => Val::AnyRef(value),
        Ref::Exn(value) => Val::ExnRef(value),
    };
}

/// A reference of any type: what tables hold.
#[derive(Debug, Clone, Copy)]
pub enum Ref {
    /// Function, or null.
    Func(Option<Func>),
    /// Value of the host's, or null.
    Extern(Option<Rooted<ExternRef>>),
    /// Anything of wasm's own, or null.
    Any(Option<Rooted<AnyRef>>),
    /// Exception, or null.
    Exn(Option<Rooted<ExnRef>>),
}

impl Ref {
    /// The null reference of a type.
    pub fn null(ty: &HeapType) -> Ref {
        match ty.hierarchy() {
            Hierarchy::Func => Ref::Func(None),
            Hierarchy::Extern => Ref::Extern(None),
            Hierarchy::Any => Ref::Any(None),
            Hierarchy::Exn => Ref::Exn(None),
        }
    }

    /// Whether it refers to nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Ref::Func(None) | Ref::Extern(None) | Ref::Any(None) | Ref::Exn(None))
    }

    /// Whether it refers to something.
    pub fn is_non_null(&self) -> bool {
        !self.is_null()
    }

    /// The type, as precisely as it is known.
    ///
    /// # Errors
    /// If it is another store's, or its scope has ended.
    ///
    /// # Panics
    /// If a function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> Result<RefType> {
        let ty = Val::from(*self).ty(store)?;
        Ok(ty.as_ref().unwrap_or(RefType::new(true, HeapType::None)))
    }

    /// Whether it is of a type.
    ///
    /// # Errors
    /// If it is another store's, or its scope has ended.
    ///
    /// # Panics
    /// If a function belongs to another store.
    pub fn matches_ty(&self, store: impl AsContext, ty: &RefType) -> Result<bool> {
        Val::from(*self).matches_ty(store, &ValType::Ref(*ty))
    }
}

macro_rules! ref_kinds {
    ($($variant:ident $is:ident $as:ident $unwrap:ident $t:ty, $what:literal;)*) => {
        impl Ref {
            $(
                #[doc = concat!("Whether it is a reference to ", $what, ", or null of that type.")]
                pub fn $is(&self) -> bool {
                    matches!(self, Ref::$variant(_))
                }

                #[doc = concat!("The reference to ", $what, " or null, if it is one.")]
                pub fn $as(&self) -> Option<Option<&$t>> {
                    if let Ref::$variant(value) = self { Some(value.as_ref()) } else { None }
                }

                #[doc = concat!("The reference to ", $what, ", or null.")]
                ///
                /// # Panics
                /// If it is of another type.
                #[track_caller]
                pub fn $unwrap(&self) -> Option<&$t> {
                    self.$as().unwrap_or_else(|| Val::from(*self).expected(concat!("a reference to ", $what)))
                }
            )*
        }
    };
}

ref_kinds! {
    Func is_func as_func unwrap_func Func, "functions";
    Extern is_extern as_extern unwrap_extern Rooted<ExternRef>, "values of the host's";
    Any is_any as_any unwrap_any Rooted<AnyRef>, "wasm's own values";
    Exn is_exn as_exn unwrap_exn Rooted<ExnRef>, "exceptions";
}

macro_rules! from_rooted {
    ($($t:ident => $val:ident $variant:ident;)*) => {$(
        impl From<Rooted<$t>> for Val {
            fn from(reference: Rooted<$t>) -> Val {
                Val::$val(Some(reference.cast()))
            }
        }
        impl From<Option<Rooted<$t>>> for Val {
            fn from(reference: Option<Rooted<$t>>) -> Val {
                Val::$val(reference.map(Rooted::cast))
            }
        }
        impl From<Rooted<$t>> for Ref {
            fn from(reference: Rooted<$t>) -> Ref {
                Ref::$variant(Some(reference.cast()))
            }
        }
        impl From<Option<Rooted<$t>>> for Ref {
            fn from(reference: Option<Rooted<$t>>) -> Ref {
                Ref::$variant(reference.map(Rooted::cast))
            }
        }
    )*};
}

from_rooted! {
    ExternRef => ExternRef Extern;
    AnyRef => AnyRef Any;
    EqRef => AnyRef Any;
    StructRef => AnyRef Any;
    ArrayRef => AnyRef Any;
    ExnRef => ExnRef Exn;
}

impl From<Func> for Ref {
    fn from(func: Func) -> Ref {
        Ref::Func(Some(func))
    }
}
impl From<Option<Func>> for Ref {
    fn from(func: Option<Func>) -> Ref {
        Ref::Func(func)
    }
}
