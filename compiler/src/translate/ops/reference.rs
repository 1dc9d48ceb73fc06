//! References as values.

use crate::error::Error;
use crate::translate::{Translator, clif_type};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, types};
use wasmc_artifacts::abi::{Builtin, RefType};
use wasmparser::HeapType;

impl Translator<'_> {
    pub(in crate::translate) fn visit_ref_null(&mut self, ty: HeapType) -> Result<(), Error> {
        let ty = RefType::new(true, self.env.module.types.heap_type(ty)?);
        let null = self.zero(clif_type(ty.into()));
        self.define(null, ty.into());
        self.push(null);
        Ok(())
    }

    pub(in crate::translate) fn visit_ref_is_null(&mut self) {
        let value = self.pop();
        let ty = self.type_of(value);
        let null = self.zero(ty);
        let flag = self.b.ins().icmp(IntCC::Equal, value, null);
        let result = self.b.ins().uextend(types::I32, flag);
        self.push(result);
    }

    pub(in crate::translate) fn visit_ref_func(&mut self, function: u32) {
        let function = self.index(function);
        let reference = self.call_builtin_value(Builtin::ref_func, &[function]);
        self.push(reference);
    }
}
