//! Expressions: instructions that leave one value of a given type.

use super::body::{Body, ELEMENTS, is_packed, top_of};
use super::types::{ANY, EXN, EXTERN, Shape, abstract_ref, concrete};
use wasm_encoder::{AbstractHeapType, BlockType, FieldType, HeapType, Instruction, RefType, StorageType, ValType};

impl Body<'_, '_> {
    /// Pushes a value of the type.
    pub fn expr(&mut self, ty: ValType, depth: u32) {
        if depth == 0 || self.is_full() {
            return self.leaf(ty);
        }
        let depth = depth - 1;
        let features = self.program.types.features;
        match self.program.c.below(12) {
            0 | 1 => self.leaf(ty),
            2 => self.block(ty, depth),
            3 => self.conditional(ty, depth),
            4 | 5 => self.call_for(ty, depth),
            6 if features.exceptions => self.try_for(ty, depth),
            7 | 8 if features.gc => self.field_of(ty, depth),
            9 => self.selection(ty, depth),
            10 if features.gc => self.cast(ty, depth),
            _ => self.operator(ty, depth),
        }
    }

    /// A variable, or what needs nothing.
    fn leaf(&mut self, ty: ValType) {
        let variables = self.variables(ty);
        if variables.is_empty() || self.program.c.below(4) == 0 {
            return self.minimal(ty);
        }
        let index = self.program.c.below(variables.len());
        self.emit(variables[index].clone());
    }

    /// A number that is rarely 0.
    pub fn condition(&mut self, depth: u32) {
        self.expr(ValType::I32, depth);
    }

    /// A number that is rarely anything but 0.
    pub fn rare_condition(&mut self, depth: u32) {
        self.expr(ValType::I32, depth);
        let mask = self.program.c.pick(&[7, 1, 3]);
        self.i32(mask);
        self.emit(Instruction::I32And);
        self.emit(Instruction::I32Eqz);
    }

    fn block(&mut self, ty: ValType, depth: u32) {
        self.open(&[ty]);
        self.statements(depth);
        self.expr(ty, depth);
        if self.program.c.below(2) == 1 {
            self.condition(depth);
            self.emit(Instruction::BrIf(0));
            self.emit(Instruction::Drop);
            self.expr(ty, depth);
        }
        self.end();
    }

    fn conditional(&mut self, ty: ValType, depth: u32) {
        self.condition(depth);
        self.emit(Instruction::If(BlockType::Result(ty)));
        self.label(&[ty]);
        self.expr(ty, depth);
        self.emit(Instruction::Else);
        self.statements(depth);
        self.expr(ty, depth);
        self.end();
    }

    fn selection(&mut self, ty: ValType, depth: u32) {
        self.expr(ty, depth);
        self.expr(ty, depth);
        self.condition(depth);
        self.emit(if matches!(ty, ValType::Ref(_)) { Instruction::TypedSelect(ty) } else { Instruction::Select });
    }

    /// An index into any array.
    pub fn index(&mut self, depth: u32) {
        self.expr(ValType::I32, depth);
        if !self.program.c.one_in(40) {
            self.i32(ELEMENTS as i32 - 1);
            self.emit(Instruction::I32And);
        }
    }

    /// What is in an object.
    fn field_of(&mut self, ty: ValType, depth: u32) {
        let types = &self.program.types;
        let fits = |field: &FieldType| types.is_subtype(field.element_type.unpack(), ty);
        let mut places = Vec::new();
        for index in types.objects() {
            match &types.defs[index as usize].shape {
                Shape::Struct(fields) => {
                    let fields = fields.iter().enumerate().filter(|(_, field)| fits(field));
                    places.extend(fields.map(|(at, field)| (index, Some(at as u32), field.element_type)));
                }
                Shape::Array(field) if fits(field) => places.push((index, None, field.element_type)),
                _ => {}
            }
        }
        if places.is_empty() {
            return self.operator(ty, depth);
        }
        let (index, field, storage) = self.program.c.pick(&places);
        // Once in a while through a null.
        let nullable = self.program.c.one_in(60);
        self.expr(concrete(index, nullable), depth);
        let signed = self.program.c.below(2) == 1;
        let instruction = match field {
            Some(field_index) => match (is_packed(storage), signed) {
                (false, _) => Instruction::StructGet { struct_type_index: index, field_index },
                (true, true) => Instruction::StructGetS { struct_type_index: index, field_index },
                (true, false) => Instruction::StructGetU { struct_type_index: index, field_index },
            },
            None => {
                self.index(depth);
                match (is_packed(storage), signed) {
                    (false, _) => Instruction::ArrayGet(index),
                    (true, true) => Instruction::ArrayGetS(index),
                    (true, false) => Instruction::ArrayGetU(index),
                }
            }
        };
        self.emit(instruction);
    }

