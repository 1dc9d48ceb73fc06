//! Statements: instructions that leave nothing on the stack.

use super::body::{Body, is_packed};
use super::exprs::is_numeric;
use super::types::{Shape, concrete};
use wasm_encoder::{AbstractHeapType, BlockType, FieldType, HeapType, Instruction, RefType, ValType};

impl Body<'_, '_> {
    /// A few statements.
    pub fn statements(&mut self, depth: u32) {
        let count = self.program.c.below(4);
        for _ in 0..count {
            if depth > 0 && !self.is_full() {
                self.statement(depth - 1);
            }
        }
    }

    fn statement(&mut self, depth: u32) {
        let features = self.program.types.features;
        match self.program.c.below(18) {
            0 | 1 => self.set_variable(depth),
            2..=4 if features.gc => self.set_field(depth),
            5 => self.repeated(depth),
            6 => self.either(depth),
            7 if features.exceptions => self.maybe_throw(depth),
            8 => self.branch(depth),
            9 | 10 => self.call_and_mix(depth),
            11 => self.table(depth),
            12 if features.gc => self.bulk(depth),
            13 => self.memory(depth),
            14 => self.maybe_leave(depth),
            15 if features.function_references => self.unless_null(depth),
            16 if features.exceptions => {
                self.try_for(ValType::I64, depth);
                self.mix(ValType::I64);
            }
            _ => {
                let end = self.program.end;
                let ty = self.program.types.value(&mut self.program.c, end);
                self.expr(ty, depth);
                self.mix(ty);
            }
        }
    }

    fn set_variable(&mut self, depth: u32) {
        let globals = self.program.globals.iter().enumerate().filter(|(_, global)| global.is_free);
        let globals: Vec<(u32, ValType)> = globals.map(|(index, global)| (index as u32, global.ty)).collect();
        let count = self.locals.len() + globals.len();
        if count == 0 {
            return;
        }
        let chosen = self.program.c.below(count);
        if let Some(ty) = self.locals.get(chosen).copied() {
            self.expr(ty, depth);
            self.emit(Instruction::LocalSet(chosen as u32));
        } else {
            let (index, ty) = globals[chosen - self.locals.len()];
            self.expr(ty, depth);
            self.emit(Instruction::GlobalSet(index));
        }
    }

    /// Writes into an object, which is often one that others refer to.
    fn set_field(&mut self, depth: u32) {
        let Some(index) = self.any_object() else { return };
        match self.program.types.defs[index as usize].shape.clone() {
            Shape::Struct(fields) => {
                let mutable = fields.iter().enumerate().filter(|(_, field)| field.mutable);
                let mutable: Vec<(usize, FieldType)> = mutable.map(|(at, field)| (at, *field)).collect();
                if mutable.is_empty() {
                    return;
                }
                let (field_index, field) = self.program.c.pick(&mutable);
                self.expr(concrete(index, false), depth);
                self.expr(field.element_type.unpack(), depth);
                self.emit(Instruction::StructSet { struct_type_index: index, field_index: field_index as u32 });
            }
            Shape::Array(field) if field.mutable => {
                self.expr(concrete(index, false), depth);
                self.index(depth);
                self.expr(field.element_type.unpack(), depth);
                self.emit(Instruction::ArraySet(index));
            }
            _ => {}
        }
    }

    /// A loop that ends when its counter is 0, or the fuel.
    fn repeated(&mut self, depth: u32) {
        let counter = self.local(ValType::I32);
        let times = self.program.c.pick(&[2, 3, 7, 30]);
        self.i32(times);
        self.emit(Instruction::LocalSet(counter));
        self.emit(Instruction::Loop(BlockType::Empty));
        self.label(&[]);
        self.statements(depth + 1);
        self.emit(Instruction::GlobalGet(super::FUEL));
        self.i32(1);
        self.emit(Instruction::I32Sub);
        self.emit(Instruction::GlobalSet(super::FUEL));
        self.emit(Instruction::LocalGet(counter));
        self.i32(1);
        self.emit(Instruction::I32Sub);
        self.emit(Instruction::LocalTee(counter));
        self.i32(0);
        self.emit(Instruction::I32GtS);
        self.emit(Instruction::GlobalGet(super::FUEL));
        self.i32(0);
        self.emit(Instruction::I32GtS);
        self.emit(Instruction::I32And);
        self.emit(Instruction::BrIf(0));
        self.end();
    }

    fn either(&mut self, depth: u32) {
        self.condition(depth);
        self.emit(Instruction::If(BlockType::Empty));
        self.label(&[]);
        self.statements(depth);
        self.emit(Instruction::Else);
        self.statements(depth);
        self.end();
    }

