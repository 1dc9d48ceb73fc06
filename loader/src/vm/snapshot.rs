//! What an instance consists of at the moment, told in terms of its module.
//!
//! For the compiler, which makes an artifact whose instances begin there.

use super::instance::InstanceData;
use super::structs::{VMFuncRef, ValRaw};
use crate::snapshot::{MemoryState, Run, TableState, Value};
use crate::types::ValType;
use std::ptr;
use wasmc_artifacts::abi::descriptor::{EXTERN_TAG, NOT_OBJECT_MASK};
use wasmc_artifacts::abi::{Hierarchy, vm_func_import, vm_func_ref};
use wasmc_artifacts::format::{SegmentMode, TableKind};

/// Memories are looked through in pieces of so many bytes.
const PIECE: usize = 4096;

/// Zeros between two runs of a memory that are kept to have one run instead.
const GAP: u64 = 16 * PIECE as u64;

impl InstanceData {
    /// The contents of a memory, without most of what is zero.
    pub(crate) fn memory_state(&self, index: u32) -> Option<MemoryState> {
        let memory = self.memory(index)?;
        let length = memory.length();
        let mut runs: Vec<Run> = Vec::new();
        let mut piece = [0; PIECE];
        for position in (0..length).step_by(PIECE) {
            let piece = &mut piece[..PIECE.min(length - position)];
            // SAFETY: `length` bytes at the base are accessible. No code of the
            // store runs now; a shared memory may be written by others, which
            // is why bytes are copied before anybody looks at them.
            unsafe { ptr::copy_nonoverlapping(memory.base().add(position), piece.as_mut_ptr(), piece.len()) };
            if piece.iter().any(|byte| *byte != 0) {
                append(&mut runs, position as u64, piece);
            }
        }
        Some(MemoryState { pages: length as u64 >> memory.ty().page_size_log2(), runs })
    }

    /// The value of a global.
    pub(crate) fn global_state(&self, index: u32) -> Option<Value> {
        let row = self.module().artifact().tables().globals.get(index as usize)?;
        Some(self.told(self.global_cell(index)?.get(), row.ty.ty()?))
    }

    /// The elements of a table; `None` if it is one that never changes.
    pub(crate) fn table_state(&self, index: u32) -> Option<TableState> {
        let row = self.module().artifact().tables().tables.get(index as usize)?;
        if TableKind::from_code(row.kind) == Some(TableKind::ReadOnly) {
            return None;
        }
        let table = self.table(index)?;
        let ty = table.ty().element();
        let mut runs: Vec<(u64, Vec<Value>)> = Vec::new();
        for at in 0..table.length() {
            let value = self.told(ValRaw::of(table.get(at)?), ty);
            match runs.last_mut() {
                _ if value == Value::Null => {}
                Some((first, values)) if *first + values.len() as u64 == at => values.push(value),
                _ => runs.push((at, vec![value])),
            }
        }
        Some(TableState { length: table.length(), runs })
    }

    /// Whether each passive data segment was dropped, in the module's order.
    pub(crate) fn dropped_data(&self) -> Vec<bool> {
        let rows = self.module().artifact().tables().data_segments;
        let passive = (0..).zip(rows.iter()).filter(|(_, row)| is_passive(row.mode));
        passive.map(|(segment, _)| self.data_dropped(segment).get() != 0).collect()
    }

    /// Whether each passive element segment was dropped, in the module's order.
    pub(crate) fn dropped_elems(&self) -> Vec<bool> {
        let rows = self.module().artifact().tables().elem_segments;
        let passive = (0..).zip(rows.iter()).filter(|(_, row)| is_passive(row.mode));
        passive.map(|(segment, _)| self.elem_dropped(segment).get() != 0).collect()
    }

    /// What a value is, in terms of the module.
    fn told(&self, raw: ValRaw, ty: ValType) -> Value {
        let ValType::Ref(reference) = ty else {
            return Value::Number(match ty {
                ValType::I32 | ValType::F32 => u128::from(raw.low as u32),
                ValType::V128 => raw.v128(),
                _ => raw.low.into(),
            });
        };
        match reference.heap.hierarchy() {
            Hierarchy::Func if raw.low == 0 => Value::Null,
            Hierarchy::Func => self.own_function(raw.low).map_or(Value::ForeignFunction, Value::Function),
            _ if raw.low as u32 == 0 => Value::Null,
            _ if raw.low & 1 != 0 => Value::I31(raw.low as u32),
            _ if raw.low as u32 & NOT_OBJECT_MASK == EXTERN_TAG => Value::Host,
            Hierarchy::Exn => Value::Exception,
            _ => Value::Object(raw.low as u32),
        }
    }

    /// The index of the function that a reference at this address is of.
    fn own_function(&self, address: u64) -> Option<u32> {
        let artifact = self.module().artifact();
        let rows = &artifact.tables().func_refs;
        let imported = artifact.layout().counts().func_imports;
        let at = |func_ref: &VMFuncRef| ptr::from_ref(func_ref) as u64;
        // Both kinds lie side by side, so that a number can be computed.
        if let Some(first) = (imported > 0).then(|| at(self.func_import(0).func_ref())) {
            let size = u64::from(vm_func_import::SIZE);
            let number = address.wrapping_sub(first) / size;
            if number < imported.into() && at(self.func_import(number as u32).func_ref()) == address {
                return Some(number as u32);
            }
        }
        let first = at(self.func_ref(rows.get(0)?.function)?);
        let number = address.wrapping_sub(first) / u64::from(vm_func_ref::SIZE);
        let function = rows.get(usize::try_from(number).ok()?)?.function;
        (at(self.func_ref(function)?) == address).then_some(function)
    }
}

/// Takes in a piece of a memory that comes after what is there.
fn append(runs: &mut Vec<Run>, position: u64, piece: &[u8]) {
    if let Some(last) = runs.last_mut() {
        let gap = position - (last.position + last.bytes.len() as u64);
        if gap <= GAP {
            last.bytes.resize(last.bytes.len() + gap as usize, 0);
            last.bytes.extend_from_slice(piece);
            return;
        }
    }
    runs.push(Run { position, bytes: piece.to_vec() });
}

fn is_passive(mode: u8) -> bool {
    SegmentMode::from_code(mode) == Some(SegmentMode::Passive)
}
