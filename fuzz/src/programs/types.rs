//! The types of a program: recursion groups of structs, arrays and functions,
//! in hierarchies.

use crate::choices::Choices;
use crate::features::Features;
use std::ops::Range;
use wasm_encoder::{
    AbstractHeapType, ArrayType, CompositeInnerType, CompositeType, FieldType, FuncType, HeapType, RefType,
    StorageType, StructType, SubType, TypeSection, ValType,
};

/// What a defined type consists of.
#[derive(Debug, Clone)]
pub enum Shape {
    Struct(Vec<FieldType>),
    Array(FieldType),
    Func { params: Vec<ValType>, results: Vec<ValType> },
}

/// A defined type; its index is its place in the list.
#[derive(Debug, Clone)]
pub struct Def {
    pub is_final: bool,
    pub supertype: Option<u32>,
    pub shape: Shape,
}

/// All types of a program. Later ones are only added by [`block`](Self::block).
#[derive(Debug)]
pub struct Universe {
    pub features: Features,
    pub defs: Vec<Def>,
    groups: Vec<Range<usize>>,
}

pub const fn abstract_ref(ty: AbstractHeapType, nullable: bool) -> ValType {
    ValType::Ref(RefType { nullable, heap_type: HeapType::Abstract { shared: false, ty } })
}

pub const fn concrete(index: u32, nullable: bool) -> ValType {
    ValType::Ref(RefType { nullable, heap_type: HeapType::Concrete(index) })
}

pub const ANY: ValType = abstract_ref(AbstractHeapType::Any, true);
pub const FUNC: ValType = abstract_ref(AbstractHeapType::Func, true);
pub const EXN: ValType = abstract_ref(AbstractHeapType::Exn, true);
pub const EXTERN: ValType = abstract_ref(AbstractHeapType::Extern, true);

impl Universe {
    /// Random types; the first ones are functions without which there is
    /// little to call.
    pub fn choose(c: &mut Choices<'_>, features: Features) -> Universe {
        let mut universe = Universe { features, defs: Vec::new(), groups: Vec::new() };
        universe.block(&[], &[ValType::I64]);
        universe.block(&[ValType::I32], &[ValType::I64]);
        universe.block(&[ValType::I64, ValType::I32], &[]);
        universe.block(&[ValType::I32, ValType::F64, ValType::I64], &[ValType::I32, ValType::I64]);
        let groups = 1 + c.below(6);
        for _ in 0..groups {
            let start = universe.defs.len();
            let end = start + if features.gc { 1 + c.below(4) } else { 1 };
            for _ in start..end {
                let def = universe.def(c, end as u32);
                universe.defs.push(def);
            }
            universe.groups.push(start..end);
        }
        universe
    }

    /// A type for a block or a tag, in a group of its own.
    pub fn block(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let same = |def: &Def| {
            let Shape::Func { params: p, results: r } = &def.shape else { return false };
            def.is_final && def.supertype.is_none() && p == params && r == results
        };
        if let Some(index) = self.defs.iter().position(same) {
            return index as u32;
        }
        let index = self.defs.len();
        let shape = Shape::Func { params: params.to_vec(), results: results.to_vec() };
        self.defs.push(Def { is_final: true, supertype: None, shape });
        self.groups.push(index..index + 1);
        index as u32
    }

    /// The next type of a group that ends at `end`.
    fn def(&self, c: &mut Choices<'_>, end: u32) -> Def {
        if !self.features.gc {
            let shape = self.function(c, end);
            return Def { is_final: true, supertype: None, shape };
        }
        let open: Vec<u32> = (0..self.defs.len() as u32).filter(|index| !self.defs[*index as usize].is_final).collect();
        let is_final = c.below(3) == 1;
        if !open.is_empty() && c.below(2) == 1 {
            let supertype = c.pick(&open);
            let shape = self.refined(c, supertype, end);
            return Def { is_final, supertype: Some(supertype), shape };
        }
        let shape = match c.below(8) {
            0..=3 => Shape::Struct((0..c.below(5)).map(|_| self.field(c, end)).collect()),
            4 | 5 => Shape::Array(self.field(c, end)),
            _ => self.function(c, end),
        };
        Def { is_final, supertype: None, shape }
    }

    fn function(&self, c: &mut Choices<'_>, end: u32) -> Shape {
        let params = (0..c.below(5)).map(|_| self.value(c, end)).collect();
        let results = (0..c.pick(&[1, 1, 2, 0])).map(|_| self.value(c, end)).collect();
        Shape::Func { params, results }
    }

