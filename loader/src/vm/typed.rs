//! Rust types as wasm types, and calls with native arguments.
//!
//! Each type has an ABI type, which is what stands in a register in the
//! native conventions of `wasmc_artifacts::abi`. For each arity there is a
//! call of a function pointer with that many arguments, so that a typed call
//! is one indirect call and nothing else.

use super::structs::ValRaw;
use crate::error::Result;
use crate::store::StoreOpaque;
use crate::types::ValType;
use crate::values::V128;
use std::mem::transmute;

/// A Rust type that stands for a wasm value type.
///
/// Implemented for `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, [`V128`] and
/// references: [`Func`](crate::Func), [`I31`](crate::I31), and [`Rooted`](crate::Rooted) and
/// [`OwnedRooted`](crate::OwnedRooted) of all types that these are for. An
/// `Option` of a reference may be null, others may not.
///
/// # Safety
/// `Abi` is what the native conventions say for `TYPE`, and a value of it of
/// which all bits are 0 is valid.
#[diagnostic::on_unimplemented(message = "`{Self}` does not stand for a WebAssembly value type")]
pub unsafe trait WasmTy: Send + Sized + 'static {
    #[doc(hidden)]
    type Abi: Copy;
    #[doc(hidden)]
    const TYPE: ValType;
    /// # Errors
    /// If a reference is another store's, or its scope has ended.
    ///
    /// # Panics
    /// If a function belongs to another store.
    #[doc(hidden)]
    fn into_abi(self, store: &StoreOpaque) -> Result<Self::Abi>;
    /// Whether this very value is one of a type that values of type `TYPE` may
    /// be of, but need not.
    #[doc(hidden)]
    fn fits(&self, _: &StoreOpaque, _: ValType) -> Result<bool> {
        Ok(true)
    }
    /// # Safety
    /// `abi` comes from code of `store` as a value of type `TYPE`.
    #[doc(hidden)]
    unsafe fn from_abi(abi: Self::Abi, store: &StoreOpaque) -> Self;
    #[doc(hidden)]
    fn abi_to_raw(abi: Self::Abi) -> ValRaw;
    #[doc(hidden)]
    fn raw_to_abi(raw: ValRaw) -> Self::Abi;
}

macro_rules! numbers {
    ($($rust:ty, $abi:ty, $ty:ident, |$in:ident| $into:expr, |$out:ident| $from:expr, |$a:ident| $bits:expr, |$b:ident| $of:expr;)*) => {$(
        // SAFETY: numbers are themselves.
        unsafe impl WasmTy for $rust {
            type Abi = $abi;
            const TYPE: ValType = ValType::$ty;
            #[inline(always)]
            fn into_abi(self, _: &StoreOpaque) -> Result<$abi> {
                let $in = self;
                Ok($into)
            }
            #[inline(always)]
            unsafe fn from_abi($out: $abi, _: &StoreOpaque) -> $rust {
                $from
            }
            #[inline(always)]
            fn abi_to_raw($a: $abi) -> ValRaw {
                ValRaw::of($bits)
            }
            #[inline(always)]
            fn raw_to_abi(raw: ValRaw) -> $abi {
                let $b = raw.low;
                $of
            }
        }
    )*};
}

numbers! {
    i32, i32, I32, |v| v, |v| v, |v| u64::from(v as u32), |bits| bits as i32;
    u32, i32, I32, |v| v as i32, |v| v as u32, |v| u64::from(v as u32), |bits| bits as i32;
    i64, i64, I64, |v| v, |v| v, |v| v as u64, |bits| bits as i64;
    u64, i64, I64, |v| v as i64, |v| v as u64, |v| v as u64, |bits| bits as i64;
    f32, f32, F32, |v| v, |v| v, |v| u64::from(v.to_bits()), |bits| f32::from_bits(bits as u32);
    f64, f64, F64, |v| v, |v| v, |v| v.to_bits(), |bits| f64::from_bits(bits);
}

#[cfg(target_arch = "x86_64")]
type Vector = std::arch::x86_64::__m128i;
#[cfg(target_arch = "aarch64")]
type Vector = std::arch::aarch64::uint8x16_t;

