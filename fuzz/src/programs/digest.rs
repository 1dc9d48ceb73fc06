//! Functions that turn references into numbers: what an object is, what is in
//! it, and what can be reached from there.

use super::body::{Body, ELEMENTS, is_packed};
use super::statements::get_field;
use super::types::{ANY, FUNC, Shape, abstract_ref, concrete};
use wasm_encoder::{AbstractHeapType, BlockType, FieldType, Instruction, RefType, ValType};

/// The functions' indices.
#[derive(Debug, Clone, Copy)]
pub struct Digests {
    /// `(anyref, depth i32) -> i64`
    pub object: u32,
    /// `(funcref) -> i64`
    pub function: u32,
}

/// Parameters and locals of the one for objects.
const OBJECT: u32 = 0;
const DEPTH: u32 = 1;

impl Body<'_, '_> {
    /// The body for functions: which types it has.
    pub fn digest_function(&mut self) {
        let types: Vec<u32> =
            (0..self.program.end).filter(|index| self.program.types.kind(*index) == AbstractHeapType::Func).collect();
        self.emit(Instruction::I64Const(0));
        self.tests(0, FUNC, &types);
    }

    /// Adds a bit for each of these types to the number on the stack.
    fn tests(&mut self, local: u32, top: ValType, types: &[u32]) {
        let nullable = types.first().map(|index| concrete(*index, true));
        let targets = types.iter().map(|index| concrete(*index, false)).chain(nullable).chain([top]);
        for target in targets {
            let ValType::Ref(RefType { nullable, heap_type }) = target else { continue };
            self.emit(Instruction::I64Const(1));
            self.emit(Instruction::I64Shl);
            self.emit(Instruction::LocalGet(local));
            self.emit(if nullable {
                Instruction::RefTestNullable(heap_type)
            } else {
                Instruction::RefTestNonNull(heap_type)
            });
            self.emit(Instruction::I64ExtendI32U);
            self.emit(Instruction::I64Add);
        }
    }

    /// The body for objects.
    pub fn digest_object(&mut self) {
        let hash = self.local(ValType::I64);
        let objects: Vec<u32> = self.program.types.objects().collect();
        self.emit(Instruction::I64Const(1));
        self.tests(OBJECT, ANY, &objects);
        self.emit(Instruction::LocalSet(hash));
        self.emit(Instruction::LocalGet(DEPTH));
        self.emit(Instruction::I32Eqz);
        self.emit(Instruction::If(BlockType::Empty));
        self.emit(Instruction::LocalGet(hash));
        self.emit(Instruction::Return);
        self.emit(Instruction::End);
        // Subtypes come after what they are subtypes of.
        for index in objects.into_iter().rev() {
            self.open(&[]);
            self.open(&[concrete(index, false)]);
            self.emit(Instruction::LocalGet(OBJECT));
            let (ValType::Ref(from), ValType::Ref(to)) = (ANY, concrete(index, false)) else { return };
            self.emit(Instruction::BrOnCast { relative_depth: 0, from_ref_type: from, to_ref_type: to });
            self.emit(Instruction::Drop);
            self.emit(Instruction::Br(1));
            self.end();
            let object = self.local(concrete(index, true));
            self.emit(Instruction::LocalSet(object));
            self.content(index, object, hash);
            self.emit(Instruction::LocalGet(hash));
            self.emit(Instruction::Return);
            self.end();
        }
        self.open(&[ANY]);
        let (ValType::Ref(from), ValType::Ref(to)) = (ANY, abstract_ref(AbstractHeapType::I31, false)) else { return };
        self.emit(Instruction::LocalGet(OBJECT));
        self.emit(Instruction::BrOnCastFail { relative_depth: 0, from_ref_type: from, to_ref_type: to });
        self.emit(Instruction::I31GetS);
        self.emit(Instruction::I64ExtendI32S);
        self.emit(Instruction::Return);
        self.end();
        self.emit(Instruction::Drop);
        self.emit(Instruction::LocalGet(hash));
    }

    /// Adds what is in an object to the hash.
    fn content(&mut self, index: u32, object: u32, hash: u32) {
        match self.program.types.defs[index as usize].shape.clone() {
            Shape::Struct(fields) => {
                for (field_index, field) in fields.into_iter().enumerate() {
                    self.emit(Instruction::LocalGet(object));
                    self.emit(get_field(index, field_index as u32, field));
                    self.add(field, hash);
                }
            }
            Shape::Array(field) => {
                self.emit(Instruction::LocalGet(object));
                self.emit(Instruction::ArrayLen);
                self.emit(Instruction::I64ExtendI32U);
                self.accumulate(hash);
                for at in 0..ELEMENTS {
                    self.emit(Instruction::LocalGet(object));
                    // The first ones, and the last.
                    if at + 1 == ELEMENTS {
                        self.emit(Instruction::LocalGet(object));
                        self.emit(Instruction::ArrayLen);
                        self.i32(1);
                        self.emit(Instruction::I32Sub);
                    } else {
                        self.i32(at as i32);
                    }
                    let packed = is_packed(field.element_type);
                    self.emit(if packed { Instruction::ArrayGetU(index) } else { Instruction::ArrayGet(index) });
                    self.add(field, hash);
                }
            }
            Shape::Func { .. } => {}
        }
    }

    /// Adds the value of a field on the stack to the hash.
    fn add(&mut self, field: FieldType, hash: u32) {
        let ty = field.element_type.unpack();
        match ty {
            ValType::Ref(reference) if self.program.types.top(reference) == AbstractHeapType::Any => {
                self.deeper();
            }
            ValType::Ref(reference) if self.program.types.top(reference) == AbstractHeapType::Extern => {
                self.emit(Instruction::AnyConvertExtern);
                self.deeper();
            }
            _ => self.as_i64(ty, 0),
        }
        self.accumulate(hash);
    }

    fn deeper(&mut self) {
        let Some(digests) = self.program.digests else { return };
        self.emit(Instruction::LocalGet(DEPTH));
        self.i32(1);
        self.emit(Instruction::I32Sub);
        self.emit(Instruction::Call(digests.object));
    }

    fn accumulate(&mut self, hash: u32) {
        self.emit(Instruction::LocalGet(hash));
        self.emit(Instruction::I64Const(0x0100_0000_01b3));
        self.emit(Instruction::I64Mul);
        self.emit(Instruction::I64Xor);
        self.emit(Instruction::LocalSet(hash));
    }
}
