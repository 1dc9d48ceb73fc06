//! Objects on the store's garbage-collected heap: allocation in line, and
//! where they are.
//!
//! The heap is filled from its start: an allocation moves the store's
//! `heap_next` up, and asks the loader only if that would pass `heap_limit`.
//! Objects that are allocated one behind the other, with nothing between that
//! could collect, share one check: the first takes the room for all of them.

use super::ops::Part;
use super::{Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::Imm64;
use cranelift_codegen::ir::{Block, BlockArg, Inst, InstBuilder, InstructionData, MemFlagsData, Opcode, Value, types};
use wasmc_artifacts::abi::{Builtin, Trap, vm_header, vm_store_context};

/// Bytes that are allocated with one check at most.
const SHARED_LIMIT: u32 = 1 << 10;

/// Room that was taken for objects of constant size.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// Where control goes on with it.
    block: Block,
    /// Its first byte, from the heap's base: 64 bits.
    start: Value,
    /// The constant that says how much there is, and how much that is.
    size: Inst,
    taken: u32,
    /// Up to here nothing was found that can collect.
    clean: Inst,
}

impl Translator<'_> {
    /// Allocates an object of `size` bytes, a multiple of 8, and writes the
    /// address of its descriptor. The result is a reference, declared for stack
    /// maps.
    ///
    /// All fields must be written before anything else that may collect.
    pub(super) fn allocate_object(&mut self, descriptor: Value, size: u32) -> Value {
        let start = match self.share_room(size) {
            Some(start) => start,
            None => {
                let bytes = self.b.ins().iconst(types::I64, i64::from(size));
                let constant = self.b.func.dfg.value_def(bytes).unwrap_inst();
                let start = self.take_room(descriptor, bytes);
                let block = self.b.current_block().unwrap_or_else(|| unreachable!("code is being made"));
                self.room = Some(Room { block, start, size: constant, taken: size, clean: constant });
                start
            }
        };
        self.begin_object(descriptor, start)
    }

    /// As [`allocate_object`](Self::allocate_object), for a size that is known
    /// at run time: 64 bits.
    pub(super) fn allocate(&mut self, descriptor: Value, size: Value) -> Value {
        let start = self.take_room(descriptor, size);
        self.begin_object(descriptor, start)
    }

    /// Room behind what was allocated last, if that was just before.
    fn share_room(&mut self, size: u32) -> Option<Value> {
        let mut room = self.room.filter(|room| Some(room.block) == self.b.current_block())?;
        let total = room.taken.checked_add(size).filter(|total| *total <= SHARED_LIMIT)?;
        let last = self.b.func.layout.last_inst(room.block)?;
        let mut at = last;
        while at != room.clean {
            if self.b.func.dfg.insts[at].opcode().is_call() {
                self.room = None;
                return None;
            }
            match self.b.func.layout.prev_inst(at) {
                Some(before) => at = before,
                None => break,
            }
        }
        let start = self.b.ins().iadd_imm_u(room.start, i64::from(room.taken));
        let constant = InstructionData::UnaryImm { opcode: Opcode::Iconst, imm: Imm64::new(i64::from(total)) };
        self.b.func.dfg.insts[room.size] = constant;
        (room.taken, room.clean) = (total, last);
        self.room = Some(room);
        Some(start)
    }

    /// Takes `size` bytes of the heap; the distance of the first from its base.
    fn take_room(&mut self, descriptor: Value, size: Value) -> Value {
        let store = self.load_context(self.env.facts.layout.header() + vm_header::store, self.constant_flags());
        let flags = self.part_flags(Part::Heap).with_aligned();
        let next = self.b.ins().load(types::I64, flags, store, vm_store_context::heap_next);
        let end = self.b.ins().iadd(next, size);
        let limit = self.b.ins().load(types::I64, flags, store, vm_store_context::heap_limit);
        let full = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, limit);
        let (fast, slow, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(slow);
        let start = self.b.append_block_param(done, types::I64);
        self.b.ins().brif(full, slow, &[], fast, &[]);
        self.b.seal_block(fast);
        self.b.seal_block(slow);
        self.b.switch_to_block(slow);
        let collected = self.call_builtin_value(Builtin::gc_alloc, &[descriptor, size]);
        self.b.ins().trapz(collected, trap_code(Trap::HeapExhausted));
        let collected = self.b.ins().uextend(types::I64, collected);
        self.b.ins().jump(done, &[BlockArg::Value(collected)]);
        self.b.switch_to_block(fast);
        self.b.ins().store(flags, end, store, vm_store_context::heap_next);
        self.b.ins().jump(done, &[BlockArg::Value(next)]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        start
    }

    /// A reference to the object that begins at `start`, with its descriptor.
    fn begin_object(&mut self, descriptor: Value, start: Value) -> Value {
        let reference = self.b.ins().ireduce(types::I32, start);
        self.tracked.references.insert(reference);
        let address = self.object_address(reference);
        let flags = self.part_flags(Part::Descriptor);
        self.b.ins().store(flags, descriptor, address, 0);
        reference
    }

    /// Where the object is that `reference` refers to. Not to be used after
    /// anything that may collect.
    pub(super) fn object_address(&mut self, reference: Value) -> Value {
        let base = self.load_context(self.env.facts.layout.header() + vm_header::heap, self.constant_flags());
        let offset = self.b.ins().uextend(types::I64, reference);
        self.b.ins().iadd(base, offset)
    }

    /// Flags for accesses to exceptions. A vector is at a multiple of 8 only.
    pub(super) fn object_flags(&mut self) -> MemFlagsData {
        self.part_flags(Part::Exception)
    }
}
