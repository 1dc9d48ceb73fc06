//! Programs that mean something: they make objects, link them, cast them,
//! throw them, call each other in every way, and keep a checksum.
//!
//! A program has one purpose: that little of it is ever in vain. Casts have a
//! value for when they fail, indices are in bounds, nothing is null where that
//! would trap, but once in a while; and what a value is, down to what can be
//! reached from it, goes into the checksum.
//!
//! ```text
//! types      recursion groups with hierarchies (types.rs)
//! functions  the host's, digests of references (digest.rs), one of each type, `run`
//! bodies     statements (statements.rs) of expressions (exprs.rs), and how
//!            control leaves them (control.rs), written by body.rs
//! ```

mod body;
mod control;
mod digest;
mod exprs;
mod statements;
mod types;

use crate::choices::Choices;
use crate::features::Features;
use body::Body;
use digest::Digests;
use std::borrow::Cow;
use types::{ANY, EXN, EXTERN, FUNC, Shape, Universe};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction, MemorySection,
    MemoryType, Module, RefType, TableSection, TableType, TagKind, TagSection, TagType, ValType,
};

/// Globals that every program has.
const CHECKSUM: u32 = 0;
const FUEL: u32 = 1;
/// The exception that was last caught and kept; only with exceptions.
const EXCEPTION: u32 = 2;

/// The host function `(i64) -> ()`.
const HOST: u32 = 0;

/// Tables: functions by their indices, and eight objects.
const FUNCTIONS: u32 = 0;
const OBJECTS: u32 = 1;

/// The data segment that is not active.
const PASSIVE_DATA: u32 = 0;

/// The type of `run`, `(i32) -> i64`. It is the last function, and no other
/// one knows of it: it renews the fuel.
const RUN_TYPE: u32 = 1;

/// Calls and rounds of loops in one run.
const RUN: i32 = 400;

/// How deep expressions and statements are nested.
const DEPTH: u32 = 4;

/// A global.
struct Global {
    ty: ValType,
    mutable: bool,
    /// Whether any statement may change it.
    is_free: bool,
    init: Vec<Instruction<'static>>,
}

/// A program while it is made.
struct Program<'a> {
    c: Choices<'a>,
    types: Universe,
    /// The types that values have are before this one.
    end: u32,
    /// Types of all functions, the host's first.
    functions: Vec<u32>,
    globals: Vec<Global>,
    /// Types of all tags.
    tags: Vec<u32>,
    digests: Option<Digests>,
}

/// What the table of objects has.
fn element(features: Features) -> ValType {
    if features.gc { ANY } else { EXTERN }
}

/// A program made from the bytes.
pub fn generate(bytes: &[u8], features: Features) -> Vec<u8> {
    let mut c = Choices::new(bytes);
    let types = Universe::choose(&mut c, features);
    let end = types.defs.len() as u32;
    let mut program =
        Program { c, types, end, functions: Vec::new(), globals: Vec::new(), tags: Vec::new(), digests: None };
    program.declare();
    let bodies = program.bodies();
    program.module(&bodies)
}

