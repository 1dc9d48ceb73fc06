//! Locals, globals, and choosing between values.

use crate::analyse::GlobalFact;
use crate::error::Error;
use crate::translate::{Translator, clif_type};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::{ValType, vm_global_import};

impl Translator<'_> {
    pub(in crate::translate) fn visit_drop(&mut self) {
        self.pop();
    }

    pub(in crate::translate) fn visit_select(&mut self) {
        let (a, b, condition) = self.pop3();
        let (a, b) = (self.canonical(a), self.canonical(b));
        let result = self.b.ins().select(condition, a, b);
        self.push(result);
    }

    pub(in crate::translate) fn visit_typed_select(&mut self, ty: wasmparser::ValType) -> Result<(), Error> {
        self.visit_select();
        let value = self.pop();
        self.push_typed(value, self.env.module.types.val_type(ty)?);
        Ok(())
    }

    pub(in crate::translate) fn visit_typed_select_multi(
        &mut self,
        _types: Vec<wasmparser::ValType>,
    ) -> Result<(), Error> {
        Err(Error::Options("`select` with several results is not part of WebAssembly yet".into()))
    }

    pub(in crate::translate) fn visit_local_get(&mut self, local: u32) {
        let (variable, ty) = self.locals[local as usize];
        let value = self.b.use_var(variable);
        match ty.as_ref() {
            // Where it is read it has been set, but not everywhere.
            Some(ty) if !ty.nullable => self.learn(value, ty),
            _ => self.define(value, ty),
        }
        self.push(value);
    }

    pub(in crate::translate) fn visit_local_set(&mut self, local: u32) {
        let value = self.pop();
        self.set_local(local, value);
    }

    pub(in crate::translate) fn visit_local_tee(&mut self, local: u32) {
        let value = self.pop();
        self.set_local(local, value);
        self.push(value);
    }

    fn set_local(&mut self, local: u32, value: Value) {
        let (variable, ty) = self.locals[local as usize];
        let value = if ty == ValType::V128 { self.canonical(value) } else { value };
        self.b.def_var(variable, value);
    }

    pub(in crate::translate) fn visit_global_get(&mut self, global: u32) {
        let ty = self.env.module.globals[global as usize].ty;
        let fact = self.env.facts.globals[global as usize];
        let value = match fact {
            GlobalFact::Constant(bits) => self.constant(ty, bits),
            GlobalFact::Fixed | GlobalFact::Variable => {
                let (base, offset) = self.global_cell(global);
                let mut flags = self.global_flags();
                // The collector changes references even there.
                if fact == GlobalFact::Fixed && !ty.is_gc_ref() {
                    flags = flags.with_readonly().with_can_move();
                }
                let value = self.b.ins().load(clif_type(ty), flags, base, offset);
                self.track(value, ty);
                value
            }
        };
        self.push(value);
    }

    pub(in crate::translate) fn visit_global_set(&mut self, global: u32) {
        let value = self.pop();
        let (base, offset) = self.global_cell(global);
        let flags = self.global_flags();
        self.b.ins().store(flags, value, base, offset);
    }

    fn global_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.regions.globals))
    }

    /// Where a global's value is: an address and an offset from it.
    fn global_cell(&mut self, global: u32) -> (Value, i32) {
        let imported = self.env.module.imported_globals;
        let layout = &self.env.facts.layout;
        if global < imported {
            let offset = layout.global_import(global) + vm_global_import::cell;
            (self.load_context(offset, self.constant_flags()), 0)
        } else {
            (self.vmctx, layout.global(global - imported))
        }
    }

    /// A constant of type `ty`, from its bits.
    fn constant(&mut self, ty: ValType, bits: u128) -> Value {
        match ty {
            ValType::F32 => self.b.ins().f32const(Ieee32::with_bits(bits as u32)),
            ValType::F64 => self.b.ins().f64const(Ieee64::with_bits(bits as u64)),
            ValType::V128 => {
                let constant = self.b.func.dfg.constants.insert(bits.to_le_bytes().as_slice().into());
                self.b.ins().vconst(types::I8X16, constant)
            }
            ValType::I32 => self.b.ins().iconst(types::I32, i64::from(bits as u32)),
            ValType::I64 => self.b.ins().iconst(types::I64, bits as u64 as i64),
            ValType::Ref(_) => self.b.ins().iconst(clif_type(ty), bits as u64 as i64),
        }
    }
}