// SAFETY: a vector register, for which every bit pattern is a value.
unsafe impl WasmTy for V128 {
    type Abi = Vector;
    const TYPE: ValType = ValType::V128;
    #[inline(always)]
    fn into_abi(self, _: &StoreOpaque) -> Result<Vector> {
        // SAFETY: both are 16 bytes without invariants.
        Ok(unsafe { transmute::<u128, Vector>(self.as_u128()) })
    }
    #[inline(always)]
    unsafe fn from_abi(abi: Vector, _: &StoreOpaque) -> V128 {
        // SAFETY: as above.
        V128::from(unsafe { transmute::<Vector, u128>(abi) })
    }
    #[inline(always)]
    fn abi_to_raw(abi: Vector) -> ValRaw {
        // SAFETY: as above.
        ValRaw::of_v128(unsafe { transmute::<Vector, u128>(abi) })
    }
    #[inline(always)]
    fn raw_to_abi(raw: ValRaw) -> Vector {
        // SAFETY: as above.
        unsafe { transmute::<u128, Vector>(raw.v128()) }
    }
}

/// Parameters of a typed function: a [`WasmTy`], or a tuple of up to 16.
///
/// # Safety
/// `call` and `call_out` are called with what the type says.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a list of WebAssembly parameters")]
pub unsafe trait WasmParams: Send + 'static {
    #[doc(hidden)]
    type Abi: Copy;
    #[doc(hidden)]
    const TYPES: &'static [ValType];
    /// # Errors
    /// As for `WasmTy::into_abi`.
    #[doc(hidden)]
    fn into_abi(self, store: &StoreOpaque) -> Result<Self::Abi>;
    /// The first parameter that is not of its type in `types`.
    #[doc(hidden)]
    fn misfit(&self, store: &StoreOpaque, types: &[ValType]) -> Result<Option<usize>>;
    /// # Safety
    /// `code` is a function in a native convention with these parameters, and
    /// `R` is how it returns.
    #[doc(hidden)]
    unsafe fn call<R>(code: *const u8, ctx: *mut u8, params: Self::Abi) -> R;
    /// # Safety
    /// As for `call`, with several results written to `out`.
    #[doc(hidden)]
    unsafe fn call_out(code: *const u8, ctx: *mut u8, params: Self::Abi, out: *mut ValRaw);
    /// Writes the parameters to the front of `values`, which is long enough.
    #[doc(hidden)]
    fn to_raw(params: Self::Abi, values: &mut [ValRaw]);
}

/// Results of a typed function: `()`, a [`WasmTy`], or a tuple of up to 16.
///
/// # Safety
/// `Ret` is how a function in a native convention returns such results.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a list of WebAssembly results")]
pub unsafe trait WasmResults: Send + Sized + 'static {
    /// How a native function returns them, if there is at most one; all bits 0
    /// are valid.
    #[doc(hidden)]
    type Ret: Copy;
    /// Results on their way.
    #[doc(hidden)]
    type Out: Copy;
    #[doc(hidden)]
    const TYPES: &'static [ValType];
    /// # Safety
    /// As for `WasmParams::call`.
    #[doc(hidden)]
    unsafe fn call<P: WasmParams>(code: *const u8, ctx: *mut u8, params: P::Abi) -> Self::Out;
    /// # Safety
    /// `out` comes from code of `store`.
    #[doc(hidden)]
    unsafe fn from_out(out: Self::Out, store: &StoreOpaque) -> Self;
    #[doc(hidden)]
    fn raw_to_out(values: &[ValRaw]) -> Self::Out;
    /// Returns the results of a host function; several go to `out`.
    ///
    /// # Safety
    /// If there are several, `out` has room for them.
    #[doc(hidden)]
    unsafe fn into_ret(self, store: &StoreOpaque, out: *mut ValRaw) -> Result<Self::Ret>;
    /// # Safety
    /// `values` has room for all results.
    #[doc(hidden)]
    unsafe fn into_raw(self, store: &StoreOpaque, values: *mut ValRaw) -> Result<()>;
}

