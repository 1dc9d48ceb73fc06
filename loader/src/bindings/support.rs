//! What generated code calls; of no use, and without promises, to others.

use super::{ConstGlobal, TableElement, TypedGlobal, TypedTable};
use crate::error::{Error, Result};
use crate::externs::Extern;
use crate::func::TypedFunc;
use crate::instance::Instance;
use crate::memory::Memory;
use crate::module::Module;
use crate::shared_memory::SharedMemory;
use crate::store::{AsContextMut, StoreOpaque};
use crate::table::Table;
use crate::tag::Tag;
use crate::types::{ExternType, FuncType};
use crate::values::Val;
use crate::vm::global::Global;
use crate::vm::typed::{WasmParams, WasmResults, WasmTy};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// For generated code, which is in a package that may have an own `std`.
pub use ::std;

/// Whether bindings that a `wasmc` of this version generated go with this crate.
#[must_use]
pub const fn is_version(version: &str) -> bool {
    let (own, other) = (env!("CARGO_PKG_VERSION").as_bytes(), version.as_bytes());
    if own.len() != other.len() {
        return false;
    }
    let mut i = 0;
    while i < own.len() {
        if own[i] != other[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Checks that a module was compiled from the binary with this SHA-256.
///
/// # Errors
/// If it was not.
pub fn check_source(module: &Module, source: &[u8; 32]) -> Result<()> {
    if module.source_hash() == *source {
        return Ok(());
    }
    Err(Error::msg(format!(
        "the artifact was compiled from another module than the bindings were generated for (SHA-256 {}… instead of {}…); use the artifact that the same build made",
        hex(&module.source_hash()),
        hex(source)
    )))
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that a module says that its content has this SHA-256.
///
/// # Errors
/// If it does not.
pub fn check_content(module: &Module, content: &[u8; 32]) -> Result<()> {
    let found = module.artifact().header().content_hash;
    if found == *content {
        return Ok(());
    }
    Err(Error::msg(format!(
        "the artifact was compiled from the right module, but is not the one that was made with these bindings, which are exact (its content's SHA-256 is {}… instead of {}…); use the artifact that the same build made",
        hex(&found),
        hex(content)
    )))
}

/// The error for imports of one module that are used for instances of another.
///
/// # Errors
/// If they are not the same.
pub fn check_same(module: &Module, imports: &Module) -> Result<()> {
    if Module::same(module, imports) {
        return Ok(());
    }
    Err(Error::msg("the imports were made for the same module loaded another time; make them with this one"))
}

/// Where the artifact `name` is: beside the program, or, while that is where
/// cargo put it, at `built` in the same folder (or the one above, for tests and
/// examples).
///
/// # Errors
/// If it is in neither place.
pub fn beside_program(name: &str, built: &str) -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(|e| Error::new(e).context("cannot find the program's own file"))?;
    let folder = program.parent().unwrap_or(Path::new(""));
    let mut places = vec![folder.join(name), folder.join(built)];
    if folder.ends_with("deps") || folder.ends_with("examples") {
        places.extend(folder.parent().map(|above| above.join(built)));
    }
    places.iter().find(|place| place.exists()).cloned().ok_or_else(|| {
        Error::msg(format!(
            "the artifact `{name}` is not beside the program, in `{}`; copy it there from the build script's OUT_DIR",
            folder.display()
        ))
    })
}

/// A function of an instance, found when it is first called.
pub struct LazyFunc<P, R>(OnceLock<TypedFunc<P, R>>);

/// Whatever the types are: tuples of more than twelve cannot be printed.
impl<P, R> std::fmt::Debug for LazyFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = if self.0.get().is_some() { "found" } else { "not called yet" };
        write!(f, "LazyFunc({found})")
    }
}

impl<P, R> Clone for LazyFunc<P, R> {
    fn clone(&self) -> Self {
        LazyFunc(self.0.clone())
    }
}

impl<P, R> Default for LazyFunc<P, R> {
    fn default() -> Self {
        LazyFunc(OnceLock::new())
    }
}

impl<P: WasmParams, R: WasmResults> LazyFunc<P, R> {
    /// Calls the instance's export with this number.
    ///
    /// # Errors
    /// As for [`TypedFunc::call`].
    #[inline(always)]
    pub fn call(&self, instance: &Instance, index: usize, mut store: impl AsContextMut, params: P) -> Result<R> {
        let func = match self.0.get() {
            Some(func) => func,
            None => self.find(instance, index, &store.as_context_mut().0.opaque)?,
        };
        func.call(store, params)
    }

    /// As [`call`](Self::call), to be awaited.
    ///
    /// # Errors
    /// As for [`TypedFunc::call_async`].
    #[cfg(feature = "async")]
    pub async fn call_async(
        &self,
        instance: &Instance,
        index: usize,
        mut store: impl AsContextMut<Data: Send>,
        params: P,
    ) -> Result<R> {
        let func = match self.0.get() {
            Some(func) => func,
            None => self.find(instance, index, &store.as_context_mut().0.opaque)?,
        };
        func.call_async(store, params).await
    }

    #[cold]
    fn find(&self, instance: &Instance, index: usize, store: &StoreOpaque) -> Result<&TypedFunc<P, R>> {
        let Extern::Func(func) = found(store, *instance, index)? else { return Err(misfit(index)) };
        let func = TypedFunc::checked(store, func).ok_or_else(|| misfit(index))?;
        Ok(self.0.get_or_init(|| func))
    }
}

/// Calls the instance's export with this number with values of any type.
///
/// # Errors
/// As for [`Func::call`](crate::Func::call).
pub fn call(
    instance: &Instance,
    index: usize,
    mut store: impl AsContextMut,
    params: &[Val],
    results: &mut [Val],
) -> Result<()> {
    let inner = store.as_context_mut().0;
    let Extern::Func(func) = found(&inner.opaque, *instance, index)? else { return Err(misfit(index)) };
    func.call_in(inner, params, results)
}

/// As [`call()`], to be awaited.
///
/// # Errors
/// As for [`Func::call_async`](crate::Func::call_async).
#[cfg(feature = "async")]
pub async fn call_async(
    instance: &Instance,
    index: usize,
    mut store: impl AsContextMut<Data: Send>,
    params: &[Val],
    results: &mut [Val],
) -> Result<()> {
    let Extern::Func(func) = found(&store.as_context_mut().0.opaque, *instance, index)? else {
        return Err(misfit(index));
    };
    func.call_async(store, params, results).await
}

fn found(store: &StoreOpaque, instance: Instance, index: usize) -> Result<Extern> {
    let found = instance.export_at(store, index);
    // Whatever was read of an artifact that got damaged means nothing.
    instance.intact(store)?;
    found.ok_or_else(|| misfit(index))
}

#[cold]
fn misfit(index: usize) -> Error {
    Error::msg(format!("export {index} of the artifact is not what the bindings were generated for"))
}

/// What an export of a module, whose type is known, stands for in an instance.
pub trait Exported: Sized {
    /// It, from what the instance has.
    ///
    /// # Errors
    /// If it is of another type.
    fn of(export: Extern, store: impl AsContextMut) -> Result<Option<Self>>;
}

macro_rules! exported {
    ($($t:ident)*) => {$(
        impl Exported for $t {
            fn of(export: Extern, _: impl AsContextMut) -> Result<Option<Self>> {
                Ok(if let Extern::$t(export) = export { Some(export) } else { None })
            }
        }
    )*};
}
exported!(Memory SharedMemory Table Global Tag);

impl<R: TableElement> Exported for TypedTable<R> {
    fn of(export: Extern, store: impl AsContextMut) -> Result<Option<Self>> {
        export.into_table().map(|table| TypedTable::of(store, table)).transpose()
    }
}

impl<V: WasmTy> Exported for TypedGlobal<V> {
    fn of(export: Extern, _: impl AsContextMut) -> Result<Option<Self>> {
        export.into_global().map(TypedGlobal::try_from).transpose()
    }
}

impl<V: WasmTy> Exported for ConstGlobal<V> {
    fn of(export: Extern, _: impl AsContextMut) -> Result<Option<Self>> {
        export.into_global().map(ConstGlobal::try_from).transpose()
    }
}

/// The instance's export with this number.
///
/// # Errors
/// If it is not of the type that the bindings were generated for, or the
/// artifact has been damaged.
pub fn export<E: Exported>(instance: &Instance, index: usize, mut store: impl AsContextMut) -> Result<E> {
    let export = found(&store.as_context_mut().0.opaque, *instance, index)?;
    E::of(export, store)?.ok_or_else(|| misfit(index))
}

fn import_type(module: &Module, index: usize) -> Result<ExternType> {
    let row = module.artifact().tables().imports.get(index);
    let ty = row.map(|row| module.import_type(&row));
    module.intact()?;
    ty.ok_or_else(|| no_import(index))
}

#[cold]
fn no_import(index: usize) -> Error {
    Error::msg(format!("import {index} of the artifact is not what the bindings were generated for"))
}

/// The type of the function that is the module's import with this number.
///
/// # Errors
/// If it is none.
pub fn import_func_type(module: &Module, index: usize) -> Result<FuncType> {
    match import_type(module, index)? {
        ExternType::Func(ty) => Ok(ty),
        _ => Err(no_import(index)),
    }
}

/// Something new that fits the module's import with this number: a memory or
/// table of the least size, a global that is zero or null, a tag.
///
/// # Errors
/// If there is no memory for it, or it has no value by itself.
pub fn new_import<E: Exported>(module: &Module, index: usize, mut store: impl AsContextMut) -> Result<E> {
    let no_default = || Error::msg("a reference that cannot be null has no value by itself");
    let new: Extern = match import_type(module, index)? {
        ExternType::Memory(ty) if ty.is_shared() => SharedMemory::new(module.engine(), ty)?.into(),
        ExternType::Memory(ty) => Memory::new(&mut store, ty)?.into(),
        ExternType::Table(ty) => {
            let null = Val::default_for_ty(&ty.element()).and_then(Val::ref_);
            Table::new(&mut store, ty, null.ok_or_else(no_default)?)?.into()
        }
        ExternType::Global(ty) => {
            let value = Val::default_for_ty(ty.content());
            Global::new(&mut store, ty, value.ok_or_else(no_default)?)?.into()
        }
        ExternType::Tag(ty) => Tag::new(&mut store, &ty)?.into(),
        ExternType::Func(_) => return Err(no_import(index)),
    };
    E::of(new, store)?.ok_or_else(|| no_import(index))
}
