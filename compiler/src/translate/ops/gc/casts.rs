//! Type tests.
//!
//! A test is a few compares in line and ends in one of two blocks. What the
//! translator knows of the operand leaves out what cannot fail. An object is
//! of a defined type at depth `d` if entry `d` of its descriptor's list of
//! types is that type; if nobody else makes objects and the type has no
//! subtypes, if its descriptor is that of the type.

use super::access::Part;
use crate::error::Error;
use crate::translate::known::represented;
use crate::translate::{Symbol, Translator, trap_code};
use crate::types::TypeIndex;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::descriptor::{self, EXTERN_TAG, I31_BIT, MIN_SUPERS, NOT_OBJECT_MASK, ObjectKind};
use wasmc_artifacts::abi::{ConcreteType, HeapType, RefType, Trap, TypeKind, vm_func_ref};
use wasmparser::HeapType as WasmHeapType;

/// What is known about the outcome of a test without looking at the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Always,
    Never,
    Open,
}

/// Where a test leads.
#[derive(Clone, Copy)]
struct Ways {
    yes: Block,
    no: Block,
}

impl Translator<'_> {
    /// Whether something of type `from` that is not null is a `to`.
    fn outcome(&self, from: HeapType, to: HeapType) -> Outcome {
        use HeapType as H;
        if self.is_heap_subtype(from, to) {
            return Outcome::Always;
        }
        if matches!(to, H::None | H::NoFunc | H::NoExn) {
            return Outcome::Never;
        }
        if self.is_heap_subtype(to, from) {
            return Outcome::Open;
        }
        Outcome::Never
    }

    /// Goes on in one of two blocks, by whether `value` is a `to`.
    fn test(&mut self, value: Value, to: RefType, ways: Ways) {
        let to = represented(to);
        let from = self.operand_type(value, to.heap);
        if from.nullable {
            let present = self.b.create_block();
            let on_null = if to.nullable { ways.yes } else { ways.no };
            self.b.ins().brif(value, present, &[], on_null, &[]);
            self.b.seal_block(present);
            self.b.switch_to_block(present);
        }
        self.test_present(value, from.heap, to.heap, ways);
    }

    /// As [`test`](Self::test) for a value that is not null.
    fn test_present(&mut self, value: Value, from: HeapType, to: HeapType, ways: Ways) {
        match self.outcome(from, to) {
            Outcome::Always => drop(self.b.ins().jump(ways.yes, &[])),
            Outcome::Never => drop(self.b.ins().jump(ways.no, &[])),
            Outcome::Open => self.test_heap_type(value, from, to, ways),
        }
    }

    fn test_heap_type(&mut self, value: Value, from: HeapType, to: HeapType, ways: Ways) {
        match to {
            HeapType::I31 => {
                let bit = self.b.ins().band_imm_u(value, i64::from(I31_BIT));
                self.b.ins().brif(bit, ways.yes, &[], ways.no, &[]);
            }
            HeapType::Eq => {
                // All but values of the host's.
                let tag = self.b.ins().band_imm_u(value, i64::from(NOT_OBJECT_MASK));
                let host = self.b.ins().icmp_imm_u(IntCC::Equal, tag, i64::from(EXTERN_TAG));
                self.b.ins().brif(host, ways.no, &[], ways.yes, &[]);
            }
            HeapType::Struct => self.test_kind(value, from, ObjectKind::Struct, ways),
            HeapType::Array => self.test_kind(value, from, ObjectKind::Array, ways),
            HeapType::Concrete(concrete) => {
                let ty = self.env.module.types.find(concrete.id);
                let ty = ty.unwrap_or_else(|| unreachable!("validation has seen the type"));
                if concrete.kind == TypeKind::Func {
                    self.test_function(value, ty, ways);
                } else {
                    let descriptor = self.present_descriptor(value, from, ways.no);
                    self.test_descriptor(descriptor, ty, ways);
                }
            }
            // Tops and bottoms of the hierarchies are decided before.
            _ => unreachable!("whether something is a {to} needs no test"),
        }
    }

    fn test_kind(&mut self, value: Value, from: HeapType, kind: ObjectKind, ways: Ways) {
        let descriptor = self.present_descriptor(value, from, ways.no);
        let found = self.b.ins().load(types::I32, descriptor_flags(), descriptor, descriptor::KIND);
        let same = self.b.ins().icmp_imm_u(IntCC::Equal, found, i64::from(kind as u32));
        self.b.ins().brif(same, ways.yes, &[], ways.no, &[]);
    }

    /// The descriptor of a value that is not null, or on to `no` if it is not
    /// an object.
    fn present_descriptor(&mut self, value: Value, from: HeapType, no: Block) -> Value {
        self.leave_unless_object(value, from, no);
        let flags = self.part_flags(Part::Descriptor);
        let address = self.object_address(value);
        self.b.ins().load(types::I64, flags, address, 0)
    }

    /// Goes on to `no` if a value that is not null may be, and is, no object.
    fn leave_unless_object(&mut self, value: Value, from: HeapType, no: Block) {
        if matches!(from, HeapType::Struct | HeapType::Array | HeapType::Concrete(_)) {
            return;
        }
        // Nothing comparable is a value of the host's.
        let mask = if from == HeapType::Eq { I31_BIT } else { NOT_OBJECT_MASK };
        let tag = self.b.ins().band_imm_u(value, i64::from(mask));
        let object = self.b.create_block();
        self.b.ins().brif(tag, no, &[], object, &[]);
        self.b.seal_block(object);
        self.b.switch_to_block(object);
    }

    /// Goes on by whether a descriptor is one of `ty` or of a subtype.
    fn test_descriptor(&mut self, found: Value, ty: TypeIndex, ways: Ways) {
        let objects = &self.env.facts.objects;
        if objects.closed && objects.get(ty).leaf {
            let expected = self.symbol_address(Symbol::Descriptor(ty));
            let same = self.b.ins().icmp(IntCC::Equal, found, expected);
            self.b.ins().brif(same, ways.yes, &[], ways.no, &[]);
            return;
        }
        self.test_supers(found, ty, ways);
    }

    /// Goes on by whether the list of types in a descriptor has `ty`.
    fn test_supers(&mut self, found: Value, ty: TypeIndex, ways: Ways) {
        let depth = self.env.facts.objects.get(ty).depth;
        if depth as usize >= MIN_SUPERS {
            let deep = self.b.create_block();
            let found_depth = self.b.ins().load(types::I32, descriptor_flags(), found, descriptor::DEPTH);
            let reaches = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, found_depth, i64::from(depth));
            self.b.ins().brif(reaches, deep, &[], ways.no, &[]);
            self.b.seal_block(deep);
            self.b.switch_to_block(deep);
        }
        let entry = descriptor::SUPERS + depth as i32 * 8;
        let found = self.b.ins().load(types::I64, descriptor_flags(), found, entry);
        let expected = self.b.ins().iconst(types::I64, self.env.module.types.get(ty).id.0 as i64);
        let same = self.b.ins().icmp(IntCC::Equal, found, expected);
        self.b.ins().brif(same, ways.yes, &[], ways.no, &[]);
    }

    /// Goes on by whether a function that is not null is of type `ty`.
    fn test_function(&mut self, value: Value, ty: TypeIndex, ways: Ways) {
        let defined = self.env.module.types.get(ty);
        let flags = MemFlagsData::trusted().with_readonly();
        let found = self.b.ins().load(types::I64, flags, value, vm_func_ref::type_id);
        let expected = self.b.ins().iconst(types::I64, defined.id.0 as i64);
        let same = self.b.ins().icmp(IntCC::Equal, found, expected);
        if defined.ty.is_final {
            self.b.ins().brif(same, ways.yes, &[], ways.no, &[]);
            return;
        }
        let (other, described) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(same, ways.yes, &[], other, &[]);
        self.b.seal_block(other);
        self.b.switch_to_block(other);
        let descriptor = self.b.ins().load(types::I64, flags, value, vm_func_ref::descriptor);
        self.b.ins().brif(descriptor, described, &[], ways.no, &[]);
        self.b.seal_block(described);
        self.b.switch_to_block(described);
        self.test_supers(descriptor, ty, ways);
    }

    fn target_type(&self, nullable: bool, ty: WasmHeapType) -> Result<RefType, Error> {
        Ok(RefType::new(nullable, self.env.module.types.heap_type(ty)?))
    }

    /// Pops a reference and pushes whether it is a `to`.
    fn ref_test(&mut self, to: RefType) {
        let value = self.pop();
        let ways = Ways { yes: self.b.create_block(), no: self.b.create_block() };
        let done = self.b.create_block();
        let result = self.b.append_block_param(done, types::I32);
        self.test(value, to, ways);
        for (block, outcome) in [(ways.yes, 1), (ways.no, 0)] {
            self.b.seal_block(block);
            self.b.switch_to_block(block);
            let outcome = self.b.ins().iconst(types::I32, outcome);
            self.b.ins().jump(done, &[BlockArg::Value(outcome)]);
        }
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        self.push(result);
    }

    pub(in crate::translate) fn visit_ref_test_non_null(&mut self, ty: WasmHeapType) -> Result<(), Error> {
        self.ref_test(self.target_type(false, ty)?);
        Ok(())
    }

    pub(in crate::translate) fn visit_ref_test_nullable(&mut self, ty: WasmHeapType) -> Result<(), Error> {
        self.ref_test(self.target_type(true, ty)?);
        Ok(())
    }

    /// Traps unless the reference on top of the stack is a `to`.
    fn ref_cast(&mut self, to: RefType) {
        let to = represented(to);
        let value = self.pop();
        let from = self.operand_type(value, to.heap);
        let outcome = self.outcome(from.heap, to.heap);
        if outcome == Outcome::Always && (to.nullable || !from.nullable) {
            self.push(value);
            return;
        }
        let ways = Ways { yes: self.b.create_block(), no: self.b.create_block() };
        self.b.set_cold_block(ways.no);
        match to.heap {
            HeapType::Concrete(ConcreteType { kind: TypeKind::Struct | TypeKind::Array, id })
                if outcome == Outcome::Open && !to.nullable =>
            {
                let ty = self.env.module.types.find(id);
                let ty = ty.unwrap_or_else(|| unreachable!("validation has seen the type"));
                self.leave_unless_object(value, from.heap, ways.no);
                // Null has no descriptor, which is found out by reading it.
                let flags = self.first_flags(Part::Descriptor, value, 0, Trap::CastFailure);
                let address = self.object_address(value);
                let descriptor = self.b.ins().load(types::I64, flags, address, 0);
                self.test_descriptor(descriptor, ty, ways);
            }
            _ => self.test(value, to, ways),
        }
        self.b.seal_block(ways.no);
        self.b.switch_to_block(ways.no);
        self.b.ins().trap(trap_code(Trap::CastFailure));
        self.b.seal_block(ways.yes);
        self.b.switch_to_block(ways.yes);
        self.learn(value, to);
        self.push(value);
    }

    pub(in crate::translate) fn visit_ref_cast_non_null(&mut self, ty: WasmHeapType) -> Result<(), Error> {
        self.ref_cast(self.target_type(false, ty)?);
        Ok(())
    }

    pub(in crate::translate) fn visit_ref_cast_nullable(&mut self, ty: WasmHeapType) -> Result<(), Error> {
        self.ref_cast(self.target_type(true, ty)?);
        Ok(())
    }

    /// Branches if the reference on top of the stack is a `to`, or, if not
    /// `on_success`, if it is none.
    fn br_on_cast(
        &mut self,
        depth: u32,
        from: wasmparser::RefType,
        to: wasmparser::RefType,
        on_success: bool,
    ) -> Result<(), Error> {
        let (from, to) = (self.env.module.types.ref_type(from)?, self.env.module.types.ref_type(to)?);
        let value = self.pop();
        self.learn(value, from);
        self.push(value);
        let ways = Ways { yes: self.b.create_block(), no: self.b.create_block() };
        self.test(value, to, ways);
        let (taken, next) = if on_success { (ways.yes, ways.no) } else { (ways.no, ways.yes) };
        self.b.seal_block(taken);
        self.b.switch_to_block(taken);
        self.branch(depth);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        if !on_success {
            self.learn(value, to);
        } else if to.nullable {
            self.learn_non_null(value, from.heap);
        }
        Ok(())
    }

    pub(in crate::translate) fn visit_br_on_cast(
        &mut self,
        depth: u32,
        from: wasmparser::RefType,
        to: wasmparser::RefType,
    ) -> Result<(), Error> {
        self.br_on_cast(depth, from, to, true)
    }

    pub(in crate::translate) fn visit_br_on_cast_fail(
        &mut self,
        depth: u32,
        from: wasmparser::RefType,
        to: wasmparser::RefType,
    ) -> Result<(), Error> {
        self.br_on_cast(depth, from, to, false)
    }
}

/// Flags for reading a descriptor, which never changes. One must not be read
/// before it is known to be there.
fn descriptor_flags() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly()
}