// SAFETY: one parameter.
unsafe impl<T: WasmTy> WasmParams for T {
    type Abi = (T::Abi,);
    const TYPES: &'static [ValType] = &[T::TYPE];
    #[inline(always)]
    fn into_abi(self, store: &StoreOpaque) -> Result<Self::Abi> {
        Ok((WasmTy::into_abi(self, store)?,))
    }
    fn misfit(&self, store: &StoreOpaque, types: &[ValType]) -> Result<Option<usize>> {
        let fits = types.first().is_none_or(|ty| *ty == T::TYPE) || self.fits(store, types[0])?;
        Ok((!fits).then_some(0))
    }
    #[inline(always)]
    unsafe fn call<R>(code: *const u8, ctx: *mut u8, params: Self::Abi) -> R {
        // SAFETY: the caller's.
        unsafe { <(T,) as WasmParams>::call(code, ctx, params) }
    }
    #[inline(always)]
    unsafe fn call_out(code: *const u8, ctx: *mut u8, params: Self::Abi, out: *mut ValRaw) {
        // SAFETY: the caller's.
        unsafe { <(T,) as WasmParams>::call_out(code, ctx, params, out) };
    }
    fn to_raw(params: Self::Abi, values: &mut [ValRaw]) {
        <(T,) as WasmParams>::to_raw(params, values);
    }
}

macro_rules! params {
    ($($n:tt $t:ident)*) => {
        // SAFETY: the pointers have one parameter for each type, in order.
        #[allow(unused_variables, unused_mut, non_snake_case, clippy::unused_unit, reason = "for the empty tuple")]
        unsafe impl<$($t: WasmTy),*> WasmParams for ($($t,)*) {
            type Abi = ($($t::Abi,)*);
            const TYPES: &'static [ValType] = &[$($t::TYPE),*];
            #[inline(always)]
            fn into_abi(self, store: &StoreOpaque) -> Result<Self::Abi> {
                Ok(($(WasmTy::into_abi(self.$n, store)?,)*))
            }
            fn misfit(&self, store: &StoreOpaque, types: &[ValType]) -> Result<Option<usize>> {
                $(
                    if types.get($n).is_some_and(|ty| *ty != $t::TYPE) && !self.$n.fits(store, types[$n])? {
                        return Ok(Some($n));
                    }
                )*
                Ok(None)
            }
            #[inline(always)]
            unsafe fn call<R>(code: *const u8, ctx: *mut u8, params: Self::Abi) -> R {
                let ($($t,)*) = params;
                // SAFETY: the caller says that this is the function's type.
                unsafe {
                    let code = transmute::<*const u8, unsafe extern "C" fn(*mut u8 $(, $t::Abi)*) -> R>(code);
                    code(ctx $(, $t)*)
                }
            }
            #[inline(always)]
            unsafe fn call_out(code: *const u8, ctx: *mut u8, params: Self::Abi, out: *mut ValRaw) {
                let ($($t,)*) = params;
                // SAFETY: the caller says that this is the function's type.
                unsafe {
                    let code = transmute::<*const u8, unsafe extern "C" fn(*mut u8 $(, $t::Abi)*, *mut ValRaw)>(code);
                    code(ctx $(, $t)*, out)
                }
            }
            fn to_raw(params: Self::Abi, values: &mut [ValRaw]) {
                $(values[$n] = $t::abi_to_raw(params.$n);)*
            }
        }
    };
}

// SAFETY: nothing is returned.
unsafe impl WasmResults for () {
    type Ret = ();
    type Out = ();
    const TYPES: &'static [ValType] = &[];
    #[inline(always)]
    unsafe fn call<P: WasmParams>(code: *const u8, ctx: *mut u8, params: P::Abi) {
        // SAFETY: the caller's.
        unsafe { P::call::<()>(code, ctx, params) }
    }
    #[inline(always)]
    unsafe fn from_out((): (), _: &StoreOpaque) {}
    fn raw_to_out(_: &[ValRaw]) {}
    #[inline(always)]
    unsafe fn into_ret(self, _: &StoreOpaque, _: *mut ValRaw) -> Result<()> {
        Ok(())
    }
    unsafe fn into_raw(self, _: &StoreOpaque, _: *mut ValRaw) -> Result<()> {
        Ok(())
    }
}

// SAFETY: one result, in a register.
unsafe impl<T: WasmTy> WasmResults for T {
    type Ret = T::Abi;
    type Out = T::Abi;
    const TYPES: &'static [ValType] = &[T::TYPE];
    #[inline(always)]
    unsafe fn call<P: WasmParams>(code: *const u8, ctx: *mut u8, params: P::Abi) -> T::Abi {
        // SAFETY: the caller's.
        unsafe { P::call::<T::Abi>(code, ctx, params) }
    }
    #[inline(always)]
    unsafe fn from_out(out: T::Abi, store: &StoreOpaque) -> T {
        // SAFETY: the caller's.
        unsafe { T::from_abi(out, store) }
    }
    fn raw_to_out(values: &[ValRaw]) -> T::Abi {
        T::raw_to_abi(values[0])
    }
    #[inline(always)]
    unsafe fn into_ret(self, store: &StoreOpaque, _: *mut ValRaw) -> Result<T::Abi> {
        WasmTy::into_abi(self, store)
    }
    unsafe fn into_raw(self, store: &StoreOpaque, values: *mut ValRaw) -> Result<()> {
        let abi = WasmTy::into_abi(self, store)?;
        // SAFETY: room for one value, says the caller.
        unsafe { *values = T::abi_to_raw(abi) };
        Ok(())
    }
}

