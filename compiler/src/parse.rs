//! wasm bytes to [`ParsedModule`]: every section read and validated, function
//! bodies only found. They are validated where they are translated, in
//! parallel.

use crate::error::Error;
use crate::options::Options;
pub use crate::types::TypeIndex;
use crate::types::Types;
use crate::uses::Uses;
use std::collections::HashMap;
use wasmc_artifacts::abi::{FuncType, ValType};
use wasmc_artifacts::format::{ConstOpKind, ExternKind};
use wasmparser::{
    BinaryReader, BranchHintSectionReader, ConstExpr, DataKind, Element, ElementItems, ElementKind, ExternalKind,
    FuncToValidate, FunctionBody, GlobalType, MemoryType, Name, NameSectionReader, Operator, Parser, Payload,
    TableInit, TableType, TypeRef, ValidPayload, Validator, ValidatorResources,
};

/// The custom section with branch hints.
const BRANCH_HINTS: &str = "metadata.code.branch_hint";

/// A constant expression, as operations on a stack.
pub type Expr = Vec<ConstOp>;

/// An operation of a constant expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstOp {
    /// A number or vector, as its bits.
    Const(u128),
    /// The value of a global.
    GlobalGet(u32),
    /// A reference to a function.
    RefFunc(u32),
    /// A null reference of any type.
    RefNull,
    /// Integer arithmetic.
    Binary(ConstOpKind),
    /// The value of the constant expression in these bytes of the module,
    /// which only code can compute: it makes objects.
    Computed {
        /// The first byte.
        start: u32,
        /// One behind the last.
        end: u32,
    },
}

/// What an import must be.
#[derive(Debug, Clone, Copy)]
pub enum ImportKind {
    /// A function of the type with this index among the distinct types.
    Func(TypeIndex),
    /// The table with this index.
    Table(u32),
    /// The memory with this index.
    Memory(u32),
    /// The global with this index.
    Global(u32),
    /// The tag with this index.
    Tag(u32),
}

/// An import.
#[derive(Debug)]
pub struct ParsedImport<'a> {
    /// Module name.
    pub module: &'a str,
    /// Field name.
    pub name: &'a str,
    /// What it is.
    pub kind: ImportKind,
}

/// An export.
#[derive(Debug)]
pub struct ParsedExport<'a> {
    /// Name.
    pub name: &'a str,
    /// Kind.
    pub kind: ExternKind,
    /// Index in the kind's index space.
    pub index: u32,
}

/// A global; imported ones have no initial value.
#[derive(Debug)]
pub struct ParsedGlobal {
    /// Type of the value.
    pub ty: ValType,
    /// Whether it can change.
    pub mutable: bool,
    /// Initial value.
    pub init: Option<Expr>,
    /// Whether it stands for a value of an element or a table, rather than
    /// being the module's own.
    #[cfg_attr(not(feature = "init"), allow(dead_code, reason = "only pre-initialisation asks"))]
    pub hidden: bool,
}

/// A table.
#[derive(Debug)]
pub struct ParsedTable {
    /// Its type.
    pub ty: TableType,
    /// Type of the elements.
    pub element: ValType,
    /// What the elements are before segments are copied; `None` is null.
    pub init: Option<Expr>,
}

/// How a segment is used: `Some` is an active one, with memory or table and offset.
pub type Placement = Option<(u32, Expr)>;

/// A data segment.
#[derive(Debug)]
pub struct ParsedData<'a> {
    /// Where it goes, unless it is passive.
    pub active: Placement,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// An element segment.
#[derive(Debug)]
pub struct ParsedElem {
    /// Where it goes, unless it is passive or declared.
    pub active: Placement,
    /// Whether it only declares functions.
    pub declared: bool,
    /// Type of the elements.
    pub element: ValType,
    /// The elements.
    pub items: Vec<ConstOp>,
}

/// A branch hint: the position of the instruction in bytes from the beginning
/// of its function's body, and whether it branches.
pub type Hint = (u32, bool);

/// A function body, found but not validated yet.
pub struct ParsedBody<'a> {
    /// What its validation needs; taken by analysis.
    pub validate: Option<FuncToValidate<ValidatorResources>>,
    /// The body.
    pub body: FunctionBody<'a>,
}

