//! The state of an instance, as initial values of its module.

use super::Error;
use crate::analyse;
use crate::parse::{ConstOp, ParsedModule};
use crate::snapshot::{MemoryContent, Snapshot, TableContent};
use std::collections::HashMap;
use wasmc_artifacts::abi::CompositeType;
use wasmc_artifacts::format::{Digest, ExternKind};
use wasmc_loader::snapshot::{InstanceState, TableState, Value};
use wasmparser::Operator;

impl Snapshot {
    /// A snapshot without any state.
    pub(super) fn empty(
        source: Digest,
        initialized_by: String,
        spent: Vec<String>,
        renames: Vec<(String, String)>,
    ) -> Snapshot {
        Snapshot {
            source,
            initialized_by,
            spent,
            renames,
            memories: Vec::new(),
            tables: Vec::new(),
            globals: Vec::new(),
            dropped_data: Vec::new(),
            dropped_elems: Vec::new(),
        }
    }
}

/// Puts a state into a snapshot.
pub(super) fn freeze(module: &ParsedModule<'_>, state: InstanceState, empty: Snapshot) -> Result<Snapshot, Error> {
    let freezer = Freezer::new(module, &state)?;
    freezer.check_elements(&state.dropped_elems)?;
    let globals = module.globals.iter().zip(&state.globals).enumerate();
    let globals = globals.map(|(index, (global, value))| {
        let frozen = global.mutable.then(|| freezer.global(index as u32, *value));
        frozen.transpose()
    });
    let globals = globals.collect::<Result<_, Error>>()?;
    let tables = state.tables.into_iter().enumerate();
    let tables = tables.map(|(index, table)| table.map(|table| freezer.table(index as u32, table)).transpose());
    let tables = tables.collect::<Result<_, Error>>()?;
    let memories = state.memories.into_iter().map(|memory| MemoryContent {
        pages: memory.pages,
        runs: memory.runs.into_iter().map(|run| (run.position, run.bytes)).collect(),
    });
    let memories = memories.collect();
    let (dropped_data, dropped_elems) = (state.dropped_data, state.dropped_elems);
    Ok(Snapshot { memories, tables, globals, dropped_data, dropped_elems, ..empty })
}

/// What an object cannot be part of.
fn refused(value: Value) -> &'static str {
    match value {
        Value::Object(_) => {
            "refers to an object on the heap that no immutable global holds, and objects are made when an instance is"
        }
        Value::Exception => "refers to an exception",
        Value::Host => "refers to a value of the host's",
        _ => "refers to a function that is neither the module's nor imported by it",
    }
}

/// Knows which objects are made anew with every instance.
struct Freezer<'m> {
    module: &'m ParsedModule<'m>,
    /// Immutable globals by the object that they hold, the lowest of each.
    objects: HashMap<u32, u32>,
}

impl<'m> Freezer<'m> {
    fn new(module: &'m ParsedModule<'m>, state: &InstanceState) -> Result<Freezer<'m>, Error> {
        let mut freezer = Freezer { module, objects: HashMap::new() };
        for (index, (global, value)) in (0..).zip(module.globals.iter().zip(&state.globals)) {
            let Value::Object(object) = *value else { continue };
            if global.mutable {
                continue;
            }
            if freezer.makes_mutable(index)? {
                // What stands for values of segments matters only where it is used.
                if index < freezer.named_globals() {
                    return Err(Error::Object { what: freezer.global_name(index) });
                }
                continue;
            }
            freezer.objects.entry(object).or_insert(index);
        }
        Ok(freezer)
    }

    /// The globals of the module's own.
    fn named_globals(&self) -> u32 {
        let hidden = self.module.globals.iter().rev().take_while(|global| global.hidden).count();
        (self.module.globals.len() - hidden) as u32
    }

    /// Whether the initial value of a global is made of an object with fields
    /// that can change.
    fn makes_mutable(&self, index: u32) -> Result<bool, Error> {
        let init = self.module.globals[index as usize].init.iter().flatten();
        for op in init {
            let ConstOp::Computed { start, end } = *op else { continue };
            let mut operators = analyse::operators(self.module, start, end);
            while !operators.eof() {
                let made = match operators.read().map_err(crate::Error::from)? {
                    Operator::StructNew { struct_type_index: ty }
                    | Operator::StructNewDefault { struct_type_index: ty }
                    | Operator::ArrayNew { array_type_index: ty }
                    | Operator::ArrayNewDefault { array_type_index: ty }
                    | Operator::ArrayNewFixed { array_type_index: ty, .. } => ty,
                    _ => continue,
                };
                let types = &self.module.types;
                let mutable = types.index(made).is_none_or(|ty| match &types.get(ty).ty.composite {
                    CompositeType::Struct(ty) => ty.fields.iter().any(|field| field.mutable),
                    CompositeType::Array(ty) => ty.element.mutable,
                    CompositeType::Func(_) => false,
                });
                if mutable {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A passive segment that is still there makes objects with every instance.
    fn check_elements(&self, dropped: &[bool]) -> Result<(), Error> {
        let mut dropped = dropped.iter();
        for (index, elem) in self.module.elems.iter().enumerate() {
            if elem.active.is_some() || elem.declared || dropped.next() == Some(&true) {
                continue;
            }
            for item in &elem.items {
                let ConstOp::GlobalGet(global) = *item else { continue };
                if self.makes_mutable(global)? {
                    return Err(Error::Object { what: format!("element segment {index}") });
                }
            }
        }
        Ok(())
    }

    fn global(&self, index: u32, value: Value) -> Result<ConstOp, Error> {
        // Initial values of globals can only refer to those before them.
        let known = self.value(value).filter(|op| !matches!(op, ConstOp::GlobalGet(other) if *other >= index));
        known.ok_or_else(|| Error::State { what: self.global_name(index), holds: refused(value) })
    }

    fn table(&self, index: u32, table: TableState) -> Result<TableContent, Error> {
        let mut runs = Vec::with_capacity(table.runs.len());
        for (first, values) in table.runs {
            let mut items = Vec::with_capacity(values.len());
            for (at, value) in (first..).zip(values) {
                let item = self.value(value);
                items.push(item.ok_or_else(|| {
                    let what = format!("element {at} of {}", self.name("table", ExternKind::Table, index));
                    Error::State { what, holds: refused(value) }
                })?);
            }
            runs.push((first, items));
        }
        Ok(TableContent { length: table.length, runs })
    }

    /// A value as an initial value, if it can be one.
    fn value(&self, value: Value) -> Option<ConstOp> {
        Some(match value {
            Value::Number(bits) => ConstOp::Const(bits),
            Value::Null => ConstOp::RefNull,
            Value::Function(index) => ConstOp::RefFunc(index),
            Value::I31(bits) => ConstOp::Const(bits.into()),
            Value::Object(object) => ConstOp::GlobalGet(*self.objects.get(&object)?),
            Value::Exception | Value::Host | Value::ForeignFunction => return None,
        })
    }

    fn global_name(&self, index: u32) -> String {
        self.name("global", ExternKind::Global, index)
    }

    /// What something of the module is called.
    fn name(&self, what: &str, kind: ExternKind, index: u32) -> String {
        match self.module.export_name(kind, index) {
            Some(name) => format!("{what} {index} (`{name}`)"),
            None => format!("{what} {index}"),
        }
    }
}
