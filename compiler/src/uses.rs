//! Which proposals a module makes use of: what its artifact says it needs, as
//! opposed to what the options allow.
//!
//! A proposal counts as used where validation would demand it. So a module
//! that is compiled with nothing but what it uses is accepted, and refused if
//! any of that is switched off.

use crate::proposals::{Features, feature_of};
use wasmparser::*;

/// The flags of the proposals that have been met.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uses {
    features: WasmFeatures,
    imported_globals: u32,
    /// Types in the groups so far.
    types: u32,
    /// Whether the types of a group are being looked at.
    in_group: bool,
}

impl Default for Uses {
    fn default() -> Self {
        Uses { features: WasmFeatures::empty(), imported_globals: 0, types: 0, in_group: false }
    }
}

impl Uses {
    fn add(&mut self, feature: WasmFeatures, used: bool) {
        if used {
            self.features |= feature;
        }
    }

    /// Adds what another part of the module uses.
    pub(crate) fn union(&mut self, other: Uses) {
        self.features |= other.features;
    }

    /// The proposals.
    pub(crate) fn features(self) -> Features {
        Features::from_wasm(self.features)
    }

    /// Notes what a section needs. The module is valid so far.
    pub(crate) fn section(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::TypeSection(reader) => {
                for group in reader.clone() {
                    self.rec_group(&group?);
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.clone().into_imports() {
                    self.import(import?.ty);
                }
            }
            Payload::TableSection(reader) => {
                for table in reader.clone() {
                    let table = table?;
                    self.table(table.ty);
                    if let TableInit::Expr(expr) = &table.init {
                        self.add(WasmFeatures::FUNCTION_REFERENCES, true);
                        self.constant(expr)?;
                    }
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader.clone() {
                    self.memory(memory?);
                }
            }
            Payload::TagSection(_) => self.add(WasmFeatures::EXCEPTIONS, true),
            Payload::GlobalSection(reader) => {
                for global in reader.clone() {
                    let global = global?;
                    self.value(global.ty.content_type);
                    self.constant(&global.init_expr)?;
                }
            }
            Payload::ElementSection(reader) => {
                for elem in reader.clone() {
                    self.element(elem?)?;
                }
            }
            Payload::DataCountSection { .. } => self.add(WasmFeatures::BULK_MEMORY, true),
            Payload::DataSection(reader) => {
                for data in reader.clone() {
                    match data?.kind {
                        DataKind::Passive => self.add(WasmFeatures::BULK_MEMORY, true),
                        DataKind::Active { offset_expr, .. } => self.constant(&offset_expr)?,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes what only the whole module shows: how many tables and memories it
    /// has, and whether a global that can change is visible outside.
    pub(crate) fn module(&mut self, tables: usize, memories: usize, exports_mutable_global: bool) {
        self.add(WasmFeatures::REFERENCE_TYPES, tables > 1);
        self.add(WasmFeatures::MULTI_MEMORY, memories > 1);
        self.add(WasmFeatures::MUTABLE_GLOBAL, exports_mutable_global);
    }

    fn rec_group(&mut self, group: &RecGroup) {
        self.add(WasmFeatures::GC, group.is_explicit_rec_group());
        self.in_group = true;
        self.composites(group);
        self.in_group = false;
        self.types += group.types().len() as u32;
    }

    fn composites(&mut self, group: &RecGroup) {
        for ty in group.types() {
            let composite = &ty.composite_type;
            self.add(WasmFeatures::GC, !ty.is_final || !ty.supertype_idxs.is_empty());
            self.add(WasmFeatures::SHARED_EVERYTHING_THREADS, composite.shared);
            let described = composite.descriptor_idx.is_some() || composite.describes_idx.is_some();
            self.add(WasmFeatures::CUSTOM_DESCRIPTORS, described);
            match &composite.inner {
                CompositeInnerType::Func(ty) => {
                    self.add(WasmFeatures::MULTI_VALUE, ty.results().len() > 1);
                    ty.params().iter().chain(ty.results()).for_each(|ty| self.value(*ty));
                }
                CompositeInnerType::Struct(ty) => {
                    self.add(WasmFeatures::GC, true);
                    ty.fields.iter().for_each(|field| self.field(*field));
                }
                CompositeInnerType::Array(ty) => {
                    self.add(WasmFeatures::GC, true);
                    self.field(ty.0);
                }
                CompositeInnerType::Cont(_) => self.add(WasmFeatures::STACK_SWITCHING, true),
            }
        }
    }

    fn field(&mut self, field: FieldType) {
        if let StorageType::Val(ty) = field.element_type {
            self.value(ty);
        }
    }

    fn import(&mut self, ty: TypeRef) {
        match ty {
            TypeRef::Func(_) => {}
            TypeRef::FuncExact(_) => self.add(WasmFeatures::CUSTOM_DESCRIPTORS, true),
            TypeRef::Table(ty) => self.table(ty),
            TypeRef::Memory(ty) => self.memory(ty),
            TypeRef::Global(ty) => {
                self.imported_globals += 1;
                self.value(ty.content_type);
                self.add(WasmFeatures::MUTABLE_GLOBAL, ty.mutable);
            }
            TypeRef::Tag(_) => self.add(WasmFeatures::EXCEPTIONS, true),
        }
    }

    fn table(&mut self, ty: TableType) {
        self.add(WasmFeatures::MEMORY64, ty.table64);
        self.add(WasmFeatures::SHARED_EVERYTHING_THREADS, ty.shared);
        if ty.element_type != RefType::FUNCREF {
            self.value(ValType::Ref(ty.element_type));
        }
    }

    fn memory(&mut self, ty: MemoryType) {
        self.add(WasmFeatures::MEMORY64, ty.memory64);
        self.add(WasmFeatures::THREADS, ty.shared);
        self.add(WasmFeatures::CUSTOM_PAGE_SIZES, ty.page_size_log2.is_some());
    }

    fn element(&mut self, elem: Element<'_>) -> Result<()> {
        match &elem.kind {
            ElementKind::Active { offset_expr, .. } => self.constant(offset_expr)?,
            ElementKind::Passive | ElementKind::Declared => self.add(WasmFeatures::BULK_MEMORY, true),
        }
        if let ElementItems::Expressions(ty, items) = elem.items {
            self.value(ValType::Ref(ty));
            for item in items {
                self.constant(&item?)?;
            }
        }
        Ok(())
    }

    fn constant(&mut self, expr: &ConstExpr<'_>) -> Result<()> {
        for op in expr.get_operators_reader() {
            let op = op?;
            let arithmetic = matches!(
                op,
                Operator::I32Add
                    | Operator::I32Sub
                    | Operator::I32Mul
                    | Operator::I64Add
                    | Operator::I64Sub
                    | Operator::I64Mul
            );
            self.add(WasmFeatures::EXTENDED_CONST, arithmetic);
            if let Operator::GlobalGet { global_index } = op {
                self.add(WasmFeatures::GC, global_index >= self.imported_globals);
            }
            self.operator(&op);
        }
        Ok(())
    }

    /// Notes what a value of the type needs.
    pub(crate) fn value(&mut self, ty: ValType) {
        let reference = match ty {
            ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 => return,
            ValType::V128 => return self.add(WasmFeatures::SIMD, true),
            ValType::Ref(reference) => reference,
        };
        self.add(WasmFeatures::REFERENCE_TYPES, true);
        self.heap(reference.heap_type());
        let old = matches!(
            reference.heap_type(),
            HeapType::Abstract { ty: AbstractHeapType::Func | AbstractHeapType::Extern, .. }
        );
        self.add(WasmFeatures::FUNCTION_REFERENCES, old && !reference.is_nullable());
    }

    fn heap(&mut self, ty: HeapType) {
        use AbstractHeapType as A;
        match ty {
            HeapType::Concrete(index) => {
                self.add(WasmFeatures::FUNCTION_REFERENCES, true);
                // A type that refers to itself.
                let own = self.in_group && matches!(index, UnpackedIndex::Module(index) if index >= self.types);
                self.add(WasmFeatures::GC, own);
            }
            HeapType::Exact(_) => self.add(WasmFeatures::CUSTOM_DESCRIPTORS, true),
            HeapType::Abstract { shared, ty } => {
                self.add(WasmFeatures::SHARED_EVERYTHING_THREADS, shared);
                let feature = match ty {
                    A::Func | A::Extern => WasmFeatures::REFERENCE_TYPES,
                    A::Any | A::None | A::Eq | A::Struct | A::Array | A::I31 | A::NoExtern | A::NoFunc => {
                        WasmFeatures::GC
                    }
                    A::Exn | A::NoExn => WasmFeatures::EXCEPTIONS,
                    A::Cont | A::NoCont => WasmFeatures::STACK_SWITCHING,
                };
                self.add(feature, true);
            }
        }
    }

    /// Notes what an operator and the types it names need.
    pub(crate) fn operator(&mut self, op: &Operator<'_>) {
        self.features |= group(op);
        match op {
            Operator::Block { blockty }
            | Operator::Loop { blockty }
            | Operator::If { blockty }
            | Operator::Try { blockty } => self.block(*blockty),
            Operator::TryTable { try_table } => self.block(try_table.ty),
            Operator::TypedSelect { ty } => self.value(*ty),
            Operator::RefNull { hty } => self.heap(*hty),
            Operator::RefTestNonNull { hty } | Operator::RefCastNonNull { hty } => self.target(false, *hty),
            Operator::RefTestNullable { hty } | Operator::RefCastNullable { hty } => self.target(true, *hty),
            Operator::BrOnCast { from_ref_type, to_ref_type, .. }
            | Operator::BrOnCastFail { from_ref_type, to_ref_type, .. } => {
                self.value(ValType::Ref(*from_ref_type));
                self.value(ValType::Ref(*to_ref_type));
            }
            _ => {}
        }
    }

    /// Notes what the target of a cast needs.
    fn target(&mut self, nullable: bool, ty: HeapType) {
        if let Some(ty) = RefType::new(nullable, ty) {
            self.value(ValType::Ref(ty));
        }
    }

    fn block(&mut self, ty: BlockType) {
        match ty {
            BlockType::Empty => {}
            BlockType::Type(ty) => self.value(ty),
            BlockType::FuncType(_) => self.add(WasmFeatures::MULTI_VALUE, true),
        }
    }
}

macro_rules! group {
    ($(@$group:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        |op: &Operator<'_>| match op {
            $(Operator::$op { .. } => Some(feature_of!($group)),)*
            _ => None,
        }
    };
}

/// The flag of the group that an operator belongs to.
fn group(op: &Operator<'_>) -> WasmFeatures {
    let (scalar, vector) = (for_each_visit_operator!(group), for_each_visit_simd_operator!(group));
    scalar(op).or_else(|| vector(op)).unwrap_or(WasmFeatures::empty())
}
