//! References in typed calls, and all values in arrays of them.
//!
//! A reference from code is rooted in the current scope before anything else
//! happens; one that goes to code is looked up last. Nothing collects garbage
//! in between: that is for calls, and for whoever makes something new.

use super::structs::ValRaw;
use super::typed::WasmTy;
use crate::error::{Error, Result};
use crate::func::Func;
use crate::refs::{GcRef, I31, OwnedRooted, Rooted};
use crate::store::StoreOpaque;
use crate::types::{HeapType, RefType, ValType};
use crate::values::{V128, Val, matches};
use std::ptr::null_mut;
use wasmc_artifacts::abi::Hierarchy;

/// Conversions of something whose ABI type is a 32-bit reference.
macro_rules! of_32_bits {
    () => {
        type Abi = u32;
        #[inline]
        fn abi_to_raw(abi: u32) -> ValRaw {
            ValRaw::of(u64::from(abi))
        }
        #[inline]
        fn raw_to_abi(raw: ValRaw) -> u32 {
            raw.low as u32
        }
    };
}

/// Conversions of something whose ABI type is the address of a function value.
macro_rules! of_an_address {
    () => {
        type Abi = *mut u8;
        #[inline]
        fn abi_to_raw(abi: *mut u8) -> ValRaw {
            ValRaw::of(abi as u64)
        }
        #[inline]
        fn raw_to_abi(raw: ValRaw) -> *mut u8 {
            raw.low as *mut u8
        }
    };
}

const fn of_type(nullable: bool, heap: HeapType) -> ValType {
    ValType::Ref(RefType::new(nullable, heap))
}

// SAFETY: a nullable pointer to a VMFuncRef.
unsafe impl WasmTy for Option<Func> {
    of_an_address!();
    const TYPE: ValType = ValType::FUNCREF;
    #[inline]
    fn into_abi(self, store: &StoreOpaque) -> Result<*mut u8> {
        Ok(self.map_or(null_mut(), |func| func.address(store)))
    }
    #[inline]
    unsafe fn from_abi(abi: *mut u8, store: &StoreOpaque) -> Option<Func> {
        // SAFETY: the caller's.
        unsafe { Func::from_address(abi, store) }
    }
    fn fits(&self, store: &StoreOpaque, ty: ValType) -> Result<bool> {
        Val::FuncRef(*self).matches_in(store, ty)
    }
}

// SAFETY: a pointer to a VMFuncRef.
unsafe impl WasmTy for Func {
    of_an_address!();
    const TYPE: ValType = of_type(false, HeapType::Func);
    #[inline]
    fn into_abi(self, store: &StoreOpaque) -> Result<*mut u8> {
        Ok(self.address(store))
    }
    #[inline]
    unsafe fn from_abi(abi: *mut u8, store: &StoreOpaque) -> Func {
        // SAFETY: the caller's.
        let func = unsafe { Func::from_address(abi, store) };
        func.unwrap_or_else(|| unreachable!("a reference of a type without null is null"))
    }
    fn fits(&self, store: &StoreOpaque, ty: ValType) -> Result<bool> {
        Val::FuncRef(Some(*self)).matches_in(store, ty)
    }
}

/// The value that a rooted reference is.
fn val<T: GcRef>(reference: Option<Rooted<T>>) -> Val {
    match T::HEAP.hierarchy() {
        Hierarchy::Extern => Val::ExternRef(reference.map(Rooted::cast)),
        Hierarchy::Exn => Val::ExnRef(reference.map(Rooted::cast)),
        Hierarchy::Any | Hierarchy::Func => Val::AnyRef(reference.map(Rooted::cast)),
    }
}

// SAFETY: a 32-bit reference.
unsafe impl<T: GcRef> WasmTy for Option<Rooted<T>> {
    of_32_bits!();
    const TYPE: ValType = of_type(true, T::HEAP);
    #[inline]
    fn into_abi(self, store: &StoreOpaque) -> Result<u32> {
        Ok(match self {
            Some(reference) => reference.raw_in(store)?,
            None => 0,
        })
    }
    #[inline]
    unsafe fn from_abi(abi: u32, store: &StoreOpaque) -> Self {
        // SAFETY: the caller's.
        (abi != 0).then(|| Rooted::at(unsafe { store.state.roots().push(abi) }))
    }
    fn fits(&self, store: &StoreOpaque, ty: ValType) -> Result<bool> {
        val(*self).matches_in(store, ty)
    }
}

// SAFETY: a 32-bit reference.
unsafe impl<T: GcRef> WasmTy for Rooted<T> {
    of_32_bits!();
    const TYPE: ValType = of_type(false, T::HEAP);
    #[inline]
    fn into_abi(self, store: &StoreOpaque) -> Result<u32> {
        Ok(self.raw_in(store)?)
    }
    #[inline]
    unsafe fn from_abi(abi: u32, store: &StoreOpaque) -> Self {
        debug_assert_ne!(abi, 0, "a reference of a type without null is null");
        // SAFETY: the caller's.
        Rooted::at(unsafe { store.state.roots().push(abi) })
    }
    fn fits(&self, store: &StoreOpaque, ty: ValType) -> Result<bool> {
        val(Some(*self)).matches_in(store, ty)
    }
}

