//! Objects on the store's garbage-collected heap: allocation in line, and
//! where they are.

use super::{Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::{Builtin, Trap, vm_header, vm_store_context};

impl Translator<'_> {
    /// Allocates an object of `size` bytes (64 bits, a multiple of 8) of the
    /// type at the address `descriptor`, and writes the descriptor word. The
    /// result is a reference, declared for stack maps.
    ///
    /// All fields must be written before anything else that may collect.
    pub(super) fn allocate(&mut self, descriptor: Value, size: Value) -> Value {
        let store = self.load_context(self.env.facts.layout.header() + vm_header::store, self.constant_flags());
        let flags = self.context_flags();
        let next = self.b.ins().load(types::I64, flags, store, vm_store_context::heap_next);
        let end = self.b.ins().iadd(next, size);
        let limit = self.b.ins().load(types::I64, flags, store, vm_store_context::heap_limit);
        let fits = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, end, limit);
        let (fast, slow, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(slow);
        let reference = self.b.append_block_param(done, types::I32);
        self.b.ins().brif(fits, fast, &[], slow, &[]);
        self.b.seal_block(fast);
        self.b.seal_block(slow);
        self.b.switch_to_block(fast);
        self.b.ins().store(flags, end, store, vm_store_context::heap_next);
        let fresh = self.b.ins().ireduce(types::I32, next);
        let object = self.object_address(fresh);
        let flags = self.object_flags();
        self.b.ins().store(flags, descriptor, object, 0);
        self.b.ins().jump(done, &[BlockArg::Value(fresh)]);
        self.b.switch_to_block(slow);
        let collected = self.call_builtin_value(Builtin::gc_alloc, &[descriptor, size]);
        self.b.ins().trapz(collected, trap_code(Trap::HeapExhausted));
        self.b.ins().jump(done, &[BlockArg::Value(collected)]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        self.b.declare_value_needs_stack_map(reference);
        reference
    }

    /// Where the object is that `reference` refers to. Not to be used after
    /// anything that may collect.
    pub(super) fn object_address(&mut self, reference: Value) -> Value {
        let base = self.load_context(self.env.facts.layout.header() + vm_header::heap, self.constant_flags());
        let offset = self.b.ins().uextend(types::I64, reference);
        self.b.ins().iadd(base, offset)
    }

    /// Flags for accesses to objects. A vector is at a multiple of 8 only.
    pub(super) fn object_flags(&self) -> MemFlagsData {
        MemFlagsData::new().with_notrap().with_alias_region(Some(self.regions.objects))
    }
}
