//! Tables: single elements in line, everything else through builtins.
//!
//! An element is a 64-bit reference. In a funcref table 0 means "not computed
//! yet" and a computed one carries [`FUNCREF_INIT_BIT`].

use crate::analyse::TableFact;
use crate::translate::pieces::{self, Order};
use crate::translate::{Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::{
    Builtin, FUNCREF_INIT_BIT, TABLE_ELEMENT_SIZE, Trap, ValType, vm_table_def, vm_table_import,
};

impl Translator<'_> {
    pub(super) fn table_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.regions.tables))
    }

    fn is_funcref_table(&self, table: u32) -> bool {
        self.env.module.tables[table as usize].element.is_func_ref()
    }

    /// A field of a table's definition.
    fn table_field(&mut self, table: u32, field: i32) -> Value {
        let layout = &self.env.facts.layout;
        let imported = self.env.module.imported_tables;
        if table < imported {
            let offset = layout.table_import(table) + vm_table_import::def;
            let def = self.load_context(offset, self.constant_flags());
            let flags = self.context_flags();
            self.b.ins().load(types::I64, flags, def, field)
        } else {
            self.load_context(layout.table_def(table - imported) + field, self.context_flags())
        }
    }

    /// A table's length as a 64-bit number.
    pub(super) fn table_length(&mut self, table: u32) -> Value {
        match self.env.facts.tables[table as usize] {
            TableFact::Context { .. } | TableFact::ReadOnly => {
                let length = self.env.module.tables[table as usize].ty.initial;
                self.b.ins().iconst(types::I64, length as i64)
            }
            TableFact::Imported | TableFact::Allocated => self.table_field(table, vm_table_def::length),
        }
    }

    /// An operand that is an index of `table` or a number of its elements, as
    /// an unsigned 64-bit number.
    pub(super) fn table_index(&mut self, table: u32, index: Value) -> Value {
        if self.env.module.tables[table as usize].ty.table64 { index } else { self.wide(index) }
    }

    /// Pushes a 64-bit number of elements, or -1, as `table` counts them.
    fn push_table_size(&mut self, table: u32, length: Value) {
        let table64 = self.env.module.tables[table as usize].ty.table64;
        let length = if table64 { length } else { self.b.ins().ireduce(types::I32, length) };
        self.push(length);
    }

    /// The address of an element, whose 64-bit index is checked.
    pub(super) fn element_address(&mut self, table: u32, index: Value, trap: Trap) -> Value {
        let length = self.table_length(table);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        self.trap_if(outside, trap);
        let base = match self.env.facts.tables[table as usize] {
            TableFact::Context { first } => {
                let offset = self.env.facts.layout.table_element(first);
                self.b.ins().iadd_imm_s(self.vmctx, i64::from(offset))
            }
            _ => self.table_field(table, vm_table_def::base),
        };
        let offset = self.b.ins().imul_imm_u(index, i64::from(TABLE_ELEMENT_SIZE));
        let address = self.b.ins().iadd(base, offset);
        // A mispredicted branch reads the first element, not beyond the table.
        self.b.ins().select_spectre_guard(outside, base, address)
    }

    /// The reference in a funcref element, computed if it has not been yet.
    /// The index has 64 bits.
    pub(super) fn load_funcref(&mut self, table: u32, index: Value, address: Value) -> Value {
        let flags = self.table_flags();
        let element = self.b.ins().load(types::I64, flags, address, 0);
        let untagged = self.b.ins().band_imm_s(element, !(FUNCREF_INIT_BIT as i64));
        let (compute, done) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(compute);
        self.b.append_block_param(done, types::I64);
        self.b.ins().brif(element, done, &[untagged.into()], compute, &[]);
        self.b.seal_block(compute);
        self.b.switch_to_block(compute);
        let table = self.index(table);
        let computed = self.call_builtin_value(Builtin::table_lazy_init, &[table, index]);
        self.b.ins().jump(done, &[computed.into()]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        self.b.block_params(done)[0]
    }

    pub(in crate::translate) fn visit_table_get(&mut self, table: u32) {
        let index = self.pop();
        let index = self.table_index(table, index);
        let address = self.element_address(table, index, Trap::TableOutOfBounds);
        let value = if self.is_funcref_table(table) {
            self.load_funcref(table, index, address)
        } else {
            let flags = self.table_flags();
            self.b.ins().load(types::I32, flags, address, 0)
        };
        self.push_typed(value, self.env.module.tables[table as usize].element);
    }

    pub(in crate::translate) fn visit_table_set(&mut self, table: u32) {
        let (index, value) = self.pop2();
        let index = self.table_index(table, index);
        let address = self.element_address(table, index, Trap::TableOutOfBounds);
        let element = if self.is_funcref_table(table) {
            self.b.ins().bor_imm_u(value, FUNCREF_INIT_BIT as i64)
        } else {
            self.wide(value)
        };
        let flags = self.table_flags();
        self.b.ins().store(flags, element, address, 0);
    }

    /// A reference as builtins take it: 64 bits, without a tag.
    fn wide_reference(&mut self, value: Value) -> Value {
        if self.type_of(value) == types::I64 { value } else { self.wide(value) }
    }

    pub(in crate::translate) fn visit_table_size(&mut self, table: u32) {
        let length = self.table_length(table);
        self.push_table_size(table, length);
    }

    pub(in crate::translate) fn visit_table_grow(&mut self, table: u32) {
        let (value, delta) = self.pop2();
        let delta = self.table_index(table, delta);
        let old = self.grow_table(table, delta, value);
        self.push_table_size(table, old);
    }

    /// Grows a table; its old length, or -1. In code that looks whether to stop,
    /// many new elements are null at first if they can be, and then set in
    /// pieces.
    fn grow_table(&mut self, table: u32, delta: Value, value: Value) -> Value {
        let index = self.index(table);
        let wide = self.wide_reference(value);
        let nullable = matches!(self.env.module.tables[table as usize].element, ValType::Ref(ty) if ty.nullable);
        if !self.env.options.epoch || !nullable {
            return self.call_builtin_value(Builtin::table_grow, &[index, delta, wide]);
        }
        let none = self.b.ins().iconst(types::I64, 0);
        let most = self.b.ins().iconst(types::I64, pieces::ELEMENTS.cast_signed());
        let is_long = self.b.ins().icmp(IntCC::UnsignedGreaterThan, delta, most);
        let first = self.b.ins().select(is_long, none, wide);
        let old = self.call_builtin_value(Builtin::table_grow, &[index, delta, first]);
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, old, -1);
        let set = self.b.ins().icmp(IntCC::Equal, first, wide);
        let (fill, done) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(fill);
        let finished = self.b.ins().bor(failed, set);
        self.b.ins().brif(finished, done, &[], fill, &[]);
        self.b.seal_block(fill);
        self.b.switch_to_block(fill);
        self.fill_table(table, old, value, delta);
        self.b.ins().jump(done, &[]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        old
    }

    pub(in crate::translate) fn visit_table_fill(&mut self, table: u32) {
        let (to, value, length) = self.pop3();
        let (to, length) = (self.table_index(table, to), self.table_index(table, length));
        self.fill_table(table, to, value, length);
    }

    fn fill_table(&mut self, table: u32, to: Value, value: Value, length: Value) {
        let index = self.index(table);
        let check = |t: &mut Self| t.check_elements(table, to, length);
        self.in_pieces(pieces::ELEMENTS, length, Order::Forwards, check, |t, offset, length| {
            let to = t.with_offset(to, offset);
            // A collection may have moved what it refers to.
            let value = t.wide_reference(value);
            t.call_builtin_or_trap(Builtin::table_fill, &[index, to, value, length], Trap::TableOutOfBounds);
        });
    }

    /// Traps unless a table has `length` elements from `from` on; both are
    /// numbers of 64 bits.
    fn check_elements(&mut self, table: u32, from: Value, length: Value) {
        let all = self.table_length(table);
        let last = self.b.ins().isub(all, length);
        let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, from, last);
        // Where the difference wraps, the length alone is too much.
        let long = self.b.ins().icmp(IntCC::UnsignedGreaterThan, length, all);
        let outside = self.b.ins().bor(long, beyond);
        self.trap_if(outside, Trap::TableOutOfBounds);
    }

    pub(in crate::translate) fn visit_table_copy(&mut self, to_table: u32, from_table: u32) {
        let (to, from, length) = self.pop3();
        // The length is of the narrower index type.
        let length = if self.type_of(length) == types::I32 { self.wide(length) } else { length };
        let (to, from) = (self.table_index(to_table, to), self.table_index(from_table, from));
        let (to_index, from_index) = (self.index(to_table), self.index(from_table));
        let check = |t: &mut Self| {
            t.check_elements(to_table, to, length);
            t.check_elements(from_table, from, length);
        };
        let (order, trap) = (Order::BackwardsIfAbove(to, from), Trap::TableOutOfBounds);
        self.in_pieces(pieces::ELEMENTS, length, order, check, |t, offset, length| {
            let (to, from) = (t.with_offset(to, offset), t.with_offset(from, offset));
            t.call_builtin_or_trap(Builtin::table_copy, &[to_index, from_index, to, from, length], trap);
        });
    }

    pub(in crate::translate) fn visit_table_init(&mut self, segment: u32, table: u32) {
        let (to, from, length) = self.pop3();
        let to = self.table_index(table, to);
        let (index, row) = (self.index(table), self.index(self.env.facts.elems.row(segment)));
        let trap = Trap::TableOutOfBounds;
        if !self.has_pieces(self.env.module.elems[segment as usize].items.len(), pieces::ELEMENTS) {
            return self.call_builtin_or_trap(Builtin::table_init, &[index, row, to, from, length], trap);
        }
        let (from, length) = (self.wide(from), self.wide(length));
        let check = |t: &mut Self| {
            t.check_elements(table, to, length);
            let count = t.elem_length(segment);
            t.check_segment(count, from, length, trap);
        };
        self.in_pieces(pieces::ELEMENTS, length, Order::Forwards, check, |t, offset, length| {
            let (to, from) = (t.with_offset(to, offset), t.with_offset(from, offset));
            let [from, length] = [from, length].map(|value| t.b.ins().ireduce(types::I32, value));
            t.call_builtin_or_trap(Builtin::table_init, &[index, row, to, from, length], trap);
        });
    }

    pub(in crate::translate) fn visit_elem_drop(&mut self, segment: u32) {
        let segment = self.index(self.env.facts.elems.row(segment));
        self.call_builtin(Builtin::elem_drop, &[segment]);
    }

    /// Traps with `trap` where control gets to, and goes on in `block`.
    pub(super) fn cold_trap(&mut self, trap: Trap, block: cranelift_codegen::ir::Block) {
        self.b.ins().trap(trap_code(trap));
        self.b.switch_to_block(block);
    }
}
