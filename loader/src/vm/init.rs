//! The first content of an instance: globals, then active segments.

use super::handle::Stored;
use super::instance::InstanceData;
use super::state::StoreState;
use super::structs::{VMFuncRef, ValRaw};
use super::table::OutOfBounds;
use crate::error::Error;
use crate::types::ValType;
use wasmc_artifacts::FormatError;
use wasmc_artifacts::abi::Trap;
use wasmc_artifacts::format::{ConstOp, ConstOpKind, NONE, SegmentMode};

/// Why an instance could not get its first content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InitError {
    /// An active segment does not fit.
    Trap(Trap),
    /// The artifact contradicts itself.
    Corrupt(&'static str),
}

/// Evaluates a constant expression. What its operands mean is asked of
/// `global` and `function`. `None` if the expression is not one.
fn evaluate(
    ops: impl Iterator<Item = ConstOp>,
    mut global: impl FnMut(u32) -> Option<ValRaw>,
    mut function: impl FnMut(u32) -> Option<u64>,
) -> Option<ValRaw> {
    let mut stack: Vec<ValRaw> = Vec::new();
    let mut top: Option<ValRaw> = None;
    for op in ops {
        let kind = ConstOpKind::from_code(op.kind)?;
        let value = match kind {
            ConstOpKind::Const => ValRaw { low: op.low, high: op.high },
            ConstOpKind::GlobalGet => global(u32::try_from(op.low).ok()?)?,
            ConstOpKind::RefFunc => ValRaw::of(function(u32::try_from(op.low).ok()?)?),
            ConstOpKind::RefNull => ValRaw::of(0),
            _ => {
                let (right, left) = (top.take()?, stack.pop()?);
                top = Some(ValRaw::of(kind.arithmetic(left.low, right.low)?));
                continue;
            }
        };
        // Nearly every expression has one operation: its value needs no stack.
        if let Some(below) = top.replace(value) {
            stack.push(below);
        }
    }
    if stack.is_empty() { top } else { None }
}

impl From<InitError> for Error {
    fn from(error: InitError) -> Error {
        match error {
            InitError::Trap(trap) => Error::new(trap),
            InitError::Corrupt(what) => Error::new(FormatError::Corrupt { what }),
        }
    }
}

impl InstanceData {
    fn const_expr(&self, first: u32, count: u32) -> Result<ValRaw, InitError> {
        let corrupt = InitError::Corrupt("a constant expression has no value");
        let ops = self.module().artifact().const_expr(first, count).ok_or(corrupt)?;
        let function = |index| self.func_ref(index).map(|f: &VMFuncRef| std::ptr::from_ref(f) as u64);
        evaluate(ops.iter(), |index| self.global_cell(index).map(std::cell::Cell::get), function).ok_or(corrupt)
    }

    /// Gives the globals of the instance, whose imports are provided, their
    /// first values, except for those that code computes.
    pub(crate) fn begin_content(&self) -> Result<(), InitError> {
        if !self.is_initialised() {
            self.initialise_globals()?;
            self.take_snapshot();
        }
        Ok(())
    }

    /// Gives the instance, whose globals have their first values, the rest of
    /// its first content. What was written before a trap stays, as the
    /// specification wants it.
    pub(crate) fn end_content(&self) -> Result<(), InitError> {
        if self.module().blueprint().active_segments { self.initialise_segments() } else { Ok(()) }
    }

    /// The function that computes values of globals, if there is one. It has
    /// no parameters and results.
    pub(crate) fn initializer(&self) -> Option<VMFuncRef> {
        let header = self.module().artifact().header();
        if header.initializer == NONE || header.initializer_entry == NONE {
            return None;
        }
        let text = self.module().text().start;
        let function = VMFuncRef::default();
        function.code.set((text + header.initializer as usize) as *mut u8);
        function.array_entry.set((text + header.initializer_entry as usize) as *mut u8);
        function.ctx.set(self.vmctx().cast());
        Some(function)
    }

