//! How compiled code reaches linear memory.
//!
//! # Warning
//!
//! This file decides which accesses are checked. A mistake here lets a guest
//! read and write the host's memory. The argument for each access without a
//! check is written beside it; change neither without the other.

use super::Translator;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Endianness, InstBuilder, InstructionData, MemFlagsData, Opcode, Value, types};
use wasmc_artifacts::abi::{Trap, vm_memory_def, vm_memory_import};
use wasmparser::{MemArg, MemArgTarget};

/// An address to load from or store to: `base + displacement`.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) base: Value,
    pub(super) displacement: i32,
    pub(super) flags: MemFlagsData,
}

/// The memory that an instruction accesses.
pub(super) fn accessed(memarg: &MemArg) -> u32 {
    match memarg.target {
        MemArgTarget::Memory(memory) => memory,
        MemArgTarget::Array(_) => unreachable!("validation refuses accesses to arrays while that proposal is off"),
    }
}

/// How far [`Translator::most`] looks for what a value is made of.
const MOST_DEPTH: u32 = 4;

impl Translator<'_> {
    /// Pops an index and makes the address of `size` bytes at it.
    ///
    /// There are three ways, of which the first that is right is taken. What
    /// they rely on, of every memory that code can be linked with, defined or
    /// imported, with indices of 32 bits or of 64: the loader reserves at least
    /// `memory_reservation` bytes for it, at least as many as its length, keeps
    /// `memory_guard` bytes after those inaccessible, and an access by code to
    /// any of these addresses that are not accessible is a trap.
    pub(super) fn access(&mut self, memarg: &MemArg, size: u32) -> Access {
        let memory = accessed(memarg);
        let index = self.pop();
        let index = self.memory_index(memory, index);
        let base = self.memory_base(memory);
        let end = memarg.offset.saturating_add(u64::from(size));
        let tunables = &self.env.options.tunables;
        let whole_pages = self.env.facts.memories[memory as usize].whole_pages;
        let flags = MemFlagsData::new().with_endianness(Endianness::Little).with_alias_region(Some(self.regions.heap));
        // Both ways below need these two: without slack after the memory's
        // length the first byte beyond it is inaccessible, and with `end`
        // within the guard no access reaches beyond that which begins within
        // the reservation.
        if !whole_pages || end > tunables.memory_guard || self.grows_meanwhile(memory) {
            let base = self.checked_address(memory, base, index, memarg.offset, end);
            return Access { base, displacement: 0, flags };
        }
        // Unchecked: the index is at most `memory_reservation`, so the access
        // ends at most `memory_guard` bytes later, and every such address is
        // the memory's: accessible below its length and faulting above it. A
        // 32-bit index is below 2^32, the default reservation.
        let index = if self.most(index, MOST_DEPTH) <= tunables.memory_reservation {
            index
        } else {
            self.clamped(memory, index)
        };
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

    /// Whether other threads can make a memory longer than the reservation of
    /// which code knows. Then neither its length, which another thread may
    /// change before the access, nor the most that it can have is an index at
    /// which every access faults.
    fn grows_meanwhile(&self, memory: u32) -> bool {
        let most = self.env.facts.memories[memory as usize].most;
        self.env.module.memories[memory as usize].shared && most > self.env.options.tunables.memory_reservation
    }

    /// An operand that addresses `memory`, as an unsigned 64-bit number.
    pub(super) fn memory_index(&mut self, memory: u32, index: Value) -> Value {
        if self.env.facts.memories[memory as usize].index64 { index } else { self.wide(index) }
    }

    /// `index`, or where that is larger, an index at which every access faults
    /// that ends within the guard.
    ///
    /// That index is the memory's length, or the one that it has at most if the
    /// reservation is at least as large: from its length on nothing is
    /// accessible, up to the end of the guard, and `most` is not beyond the
    /// guard's beginning. What is in bounds is left as it is. There is no
    /// branch that could be mispredicted, and one of these numbers serves for
    /// all offsets from one index.
    fn clamped(&mut self, memory: u32, index: Value) -> Value {
        let most = self.env.facts.memories[memory as usize].most;
        let limit = if most <= self.env.options.tunables.memory_reservation {
            self.b.ins().iconst(types::I64, most as i64)
        } else {
            self.memory_length(memory)
        };
        self.b.ins().umin(index, limit)
    }

    /// A number that an unsigned 64-bit value never exceeds, found by looking
    /// at most `depth` instructions back.
    fn most(&self, value: Value, depth: u32) -> u64 {
        let dfg = &self.b.func.dfg;
        let value = dfg.resolve_aliases(value);
        let Some(inst) = dfg.value_def(value).inst().filter(|_| depth > 0) else { return u64::MAX };
        let args = dfg.inst_args(inst);
        let of = |at: usize| self.most(args[at], depth - 1);
        match (dfg.insts[inst].opcode(), args.len()) {
            (Opcode::Iconst, _) => self.constant_value(value).unwrap_or(u64::MAX),
            (Opcode::Uextend, 1) => match dfg.value_type(args[0]).bits() {
                bits @ ..64 => (1 << bits) - 1,
                _ => u64::MAX,
            },
            (Opcode::Uload8, _) => u8::MAX.into(),
            (Opcode::Uload16, _) => u16::MAX.into(),
            (Opcode::Uload32, _) => u32::MAX.into(),
            (Opcode::Band, 2) => of(0).min(of(1)),
            // No bit is set above the highest one that either can have.
            (Opcode::Bor | Opcode::Bxor, 2) => u64::MAX.checked_shr((of(0) | of(1)).leading_zeros()).unwrap_or(0),
            (Opcode::Iadd, 2) => of(0).saturating_add(of(1)),
            (Opcode::Imul, 2) => of(0).saturating_mul(of(1)),
            (Opcode::Umin, 2) => of(0).min(of(1)),
            (Opcode::Select, 3) => of(1).max(of(2)),
            (Opcode::Ushr, 2) => self.constant_value(args[1]).map_or(of(0), |by| of(0) >> (by & 63)),
            // Only if no bit is lost.
            (Opcode::Ishl, 2) => match self.constant_value(args[1]).map(|by| by & 63) {
                Some(by) if of(0) <= u64::MAX >> by => of(0) << by,
                _ => u64::MAX,
            },
            (Opcode::Urem, 2) => self.constant_value(args[1]).filter(|by| *by != 0).map_or(u64::MAX, |by| by - 1),
            _ => u64::MAX,
        }
    }

    /// The number that a value is, if it is a constant.
    pub(super) fn constant_value(&self, value: Value) -> Option<u64> {
        let dfg = &self.b.func.dfg;
        match dfg.insts[dfg.value_def(dfg.resolve_aliases(value)).inst()?] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits() as u64),
            _ => None,
        }
    }

    /// Traps unless `index + end` is at most the memory's length. The result
    /// is `base + index + offset`, or `base` where a mispredicted branch got
    /// past the check.
    ///
    /// The sums of that address cannot wrap where it is used: they are at most
    /// `index + end`, which is at most the length there.
    fn checked_address(&mut self, memory: u32, base: Value, index: Value, offset: u64, end: u64) -> Value {
        let outside = self.outside(memory, index, end);
        self.trap_if(outside, Trap::MemoryOutOfBounds);
        let position = self.b.ins().iadd_imm_u(index, offset as i64);
        let address = self.b.ins().iadd(base, position);
        self.b.ins().select_spectre_guard(outside, base, address)
    }

    /// Whether `index + end`, as a sum that does not wrap, is more than the
    /// memory's length. An `end` of `u64::MAX` stands for all that are no
    /// smaller; no memory is so long.
    fn outside(&mut self, memory: u32, index: Value, end: u64) -> Value {
        let length = self.memory_length(memory);
        // The sum cannot wrap, as for each 32-bit memory: validation keeps its
        // offsets below 2^32.
        if self.most(index, MOST_DEPTH).checked_add(end).is_some() {
            let end = self.b.ins().iadd_imm_u(index, end as i64);
            return self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, length);
        }
        let end_value = self.b.ins().iconst(types::I64, end as i64);
        let last = self.b.ins().isub(length, end_value);
        let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, index, last);
        // The difference cannot wrap, since the memory is never shorter.
        if end <= self.env.facts.memories[memory as usize].least {
            return beyond;
        }
        let short = self.b.ins().icmp(IntCC::UnsignedLessThan, length, end_value);
        self.b.ins().bor(short, beyond)
    }

    /// Traps unless the `length` bytes at `index` lie in the memory; the
    /// address of the first one. Both are any 64-bit values.
    pub(super) fn checked_range(&mut self, memory: u32, index: Value, length: Value) -> Value {
        let size = self.memory_length(memory);
        let outside = if self.most(index, 1).checked_add(self.most(length, 1)).is_some() {
            let end = self.b.ins().iadd(index, length);
            self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, size)
        } else {
            // Where the difference wraps, the length alone is too much.
            let last = self.b.ins().isub(size, length);
            let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, index, last);
            let long = self.b.ins().icmp(IntCC::UnsignedGreaterThan, length, size);
            self.b.ins().bor(long, beyond)
        };
        self.trap_if(outside, Trap::MemoryOutOfBounds);
        let base = self.memory_base(memory);
        self.b.ins().iadd(base, index)
    }

    /// Pops an index, and traps unless the `size` bytes that an instruction
    /// means lie in the memory; the position of the first one.
    pub(super) fn checked_position(&mut self, memarg: &MemArg, size: u32) -> Value {
        let memory = accessed(memarg);
        let index = self.pop();
        let index = self.memory_index(memory, index);
        let outside = self.outside(memory, index, memarg.offset.saturating_add(u64::from(size)));
        self.trap_if(outside, Trap::MemoryOutOfBounds);
        self.b.ins().iadd_imm_u(index, memarg.offset as i64)
    }

    /// The address of a memory's first byte.
    pub(super) fn memory_base(&mut self, memory: u32) -> Value {
        let imported = self.env.module.imported_memories;
        let layout = &self.env.facts.layout;
        if let Some(reference) = self.memory_reference(memory) {
            self.load_context(reference + vm_memory_import::base, self.constant_flags())
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
        if let Some(bytes) = self.env.facts.memories[memory as usize].fixed_length() {
            return self.b.ins().iconst(types::I64, bytes as i64);
        }
        let flags = self.context_flags();
        if let Some(reference) = self.memory_reference(memory) {
            let def = self.load_context(reference + vm_memory_import::def, self.constant_flags());
            self.b.ins().load(types::I64, flags, def, vm_memory_def::length)
        } else {
            let defined = memory - self.env.module.imported_memories;
            self.load_context(self.env.facts.layout.memory_def(defined) + vm_memory_def::length, flags)
        }
    }

    /// The same, of a shared memory as a fresh look at it: an earlier one may
    /// serve for a check, since what was in bounds remains so, but not for code
    /// that waits for a memory to grow.
    pub(super) fn current_memory_length(&mut self, memory: u32) -> Value {
        let fixed = self.env.facts.memories[memory as usize].fixed_length().is_some();
        match self.memory_reference(memory) {
            Some(reference) if !fixed && self.env.module.memories[memory as usize].shared => {
                let def = self.load_context(reference + vm_memory_import::def, self.constant_flags());
                let length = self.b.ins().iadd_imm_s(def, i64::from(vm_memory_def::length));
                let flags = self.context_flags();
                self.b.ins().atomic_load(types::I64, flags, length)
            }
            _ => self.memory_length(memory),
        }
    }

    /// Where the context has a reference to a memory that is elsewhere: one
    /// that is imported, or shared. Such a memory's length is with the memory,
    /// because others change it too; its base does not change while code runs.
    fn memory_reference(&self, memory: u32) -> Option<i32> {
        let (imported, layout) = (self.env.module.imported_memories, &self.env.facts.layout);
        match memory.checked_sub(imported) {
            None => Some(layout.memory_import(memory)),
            Some(defined) => self.env.module.memories[memory as usize].shared.then(|| layout.memory_def(defined)),
        }
    }

    /// Traps if `condition` is not 0.
    pub(super) fn trap_if(&mut self, condition: Value, trap: Trap) {
        self.b.ins().trapnz(condition, super::trap_code(trap));
    }
}