// SAFETY: a 32-bit reference.
unsafe impl<T: GcRef> WasmTy for Option<OwnedRooted<T>> {
    of_32_bits!();
    const TYPE: ValType = of_type(true, T::HEAP);
    fn into_abi(self, store: &StoreOpaque) -> Result<u32> {
        Ok(match self {
            Some(reference) => reference.raw_in(store)?,
            None => 0,
        })
    }
    unsafe fn from_abi(abi: u32, store: &StoreOpaque) -> Self {
        // SAFETY: the caller's.
        (abi != 0).then(|| OwnedRooted::at(unsafe { store.state.roots().own(abi) }))
    }
    fn fits(&self, store: &StoreOpaque, ty: ValType) -> Result<bool> {
        val(self.as_ref().map(OwnedRooted::borrowed)).matches_in(store, ty)
    }
}

// SAFETY: a 32-bit reference.
unsafe impl<T: GcRef> WasmTy for OwnedRooted<T> {
    of_32_bits!();
    const TYPE: ValType = of_type(false, T::HEAP);
    fn into_abi(self, store: &StoreOpaque) -> Result<u32> {
        Ok(self.raw_in(store)?)
    }
    unsafe fn from_abi(abi: u32, store: &StoreOpaque) -> Self {
        debug_assert_ne!(abi, 0, "a reference of a type without null is null");
        // SAFETY: the caller's.
        OwnedRooted::at(unsafe { store.state.roots().own(abi) })
    }
    fn fits(&self, store: &StoreOpaque, ty: ValType) -> Result<bool> {
        val(Some(self.borrowed())).matches_in(store, ty)
    }
}

// SAFETY: a 32-bit reference.
unsafe impl WasmTy for Option<I31> {
    of_32_bits!();
    const TYPE: ValType = ValType::I31REF;
    #[inline]
    fn into_abi(self, _: &StoreOpaque) -> Result<u32> {
        Ok(self.map_or(0, I31::raw))
    }
    #[inline]
    unsafe fn from_abi(abi: u32, _: &StoreOpaque) -> Self {
        I31::of_raw(abi)
    }
    fn fits(&self, store: &StoreOpaque, ty: ValType) -> Result<bool> {
        let own = if self.is_some() { of_type(false, HeapType::I31) } else { ValType::NULLREF };
        Ok(matches(&store.engine, own, ty))
    }
}

// SAFETY: a 32-bit reference.
unsafe impl WasmTy for I31 {
    of_32_bits!();
    const TYPE: ValType = of_type(false, HeapType::I31);
    #[inline]
    fn into_abi(self, _: &StoreOpaque) -> Result<u32> {
        Ok(self.raw())
    }
    #[inline]
    unsafe fn from_abi(abi: u32, _: &StoreOpaque) -> Self {
        I31::of_raw(abi).unwrap_or_else(|| unreachable!("a reference to a number is none"))
    }
}

impl Val {
    /// The value in an array of values, a global or an object.
    ///
    /// # Safety
    /// Code of `store` left a value of type `ty` there.
    pub(super) unsafe fn from_raw(raw: ValRaw, ty: ValType, store: &StoreOpaque) -> Val {
        let ty = match ty {
            ValType::I32 => return Val::I32(raw.low as i32),
            ValType::I64 => return Val::I64(raw.low as i64),
            ValType::F32 => return Val::F32(raw.low as u32),
            ValType::F64 => return Val::F64(raw.low),
            ValType::V128 => return Val::V128(V128::from(raw.v128())),
            ValType::Ref(ty) => ty,
        };
        // SAFETY: the caller's.
        unsafe {
            match ty.heap.hierarchy() {
                Hierarchy::Func => Val::FuncRef(Func::from_address(raw.low as *mut u8, store)),
                Hierarchy::Extern => Val::ExternRef(WasmTy::from_abi(raw.low as u32, store)),
                Hierarchy::Any => Val::AnyRef(WasmTy::from_abi(raw.low as u32, store)),
                Hierarchy::Exn => Val::ExnRef(WasmTy::from_abi(raw.low as u32, store)),
            }
        }
    }

    /// The value as code of `store` expects it in memory.
    ///
    /// # Errors
    /// If a reference is another store's, or its scope has ended.
    ///
    /// # Panics
    /// If a function belongs to another store.
    pub(crate) fn to_raw(self, store: &StoreOpaque) -> Result<ValRaw> {
        fn raw<T: WasmTy>(value: T, store: &StoreOpaque) -> Result<ValRaw> {
            value.into_abi(store).map(T::abi_to_raw)
        }
        Ok(match self {
            Val::I32(v) => ValRaw::of(u64::from(v as u32)),
            Val::I64(v) => ValRaw::of(v as u64),
            Val::F32(bits) => ValRaw::of(u64::from(bits)),
            Val::F64(bits) => ValRaw::of(bits),
            Val::V128(v) => ValRaw::of_v128(v.as_u128()),
            Val::FuncRef(func) => raw(func, store)?,
            Val::ExternRef(value) => raw(value, store)?,
            Val::AnyRef(value) => raw(value, store)?,
            Val::ExnRef(value) => raw(value, store)?,
        })
    }

    /// The same, of a value that must be of a type.
    ///
    /// # Errors
    /// As for `to_raw`; if it is of another type, with what `message` makes
    /// of its own.
    pub(crate) fn checked_raw(
        self,
        store: &StoreOpaque,
        ty: ValType,
        message: impl FnOnce(ValType) -> String,
    ) -> Result<ValRaw> {
        if !self.matches_in(store, ty)? {
            return Err(Error::msg(message(self.ty_in(store)?)));
        }
        self.to_raw(store)
    }
}