impl Program<'_> {
    /// A function of this type, or of a subtype; there is one of each.
    fn function_of(&self, ty: u32) -> u32 {
        let is = |other: u32| self.types.is_subtype(types::concrete(other, false), types::concrete(ty, false));
        self.functions.iter().position(|other| is(*other)).unwrap_or_default() as u32
    }

    /// The passive segment with elements of the type.
    fn segment_for(&self, ty: ValType) -> Option<u32> {
        match ty {
            FUNC => Some(2),
            ANY => Some(3),
            _ => None,
        }
    }

    /// Everything but the bodies.
    fn declare(&mut self) {
        let Features { gc, exceptions, .. } = self.types.features;
        let host = self.types.block(&[ValType::I64], &[]);
        self.functions.push(host);
        if gc {
            let object = self.types.block(&[ANY, ValType::I32], &[ValType::I64]);
            let function = self.types.block(&[FUNC], &[ValType::I64]);
            self.digests = Some(Digests { object: 1, function: 2 });
            self.functions.extend([object, function]);
        }
        // One of each.
        let is_function = |index: &u32| matches!(self.types.defs[*index as usize].shape, Shape::Func { .. });
        let each: Vec<u32> = (0..self.end).filter(is_function).collect();
        self.functions.extend(&each);
        for _ in 0..self.c.below(4) {
            let ty = self.c.pick(&each);
            self.functions.push(ty);
        }
        if exceptions {
            for _ in 0..=self.c.below(4) {
                let payload: Vec<ValType> =
                    (0..self.c.below(4)).map(|_| self.types.value(&mut self.c, self.end)).collect();
                let ty = self.types.block(&payload, &[]);
                self.tags.push(ty);
            }
        }
        self.declare_globals();
    }

    fn declare_globals(&mut self) {
        let reserved = |ty, init| Global { ty, mutable: true, is_free: false, init: vec![init] };
        self.globals.push(reserved(ValType::I64, Instruction::I64Const(0)));
        self.globals.push(reserved(ValType::I32, Instruction::I32Const(RUN)));
        if self.types.features.exceptions {
            let ValType::Ref(RefType { heap_type, .. }) = EXN else { return };
            self.globals.push(reserved(EXN, Instruction::RefNull(heap_type)));
        }
        for _ in 0..2 + self.c.below(6) {
            let ty = self.types.value(&mut self.c, self.end);
            let mutable = self.c.below(4) != 1;
            let mut body = Body::new(self, &[], &[]);
            body.minimal(ty);
            let init = std::mem::take(&mut body.code);
            self.globals.push(Global { ty, mutable, is_free: mutable, init });
        }
    }

    fn bodies(&mut self) -> Vec<Function> {
        let mut functions = Vec::new();
        for index in 1..self.functions.len() as u32 {
            let ty = self.functions[index as usize];
            let Shape::Func { params, results } = self.types.defs[ty as usize].shape.clone() else { continue };
            let digests = self.digests;
            let mut body = Body::new(self, &params, &results);
            match digests {
                Some(digests) if index == digests.object => body.digest_object(),
                Some(digests) if index == digests.function => body.digest_function(),
                _ => body.function(),
            }
            functions.push(body.finish(params.len()));
        }
        let mut body = Body::new(self, &[ValType::I32], &[ValType::I64]);
        body.run();
        functions.push(body.finish(1));
        functions
    }

    fn module(&mut self, bodies: &[Function]) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types.section());
        let mut imports = ImportSection::new();
        imports.import("host", "note", EntityType::Function(self.functions[HOST as usize]));
        module.section(&imports);
        let mut functions = FunctionSection::new();
        for ty in &self.functions[1..] {
            functions.function(*ty);
        }
        functions.function(RUN_TYPE);
        module.section(&functions);
        module.section(&self.tables());
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: Some(1),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        module.section(&memories);
        if !self.tags.is_empty() {
            let mut tags = TagSection::new();
            for func_type_idx in &self.tags {
                tags.tag(TagType { kind: TagKind::Exception, func_type_idx: *func_type_idx });
            }
            module.section(&tags);
        }
        let mut globals = GlobalSection::new();
        for global in &self.globals {
            let ty = GlobalType { val_type: global.ty, mutable: global.mutable, shared: false };
            globals.global(ty, &ConstExpr::extended(global.init.iter().cloned()));
        }
        module.section(&globals);
        module.section(&self.exports());
        module.section(&self.elements());
        module.section(&DataCountSection { count: 1 });
        let mut code = CodeSection::new();
        for body in bodies {
            code.function(body);
        }
        module.section(&code);
        let mut data = DataSection::new();
        data.passive((0..160_u8).map(|byte| byte.wrapping_mul(73)));
        module.section(&data);
        module.finish()
    }

    fn tables(&self) -> TableSection {
        let mut tables = TableSection::new();
        let mut table = |element, size: usize| {
            let ValType::Ref(element_type) = element else { return };
            tables.table(TableType {
                element_type,
                table64: false,
                minimum: size as u64,
                maximum: Some(size as u64 + 2),
                shared: false,
            });
        };
        table(FUNC, self.functions.len());
        table(element(self.types.features), 10);
        tables
    }

    fn exports(&mut self) -> ExportSection {
        let mut exports = ExportSection::new();
        for index in self.digests.map_or(1, |_| 3)..self.functions.len() as u32 {
            exports.export(&format!("f{index}"), ExportKind::Func, index);
        }
        exports.export("run", ExportKind::Func, self.functions.len() as u32);
        for index in 0..self.globals.len() as u32 {
            exports.export(&format!("g{index}"), ExportKind::Global, index);
        }
        exports.export("memory", ExportKind::Memory, 0);
        exports.export("objects", ExportKind::Table, OBJECTS);
        if self.c.below(2) == 1 {
            exports.export("functions", ExportKind::Table, FUNCTIONS);
        }
        exports
    }

    fn elements(&mut self) -> ElementSection {
        let all: Vec<u32> = (0..self.functions.len() as u32).collect();
        let mut elements = ElementSection::new();
        elements.active(None, &ConstExpr::i32_const(0), Elements::Functions(Cow::Borrowed(&all)));
        elements.declared(Elements::Functions(Cow::Borrowed(&all)));
        elements.passive(Elements::Functions(Cow::Borrowed(&all)));
        if self.types.features.gc {
            let objects: Vec<u32> = self.types.objects().collect();
            let mut values = Vec::new();
            for number in 0..8 {
                let mut body = Body::new(self, &[], &[]);
                match objects.get(number) {
                    Some(object) => body.minimal(types::concrete(*object, false)),
                    None => body.minimal(types::abstract_ref(wasm_encoder::AbstractHeapType::I31, false)),
                }
                values.push(ConstExpr::extended(std::mem::take(&mut body.code)));
            }
            let ValType::Ref(ty) = ANY else { return elements };
            elements.passive(Elements::Expressions(ty, Cow::Borrowed(&values)));
        }
        elements
    }
}

