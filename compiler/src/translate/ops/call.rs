//! Calls.

use crate::analyse::TableFact;
use crate::parse::TypeIndex;
use crate::translate::handlers::Code;
use crate::translate::{Symbol, Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::{Trap, descriptor, vm_func_import, vm_func_ref};

/// Bytes of an element of a read-only table: the index of its type among the
/// module's distinct ones, and the distance of its code from the table's
/// start, 32 bits each.
pub(crate) const READ_ONLY_ELEMENT_SIZE: u32 = 8;

/// The type in a null element of a read-only table.
pub(crate) const READ_ONLY_NULL: u32 = u32::MAX;

/// Larger read-only tables are as long as they look.
const PADDED_ELEMENTS: u64 = 1 << 12;

/// How many elements a read-only table takes in the text: a power of two, the
/// last ones null, if it is small, so that any index can be made one of the
/// table's without a comparison.
pub(crate) fn read_only_elements(length: u64) -> u64 {
    if length <= PADDED_ELEMENTS { length.next_power_of_two() } else { length }
}

/// A function value that is about to be called.
pub(super) struct Callee {
    pub(super) code: Value,
    pub(super) ctx: Value,
}

impl Translator<'_> {
    /// The arguments of a call of type `ty`, with `ctx` before them.
    pub(super) fn call_args(&mut self, ty: TypeIndex, ctx: Value) -> Vec<Value> {
        let count = self.env.module.types.func(ty).params().len();
        let mut args = self.pop_many(count);
        self.canonical_all(&mut args);
        args.insert(0, ctx);
        args
    }

    /// Gives the frame up for that of a callee of type `ty`.
    fn leave_for(&mut self, ty: TypeIndex) {
        self.pay();
        let params = self.env.module.types.func(ty).params().len() as u32;
        self.tail_args = self.tail_args.max(params * 16);
        self.release_values();
    }

    /// Calls code of type `ty`, and pushes its results.
    pub(super) fn call(&mut self, ty: TypeIndex, code: Code, args: &[Value]) {
        let sig = self.signature(ty);
        let results = self.call_code(code, sig, args);
        for (value, ty) in results.into_iter().zip(self.env.module.types.func(ty).results()) {
            self.push_typed(value, *ty);
        }
    }

    pub(in crate::translate) fn visit_call(&mut self, function: u32) {
        self.makes_calls = true;
        self.look_before_call();
        self.pay_for_call(function);
        let ty = self.env.module.functions[function as usize];
        if self.env.module.is_imported_function(function) {
            let callee = self.imported_callee(function);
            let args = self.call_args(ty, callee.ctx);
            self.call(ty, Code::At(callee.code), &args);
        } else {
            let args = self.call_args(ty, self.vmctx);
            let callee = self.function(function);
            self.call(ty, Code::Direct(callee), &args);
        }
    }

    pub(in crate::translate) fn visit_return_call(&mut self, function: u32) {
        self.look_before_call();
        let ty = self.env.module.functions[function as usize];
        if self.env.module.is_imported_function(function) {
            self.makes_calls = true;
            let callee = self.imported_callee(function);
            return self.tail_call(ty, callee);
        }
        let args = self.call_args(ty, self.vmctx);
        let callee = self.function(function);
        self.leave_for(ty);
        self.b.ins().return_call(callee, &args);
        self.set_unreachable();
    }

    /// Calls a function value in the place of the current function.
    pub(super) fn tail_call(&mut self, ty: TypeIndex, callee: Callee) {
        let args = self.call_args(ty, callee.ctx);
        let sig = self.signature(ty);
        self.leave_for(ty);
        self.b.ins().return_call_indirect(sig, callee.code, &args);
        self.set_unreachable();
    }

    fn imported_callee(&mut self, function: u32) -> Callee {
        let import = self.env.facts.layout.func_import(function);
        let flags = self.constant_flags();
        let code = self.load_context(import + vm_func_import::code, flags);
        let ctx = self.load_context(import + vm_func_import::ctx, flags);
        Callee { code, ctx }
    }

    pub(in crate::translate) fn visit_call_indirect(&mut self, ty: u32, table: u32) {
        self.makes_calls = true;
        self.look_before_call();
        self.pay();
        let ty = self.type_index(ty);
        let callee = self.indirect_callee(ty, table);
        let args = self.call_args(ty, callee.ctx);
        self.call(ty, Code::At(callee.code), &args);
    }

    pub(in crate::translate) fn visit_return_call_indirect(&mut self, ty: u32, table: u32) {
        let ty = self.type_index(ty);
        self.look_before_call();
        self.makes_calls |= !self.env.facts.calls_own_functions(self.env.module, table);
        let callee = self.indirect_callee(ty, table);
        self.tail_call(ty, callee);
    }

    /// Pops an index; the function of type `ty` there.
    fn indirect_callee(&mut self, ty: TypeIndex, table: u32) -> Callee {
        let index = self.pop();
        if self.env.facts.tables[table as usize] == TableFact::ReadOnly {
            self.read_only_callee(ty, table, index)
        } else {
            let index = self.table_index(table, index);
            self.table_callee(ty, table, index)
        }
    }

    /// The callee in an element of a table in read-only data: a function of
    /// this module (or the stand-in for an import), so it gets our context.
    fn read_only_callee(&mut self, ty: TypeIndex, table: u32, index: Value) -> Callee {
        let length = self.env.module.tables[table as usize].ty.initial;
        // Read-only tables are small enough for either type of index.
        let index_type = self.type_of(index);
        let length = self.b.ins().iconst(index_type, length as i64);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        self.trap_if(outside, Trap::UndefinedElement);
        let index = self.table_index(table, index);
        // A mispredicted branch reads the table, too.
        let elements = read_only_elements(self.env.module.tables[table as usize].ty.initial);
        let index = if elements.is_power_of_two() {
            self.b.ins().band_imm_u(index, (elements - 1) as i64)
        } else {
            let zero = self.b.ins().iconst(types::I64, 0);
            self.b.ins().select_spectre_guard(outside, zero, index)
        };
        let base = self.symbol_address(Symbol::Table(table));
        let offset = self.b.ins().imul_imm_u(index, i64::from(READ_ONLY_ELEMENT_SIZE));
        let element = self.b.ins().iadd(base, offset);
        let flags = MemFlagsData::trusted().with_readonly();
        let found = self.b.ins().load(types::I32, flags, element, 0);
        self.check_type(found, &self.env.facts.read_only_types(self.env.module, table, ty));
        let distance = self.b.ins().sload32(flags, element, 4);
        Callee { code: self.b.ins().iadd(base, distance), ctx: self.vmctx }
    }

    /// The callee in an element of any other table.
    fn table_callee(&mut self, ty: TypeIndex, table: u32, index: Value) -> Callee {
        let address = self.element_address(table, index, Trap::UndefinedElement);
        let reference = self.load_funcref(table, index, address);
        self.check_function(reference, ty);
        // A function value never changes.
        let flags = MemFlagsData::trusted().with_readonly();
        let code = self.b.ins().load(types::I64, flags, reference, vm_func_ref::code);
        let ctx = self.b.ins().load(types::I64, flags, reference, vm_func_ref::ctx);
        Callee { code, ctx }
    }

    /// Traps unless a function value is of type `ty` or a subtype. Where it is
    /// null, the load of its type faults.
    fn check_function(&mut self, reference: Value, ty: TypeIndex) {
        let flags = MemFlagsData::trusted().with_readonly();
        let null = flags.with_trap_code(Some(trap_code(Trap::IndirectCallToNull)));
        let types = &self.env.module.types;
        let (defined, depth) = (types.get(ty), types.supers(ty).len() - 1);
        let found = self.b.ins().load(types::I64, null, reference, vm_func_ref::type_id);
        let expected = self.b.ins().iconst(types::I64, defined.id.0 as i64);
        if defined.ty.is_final {
            let differs = self.b.ins().icmp(IntCC::NotEqual, found, expected);
            return self.trap_if(differs, Trap::BadSignature);
        }
        let (good, other) = (self.b.create_block(), self.b.create_block());
        let same = self.b.ins().icmp(IntCC::Equal, found, expected);
        self.b.ins().brif(same, good, &[], other, &[]);
        self.b.seal_block(other);
        self.b.switch_to_block(other);
        let type_descriptor = self.b.ins().load(types::I64, flags, reference, vm_func_ref::descriptor);
        self.b.ins().trapz(type_descriptor, trap_code(Trap::BadSignature));
        if depth >= descriptor::MIN_SUPERS {
            let found = self.b.ins().load(types::I32, flags, type_descriptor, descriptor::DEPTH);
            let shallow = self.b.ins().icmp_imm_s(IntCC::UnsignedLessThan, found, depth as i64);
            self.trap_if(shallow, Trap::BadSignature);
        }
        let at = descriptor::SUPERS + 8 * depth as i32;
        let ancestor = self.b.ins().load(types::I64, flags, type_descriptor, at);
        let differs = self.b.ins().icmp(IntCC::NotEqual, ancestor, expected);
        self.trap_if(differs, Trap::BadSignature);
        self.b.ins().jump(good, &[]);
        self.b.seal_block(good);
        self.b.switch_to_block(good);
    }

    /// Goes on if the type in an element of a read-only table is one of
    /// `expected`; otherwise traps with the reason.
    fn check_type(&mut self, found: Value, expected: &[TypeIndex]) {
        let (good, bad) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(bad);
        for ty in expected {
            let next = self.b.create_block();
            let same = self.b.ins().icmp_imm_s(IntCC::Equal, found, i64::from(ty.0));
            self.b.ins().brif(same, good, &[], next, &[]);
            self.b.seal_block(next);
            self.b.switch_to_block(next);
        }
        self.b.ins().jump(bad, &[]);
        self.b.seal_block(good);
        self.b.seal_block(bad);
        self.b.switch_to_block(bad);
        let null = self.b.ins().icmp_imm_s(IntCC::Equal, found, i64::from(READ_ONLY_NULL as i32));
        self.trap_if(null, Trap::IndirectCallToNull);
        self.cold_trap(Trap::BadSignature, good);
    }
}
