//! Structs.

use super::Rooted;
use super::rooted::{gc_ref, preparation};
use super::types::StructType;
use crate::error::{Error, Result};
use crate::store::{AsContext, AsContextMut, StoreContextMut, StoreOpaque};
use crate::values::Val;
use crate::vm::gc::access::Object;
use wasmc_artifacts::abi::descriptor::ObjectKind;

preparation! {
    /// What it takes to make structs of a type in a store: made once, it saves
    /// looking the type up for every struct.
    StructRefPre: StructType => StructRef, "Prepares to make structs."
}

gc_ref! {
    /// A reference to a struct.
    ///
    /// ```
    /// use wasmc_loader::{
    ///     Engine, FieldType, Mutability, StorageType, Store, StructRef, StructRefPre, StructType, Val, ValType,
    /// };
    ///
    /// # fn main() -> wasmc_loader::Result<()> {
    /// let engine = Engine::default();
    /// let mut store = Store::new(&engine, ());
    /// let field = FieldType::new(Mutability::Var, StorageType::ValType(ValType::I32));
    /// let pre = StructRefPre::new(&mut store, StructType::new(&engine, [field])?);
    /// let one = StructRef::new(&mut store, &pre, &[Val::I32(1)])?;
    /// one.set_field(&mut store, 0, Val::I32(2))?;
    /// assert_eq!(one.field(&mut store, 0)?.unwrap_i32(), 2);
    /// # Ok(())
    /// # }
    /// ```
    StructRef: Struct
}

impl StructRef {
    /// Makes a struct. Garbage may be collected first.
    ///
    /// # Errors
    /// If there are not as many values as fields, or one is of another type;
    /// [`Trap::HeapExhausted`](crate::Trap::HeapExhausted) if the heap has no
    /// room.
    ///
    /// # Panics
    /// If `allocator` is for another store.
    pub fn new(mut store: impl AsContextMut, allocator: &StructRefPre, fields: &[Val]) -> Result<Rooted<StructRef>> {
        let opaque = &mut store.as_context_mut().0.opaque;
        allocator.allocate(opaque, None, fields, None)
    }

    fn object<'s>(&self, store: &'s StoreOpaque) -> Result<Object<'s>> {
        store.object_of(self.root, ObjectKind::Struct)
    }

    /// The type.
    ///
    /// # Errors
    /// If the reference is another store's, or its scope has ended; so for all
    /// methods.
    pub fn ty(&self, store: impl AsContext) -> Result<StructType> {
        let opaque = &store.as_context().0.opaque;
        Ok(StructType::known(&opaque.engine, self.object(opaque)?.ty()))
    }

    /// Whether it is of a type, or of one below it.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn matches_ty(&self, store: impl AsContext, ty: &StructType) -> Result<bool> {
        Ok(self.ty(store)?.matches(ty))
    }

    /// The values of all fields.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn fields<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<impl ExactSizeIterator<Item = Val> + 'a> {
        let object = self.object(&store.into().0.opaque)?;
        Ok(object.into_values())
    }

    /// The value of a field.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty); if there is no such field.
    pub fn field(&self, mut store: impl AsContextMut, index: usize) -> Result<Val> {
        let object = self.object(&store.as_context_mut().0.opaque)?;
        object.get(index).ok_or_else(|| object.out_of_bounds(index))
    }

    /// Sets a field.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty); if there is no such field, if it is immutable,
    /// or if the value is of another type.
    pub fn set_field(&self, mut store: impl AsContextMut, index: usize, value: Val) -> Result<()> {
        self.object(&store.as_context_mut().0.opaque)?.set(index, value)
    }
}

impl StoreOpaque {
    /// # Panics
    /// If the store is not of this engine.
    pub(super) fn expect_engine(&self, engine: &crate::Engine) {
        assert!(
            crate::Engine::same(&self.engine, engine),
            "a type was used with a store of another engine than its own"
        );
    }

    /// The object of a kind that a root is known to stand for.
    pub(super) fn object_of(&self, root: crate::vm::gc::handles::Root, kind: ObjectKind) -> Result<Object<'_>> {
        let object = self.object(root)?.filter(|object| object.ty().kind() == kind);
        let name = match kind {
            ObjectKind::Array => "an array",
            ObjectKind::Exception => "an exception",
            ObjectKind::Struct | ObjectKind::Func => "a struct",
        };
        object.ok_or_else(|| Error::msg(format!("a reference is not to {name}")))
    }
}
