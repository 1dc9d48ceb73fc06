//! References as values.

use crate::error::Error;
use crate::translate::{Translator, clif_type};
use cranelift_codegen::ir::{InstBuilder, types};
use wasmc_artifacts::abi::RefType;
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
        let flag = self.is_null(value);
        let result = self.b.ins().uextend(types::I32, flag);
        self.push(result);
    }
}
