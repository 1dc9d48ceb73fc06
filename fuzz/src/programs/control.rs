//! Calls of all kinds, exceptions, and how functions end.

use super::body::Body;
use super::types::{EXN, Shape, abstract_ref, concrete};
use std::borrow::Cow;
use wasm_encoder::{AbstractHeapType, BlockType, Catch, Instruction, ValType};

/// Types of a function's parameters and results.
type Signature = (Vec<ValType>, Vec<ValType>);

impl Body<'_, '_> {
    fn signature(&self, ty: u32) -> Signature {
        match &self.program.types.defs[ty as usize].shape {
            Shape::Func { params, results } => (params.clone(), results.clone()),
            _ => (Vec::new(), Vec::new()),
        }
    }

    /// The functions whose results may stand where `results` are expected.
    fn functions_for(&self, results: &[ValType]) -> Vec<u32> {
        let fits = |ty: u32| {
            let (_, given) = self.signature(ty);
            let mut pairs = given.iter().zip(results);
            given.len() == results.len() && pairs.all(|(a, b)| self.program.types.is_subtype(*a, *b))
        };
        let functions = self.program.functions.iter().enumerate();
        functions.filter(|(_, ty)| fits(**ty)).map(|(index, _)| index as u32).collect()
    }

    /// A value of the type, from a call.
    pub fn call_for(&mut self, ty: ValType, depth: u32) {
        let functions = self.functions_for(&[ty]);
        if functions.is_empty() {
            return self.expr(ty, depth);
        }
        let function = self.program.c.pick(&functions);
        self.call(function, depth, false);
    }

    /// Calls a function directly, through the table, or through a reference;
    /// as a tail call if `last`.
    pub fn call(&mut self, function: u32, depth: u32, last: bool) {
        let ty = self.program.functions[function as usize];
        let (params, _) = self.signature(ty);
        for param in params {
            self.expr(param, depth);
        }
        let features = self.program.types.features;
        match self.program.c.below(3) {
            1 => {
                self.i32(function as i32);
                if self.program.c.one_in(30) {
                    // Another one, perhaps of another type.
                    self.i32(1);
                    self.emit(Instruction::I32Xor);
                }
                let (type_index, table_index) = (self.seen_as(ty), super::FUNCTIONS);
                self.emit(if last {
                    Instruction::ReturnCallIndirect { type_index, table_index }
                } else {
                    Instruction::CallIndirect { type_index, table_index }
                });
            }
            2 if features.function_references => {
                let seen = self.seen_as(ty);
                self.reference(function, seen, depth);
                self.emit(if last { Instruction::ReturnCallRef(seen) } else { Instruction::CallRef(seen) });
            }
            _ => self.emit(if last { Instruction::ReturnCall(function) } else { Instruction::Call(function) }),
        }
    }

    /// A type that has the same parameters and results and is the function's,
    /// or one above it.
    fn seen_as(&mut self, ty: u32) -> u32 {
        let above = self.program.types.defs[ty as usize].supertype;
        match above {
            Some(above) if self.program.c.below(2) == 1 && self.signature(above) == self.signature(ty) => above,
            _ => ty,
        }
    }

    /// A reference to the function that code generation cannot see through in
    /// most cases.
    fn reference(&mut self, function: u32, seen: u32, depth: u32) {
        match self.program.c.below(3) {
            1 if depth > 0 => {
                self.condition(depth - 1);
                self.emit(Instruction::If(BlockType::Result(concrete(seen, false))));
                self.label(&[concrete(seen, false)]);
                self.emit(Instruction::RefFunc(function));
                self.emit(Instruction::Else);
                let other = self.program.function_of(seen);
                self.emit(Instruction::RefFunc(other));
                self.end();
            }
            2 => {
                let local = self.local(concrete(seen, true));
                self.emit(Instruction::RefFunc(function));
                self.emit(Instruction::LocalSet(local));
                self.emit(Instruction::LocalGet(local));
            }
            _ => self.emit(Instruction::RefFunc(function)),
        }
    }

    /// A call whose results are mixed in.
    pub fn call_and_mix(&mut self, depth: u32) {
        let function = self.program.c.below(self.program.functions.len()) as u32;
        let (_, results) = self.signature(self.program.functions[function as usize]);
        self.call(function, depth, false);
        for ty in results.into_iter().rev() {
            self.mix(ty);
        }
    }