    /// A cast of something else to the type, and a value in case it fails.
    fn cast(&mut self, ty: ValType, depth: u32) {
        let ValType::Ref(to) = ty else { return self.operator(ty, depth) };
        if self.program.types.top(to) == AbstractHeapType::Exn {
            return self.operator(ty, depth);
        }
        let top = top_of(self, to);
        let ValType::Ref(from) = top else { return };
        match self.program.c.below(3) {
            0 => {
                self.open(&[ty]);
                self.expr(top, depth);
                self.emit(Instruction::BrOnCast { relative_depth: 0, from_ref_type: from, to_ref_type: to });
                self.emit(Instruction::Drop);
                self.expr(ty, depth);
                self.end();
            }
            1 => {
                self.open(&[ty]);
                self.open(&[top]);
                self.expr(top, depth);
                self.emit(Instruction::BrOnCastFail { relative_depth: 0, from_ref_type: from, to_ref_type: to });
                self.emit(Instruction::Br(1));
                self.end();
                self.mix(top);
                self.expr(ty, depth);
                self.end();
            }
            _ => {
                // Forgotten for a moment.
                let source = if self.program.c.one_in(30) { top } else { ty };
                self.open(&[top]);
                self.expr(source, depth);
                self.end();
                self.emit(if to.nullable {
                    Instruction::RefCastNullable(to.heap_type)
                } else {
                    Instruction::RefCastNonNull(to.heap_type)
                });
            }
        }
    }

    /// An operator of the type.
    fn operator(&mut self, ty: ValType, depth: u32) {
        match ty {
            ValType::I32 => self.operator_i32(depth),
            ValType::I64 => self.operator_i64(depth),
            ValType::F32 => {
                self.expr(ValType::I32, depth);
                let to = [Instruction::F32ConvertI32S, Instruction::F32ReinterpretI32];
                self.pick(&to);
            }
            ValType::F64 => {
                self.expr(ValType::I64, depth);
                let to = [Instruction::F64ConvertI64S, Instruction::F64ReinterpretI64, Instruction::F64ConvertI64U];
                self.pick(&to);
            }
            ValType::V128 => {
                self.expr(ValType::I64, depth);
                self.emit(Instruction::I64x2Splat);
                self.expr(ValType::V128, depth);
                self.pick(&[Instruction::V128Xor, Instruction::I32x4Add, Instruction::I16x8Sub, Instruction::I8x16Eq]);
            }
            ValType::Ref(RefType { heap_type: HeapType::Concrete(index) | HeapType::Exact(index), .. }) => {
                self.object(index, depth);
            }
            ValType::Ref(RefType { heap_type: HeapType::Abstract { ty, .. }, nullable }) => {
                self.abstract_object(ty, nullable, depth);
            }
        }
    }