/// A module whose sections are known and valid, except for function bodies.
#[derive(Default)]
pub struct ParsedModule<'a> {
    /// Types.
    pub types: Types,
    /// Imports in order.
    pub imports: Vec<ParsedImport<'a>>,
    /// Exports in order.
    pub exports: Vec<ParsedExport<'a>>,
    /// The first name under which something is exported.
    export_names: HashMap<(ExternKind, u32), &'a str>,
    /// The type of every function, imported ones first.
    pub functions: Vec<TypeIndex>,
    /// Number of imported functions.
    pub imported_functions: u32,
    /// Tables, imported ones first.
    pub tables: Vec<ParsedTable>,
    /// Number of imported tables.
    pub imported_tables: u32,
    /// Memories, imported ones first.
    pub memories: Vec<MemoryType>,
    /// Number of imported memories.
    pub imported_memories: u32,
    /// Globals, imported ones first.
    pub globals: Vec<ParsedGlobal>,
    /// Number of imported globals.
    pub imported_globals: u32,
    /// The function type of every tag, imported ones first.
    pub tags: Vec<TypeIndex>,
    /// Number of imported tags.
    pub imported_tags: u32,
    /// Data segments.
    pub data: Vec<ParsedData<'a>>,
    /// Element segments.
    pub elems: Vec<ParsedElem>,
    /// Start function.
    pub start: Option<u32>,
    /// Function bodies in order.
    pub bodies: Vec<ParsedBody<'a>>,
    /// Branch hints by function, each in the order of the positions.
    branch_hints: HashMap<u32, Vec<Hint>>,
    /// Function names.
    pub names: HashMap<u32, &'a str>,
    /// The module's own name.
    pub name: Option<&'a str>,
    /// DWARF sections by name, read only if debug information is wanted.
    pub dwarf: Vec<(&'a str, &'a [u8])>,
    /// Which proposals its sections use; bodies come to this later.
    pub uses: Uses,
    /// The module itself.
    pub bytes: &'a [u8],
    /// Where the code section's contents begin, to which DWARF addresses are relative.
    pub code_start: u64,
}

/// The initial size of a memory in bytes, `u64::MAX` if that is not a number.
pub fn initial_length(memory: &MemoryType) -> u64 {
    u64::try_from(u128::from(memory.initial) << memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX)
}

/// Reads and validates everything but function bodies.
///
/// # Errors
/// [`Error`] with the byte offset and reason.
pub fn parse<'a>(wasm: &'a [u8], options: &Options) -> Result<ParsedModule<'a>, Error> {
    if wasm.get(..8).is_some_and(Parser::is_component) {
        return Err(Error::Component);
    }
    let mut validator = Validator::new_with_features(options.features.wasm());
    let mut module = ParsedModule { bytes: wasm, ..ParsedModule::default() };
    let mut bodies = Vec::new();
    let mut parser = Parser::new(0);
    // The encoding of limits and indices depends on the proposals, too.
    parser.set_features(options.features.wasm());
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        match validator.payload(&payload)? {
            ValidPayload::Func(validate, body) => bodies.push(ParsedBody { validate: Some(validate), body }),
            ValidPayload::Ok | ValidPayload::End(_) | ValidPayload::Parser(_) => {}
        }
        module.uses.section(&payload)?;
        module.section(payload, options)?;
    }
    let mutable =
        |export: &ParsedExport<'_>| export.kind == ExternKind::Global && module.globals[export.index as usize].mutable;
    let exports_mutable_global = module.exports.iter().any(mutable);
    module.uses.module(module.tables.len(), module.memories.len(), exports_mutable_global);
    module.bodies = bodies;
    module.name_computed();
    Ok(module)
}