    /// Leaves the function: with values, or with a tail call.
    pub fn leave(&mut self, depth: u32) {
        let results = self.results.clone();
        let functions = self.functions_for(&results);
        if self.program.types.features.tail_call && !functions.is_empty() && self.program.c.below(3) != 0 {
            let function = self.program.c.pick(&functions);
            return self.call(function, depth, true);
        }
        for ty in results {
            self.expr(ty, depth);
        }
        self.emit(Instruction::Return);
    }

    /// A value of the type, from a body whose exceptions are caught.
    ///
    /// ```text
    /// block $done
    ///   block $second
    ///     block $first
    ///       try_table (catch … $first) (catch … $second) … body … end
    ///       br $done
    ///     end
    ///     … what the first caught … value … br $done
    ///   end
    ///   … what the second caught … value
    /// end
    /// ```
    pub fn try_for(&mut self, ty: ValType, depth: u32) {
        let count = 1 + self.program.c.below(3);
        let catches: Vec<(Catch, Vec<ValType>)> = (0..count).map(|label| self.catch(label as u32)).collect();
        self.open(&[ty]);
        for (_, payload) in catches.iter().rev() {
            self.open(payload);
        }
        let clauses = catches.iter().map(|(catch, _)| catch.clone()).collect();
        self.emit(Instruction::TryTable(BlockType::Result(ty), Cow::Owned(clauses)));
        self.label(&[ty]);
        self.statements(depth);
        if self.program.c.below(2) == 1 {
            self.maybe_throw(depth);
        }
        self.expr(ty, depth);
        self.end();
        self.emit(Instruction::Br(count as u32));
        for (number, (_, payload)) in catches.iter().enumerate() {
            self.end();
            self.handle(payload, depth);
            self.expr(ty, depth);
            let outer = count - 1 - number;
            if outer > 0 {
                self.emit(Instruction::Br(outer as u32));
            }
        }
        self.end();
    }

    fn catch(&mut self, label: u32) -> (Catch, Vec<ValType>) {
        let tag = self.program.c.below(self.program.tags.len()) as u32;
        let (mut payload, _) = self.signature(self.program.tags[tag as usize]);
        match self.program.c.below(4) {
            0 => (Catch::All { label }, Vec::new()),
            1 => (Catch::One { tag, label }, payload),
            2 => {
                payload.push(EXN);
                (Catch::OneRef { tag, label }, payload)
            }
            _ => (Catch::AllRef { label }, vec![EXN]),
        }
    }

    /// Uses what was caught, and throws it again once in a while.
    fn handle(&mut self, payload: &[ValType], depth: u32) {
        for ty in payload.iter().rev() {
            if *ty == EXN && self.program.c.below(3) == 1 {
                let local = self.local(EXN);
                self.emit(Instruction::LocalSet(local));
                self.rare_condition(depth);
                self.emit(Instruction::If(BlockType::Empty));
                self.emit(Instruction::LocalGet(local));
                self.emit(Instruction::ThrowRef);
                self.emit(Instruction::End);
            } else if self.program.types.is_subtype(*ty, EXN) {
                self.emit(Instruction::GlobalSet(super::EXCEPTION));
            } else {
                self.mix(*ty);
            }
        }
        self.statements(depth);
    }

    /// Throws, if some condition holds.
    pub fn maybe_throw(&mut self, depth: u32) {
        self.rare_condition(depth);
        self.emit(Instruction::If(BlockType::Empty));
        self.label(&[]);
        self.throw(depth);
        self.end();
    }

    fn throw(&mut self, depth: u32) {
        if self.program.c.below(5) == 1 {
            // The last one that was caught and kept, or a trap if there is none.
            self.emit(Instruction::GlobalGet(super::EXCEPTION));
            self.emit(Instruction::RefIsNull);
            self.emit(Instruction::I32Eqz);
            self.emit(Instruction::If(BlockType::Empty));
            self.emit(Instruction::GlobalGet(super::EXCEPTION));
            self.emit(Instruction::ThrowRef);
            self.emit(Instruction::End);
        }
        let tag = self.program.c.below(self.program.tags.len()) as u32;
        let (payload, _) = self.signature(self.program.tags[tag as usize]);
        for ty in payload {
            self.expr(ty, depth);
        }
        self.emit(Instruction::Throw(tag));
    }

    /// An exception that was thrown and caught.
    pub fn caught(&mut self, depth: u32) {
        self.open(&[EXN]);
        self.emit(Instruction::TryTable(BlockType::Empty, Cow::Owned(vec![Catch::AllRef { label: 0 }])));
        self.label(&[]);
        self.throw(depth);
        self.end();
        let ValType::Ref(exn) = abstract_ref(AbstractHeapType::Exn, true) else { return };
        self.emit(Instruction::RefNull(exn.heap_type));
        self.end();
    }
}
