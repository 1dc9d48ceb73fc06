//! Globals whose type the Rust compiler knows.

use crate::error::{Error, Result};
use crate::externs::Extern;
use crate::store::AsContextMut;
use crate::types::{GlobalType, Mutability};
use crate::vm::global::Global;
use crate::vm::typed::WasmTy;
use std::fmt;
use std::marker::PhantomData;

/// A global with the value type `V` that can change; belongs to a store.
///
/// ```
/// use wasmc_loader::bindings::TypedGlobal;
/// use wasmc_loader::{Engine, Result, Store};
///
/// # fn main() -> Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let counter = TypedGlobal::new(&mut store, 41_i64)?;
/// let count = counter.get(&mut store);
/// counter.set(&mut store, count + 1)?;
/// assert_eq!(counter.get(&mut store), 42);
/// # Ok(())
/// # }
/// ```
pub struct TypedGlobal<V>(Global, PhantomData<fn() -> V>);

/// A global with the value type `V` that cannot change; belongs to a store.
///
/// ```
/// use wasmc_loader::bindings::ConstGlobal;
/// use wasmc_loader::{Engine, Result, Store};
///
/// # fn main() -> Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let base = ConstGlobal::new(&mut store, 1024_i32)?;
/// assert_eq!(base.get(&mut store), 1024);
/// # Ok(())
/// # }
/// ```
pub struct ConstGlobal<V>(Global, PhantomData<fn() -> V>);

macro_rules! global {
    ($($name:ident $mutability:ident;)*) => {$(
        impl<V> Clone for $name<V> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<V> Copy for $name<V> {}

        impl<V> fmt::Debug for $name<V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<V: WasmTy> $name<V> {
            /// A global of the host's.
            ///
            /// # Errors
            /// If the value is a reference of another store or one whose scope
            /// has ended.
            ///
            /// # Panics
            /// If the value is a function of another store.
            pub fn new(mut store: impl AsContextMut, value: V) -> Result<Self> {
                let ty = GlobalType::new(V::TYPE, Mutability::$mutability);
                let opaque = &store.as_context_mut().0.opaque;
                Ok($name(Global::new_typed(opaque, ty, value)?, PhantomData))
            }

            /// The value.
            ///
            /// # Panics
            /// If the global belongs to another store.
            #[inline]
            pub fn get(&self, mut store: impl AsContextMut) -> V {
                self.0.get_typed(&store.as_context_mut().0.opaque)
            }

            /// The global without its type.
            pub fn global(&self) -> Global {
                self.0
            }
        }

        impl<V: WasmTy> TryFrom<Global> for $name<V> {
            type Error = Error;

            /// # Errors
            /// If the global has another type.
            fn try_from(global: Global) -> Result<Self> {
                let wanted = GlobalType::new(V::TYPE, Mutability::$mutability);
                if global.of_type(&wanted) {
                    Ok($name(global, PhantomData))
                } else {
                    Err(Error::msg(format!("expected a {wanted}, found another type of global")))
                }
            }
        }

        impl<V> From<$name<V>> for Extern {
            fn from(global: $name<V>) -> Extern {
                Extern::Global(global.0)
            }
        }
    )*};
}

global! {
    TypedGlobal Var;
    ConstGlobal Const;
}

impl<V: WasmTy> TypedGlobal<V> {
    /// Changes the value.
    ///
    /// # Errors
    /// If the value is a reference of another store or one whose scope has
    /// ended.
    ///
    /// # Panics
    /// If the global, or a function that is the value, belongs to another
    /// store.
    #[inline]
    pub fn set(&self, mut store: impl AsContextMut, value: V) -> Result<()> {
        self.0.set_typed(&store.as_context_mut().0.opaque, value)
    }
}