    fn initialise_globals(&self) -> Result<(), InitError> {
        let artifact = self.module().artifact();
        let counts = artifact.layout().counts();
        let tables = artifact.tables();
        for defined in 0..counts.globals {
            let row = tables.globals.get((counts.global_imports + defined) as usize);
            let row = row.ok_or(InitError::Corrupt("a global has no row"))?;
            // What code computes is null until then.
            let value = if row.init_count == 0 { ValRaw::of(0) } else { self.const_expr(row.init, row.init_count)? };
            self.global(defined).set(value);
        }
        Ok(())
    }

    fn initialise_segments(&self) -> Result<(), InitError> {
        let artifact = self.module().artifact();
        let tables = artifact.tables();
        for (table, row) in (0..).zip(tables.tables.iter()).filter(|(_, row)| row.fill_count != 0) {
            let value = self.const_expr(row.fill, row.fill_count)?;
            let table = self.table(table).ok_or(InitError::Corrupt("an imported table has an initial value"))?;
            let filled = table.fill(0, table.element_of(value), table.length());
            filled.map_err(|OutOfBounds| InitError::Corrupt("a table has no room for its elements"))?;
        }
        for (segment, row) in (0..).zip(tables.elem_segments.iter()) {
            if SegmentMode::from_code(row.mode) == Some(SegmentMode::Active) {
                let to = self.const_expr(row.offset, row.offset_count)?.low;
                self.table_init(row.table, segment, to, 0, row.count, SegmentMode::Active)
                    .map_err(|OutOfBounds| InitError::Trap(Trap::TableOutOfBounds))?;
            }
        }
        for row in tables.data_segments.iter() {
            if SegmentMode::from_code(row.mode) == Some(SegmentMode::Active) {
                let to = self.const_expr(row.offset, row.offset_count)?.low;
                let bytes = artifact.file_bytes(row.content).unwrap_or_default();
                self.write_memory(row.memory, to, bytes)
                    .map_err(|OutOfBounds| InitError::Trap(Trap::MemoryOutOfBounds))?;
            }
        }
        Ok(())
    }

    /// Copies elements of a segment to a table. A segment that is not of the
    /// given mode, or was dropped, has none.
    pub(super) fn table_init(
        &self,
        table: u32,
        segment: u32,
        to: u64,
        from: u32,
        count: u32,
        mode: SegmentMode,
    ) -> Result<(), OutOfBounds> {
        let artifact = self.module().artifact();
        let row = artifact.tables().elem_segments.get(segment as usize).ok_or(OutOfBounds)?;
        let usable = SegmentMode::from_code(row.mode) == Some(mode) && self.elem_dropped(segment).get() == 0;
        let length = if usable { row.count } else { 0 };
        let table = self.table(table).ok_or(OutOfBounds)?;
        let fits = from.checked_add(count).is_some_and(|end| end <= length)
            && to.checked_add(u64::from(count)).is_some_and(|end| end <= table.length());
        if !fits {
            return Err(OutOfBounds);
        }
        for i in 0..count {
            let value = self.const_expr(row.first + from + i, 1).map_err(|_| OutOfBounds)?;
            table.set(to + u64::from(i), table.element_of(value))?;
        }
        Ok(())
    }

    /// Copies elements of a passive segment to where those of an array are.
    ///
    /// # Safety
    /// At `to` there is room for `count` elements: 8 bytes each for functions,
    /// 4 for other references.
    pub(super) unsafe fn elements_init(
        &self,
        segment: u32,
        to: *mut u8,
        from: u64,
        count: u64,
    ) -> Result<(), OutOfBounds> {
        let artifact = self.module().artifact();
        let row = artifact.tables().elem_segments.get(segment as usize).ok_or(OutOfBounds)?;
        let passive = SegmentMode::from_code(row.mode) == Some(SegmentMode::Passive);
        let length = if passive && self.elem_dropped(segment).get() == 0 { row.count } else { 0 };
        if from.checked_add(count).is_none_or(|end| end > u64::from(length)) {
            return Err(OutOfBounds);
        }
        let wide = !row.element.ty().is_some_and(ValType::is_gc_ref);
        for i in 0..count as usize {
            let value = self.const_expr(row.first + from as u32 + i as u32, 1).map_err(|_| OutOfBounds)?.low;
            // SAFETY: the caller's; elements are aligned to their size.
            unsafe {
                if wide {
                    to.cast::<u64>().add(i).write(value);
                } else {
                    to.cast::<u32>().add(i).write(value as u32);
                }
            }
        }
        Ok(())
    }

