//! What is known of the types of structs and arrays, and of who makes them.

use crate::parse::{ImportKind, ParsedModule};
use crate::types::{TypeIndex, Types};
use wasmc_artifacts::abi::descriptor::FieldLayout;
use wasmc_artifacts::abi::{CompositeType, FieldType, FuncType, Hierarchy, ValType};
use wasmc_artifacts::format::ExternKind;

/// What is known of the types of objects.
#[derive(Debug)]
pub struct ObjectFacts {
    types: Vec<ObjectType>,
    /// Whether all structs and arrays that code of this module ever meets are
    /// made by code of this module, so that all objects of a type have the same
    /// descriptor.
    pub closed: bool,
}

/// What is known of a type.
#[derive(Debug)]
pub struct ObjectType {
    /// Number of its proper supertypes.
    pub depth: u32,
    /// Whether no type of the module is below it.
    pub leaf: bool,
    /// Where the fields of a struct are.
    pub layout: FieldLayout,
    /// For every field of a struct, or for an array's elements, the topmost
    /// type that has them: whatever has another one there is something else.
    pub origins: Vec<TypeIndex>,
}

impl ObjectFacts {
    /// Finds them. `converts` is whether code turns references to values of
    /// the host's into others or back.
    pub(super) fn new(module: &ParsedModule<'_>, converts: bool) -> ObjectFacts {
        let mut types: Vec<ObjectType> = Vec::new();
        for (index, defined) in module.types.distinct() {
            let parent = defined.supertype.map(|supertype| {
                let parent = &mut types[supertype.0 as usize];
                parent.leaf = false;
                &*parent
            });
            let depth = parent.map_or(0, |parent| parent.depth + 1);
            let fields: &[FieldType] = match &defined.ty.composite {
                CompositeType::Struct(ty) => &ty.fields,
                CompositeType::Array(ty) => std::slice::from_ref(&ty.element),
                CompositeType::Func(_) => &[],
            };
            let mut origins = parent.map(|parent| parent.origins.clone()).unwrap_or_default();
            origins.resize(fields.len(), index);
            types.push(ObjectType { depth, leaf: true, layout: FieldLayout::of_struct(fields), origins });
        }
        ObjectFacts { types, closed: is_closed(module, converts) }
    }

    /// What is known of a type.
    pub fn get(&self, index: TypeIndex) -> &ObjectType {
        &self.types[index.0 as usize]
    }
}

/// Whether no struct or array crosses the module's boundary in either
/// direction: what came out could have others put into its fields.
fn is_closed(module: &ParsedModule<'_>, converts: bool) -> bool {
    let carries = |ty: &ValType| match ty.as_ref().map(|ty| ty.heap.hierarchy()) {
        Some(Hierarchy::Any | Hierarchy::Exn) => true,
        Some(Hierarchy::Extern) => converts,
        Some(Hierarchy::Func) | None => false,
    };
    let signature = |ty: &FuncType| ty.params().iter().chain(ty.results()).any(carries);
    // Whoever gets hold of a function may call it.
    let calls = module.types.distinct().any(|(_, defined)| defined.ty.as_func().is_some_and(signature));
    let crosses = |ty: &ValType| carries(ty) || calls && ty.is_func_ref();
    let function = |ty: TypeIndex| {
        let ty = module.types.func(ty);
        ty.params().iter().chain(ty.results()).any(crosses)
    };
    let import = module.imports.iter().any(|import| match import.kind {
        ImportKind::Func(ty) => function(ty),
        ImportKind::Table(index) => crosses(&module.tables[index as usize].element),
        ImportKind::Global(index) => crosses(&module.globals[index as usize].ty),
        ImportKind::Memory(_) | ImportKind::Tag(_) => false,
    });
    let export = module.exports.iter().any(|export| match export.kind {
        ExternKind::Func => function(module.functions[export.index as usize]),
        ExternKind::Table => crosses(&module.tables[export.index as usize].element),
        ExternKind::Global => crosses(&module.globals[export.index as usize].ty),
        ExternKind::Memory | ExternKind::Tag => false,
    });
    // An exception that nobody catches comes out, whatever its tag.
    let exception = module.tags.iter().any(|ty| function(*ty));
    !import && !export && !exception
}

/// Whether `sub` is `of` or a subtype of it.
pub fn is_subtype(types: &Types, sub: TypeIndex, of: TypeIndex) -> bool {
    std::iter::successors(Some(sub), |at| types.get(*at).supertype).any(|at| at == of)
}