impl Body<'_, '_> {
    fn finish(mut self, params: usize) -> Function {
        let mut function = Function::new_with_locals_types(self.locals.split_off(params));
        for instruction in &self.code {
            function.instruction(instruction);
        }
        function.instruction(&Instruction::End);
        function
    }

    /// Any function.
    fn function(&mut self) {
        self.fuel();
        self.variables_of_its_own();
        self.statements(DEPTH);
        self.statements(DEPTH);
        self.leave(DEPTH);
    }

    /// What is called first: more statements, and the checksum in the end.
    fn run(&mut self) {
        self.i32(RUN);
        self.emit(Instruction::GlobalSet(FUEL));
        self.emit(Instruction::LocalGet(0));
        self.mix(ValType::I32);
        self.variables_of_its_own();
        for _ in 0..4 {
            self.statements(DEPTH);
        }
        if self.program.types.features.exceptions && self.program.c.below(4) != 1 {
            self.try_for(ValType::I64, DEPTH);
            self.mix(ValType::I64);
        }
        self.survey();
        self.emit(Instruction::GlobalGet(CHECKSUM));
    }

    /// A few locals, with values.
    fn variables_of_its_own(&mut self) {
        for _ in 0..1 + self.program.c.below(5) {
            let end = self.program.end;
            let ty = self.program.types.value(&mut self.program.c, end);
            // Not known until it has a value: there are locals without null.
            self.expr(ty, 2);
            let local = self.local(ty);
            self.emit(Instruction::LocalSet(local));
        }
    }

    /// Mixes in all that can be reached from globals and the table.
    fn survey(&mut self) {
        for index in 0..self.program.globals.len() as u32 {
            let ty = self.program.globals[index as usize].ty;
            if index != CHECKSUM {
                self.emit(Instruction::GlobalGet(index));
                self.as_i64(ty, 3);
                self.mix(ValType::I64);
            }
        }
        for at in 0..8 {
            self.i32(at);
            self.emit(Instruction::TableGet(OBJECTS));
            self.as_i64(element(self.program.types.features), 3);
            self.mix(ValType::I64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::generate;
    use crate::choices::Rng;
    use crate::features::Features;
    use crate::oracle::Oracle;
    use crate::sides::Stop;
    use wasmparser::{Validator, WasmFeatures};

    #[test]
    fn programs_are_valid_and_most_of_their_calls_return() {
        let oracle = Oracle::new().unwrap();
        let (mut calls, mut traps, mut deep) = (0, 0, 0);
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let bytes = rng.bytes([50, 500, 2000, 8000][seed as usize % 4]);
            let features = Features {
                gc: seed % 3 != 0,
                function_references: seed % 3 != 0,
                exceptions: seed % 5 != 0,
                ..Features::ALL
            };
            let wasm = generate(&bytes, features);
            let invalid = Validator::new_with_features(WasmFeatures::all()).validate_all(&wasm).err();
            assert!(invalid.is_none(), "seed {seed}: {invalid:?}");
            let prepared = oracle.prepare(&wasm, true).unwrap();
            for session in prepared.run(&prepared.script(0)).unwrap() {
                for call in session.calls {
                    calls += 1;
                    match call.result {
                        Ok(_) | Err(Stop::Exception) => {}
                        Err(Stop::Trap(_)) => traps += 1,
                        Err(Stop::Deep | Stop::Exhausted) => deep += 1,
                        Err(other) => panic!("seed {seed}: {other:?}"),
                    }
                }
            }
        }
        println!("{calls} calls, {traps} traps, {deep} at a limit");
        assert!(traps < calls / 3 && deep < calls / 50, "{traps} traps, {deep} at a limit, of {calls} calls");
    }
}
