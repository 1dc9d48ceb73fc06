//! The state in which instances begin, where that is not the one that the
//! module describes: it takes the place of initial values, segments and the
//! start function between parsing and analysis.
//!
//! Code, names and debug information stay as they are. What was initialised
//! is known to analysis as if the module's author had written it down, so it
//! becomes part of images and templates like any other initial content.

use crate::error::Error;
use crate::parse::{ConstOp, ParsedBody, ParsedData, ParsedElem, ParsedExport, ParsedModule};
use std::fmt;
use wasmc_artifacts::abi::ValType;
use wasmc_artifacts::format::{Digest, ExternKind};
use wasmparser::{BinaryReader, FuncToValidate, FunctionBody};

/// The body of a function that does nothing: no locals, `end`.
const EMPTY_BODY: [u8; 2] = [0, 0x0b];

/// The state that an instance of a module had when an initialiser had run.
///
/// Made by `wasmc::init::run` (feature `init`); goes into
/// [`Options::snapshot`](crate::Options::snapshot).
#[derive(Clone)]
pub struct Snapshot {
    /// SHA-256 of the module in the binary format.
    pub(crate) source: Digest,
    /// What has run, for people.
    pub(crate) initialized_by: String,
    /// Exported functions that do nothing from now on.
    pub(crate) spent: Vec<String>,
    /// Exports, and those whose functions are exported in their place.
    pub(crate) renames: Vec<(String, String)>,
    /// The memories.
    pub(crate) memories: Vec<MemoryContent>,
    /// The tables; `None` for one that never changes.
    pub(crate) tables: Vec<Option<TableContent>>,
    /// The globals; `None` for one that never changes.
    pub(crate) globals: Vec<Option<ConstOp>>,
    /// Whether each passive data segment was dropped.
    pub(crate) dropped_data: Vec<bool>,
    /// Whether each passive element segment was dropped.
    pub(crate) dropped_elems: Vec<bool>,
}

/// What a memory contains.
#[derive(Clone)]
pub(crate) struct MemoryContent {
    /// Size in pages of its own.
    pub(crate) pages: u64,
    /// Bytes that are not zero, and where they are.
    pub(crate) runs: Vec<(u64, Vec<u8>)>,
}

/// What a table contains.
#[derive(Clone)]
pub(crate) struct TableContent {
    /// Number of elements.
    pub(crate) length: u64,
    /// Elements that are not null, and where they are.
    pub(crate) runs: Vec<(u64, Vec<ConstOp>)>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("initialized_by", &self.initialized_by)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// What has run, as `start function, _initialize`.
    pub fn initialized_by(&self) -> &str {
        &self.initialized_by
    }

    /// Bytes of memories that are stored because they are not all zeros.
    pub fn bytes(&self) -> u64 {
        self.memories.iter().flat_map(|memory| &memory.runs).map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Puts the state into a module whose hash is `source`.
    ///
    /// # Errors
    /// [`Error::Options`] if the snapshot is of another module.
    pub(crate) fn apply<'a>(&'a self, module: &mut ParsedModule<'a>, source: &Digest) -> Result<(), Error> {
        if self.source != *source {
            return Err(Error::Options(
                "the snapshot is of another module; initialise the module that is compiled".to_owned(),
            ));
        }
        module.start = None;
        self.data(module);
        self.elements(module);
        for (global, value) in module.globals.iter_mut().zip(&self.globals) {
            if let Some(value) = value {
                global.init = Some(vec![*value]);
            }
        }
        // Names are those of the module before anything takes another's place.
        let spent: Vec<&String> = self.spent.iter().filter(|name| !self.is_replaced(name)).collect();
        self.rename(module);
        for name in spent {
            self.spend(module, name);
        }
        Ok(())
    }

