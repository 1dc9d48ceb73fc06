//! How compiled code reaches linear memory.
//!
//! # Warning
//!
//! This file decides which accesses are checked. A mistake here lets a guest
//! read and write the host's memory. The argument for each access without a
//! check is written beside it; change neither without the other.

use super::Translator;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::{Trap, vm_memory_def, vm_memory_import};
use wasmparser::{MemArg, MemArgTarget};

/// Address space of a 32-bit index, in bytes.
const INDEX_SPAN: u64 = 1 << 32;

/// An address to load from or store to: `base + displacement`.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) base: Value,
    pub(super) displacement: i32,
    pub(super) flags: MemFlagsData,
}

/// The memory that an instruction accesses.
fn memory(memarg: &MemArg) -> u32 {
    match memarg.target {
        MemArgTarget::Memory(memory) => memory,
        MemArgTarget::Array(_) => unreachable!("validation refuses accesses to arrays while that proposal is off"),
    }
}

impl Translator<'_> {
    /// Pops an index and makes the address of `size` bytes at it.
    pub(super) fn access(&mut self, memarg: &MemArg, size: u32) -> Access {
        let index = self.pop();
        let index = self.b.ins().uextend(types::I64, index);
        let memory = memory(memarg);
        let base = self.memory_base(memory);
        let end = memarg.offset.saturating_add(u64::from(size));
        // Unchecked: the index is below 2^32 (it was zero-extended from 32
        // bits), so the access ends below 2^32 + `end`. The loader reserves
        // `memory_reservation` bytes for every 32-bit memory and keeps
        // `memory_guard` bytes after them inaccessible; with a reservation of
        // 2^32 or more and `end` within the guard, every such address is the
        // memory's, accessible below its length and faulting above it.
        let tunables = &self.env.options.tunables;
        let unchecked = tunables.memory_reservation >= INDEX_SPAN && end <= tunables.memory_guard;
        let flags = MemFlagsData::new().with_endianness(Endianness::Little).with_alias_region(Some(self.regions.heap));
        if !unchecked {
            let base = self.checked_address(memory, base, index, memarg.offset, end);
            return Access { base, displacement: 0, flags };
        }
        let base = self.b.ins().iadd(base, index);
        match i32::try_from(memarg.offset) {
            Ok(displacement) => Access { base, displacement, flags },
            // The sum cannot wrap: the offset is below the guard.
            Err(_) => {
                let offset = self.b.ins().iconst(types::I64, memarg.offset as i64);
                Access { base: self.b.ins().iadd(base, offset), displacement: 0, flags }
            }
        }
    }

    /// Traps unless `index + end` is at most the memory's length. The result
    /// is `base + index + offset`, or `base` where a mispredicted branch got
    /// past the check.
    ///
    /// The sums cannot wrap: `index` is below 2^32, and validation keeps a
    /// 32-bit memory's offset below 2^32.
    fn checked_address(&mut self, memory: u32, base: Value, index: Value, offset: u64, end: u64) -> Value {
        let length = self.memory_length(memory);
        let end = self.b.ins().iadd_imm_u(index, end as i64);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, length);
        self.trap_if(outside, Trap::MemoryOutOfBounds);
        let position = self.b.ins().iadd_imm_u(index, offset as i64);
        let address = self.b.ins().iadd(base, position);
        self.b.ins().select_spectre_guard(outside, base, address)
    }

    /// Traps unless the `length` bytes at `index`, both 64-bit values below
    /// 2^33, lie in the memory; the address of the first one.
    pub(super) fn checked_range(&mut self, memory: u32, index: Value, length: Value) -> Value {
        let end = self.b.ins().iadd(index, length);
        let size = self.memory_length(memory);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, size);
        self.trap_if(outside, Trap::MemoryOutOfBounds);
        let base = self.memory_base(memory);
        self.b.ins().iadd(base, index)
    }

    /// The address of a memory's first byte.
    pub(super) fn memory_base(&mut self, memory: u32) -> Value {
        let imported = self.env.module.imported_memories;
        let layout = &self.env.facts.layout;
        if memory < imported {
            let offset = layout.memory_import(memory) + vm_memory_import::base;
            self.load_context(offset, self.constant_flags())
        } else if memory == imported {
            // The first memory that the module defines begins at its context.
            self.vmctx
        } else {
            let offset = layout.memory_def(memory - imported) + vm_memory_def::base;
            self.load_context(offset, self.constant_flags())
        }
    }

    /// A memory's length in bytes.
    pub(super) fn memory_length(&mut self, memory: u32) -> Value {
        if let Some(bytes) = self.env.facts.fixed_memory_length(memory) {
            return self.b.ins().iconst(types::I64, bytes as i64);
        }
        let imported = self.env.module.imported_memories;
        let layout = &self.env.facts.layout;
        if memory < imported {
            let offset = layout.memory_import(memory) + vm_memory_import::def;
            let def = self.load_context(offset, self.constant_flags());
            let flags = self.context_flags();
            self.b.ins().load(types::I64, flags, def, vm_memory_def::length)
        } else {
            self.load_context(layout.memory_def(memory - imported) + vm_memory_def::length, self.context_flags())
        }
    }

    /// Traps if `condition` is not 0.
    pub(super) fn trap_if(&mut self, condition: Value, trap: Trap) {
        self.b.ins().trapnz(condition, super::trap_code(trap));
    }
}