// SAFETY: one result, in a register.
unsafe impl<T: WasmTy> WasmResults for (T,) {
    type Ret = T::Abi;
    type Out = T::Abi;
    const TYPES: &'static [ValType] = &[T::TYPE];
    #[inline(always)]
    unsafe fn call<P: WasmParams>(code: *const u8, ctx: *mut u8, params: P::Abi) -> T::Abi {
        // SAFETY: the caller's.
        unsafe { P::call::<T::Abi>(code, ctx, params) }
    }
    #[inline(always)]
    unsafe fn from_out(out: T::Abi, store: &StoreOpaque) -> (T,) {
        // SAFETY: the caller's.
        (unsafe { T::from_abi(out, store) },)
    }
    fn raw_to_out(values: &[ValRaw]) -> T::Abi {
        T::raw_to_abi(values[0])
    }
    #[inline(always)]
    unsafe fn into_ret(self, store: &StoreOpaque, _: *mut ValRaw) -> Result<T::Abi> {
        WasmTy::into_abi(self.0, store)
    }
    unsafe fn into_raw(self, store: &StoreOpaque, values: *mut ValRaw) -> Result<()> {
        let abi = WasmTy::into_abi(self.0, store)?;
        // SAFETY: room for one value, says the caller.
        unsafe { *values = T::abi_to_raw(abi) };
        Ok(())
    }
}

macro_rules! results {
    ($count:literal $($n:tt $t:ident)*) => {
        // SAFETY: several results go through memory.
        unsafe impl<$($t: WasmTy),*> WasmResults for ($($t,)*) {
            type Ret = ();
            type Out = [ValRaw; $count];
            const TYPES: &'static [ValType] = &[$($t::TYPE),*];
            #[inline(always)]
            unsafe fn call<P: WasmParams>(code: *const u8, ctx: *mut u8, params: P::Abi) -> Self::Out {
                let mut out = [ValRaw::of(0); $count];
                // SAFETY: the caller's; there is room for all results.
                unsafe { P::call_out(code, ctx, params, out.as_mut_ptr()) };
                out
            }
            #[inline(always)]
            unsafe fn from_out(out: Self::Out, store: &StoreOpaque) -> Self {
                // SAFETY: the caller's.
                unsafe { ($($t::from_abi($t::raw_to_abi(out[$n]), store),)*) }
            }
            fn raw_to_out(values: &[ValRaw]) -> Self::Out {
                [$(values[$n]),*]
            }
            #[inline(always)]
            unsafe fn into_ret(self, store: &StoreOpaque, out: *mut ValRaw) -> Result<()> {
                // SAFETY: the caller's.
                unsafe { self.into_raw(store, out) }
            }
            #[inline(always)]
            unsafe fn into_raw(self, store: &StoreOpaque, values: *mut ValRaw) -> Result<()> {
                // SAFETY: room for all results, says the caller.
                unsafe { $(*values.add($n) = $t::abi_to_raw(WasmTy::into_abi(self.$n, store)?);)* }
                Ok(())
            }
        }
    };
}

params!();
params!(0 A0);
macro_rules! several {
    ($count:literal $($list:tt)*) => {
        params!($($list)*);
        results!($count $($list)*);
    };
}
several!(2 0 A0 1 A1);
several!(3 0 A0 1 A1 2 A2);
several!(4 0 A0 1 A1 2 A2 3 A3);
several!(5 0 A0 1 A1 2 A2 3 A3 4 A4);
several!(6 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5);
several!(7 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6);
several!(8 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7);
several!(9 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8);
several!(10 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9);
several!(11 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10);
several!(12 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11);
several!(13 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11 12 A12);
several!(14 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11 12 A12 13 A13);
several!(15 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11 12 A12 13 A13 14 A14);
several!(16 0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11 12 A12 13 A13 14 A14 15 A15);
