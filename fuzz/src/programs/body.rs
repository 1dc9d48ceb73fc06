//! The body of a function while it is written.

use super::Program;
use super::types::{FUNC, Shape, abstract_ref};
use wasm_encoder::{
    AbstractHeapType, BlockType, HeapType, Instruction, MemArg, MemArgTarget, RefType, StorageType, ValType,
};

/// Instructions after which a body only gets what it needs to be complete.
const LARGE: usize = 1500;

/// Elements that every array has at least, so that small indices are in it.
pub const ELEMENTS: u32 = 4;

/// A function's locals and instructions so far.
pub struct Body<'p, 'a> {
    pub program: &'p mut Program<'a>,
    pub code: Vec<Instruction<'static>>,
    /// Parameters first.
    pub locals: Vec<ValType>,
    pub results: Vec<ValType>,
    /// What branches to each label take, the outermost first.
    labels: Vec<Vec<ValType>>,
}

impl<'p, 'a> Body<'p, 'a> {
    pub fn new(program: &'p mut Program<'a>, params: &[ValType], results: &[ValType]) -> Self {
        let labels = vec![results.to_vec()];
        Body { program, code: Vec::new(), locals: params.to_vec(), results: results.to_vec(), labels }
    }

    pub fn emit(&mut self, instruction: Instruction<'static>) {
        self.code.push(instruction);
    }

    pub fn is_full(&self) -> bool {
        self.code.len() > LARGE || self.program.c.is_empty()
    }

    pub fn i32(&mut self, value: i32) {
        self.emit(Instruction::I32Const(value));
    }

    /// A new local.
    pub fn local(&mut self, ty: ValType) -> u32 {
        self.locals.push(ty);
        self.locals.len() as u32 - 1
    }

    /// The type of a block with these results.
    pub fn block_type(&mut self, results: &[ValType]) -> BlockType {
        match results {
            [] => BlockType::Empty,
            [one] => BlockType::Result(*one),
            _ => BlockType::FunctionType(self.program.types.block(&[], results)),
        }
    }

    /// Opens a block whose label takes its results.
    pub fn open(&mut self, results: &[ValType]) {
        let ty = self.block_type(results);
        self.emit(Instruction::Block(ty));
        self.labels.push(results.to_vec());
    }

    /// Notes a label of a block that was opened by other means.
    pub fn label(&mut self, types: &[ValType]) {
        self.labels.push(types.to_vec());
    }

    pub fn end(&mut self) {
        self.labels.pop();
        self.emit(Instruction::End);
    }

    /// The labels that can be branched to, by depth, with what they take.
    pub fn targets(&self) -> Vec<(u32, Vec<ValType>)> {
        self.labels.iter().rev().cloned().enumerate().map(|(depth, types)| (depth as u32, types)).collect()
    }