impl<'a> ParsedModule<'a> {
    fn section(&mut self, payload: Payload<'a>, options: &Options) -> Result<(), Error> {
        match payload {
            Payload::TypeSection(reader) => {
                for group in reader {
                    self.types.add_group(group?)?;
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    self.add_import(import?)?;
                }
            }
            Payload::FunctionSection(reader) => {
                for ty in reader {
                    let ty = self.type_index(ty?);
                    self.functions.push(ty);
                }
            }
            Payload::TableSection(reader) => {
                for table in reader {
                    let table = table?;
                    let init = match &table.init {
                        TableInit::RefNull => None,
                        TableInit::Expr(init) => Some(const_expr(init)?),
                    };
                    self.add_table(table.ty, init)?;
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    self.memories.push(memory?);
                }
            }
            Payload::TagSection(reader) => {
                for tag in reader {
                    let ty = self.type_index(tag?.func_type_idx);
                    self.tags.push(ty);
                }
            }
            Payload::GlobalSection(reader) => {
                for global in reader {
                    let global = global?;
                    let init = Some(const_expr(&global.init_expr)?);
                    self.globals.push(ParsedGlobal {
                        ty: self.types.val_type(global.ty.content_type)?,
                        mutable: global.ty.mutable,
                        init,
                        hidden: false,
                    });
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    let export = export?;
                    self.add_export(export)?;
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(reader) => {
                for elem in reader {
                    let elem = self.element(elem?)?;
                    self.elems.push(elem);
                }
            }
            Payload::DataSection(reader) => {
                for data in reader {
                    let data = data?;
                    let active = match data.kind {
                        DataKind::Passive => None,
                        DataKind::Active { memory_index, offset_expr } => {
                            Some((memory_index, const_expr(&offset_expr)?))
                        }
                    };
                    self.data.push(ParsedData { active, bytes: data.data });
                }
            }
            Payload::CodeSectionStart { unchecked_range, .. } => self.code_start = unchecked_range.start,
            Payload::CustomSection(custom) => match custom.name() {
                // A broken name section costs the names, not the module.
                "name" => drop(self.read_names(custom.data(), custom.data_offset())),
                // Nor do broken hints.
                BRANCH_HINTS => drop(self.read_branch_hints(custom.data(), custom.data_offset())),
                name if options.debug && name.starts_with(".debug_") => self.dwarf.push((name, custom.data())),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// The distinct type with index `index` in the module, which validation
    /// has seen.
    fn type_index(&self, index: u32) -> TypeIndex {
        self.types.index(index).unwrap_or_else(|| unreachable!("validation has checked type indices"))
    }

    /// Gives computed values of elements and tables names, as further globals behind those
    /// of the module: there the collector finds them.
    fn name_computed(&mut self) {
        for table in &mut self.tables {
            for item in table.init.iter_mut().flatten() {
                hide(&mut self.globals, item, table.element);
            }
        }
        for elem in &mut self.elems {
            for item in &mut elem.items {
                hide(&mut self.globals, item, elem.element);
            }
        }
    }

    fn add_import(&mut self, import: wasmparser::Import<'a>) -> Result<(), Error> {
        let kind = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                let ty = self.type_index(ty);
                self.functions.push(ty);
                self.imported_functions += 1;
                ImportKind::Func(ty)
            }
            TypeRef::Table(ty) => {
                self.add_table(ty, None)?;
                self.imported_tables += 1;
                ImportKind::Table(self.imported_tables - 1)
            }
            TypeRef::Memory(ty) => {
                self.memories.push(ty);
                self.imported_memories += 1;
                ImportKind::Memory(self.imported_memories - 1)
            }
            TypeRef::Global(GlobalType { content_type, mutable, .. }) => {
                self.globals.push(ParsedGlobal {
                    ty: self.types.val_type(content_type)?,
                    mutable,
                    init: None,
                    hidden: false,
                });
                self.imported_globals += 1;
                ImportKind::Global(self.imported_globals - 1)
            }
            TypeRef::Tag(tag) => {
                self.tags.push(self.type_index(tag.func_type_idx));
                self.imported_tags += 1;
                ImportKind::Tag(self.imported_tags - 1)
            }
        };
        self.imports.push(ParsedImport { module: import.module, name: import.name, kind });
        Ok(())
    }

    fn add_export(&mut self, export: wasmparser::Export<'a>) -> Result<(), Error> {
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => ExternKind::Func,
            ExternalKind::Table => ExternKind::Table,
            ExternalKind::Memory => ExternKind::Memory,
            ExternalKind::Global => ExternKind::Global,
            ExternalKind::Tag => ExternKind::Tag,
        };
        self.exports.push(ParsedExport { name: export.name, kind, index: export.index });
        self.export_names.entry((kind, export.index)).or_insert(export.name);
        Ok(())
    }

    fn add_table(&mut self, ty: TableType, init: Option<Expr>) -> Result<(), Error> {
        let element = ValType::Ref(self.types.ref_type(ty.element_type)?);
        self.tables.push(ParsedTable { ty, element, init });
        Ok(())
    }

    fn element(&self, elem: Element<'_>) -> Result<ParsedElem, Error> {
        let (active, declared) = match elem.kind {
            ElementKind::Passive => (None, false),
            ElementKind::Declared => (None, true),
            ElementKind::Active { table_index, offset_expr } => {
                (Some((table_index.unwrap_or(0), const_expr(&offset_expr)?)), false)
            }
        };
        let (element, items) = match elem.items {
            ElementItems::Functions(functions) => (
                ValType::FUNCREF,
                functions.into_iter().map(|f| Ok(ConstOp::RefFunc(f?))).collect::<Result<_, Error>>()?,
            ),
            ElementItems::Expressions(ty, exprs) => {
                let mut items = Vec::new();
                for expr in exprs {
                    match const_expr(&expr?)?.as_slice() {
                        [one] => items.push(*one),
                        _ => unreachable!("arithmetic has no references as results"),
                    }
                }
                (ValType::Ref(self.types.ref_type(ty)?), items)
            }
        };
        Ok(ParsedElem { active, declared, element, items })
    }

    fn read_branch_hints(&mut self, data: &'a [u8], offset: u64) -> wasmparser::Result<()> {
        for function in BranchHintSectionReader::new(BinaryReader::new(data, offset))? {
            let function = function?;
            let hints = function.hints.into_iter().map(|hint| hint.map(|hint| (hint.func_offset, hint.taken)));
            let mut hints = hints.collect::<wasmparser::Result<Vec<Hint>>>()?;
            hints.sort_unstable();
            hints.dedup_by_key(|(position, _)| *position);
            self.branch_hints.insert(function.func, hints);
        }
        Ok(())
    }

    /// The branch hints for function `index`.
    pub fn branch_hints(&self, index: u32) -> &[Hint] {
        self.branch_hints.get(&index).map(Vec::as_slice).unwrap_or_default()
    }

    fn read_names(&mut self, data: &'a [u8], offset: u64) -> wasmparser::Result<()> {
        for name in NameSectionReader::new(BinaryReader::new(data, offset)) {
            match name? {
                Name::Module { name, .. } => self.name = Some(name),
                Name::Function(names) => {
                    for naming in names {
                        let naming = naming?;
                        self.names.insert(naming.index, naming.name);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes names of exports anew, after they have changed.
    pub(crate) fn index_exports(&mut self) {
        self.export_names.clear();
        for export in &self.exports {
            self.export_names.entry((export.kind, export.index)).or_insert(export.name);
        }
    }

    /// The first name under which something is exported.
    #[cfg(feature = "init")]
    pub(crate) fn export_name(&self, kind: ExternKind, index: u32) -> Option<&'a str> {
        self.export_names.get(&(kind, index)).copied()
    }

    /// The type of function `index`.
    pub fn func_type(&self, index: u32) -> &FuncType {
        self.types.func(self.functions[index as usize])
    }

    /// Whether something is exported under any name.
    pub fn is_exported(&self, kind: ExternKind, index: usize) -> bool {
        self.export_names.contains_key(&(kind, index as u32))
    }

    /// Whether function `index` is imported.
    pub fn is_imported_function(&self, index: u32) -> bool {
        index < self.imported_functions
    }

    /// A name for function `index` that a person recognises.
    pub fn function_name(&self, index: u32) -> String {
        if let Some(name) = self.names.get(&index) {
            return (*name).to_owned();
        }
        let export = self.export_names.get(&(ExternKind::Func, index));
        export.map_or_else(|| format!("wasm-function[{index}]"), |name| (*name).to_owned())
    }
}

/// Replaces a computed value by that of a new global, if it is one.
fn hide(globals: &mut Vec<ParsedGlobal>, item: &mut ConstOp, ty: ValType) {
    if let ConstOp::Computed { .. } = item {
        globals.push(ParsedGlobal { ty, mutable: false, init: Some(vec![*item]), hidden: true });
        *item = ConstOp::GlobalGet(globals.len() as u32 - 1);
    }
}

fn const_expr(expr: &ConstExpr<'_>) -> Result<Expr, Error> {
    if let Some(ops) = plain_expr(expr)? {
        return Ok(ops);
    }
    let range = expr.get_binary_reader().range();
    Ok(vec![ConstOp::Computed { start: range.start as u32, end: range.end as u32 }])
}

/// A constant expression that makes no object.
fn plain_expr(expr: &ConstExpr<'_>) -> Result<Option<Expr>, Error> {
    use ConstOpKind as B;
    let mut ops = Vec::new();
    for op in expr.get_operators_reader() {
        let op = match op? {
            Operator::I32Const { value } => ConstOp::Const(u128::from(value as u32)),
            Operator::I64Const { value } => ConstOp::Const(u128::from(value as u64)),
            Operator::F32Const { value } => ConstOp::Const(u128::from(value.bits())),
            Operator::F64Const { value } => ConstOp::Const(u128::from(value.bits())),
            Operator::V128Const { value } => ConstOp::Const(value.i128() as u128),
            Operator::GlobalGet { global_index } => ConstOp::GlobalGet(global_index),
            Operator::RefFunc { function_index } => ConstOp::RefFunc(function_index),
            Operator::RefNull { .. } => ConstOp::RefNull,
            Operator::I32Add => ConstOp::Binary(B::I32Add),
            Operator::I32Sub => ConstOp::Binary(B::I32Sub),
            Operator::I32Mul => ConstOp::Binary(B::I32Mul),
            Operator::I64Add => ConstOp::Binary(B::I64Add),
            Operator::I64Sub => ConstOp::Binary(B::I64Sub),
            Operator::I64Mul => ConstOp::Binary(B::I64Mul),
            Operator::RefI31 => match ops.pop() {
                Some(ConstOp::Const(value)) => ConstOp::Const(u128::from((value as u32) << 1 | 1)),
                _ => return Ok(None),
            },
            Operator::End => break,
            _ => return Ok(None),
        };
        ops.push(op);
    }
    Ok(Some(ops))
}
