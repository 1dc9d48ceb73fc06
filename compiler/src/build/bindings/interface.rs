//! What a module shows to its host: imports and exports with their types and
//! the names of parameters.

use crate::error::Error;
use crate::options::Options;
use crate::parse::{self, ImportKind, ParsedModule};
use std::collections::HashMap;
use wasmc_artifacts::abi::{FuncType, ValType};
use wasmc_artifacts::format::ExternKind;
use wasmparser::{BinaryReader, MemoryType, Name, NameSectionReader, Parser, Payload, TableType};

/// The imports and exports of a module, in its order.
pub(in crate::build) struct Interface {
    /// The name that the module gives itself.
    pub name: Option<String>,
    /// Imports.
    pub(super) imports: Vec<Import>,
    /// Exports.
    pub(super) exports: Vec<Export>,
}

/// An import.
pub(super) struct Import {
    /// Its number in the module.
    pub number: usize,
    /// The name of the module that it is imported from.
    pub module: String,
    /// Its name there.
    pub name: String,
    /// What it is.
    pub item: Item,
}

/// An export.
pub(super) struct Export {
    /// Its number in the module.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// What it is.
    pub item: Item,
}

/// Something with its type.
pub(super) enum Item {
    /// A function, and the names of its parameters.
    Func(FuncType, Vec<Option<String>>),
    /// A memory.
    Memory(MemoryType),
    /// A table, and the type of its elements.
    Table(TableType, ValType),
    /// A global, and whether it can change.
    Global(ValType, bool),
    /// A tag.
    Tag(FuncType),
}

impl Interface {
    /// Reads a binary.
    ///
    /// # Errors
    /// If it is no module.
    pub fn of(wasm: &[u8], options: &Options) -> Result<Interface, Error> {
        let module = parse::parse(wasm, options)?;
        let reader = Reader { module: &module, params: param_names(wasm) };
        let name = module.name.map(str::to_owned);
        Ok(Interface { name, imports: reader.imports(), exports: reader.exports() })
    }
}

struct Reader<'a> {
    module: &'a ParsedModule<'a>,
    params: HashMap<u32, HashMap<u32, String>>,
}

impl Reader<'_> {
    fn func(&self, index: u32) -> Item {
        let ty = self.module.func_type(index).clone();
        let names = self.params.get(&index);
        let name = |param: u32| names.and_then(|names| names.get(&param).cloned());
        let names = (0..ty.params().len() as u32).map(name).collect();
        Item::Func(ty, names)
    }

    fn table(&self, index: u32) -> Item {
        let table = &self.module.tables[index as usize];
        Item::Table(table.ty, table.element)
    }

    fn memory(&self, index: u32) -> Item {
        Item::Memory(self.module.memories[index as usize])
    }

    fn global(&self, index: u32) -> Item {
        let global = &self.module.globals[index as usize];
        Item::Global(global.ty, global.mutable)
    }

    fn tag(&self, index: u32) -> Item {
        Item::Tag(self.module.types.func(self.module.tags[index as usize]).clone())
    }

    fn imports(&self) -> Vec<Import> {
        let mut functions = 0..;
        let imports = self.module.imports.iter().enumerate().map(|(number, import)| {
            let item = match import.kind {
                ImportKind::Func(_) => self.func(functions.next().unwrap_or_default()),
                ImportKind::Table(index) => self.table(index),
                ImportKind::Memory(index) => self.memory(index),
                ImportKind::Global(index) => self.global(index),
                ImportKind::Tag(index) => self.tag(index),
            };
            Import { number, module: import.module.to_owned(), name: import.name.to_owned(), item }
        });
        imports.collect()
    }

    fn exports(&self) -> Vec<Export> {
        let exports = self.module.exports.iter().enumerate().map(|(number, export)| {
            let item = match export.kind {
                ExternKind::Func => self.func(export.index),
                ExternKind::Table => self.table(export.index),
                ExternKind::Memory => self.memory(export.index),
                ExternKind::Global => self.global(export.index),
                ExternKind::Tag => self.tag(export.index),
            };
            Export { number, name: export.name.to_owned(), item }
        });
        exports.collect()
    }
}

/// The names of locals, of which parameters are the first, by function. Names
/// that cannot be read are none.
fn param_names(wasm: &[u8]) -> HashMap<u32, HashMap<u32, String>> {
    let mut names = HashMap::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Ok(Payload::CustomSection(section)) = payload
            && section.name() == "name"
        {
            let reader = BinaryReader::new(section.data(), section.data_offset());
            for name in NameSectionReader::new(reader).flatten() {
                let Name::Local(functions) = name else { continue };
                for function in functions.into_iter().flatten() {
                    let locals = function.names.flatten();
                    let locals = locals.map(|naming| (naming.index, naming.name.to_owned()));
                    names.insert(function.index, locals.collect());
                }
            }
        }
    }
    names
}

impl Item {
    /// Whether both have one type, whatever their parameters are called.
    pub fn is_same_type(&self, other: &Item) -> bool {
        match (self, other) {
            (Item::Func(a, _), Item::Func(b, _)) | (Item::Tag(a), Item::Tag(b)) => a == b,
            (Item::Memory(a), Item::Memory(b)) => a == b,
            (Item::Table(a, own), Item::Table(b, other)) => own == other && a == b,
            (Item::Global(a, changes), Item::Global(b, also)) => a == b && changes == also,
            _ => false,
        }
    }

    /// Whether it is a memory that threads share, which belongs to no store.
    pub fn is_shared(&self) -> bool {
        matches!(self, Item::Memory(ty) if ty.shared)
    }

    /// The type in the text format, for documentation.
    pub fn text(&self) -> String {
        match self {
            Item::Func(ty, names) => {
                let named = |(ty, name): (&ValType, &Option<String>)| {
                    name.as_ref().map(|name| format!(" (param ${} {ty})", plain(name)))
                };
                let params = ty.params().iter().zip(names).map(named).collect::<Option<String>>();
                let params = params.unwrap_or_else(|| list("param", ty.params()));
                format!("(func{params}{})", list("result", ty.results()))
            }
            Item::Memory(ty) => {
                let index = if ty.memory64 { " i64" } else { "" };
                let shared = if ty.shared { " shared" } else { "" };
                let page = ty.page_size_log2.map_or(String::new(), |log2| format!(" (pagesize {})", 1_u64 << log2));
                format!("(memory{index} {}{shared}{page})", limits(ty.initial, ty.maximum))
            }
            Item::Table(ty, element) => {
                let index = if ty.table64 { " i64" } else { "" };
                format!("(table{index} {} {element})", limits(ty.initial, ty.maximum))
            }
            Item::Global(ty, true) => format!("(global (mut {ty}))"),
            Item::Global(ty, false) => format!("(global {ty})"),
            Item::Tag(ty) => format!("(tag{})", list("param", ty.params())),
        }
    }
}

/// Types in one list, nothing if there are none.
fn list(what: &str, types: &[ValType]) -> String {
    let types: String = types.iter().map(|ty| format!(" {ty}")).collect();
    if types.is_empty() { types } else { format!(" ({what}{types})") }
}

fn limits(minimum: u64, maximum: Option<u64>) -> String {
    maximum.map_or_else(|| minimum.to_string(), |maximum| format!("{minimum} {maximum}"))
}

/// A name as documentation has it.
pub(super) fn quoted(name: &str) -> String {
    if name.is_empty() { "with no name".to_owned() } else { format!("`{}`", plain(name)) }
}

/// A name as it can stand in documentation.
pub(super) fn plain(name: &str) -> String {
    name.escape_debug().to_string().replace('`', "'")
}