    /// Variables whose value is one of `ty`.
    pub fn variables(&self, ty: ValType) -> Vec<Instruction<'static>> {
        let types = &self.program.types;
        let locals = self.locals.iter().enumerate().filter(|(_, local)| types.is_subtype(**local, ty));
        let globals = self.program.globals.iter().enumerate().filter(|(_, global)| types.is_subtype(global.ty, ty));
        locals
            .map(|(index, _)| Instruction::LocalGet(index as u32))
            .chain(globals.map(|(index, _)| Instruction::GlobalGet(index as u32)))
            .collect()
    }

    /// A value that needs nothing, of constant instructions only.
    pub fn minimal(&mut self, ty: ValType) {
        match ty {
            ValType::I32 => {
                let number = self.program.c.number() as i32;
                self.i32(number);
            }
            ValType::I64 => {
                let number = self.program.c.number();
                self.emit(Instruction::I64Const(number));
            }
            ValType::F32 => {
                let bits = self.program.c.number() as u32;
                self.emit(Instruction::F32Const(wasm_encoder::Ieee32::new(bits)));
            }
            ValType::F64 => {
                let bits = self.program.c.number() as u64;
                self.emit(Instruction::F64Const(wasm_encoder::Ieee64::new(bits)));
            }
            ValType::V128 => {
                let (low, high) = (self.program.c.number(), self.program.c.number());
                self.emit(Instruction::V128Const(i128::from(high) << 64 | i128::from(low as u64)));
            }
            ValType::Ref(RefType { nullable: true, heap_type }) => self.emit(Instruction::RefNull(heap_type)),
            ValType::Ref(RefType { nullable: false, heap_type }) => self.minimal_object(heap_type),
        }
    }

    fn minimal_object(&mut self, heap: HeapType) {
        match heap {
            HeapType::Concrete(index) | HeapType::Exact(index) => self.minimal_concrete(index),
            HeapType::Abstract { ty: AbstractHeapType::Func, .. } => self.emit(Instruction::RefFunc(0)),
            // Any, eq or i31: others are never without null.
            HeapType::Abstract { .. } => {
                let number = self.program.c.number() as i32;
                self.i32(number);
                self.emit(Instruction::RefI31);
            }
        }
    }

    fn minimal_concrete(&mut self, index: u32) {
        match self.program.types.defs[index as usize].shape.clone() {
            Shape::Struct(fields) => {
                for field in fields {
                    self.minimal(field.element_type.unpack());
                }
                self.emit(Instruction::StructNew(index));
            }
            Shape::Array(field) => {
                for _ in 0..ELEMENTS {
                    self.minimal(field.element_type.unpack());
                }
                self.emit(Instruction::ArrayNewFixed { array_type_index: index, array_size: ELEMENTS });
            }
            Shape::Func { .. } => {
                let function = self.program.function_of(index);
                self.emit(Instruction::RefFunc(function));
            }
        }
    }

    /// Mixes the value on the stack into the checksum.
    pub fn mix(&mut self, ty: ValType) {
        self.as_i64(ty, 2);
        self.emit(Instruction::GlobalGet(super::CHECKSUM));
        self.emit(Instruction::I64Const(7));
        self.emit(Instruction::I64Rotl);
        self.emit(Instruction::I64Xor);
        self.emit(Instruction::I64Const(0x9e37_79b9_7f4a_7c15_u64 as i64));
        self.emit(Instruction::I64Mul);
        self.emit(Instruction::GlobalSet(super::CHECKSUM));
    }

    /// Turns the value on the stack into a number that tells it from others;
    /// objects are followed for `depth` steps.
    pub fn as_i64(&mut self, ty: ValType, depth: i32) {
        match ty {
            ValType::I64 => {}
            ValType::I32 => self.emit(Instruction::I64ExtendI32U),
            ValType::F32 => {
                self.emit(Instruction::I32ReinterpretF32);
                self.emit(Instruction::I64ExtendI32U);
            }
            ValType::F64 => self.emit(Instruction::I64ReinterpretF64),
            ValType::V128 => {
                let local = self.local(ValType::V128);
                self.emit(Instruction::LocalTee(local));
                self.emit(Instruction::I64x2ExtractLane(0));
                self.emit(Instruction::LocalGet(local));
                self.emit(Instruction::I64x2ExtractLane(1));
                self.emit(Instruction::I64Sub);
            }
            ValType::Ref(ty) => self.reference_as_i64(ty, depth),
        }
    }

    fn reference_as_i64(&mut self, ty: RefType, depth: i32) {
        match (self.program.types.top(ty), self.program.digests) {
            (AbstractHeapType::Any, Some(digests)) => {
                self.i32(depth);
                self.emit(Instruction::Call(digests.object));
            }
            (AbstractHeapType::Extern, Some(digests)) => {
                self.emit(Instruction::AnyConvertExtern);
                self.i32(depth);
                self.emit(Instruction::Call(digests.object));
            }
            (AbstractHeapType::Func, Some(digests)) => self.emit(Instruction::Call(digests.function)),
            _ => {
                self.emit(Instruction::RefIsNull);
                self.emit(Instruction::I64ExtendI32U);
            }
        }
    }

    /// Ends the function with values that need nothing, if the fuel is used
    /// up, and uses some.
    pub fn fuel(&mut self) {
        self.emit(Instruction::GlobalGet(super::FUEL));
        self.i32(1);
        self.emit(Instruction::I32Sub);
        self.emit(Instruction::GlobalSet(super::FUEL));
        self.emit(Instruction::GlobalGet(super::FUEL));
        self.i32(0);
        self.emit(Instruction::I32LtS);
        self.emit(Instruction::If(BlockType::Empty));
        for ty in self.results.clone() {
            self.minimal(ty);
        }
        self.emit(Instruction::Return);
        self.emit(Instruction::End);
    }

    /// A reference type of one of the hierarchies that there are.
    pub fn any_reference(&mut self) -> ValType {
        let end = self.program.end;
        for _ in 0..4 {
            let ty = self.program.types.value(&mut self.program.c, end);
            if matches!(ty, ValType::Ref(_)) {
                return ty;
            }
        }
        FUNC
    }

    /// A type of objects, as a reference that is not null.
    pub fn any_object(&mut self) -> Option<u32> {
        let objects: Vec<u32> = self.program.types.objects().collect();
        (!objects.is_empty()).then(|| self.program.c.pick(&objects))
    }
}

/// Reads a field that was packed with or without its sign.
pub fn is_packed(storage: StorageType) -> bool {
    matches!(storage, StorageType::I8 | StorageType::I16)
}

/// The top of the hierarchy as a type that may be null.
pub fn top_of(body: &Body<'_, '_>, ty: RefType) -> ValType {
    abstract_ref(body.program.types.top(ty), true)
}

/// A place in memory, from an address on.
pub fn at(offset: u64) -> MemArg {
    MemArg { offset, align: 0, target: MemArgTarget::Memory(0), ordering: None }
}