    /// A shape that a subtype of `supertype` may have.
    fn refined(&self, c: &mut Choices<'_>, supertype: u32, end: u32) -> Shape {
        let narrow = |c: &mut Choices<'_>, field: FieldType| match field {
            FieldType { element_type: StorageType::Val(ty), mutable: false } if c.below(2) == 1 => {
                FieldType { element_type: StorageType::Val(self.narrowed(c, ty)), mutable: false }
            }
            other => other,
        };
        match &self.defs[supertype as usize].shape {
            Shape::Struct(fields) => {
                let mut fields: Vec<FieldType> = fields.iter().map(|field| narrow(c, *field)).collect();
                fields.extend((0..c.below(3)).map(|_| self.field(c, end)));
                Shape::Struct(fields)
            }
            Shape::Array(field) => Shape::Array(narrow(c, *field)),
            Shape::Func { params, results } => {
                let results = results.iter().map(|ty| if c.below(2) == 1 { self.narrowed(c, *ty) } else { *ty });
                Shape::Func { params: params.clone(), results: results.collect() }
            }
        }
    }

    /// A subtype: one of the types that there are already.
    fn narrowed(&self, c: &mut Choices<'_>, ty: ValType) -> ValType {
        let known = (0..self.defs.len() as u32).map(|index| concrete(index, true));
        let candidates: Vec<ValType> = known.filter(|candidate| self.is_subtype(*candidate, ty)).collect();
        if candidates.is_empty() { ty } else { c.pick(&candidates) }
    }

    fn field(&self, c: &mut Choices<'_>, end: u32) -> FieldType {
        let element_type = match c.below(8) {
            0 => StorageType::I8,
            1 => StorageType::I16,
            _ => StorageType::Val(self.value(c, end)),
        };
        FieldType { element_type, mutable: c.below(3) != 1 }
    }

    /// A value type, with references to types before `end`. What cannot be null
    /// can be made without an object of a type that is not yet known.
    pub fn value(&self, c: &mut Choices<'_>, end: u32) -> ValType {
        use AbstractHeapType::{Any, Array, Eq, Extern, Func, I31, Struct};
        const NUMBERS: [ValType; 6] =
            [ValType::I32, ValType::I64, ValType::F64, ValType::F32, ValType::V128, ValType::I64];
        let Features { gc, exceptions, function_references, .. } = self.features;
        match c.below(8) {
            0..=2 => c.pick(&NUMBERS),
            3 => abstract_ref(c.pick(&[Extern, Func]), true),
            4 if exceptions => EXN,
            5 if gc => abstract_ref(c.pick(&[Any, Eq, I31]), c.below(3) != 1),
            6 if gc => abstract_ref(c.pick(&[Any, Struct, Array, Eq]), true),
            7 if gc || function_references => {
                let index = c.below(end as usize) as u32;
                let known = (index as usize) < self.defs.len();
                let usable = gc || known && matches!(self.defs[index as usize].shape, Shape::Func { .. });
                // Functions are there from the start; of objects, only those
                // of types before can be made whenever one is needed.
                if usable { concrete(index, !known || c.below(3) != 1) } else { FUNC }
            }
            _ => c.pick(&NUMBERS),
        }
    }

    /// The abstract type right above a concrete one.
    pub fn kind(&self, index: u32) -> AbstractHeapType {
        match self.defs.get(index as usize).map(|def| &def.shape) {
            Some(Shape::Struct(_)) => AbstractHeapType::Struct,
            Some(Shape::Array(_)) => AbstractHeapType::Array,
            _ => AbstractHeapType::Func,
        }
    }

    pub fn is_subtype(&self, a: ValType, b: ValType) -> bool {
        match (a, b) {
            (ValType::Ref(a), ValType::Ref(b)) => {
                (b.nullable || !a.nullable) && self.is_heap_subtype(a.heap_type, b.heap_type)
            }
            _ => a == b,
        }
    }

    fn is_heap_subtype(&self, a: HeapType, b: HeapType) -> bool {
        use AbstractHeapType::{Any, Array, Eq, I31, Struct};
        let index = |heap| if let HeapType::Concrete(index) = heap { Some(index) } else { None };
        let kind = |heap| match heap {
            HeapType::Abstract { ty, .. } => ty,
            HeapType::Concrete(index) | HeapType::Exact(index) => self.kind(index),
        };
        match (index(a), index(b)) {
            (Some(a), Some(b)) => {
                let mut at = Some(a);
                while let Some(index) = at {
                    if index == b {
                        return true;
                    }
                    at = self.defs.get(index as usize).and_then(|def| def.supertype);
                }
                false
            }
            (None, Some(_)) => false,
            (_, None) => match (kind(a), kind(b)) {
                (a, b) if a == b => true,
                (I31 | Struct | Array | Eq, Any) | (I31 | Struct | Array, Eq) => true,
                _ => false,
            },
        }
    }

    /// The top of a reference type's hierarchy.
    pub fn top(&self, ty: RefType) -> AbstractHeapType {
        let kind = match ty.heap_type {
            HeapType::Abstract { ty, .. } => ty,
            HeapType::Concrete(index) | HeapType::Exact(index) => self.kind(index),
        };
        match kind {
            AbstractHeapType::Func | AbstractHeapType::Extern | AbstractHeapType::Exn => kind,
            _ => AbstractHeapType::Any,
        }
    }

    /// All types of objects.
    pub fn objects(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.defs.len() as u32).filter(|index| self.kind(*index) != AbstractHeapType::Func)
    }

    pub fn section(&self) -> TypeSection {
        let mut section = TypeSection::new();
        for group in &self.groups {
            let members: Vec<SubType> = self.defs[group.clone()].iter().map(encoded).collect();
            match members.as_slice() {
                [single] => section.ty().subtype(single),
                _ => section.ty().rec(members),
            }
        }
        section
    }
}

fn encoded(def: &Def) -> SubType {
    let inner = match &def.shape {
        Shape::Struct(fields) => CompositeInnerType::Struct(StructType { fields: fields.clone().into() }),
        Shape::Array(field) => CompositeInnerType::Array(ArrayType(*field)),
        Shape::Func { params, results } => {
            CompositeInnerType::Func(FuncType::new(params.iter().copied(), results.iter().copied()))
        }
    };
    SubType {
        is_final: def.is_final,
        supertype_idxs: def.supertype.into_iter().collect(),
        composite_type: CompositeType { inner, shared: false, descriptor: None, describes: None },
    }
}