    /// Memories and data segments.
    fn data<'a>(&'a self, module: &mut ParsedModule<'a>) {
        let mut passive = self.dropped_data.iter();
        for data in &mut module.data {
            let dropped = data.active.is_some() || passive.next() == Some(&true);
            if dropped {
                // Active segments are dropped when an instance is made. Without a
                // memory only an array can be made of one, which an empty one is
                // not enough for either.
                let at = |memory| (memory, vec![ConstOp::Const(0)]);
                let memory = data.active.take().map_or(0, |(memory, _)| memory);
                data.active = (!self.memories.is_empty()).then(|| at(memory));
                data.bytes = &[];
            }
        }
        for (index, (memory, content)) in module.memories.iter_mut().zip(&self.memories).enumerate() {
            memory.initial = content.pages;
            module.data.extend(content.runs.iter().map(|(position, bytes)| ParsedData {
                active: Some((index as u32, vec![ConstOp::Const((*position).into())])),
                bytes,
            }));
        }
    }

    /// Tables and element segments.
    fn elements(&self, module: &mut ParsedModule<'_>) {
        let is_kept = |table: u32| matches!(self.tables.get(table as usize), Some(None));
        let mut passive = self.dropped_elems.iter();
        for elem in &mut module.elems {
            let dropped = match &elem.active {
                Some((table, _)) => !is_kept(*table),
                None => !elem.declared && passive.next() == Some(&true),
            };
            if dropped {
                // The functions stay declared, as code may refer to them.
                elem.active = None;
                elem.declared = true;
            }
        }
        for (index, (table, content)) in module.tables.iter_mut().zip(&self.tables).enumerate() {
            let Some(content) = content else { continue };
            table.ty.initial = content.length;
            if matches!(table.element, ValType::Ref(element) if element.nullable) {
                table.init = None;
            }
            module.elems.extend(content.runs.iter().map(|(position, items)| ParsedElem {
                active: Some((index as u32, vec![ConstOp::Const((*position).into())])),
                declared: false,
                element: table.element,
                items: items.clone(),
            }));
        }
    }

    /// Whether another function is exported with this name.
    fn is_replaced(&self, name: &str) -> bool {
        self.renames.iter().any(|(place, _)| place == name)
    }

    /// Exports functions with the names of others too.
    fn rename<'a>(&'a self, module: &mut ParsedModule<'a>) {
        let find = |module: &ParsedModule<'a>, name: &str| module.exports.iter().position(|e| e.name == name);
        let function = |name: &str| find(module, name).map(|at| module.exports[at].index);
        let renames = self.renames.iter().map(|(place, name)| (place, function(name)));
        for (place, new) in renames.collect::<Vec<_>>() {
            let Some(index) = new else { continue };
            match find(module, place) {
                Some(at) => module.exports[at].index = index,
                None => module.exports.push(ParsedExport { name: place, kind: ExternKind::Func, index }),
            }
        }
        module.index_exports();
    }

    /// Lets an exported function of the module do nothing: it has run. Hosts
    /// that call it do as before.
    fn spend<'a>(&self, module: &mut ParsedModule<'a>, name: &'a str) {
        let own = |index: u32| index.checked_sub(module.imported_functions);
        let is_it = |kind: ExternKind, found: &str| kind == ExternKind::Func && found == name;
        let Some(at) = module.exports.iter().position(|export| is_it(export.kind, export.name)) else { return };
        let old = module.exports[at].index;
        let Some(body) = own(old).and_then(|body| module.bodies.get(body as usize)) else { return };
        let Some(validate) = &body.validate else { return };
        let index = module.functions.len() as u32;
        let validate = FuncToValidate {
            resources: validate.resources.clone(),
            index: validate.index,
            ty: validate.ty,
            features: validate.features,
        };
        let reader = BinaryReader::new_features(&EMPTY_BODY, body.body.range().start, validate.features);
        let body = ParsedBody { validate: Some(validate), body: FunctionBody::new(reader) };
        module.bodies.push(body);
        module.functions.push(module.functions[old as usize]);
        module.exports[at].index = index;
        module.index_exports();
    }
}