    fn pick(&mut self, instructions: &[Instruction<'static>]) {
        let index = self.program.c.below(instructions.len());
        self.emit(instructions[index].clone());
    }

    fn operator_i32(&mut self, depth: u32) {
        use Instruction as I;
        let gc = self.program.types.features.gc;
        match self.program.c.below(10) {
            0 | 1 => {
                self.expr(ValType::I32, depth);
                self.expr(ValType::I32, depth);
                self.pick(&[I::I32Add, I::I32Sub, I::I32Mul, I::I32Xor, I::I32ShrU, I::I32LtS, I::I32GeU, I::I32Rotl]);
            }
            2 => {
                self.expr(ValType::I64, depth);
                self.pick(&[I::I32WrapI64, I::I64Eqz]);
            }
            3 => {
                let ty = self.any_reference();
                self.expr(ty, depth);
                self.emit(I::RefIsNull);
            }
            4 if gc => self.test(depth),
            5 if gc => {
                let eq = abstract_ref(AbstractHeapType::Eq, true);
                self.expr(eq, depth);
                self.expr(eq, depth);
                self.emit(I::RefEq);
            }
            6 if gc => {
                let arrays = self.program.types.objects();
                let arrays: Vec<u32> =
                    arrays.filter(|index| self.program.types.kind(*index) == AbstractHeapType::Array).collect();
                if arrays.is_empty() {
                    return self.leaf(ValType::I32);
                }
                let index = self.program.c.pick(&arrays);
                self.expr(concrete(index, false), depth);
                self.emit(I::ArrayLen);
            }
            7 if gc => {
                self.expr(abstract_ref(AbstractHeapType::I31, false), depth);
                self.pick(&[I::I31GetS, I::I31GetU]);
            }
            8 => {
                self.expr(ValType::I32, depth);
                self.i32(0xff);
                self.emit(I::I32And);
                self.emit(I::I32Load(super::body::at(8)));
            }
            _ => {
                self.expr(ValType::I32, depth);
                self.expr(ValType::I32, depth);
                self.i32(1);
                self.emit(I::I32Or);
                self.pick(&[I::I32DivU, I::I32RemU, I::I32RemS]);
            }
        }
    }

    /// A test of a reference for a type of its hierarchy.
    fn test(&mut self, depth: u32) {
        let ValType::Ref(target) = self.any_reference() else { return };
        if self.program.types.top(target) == AbstractHeapType::Exn {
            self.expr(EXN, depth);
            return self.emit(Instruction::RefIsNull);
        }
        let top = top_of(self, target);
        self.expr(top, depth);
        self.emit(if target.nullable {
            Instruction::RefTestNullable(target.heap_type)
        } else {
            Instruction::RefTestNonNull(target.heap_type)
        });
    }

    fn operator_i64(&mut self, depth: u32) {
        use Instruction as I;
        match self.program.c.below(4) {
            0 => {
                self.expr(ValType::I32, depth);
                self.pick(&[I::I64ExtendI32S, I::I64ExtendI32U]);
            }
            1 => {
                self.expr(ValType::F64, depth);
                self.emit(I::I64ReinterpretF64);
            }
            _ => {
                self.expr(ValType::I64, depth);
                self.expr(ValType::I64, depth);
                self.pick(&[I::I64Add, I::I64Sub, I::I64Mul, I::I64Xor, I::I64And, I::I64Rotl, I::I64ShrS]);
            }
        }
    }

    fn abstract_object(&mut self, ty: AbstractHeapType, nullable: bool, depth: u32) {
        use AbstractHeapType as H;
        let gc = self.program.types.features.gc;
        match ty {
            H::I31 => {
                self.expr(ValType::I32, depth);
                self.emit(Instruction::RefI31);
            }
            H::Any if nullable && self.program.c.below(4) == 1 => {
                self.expr(EXTERN, depth);
                self.emit(Instruction::AnyConvertExtern);
            }
            H::Any | H::Eq | H::Struct | H::Array => {
                let kinds = self.program.types.objects();
                let kinds: Vec<u32> = kinds
                    .filter(|index| matches!(ty, H::Any | H::Eq) || self.program.types.kind(*index) == ty)
                    .collect();
                if kinds.is_empty() {
                    return self.leaf(abstract_ref(ty, nullable));
                }
                let index = self.program.c.pick(&kinds);
                self.object(index, depth);
            }
            H::Extern if gc => {
                self.expr(ANY, depth);
                self.emit(Instruction::ExternConvertAny);
            }
            H::Func => {
                let function = self.program.c.below(self.program.functions.len()) as u32;
                self.emit(Instruction::RefFunc(function));
            }
            H::Exn => self.caught(depth),
            _ => self.leaf(abstract_ref(ty, nullable)),
        }
    }

    /// A new object of the type, or of one of its subtypes.
    fn object(&mut self, index: u32, depth: u32) {
        let types = &self.program.types;
        let subtypes: Vec<u32> = (0..types.defs.len() as u32)
            .filter(|other| types.is_subtype(concrete(*other, false), concrete(index, false)))
            .collect();
        let index = if self.program.c.below(2) == 0 { index } else { self.program.c.pick(&subtypes) };
        match self.program.types.defs[index as usize].shape.clone() {
            Shape::Struct(fields) => {
                if fields.iter().all(|field| field.element_type.is_defaultable()) && self.program.c.below(6) == 1 {
                    return self.emit(Instruction::StructNewDefault(index));
                }
                for field in fields {
                    self.expr(field.element_type.unpack(), depth);
                }
                self.emit(Instruction::StructNew(index));
            }
            Shape::Array(field) => self.array(index, field, depth),
            Shape::Func { .. } => {
                let function = self.program.function_of(index);
                self.emit(Instruction::RefFunc(function));
            }
        }
    }

    fn array(&mut self, index: u32, field: FieldType, depth: u32) {
        let element = field.element_type.unpack();
        let length = |body: &mut Self| {
            body.expr(ValType::I32, depth);
            body.i32(15);
            body.emit(Instruction::I32And);
            body.i32(ELEMENTS as i32);
            body.emit(Instruction::I32Add);
        };
        match self.program.c.below(5) {
            0 | 1 => {
                let count = ELEMENTS + self.program.c.below(4) as u32;
                for _ in 0..count {
                    self.expr(element, depth.min(1));
                }
                self.emit(Instruction::ArrayNewFixed { array_type_index: index, array_size: count });
            }
            2 if field.element_type.is_defaultable() => {
                length(self);
                self.emit(Instruction::ArrayNewDefault(index));
            }
            3 if is_numeric(field.element_type) => {
                self.i32(1);
                self.i32(ELEMENTS as i32);
                self.emit(Instruction::ArrayNewData { array_type_index: index, array_data_index: super::PASSIVE_DATA });
            }
            3 if self.program.segment_for(element).is_some() => {
                let segment = self.program.segment_for(element).unwrap_or_default();
                self.i32(0);
                self.i32(ELEMENTS as i32);
                self.emit(Instruction::ArrayNewElem { array_type_index: index, array_elem_index: segment });
            }
            _ => {
                self.expr(element, depth);
                length(self);
                self.emit(Instruction::ArrayNew(index));
            }
        }
    }
}

/// Whether elements can come from bytes.
pub fn is_numeric(storage: StorageType) -> bool {
    !matches!(storage, StorageType::Val(ValType::Ref(_)))
}
