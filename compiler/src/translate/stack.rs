//! The value stack while translating.
//!
//! A `v128` is on the stack with whichever lane type its producer gave it; it
//! is cast where a consumer wants another one. Where values meet (locals,
//! blocks, calls) it is `i8x16`, the canonical type.
//!
//! References that the collector follows are declared to the code generator
//! where they are produced, so that they are in the frame, and listed, wherever
//! a call may collect. Nothing else may refer into objects across a call.

use super::Translator;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use wasmc_artifacts::abi::ValType;

impl Translator<'_> {
    /// Pushes a value.
    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// Tells the code generator of a value of wasm type `ty`, new where it is
    /// produced: the collector must find references, and may change them.
    pub(super) fn track(&mut self, value: Value, ty: ValType) {
        if ty.is_gc_ref() {
            self.tracked.references.insert(value);
        }
        self.define(value, ty);
    }

    /// Pushes a new value of wasm type `ty`.
    pub(super) fn push_typed(&mut self, value: Value, ty: ValType) {
        self.track(value, ty);
        self.push(value);
    }

    /// Pops a value.
    pub(super) fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or_else(|| unreachable!("validation keeps the stack from running empty"))
    }

    /// The value on top.
    pub(super) fn peek(&self) -> Value {
        self.stack.last().copied().unwrap_or_else(|| unreachable!("validation keeps the stack from running empty"))
    }

    /// Pops two values, the deeper one first.
    pub(super) fn pop2(&mut self) -> (Value, Value) {
        let second = self.pop();
        (self.pop(), second)
    }

    /// Pops three values, the deepest one first.
    pub(super) fn pop3(&mut self) -> (Value, Value, Value) {
        let third = self.pop();
        let (first, second) = self.pop2();
        (first, second, third)
    }

    /// Pops the top `count` values, the deepest one first.
    pub(super) fn pop_many(&mut self, count: usize) -> Vec<Value> {
        let at = self.stack.len() - count;
        self.stack.split_off(at)
    }

    /// The type of a value.
    pub(super) fn type_of(&self, value: Value) -> Type {
        self.b.func.dfg.value_type(value)
    }

    /// Pops a vector and casts it to lane type `ty`.
    pub(super) fn pop_vector(&mut self, ty: Type) -> Value {
        let value = self.pop();
        self.cast_vector(value, ty)
    }

    /// Pops two vectors of lane type `ty`, the deeper one first.
    pub(super) fn pop2_vector(&mut self, ty: Type) -> (Value, Value) {
        let second = self.pop_vector(ty);
        (self.pop_vector(ty), second)
    }

    /// Casts a vector to lane type `ty`.
    pub(super) fn cast_vector(&mut self, value: Value, ty: Type) -> Value {
        if self.type_of(value) == ty {
            return value;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.b.ins().bitcast(ty, flags, value)
    }

    /// The value as it must be where values meet.
    pub(super) fn canonical(&mut self, value: Value) -> Value {
        if self.type_of(value).is_vector() { self.cast_vector(value, types::I8X16) } else { value }
    }

    /// All values as they must be where values meet.
    pub(super) fn canonical_all(&mut self, values: &mut [Value]) {
        for value in values {
            *value = self.canonical(*value);
        }
    }
}