    /// Copies bytes of a passive data segment to a memory.
    pub(super) fn memory_init(
        &self,
        memory: u32,
        segment: u32,
        to: u64,
        from: u32,
        length: u32,
    ) -> Result<(), OutOfBounds> {
        let bytes = self.segment_bytes(segment, from.into(), length.into()).ok_or(OutOfBounds)?;
        self.write_memory(memory, to, bytes)
    }

    /// A range of a passive data segment, which is empty once it was dropped.
    pub(super) fn segment_bytes(&self, segment: u32, from: u64, length: u64) -> Option<&[u8]> {
        let artifact = self.module().artifact();
        let row = artifact.tables().data_segments.get(segment as usize)?;
        let passive = SegmentMode::from_code(row.mode) == Some(SegmentMode::Passive);
        let usable = passive && self.data_dropped(segment).get() == 0;
        let bytes = if usable { artifact.file_bytes(row.content).unwrap_or_default() } else { &[] };
        bytes.get(usize::try_from(from).ok()?..usize::try_from(from.checked_add(length)?).ok()?)
    }

    fn write_memory(&self, memory: u32, to: u64, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let memory = self.memory(memory).ok_or(OutOfBounds)?;
        let end = to.checked_add(bytes.len() as u64).ok_or(OutOfBounds)?;
        if end > memory.length() as u64 {
            return Err(OutOfBounds);
        }
        // SAFETY: the target range is in the memory, which is not part of the
        // mapped artifact.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.lent_base().add(to as usize), bytes.len()) };
        Ok(())
    }

    /// The start function, if there is one.
    pub(crate) fn start(&self, state: &StoreState) -> Option<Result<Stored<VMFuncRef>, InitError>> {
        let start = self.module().artifact().header().start;
        (start != NONE).then(|| {
            self.handle(state, |instance| instance.func_ref(start))
                .ok_or(InitError::Corrupt("the start function cannot be called"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(kind: ConstOpKind, low: u64) -> ConstOp {
        ConstOp { kind: kind as u8, low, high: 0 }
    }

    fn value(ops: &[ConstOp]) -> Option<u64> {
        let global = |index| (index == 3).then_some(ValRaw::of(10));
        evaluate(ops.iter().copied(), global, |index| Some(u64::from(index) << 4)).map(|v| v.low)
    }

    #[test]
    fn constant_expressions_have_the_value_of_a_stack_machine() {
        use ConstOpKind::{Const, GlobalGet, I32Add, I32Mul, I32Sub, I64Add, I64Sub, RefFunc, RefNull};
        assert_eq!(value(&[op(Const, 5)]), Some(5));
        assert_eq!(value(&[op(RefNull, 0)]), Some(0));
        assert_eq!(value(&[op(RefFunc, 2)]), Some(32));
        let difference = [op(GlobalGet, 3), op(Const, 4), op(I32Sub, 0), op(Const, 7), op(I32Mul, 0)];
        assert_eq!(value(&difference), Some(42));
        let nested = [op(Const, 1), op(Const, 2), op(Const, 3), op(I64Add, 0), op(I64Sub, 0)];
        assert_eq!(value(&nested), Some(1u64.wrapping_sub(5)));
        assert_eq!(value(&[op(Const, u64::from(u32::MAX)), op(Const, 1), op(I32Add, 0)]), Some(0));
    }

    #[test]
    fn expressions_that_are_none_have_no_value() {
        use ConstOpKind::{Const, GlobalGet, I32Add};
        assert_eq!(value(&[]), None);
        assert_eq!(value(&[op(Const, 1), op(Const, 2)]), None);
        assert_eq!(value(&[op(Const, 1), op(I32Add, 0)]), None);
        assert_eq!(value(&[op(GlobalGet, 9)]), None);
        assert_eq!(value(&[ConstOp { kind: 200, low: 0, high: 0 }]), None);
    }
}