    /// A branch to some label, with what it takes. Loops are left out: they
    /// count elsewhere.
    fn branch(&mut self, depth: u32) {
        self.rare_condition(depth);
        self.emit(Instruction::If(BlockType::Empty));
        self.label(&[]);
        let mut targets = self.targets();
        targets.retain(|(_, types)| !types.is_empty() && types.iter().all(|ty| can_be_made(*ty)));
        if !targets.is_empty() {
            let (label, types) = targets[self.program.c.below(targets.len())].clone();
            for ty in types {
                self.expr(ty, depth);
            }
            self.emit(Instruction::Br(label));
        }
        self.end();
    }

    fn maybe_leave(&mut self, depth: u32) {
        self.rare_condition(depth);
        self.emit(Instruction::If(BlockType::Empty));
        self.label(&[]);
        self.leave(depth);
        self.end();
    }

    fn table(&mut self, depth: u32) {
        let (index, ty) = (super::OBJECTS, super::element(self.program.types.features));
        self.expr(ValType::I32, depth);
        self.i32(7);
        self.emit(Instruction::I32And);
        match self.program.c.below(6) {
            0 | 1 => {
                self.emit(Instruction::TableGet(index));
                self.mix(ty);
            }
            2 => {
                self.expr(ty, depth);
                self.i32(1);
                self.emit(Instruction::TableFill(index));
            }
            3 => {
                self.i32(2);
                self.i32(1);
                self.emit(Instruction::TableCopy { src_table: index, dst_table: index });
            }
            _ => {
                self.expr(ty, depth);
                self.emit(Instruction::TableSet(index));
            }
        }
    }

    /// An instruction for many elements of an array.
    fn bulk(&mut self, depth: u32) {
        let arrays: Vec<(u32, FieldType)> = self
            .program
            .types
            .objects()
            .filter_map(|index| match &self.program.types.defs[index as usize].shape {
                Shape::Array(field) if field.mutable => Some((index, *field)),
                _ => None,
            })
            .collect();
        if arrays.is_empty() {
            return;
        }
        let (index, field) = self.program.c.pick(&arrays);
        let element = field.element_type.unpack();
        let small = |body: &mut Self, limit: usize| {
            let number = body.program.c.below(limit) as i32;
            body.i32(number);
        };
        self.expr(concrete(index, false), depth);
        small(self, 3);
        match self.program.c.below(3) {
            1 => {
                self.expr(concrete(index, false), depth);
                small(self, 3);
                small(self, 3);
                self.emit(Instruction::ArrayCopy { array_type_index_dst: index, array_type_index_src: index });
            }
            2 if is_numeric(field.element_type) => {
                small(self, 3);
                small(self, 3);
                self.emit(Instruction::ArrayInitData {
                    array_type_index: index,
                    array_data_index: super::PASSIVE_DATA,
                });
            }
            2 if self.program.segment_for(element).is_some() => {
                let array_elem_index = self.program.segment_for(element).unwrap_or_default();
                small(self, 3);
                small(self, 3);
                self.emit(Instruction::ArrayInitElem { array_type_index: index, array_elem_index });
            }
            _ => {
                self.expr(element, depth);
                small(self, 3);
                self.emit(Instruction::ArrayFill(index));
            }
        }
    }

    fn memory(&mut self, depth: u32) {
        if self.program.c.below(3) == 1 {
            self.expr(ValType::I64, depth);
            return self.emit(Instruction::Call(super::HOST));
        }
        self.expr(ValType::I32, depth);
        self.i32(0xfff);
        self.emit(Instruction::I32And);
        self.expr(ValType::I64, depth);
        self.emit(Instruction::I64Store(super::body::at(16)));
    }

    /// Something for a reference unless it is null.
    fn unless_null(&mut self, depth: u32) {
        let ValType::Ref(RefType { heap_type, .. }) = self.any_reference() else { return };
        let nullable = ValType::Ref(RefType { nullable: true, heap_type });
        let known = ValType::Ref(RefType { nullable: false, heap_type });
        if self.program.c.below(2) == 0 {
            self.open(&[]);
            self.expr(nullable, depth);
            self.emit(Instruction::BrOnNull(0));
            self.mix(nullable);
            self.end();
        } else {
            self.open(&[]);
            self.open(&[known]);
            self.expr(nullable, depth);
            self.emit(Instruction::BrOnNonNull(0));
            self.emit(Instruction::Br(1));
            self.end();
            self.mix(nullable);
            self.end();
        }
    }
}

/// Whether there is always a value of the type.
fn can_be_made(ty: ValType) -> bool {
    use AbstractHeapType::{Any, Eq, Func, I31};
    match ty {
        ValType::Ref(RefType { nullable: false, heap_type: HeapType::Abstract { ty, .. } }) => {
            matches!(ty, Any | Eq | Func | I31)
        }
        _ => true,
    }
}

/// Which instruction reads a field of this type without its sign.
pub fn get_field(index: u32, field_index: u32, field: FieldType) -> Instruction<'static> {
    if is_packed(field.element_type) {
        Instruction::StructGetU { struct_type_index: index, field_index }
    } else {
        Instruction::StructGet { struct_type_index: index, field_index }
    }
}
