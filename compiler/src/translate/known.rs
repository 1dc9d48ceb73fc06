//! What translation knows of references, beyond their declared types.
//!
//! A value keeps what its definition says for good. What was found out on the
//! way (it was not null when a field was read, a cast succeeded) holds until
//! the end of the innermost control frame, where ways meet that may not have
//! come past there.
//!
//! References to values of the host's have the representation of others, so
//! that what is known outlives their conversion.

use super::Translator;
use crate::analyse::is_subtype;
use cranelift_codegen::ir::Value;
use std::collections::HashMap;
use wasmc_artifacts::abi::{ConcreteType, HeapType, Hierarchy, RefType, ValType};

/// What is known of references.
#[derive(Default)]
pub(super) struct Known {
    types: HashMap<Value, RefType>,
    /// What was known before, for everything found out in open frames.
    before: Vec<(Value, Option<RefType>)>,
}

impl Known {
    /// A point to which [`forget`](Self::forget) can go back.
    pub(super) fn mark(&self) -> usize {
        self.before.len()
    }

    /// Forgets what was found out since `mark`.
    pub(super) fn forget(&mut self, mark: usize) {
        for (value, before) in self.before.drain(mark..).rev() {
            match before {
                Some(ty) => drop(self.types.insert(value, ty)),
                None => drop(self.types.remove(&value)),
            }
        }
    }
}

/// A type without what representations do not tell.
pub(super) fn represented(ty: RefType) -> RefType {
    let heap = match ty.heap {
        HeapType::Extern => HeapType::Any,
        HeapType::NoExtern => HeapType::None,
        heap => heap,
    };
    RefType { heap, ..ty }
}

impl Translator<'_> {
    /// Whether every `sub` is an `of`.
    pub(super) fn is_heap_subtype(&self, sub: HeapType, of: HeapType) -> bool {
        let types = &self.env.module.types;
        let below = |a: ConcreteType, b: ConcreteType| {
            types.find(a.id).zip(types.find(b.id)).is_some_and(|(a, b)| is_subtype(types, a, b))
        };
        sub.matches(of, below)
    }

    /// What is known of a reference.
    pub(super) fn known(&self, value: Value) -> Option<RefType> {
        self.known.types.get(&value).copied()
    }

    /// Whether a reference is known not to be null.
    pub(super) fn is_non_null(&self, value: Value) -> bool {
        self.known(value).is_some_and(|ty| !ty.nullable)
    }

    /// Notes the type that a value has by its definition.
    pub(super) fn define(&mut self, value: Value, ty: ValType) {
        if let Some(ty) = ty.as_ref() {
            self.known.types.entry(value).or_insert(represented(ty));
        }
    }

    /// Notes the type that a value has from here to the end of the frame.
    pub(super) fn learn(&mut self, value: Value, ty: RefType) {
        let ty = represented(ty);
        let before = self.known(value);
        let after = match before {
            Some(old) if old.heap.hierarchy() == ty.heap.hierarchy() => {
                let heap = if self.is_heap_subtype(old.heap, ty.heap) { old.heap } else { ty.heap };
                RefType { nullable: old.nullable && ty.nullable, heap }
            }
            _ => ty,
        };
        if before != Some(after) {
            self.known.before.push((value, before));
            self.known.types.insert(value, after);
        }
    }

    /// Notes that a reference is not null, from here to the end of the frame.
    pub(super) fn learn_non_null(&mut self, value: Value, otherwise: HeapType) {
        let heap = self.known(value).map_or(otherwise, |ty| ty.heap);
        self.learn(value, RefType { nullable: false, heap });
    }

    /// The best that is known of an operand that an instruction takes as a
    /// reference in the hierarchy of `heap`.
    pub(super) fn operand_type(&self, value: Value, heap: HeapType) -> RefType {
        let top = match heap.hierarchy() {
            Hierarchy::Func => HeapType::Func,
            Hierarchy::Extern | Hierarchy::Any => HeapType::Any,
            Hierarchy::Exn => HeapType::Exn,
        };
        let known = self.known(value).filter(|ty| ty.heap.hierarchy() == top.hierarchy());
        known.unwrap_or(RefType { nullable: true, heap: top })
    }
}
