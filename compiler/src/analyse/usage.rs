//! Validates function bodies and notes what they use.

use super::calls::BodyCalls;
use crate::error::Error;
use crate::options::Options;
use crate::parallel;
use crate::parse::{ParsedBody, ParsedModule};
use crate::types::{TypeIndex, Types};
use crate::uses::Uses;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use wasmparser::{FuncValidatorAllocations, Operator};

/// What the bodies of a module use.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    /// Globals that are set.
    pub(super) globals_set: BTreeSet<u32>,
    /// Tables that are read or written other than by `call_indirect`.
    pub(super) tables_accessed: BTreeSet<u32>,
    /// Tables that grow.
    pub(super) tables_grown: BTreeSet<u32>,
    /// Functions that `ref.func` names.
    pub(super) ref_funcs: BTreeSet<u32>,
    /// Tables and types of `call_indirect`.
    pub(super) indirect_calls: BTreeSet<(u32, TypeIndex)>,
    /// Whether references to the host's values become others, or others those.
    pub(super) converts: bool,
    /// Whether code looks at objects whatever their types.
    pub(super) inspects: bool,
    /// Types of `call_ref`.
    pub(super) reference_calls: BTreeSet<TypeIndex>,
    /// The values in a frame of each function, in the order of the bodies.
    pub(super) frame_values: Vec<u32>,
    /// What each body calls, if that is wanted.
    pub(super) calls: Vec<BodyCalls>,
    /// The proposals that bodies use.
    pub(super) uses: Uses,
}

impl Usage {
    fn note(&mut self, op: &Operator<'_>, types: &Types) {
        self.uses.operator(op);
        match *op {
            Operator::GlobalSet { global_index } => {
                self.globals_set.insert(global_index);
            }
            Operator::TableGet { table }
            | Operator::TableSet { table }
            | Operator::TableFill { table }
            | Operator::TableInit { table, .. }
            | Operator::TableSize { table } => {
                self.tables_accessed.insert(table);
            }
            Operator::TableGrow { table } => {
                self.tables_accessed.insert(table);
                self.tables_grown.insert(table);
            }
            Operator::TableCopy { dst_table, src_table } => {
                self.tables_accessed.insert(dst_table);
                self.tables_accessed.insert(src_table);
            }
            Operator::RefFunc { function_index } => {
                self.ref_funcs.insert(function_index);
            }
            Operator::CallIndirect { type_index, table_index }
            | Operator::ReturnCallIndirect { type_index, table_index } => {
                if let Some(ty) = types.index(type_index) {
                    self.indirect_calls.insert((table_index, ty));
                }
            }
            Operator::RefTestNonNull { .. }
            | Operator::RefTestNullable { .. }
            | Operator::RefCastNonNull { .. }
            | Operator::RefCastNullable { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. }
            | Operator::ArrayLen => self.inspects = true,
            Operator::AnyConvertExtern | Operator::ExternConvertAny => self.converts = true,
            Operator::CallRef { type_index } | Operator::ReturnCallRef { type_index } => {
                self.reference_calls.extend(types.index(type_index));
            }
            _ => {}
        }
    }

    fn union(mut self, other: Usage) -> Usage {
        self.globals_set.extend(other.globals_set);
        self.tables_accessed.extend(other.tables_accessed);
        self.tables_grown.extend(other.tables_grown);
        self.ref_funcs.extend(other.ref_funcs);
        self.indirect_calls.extend(other.indirect_calls);
        self.converts |= other.converts;
        self.inspects |= other.inspects;
        self.reference_calls.extend(other.reference_calls);
        self.frame_values.extend(other.frame_values);
        self.calls.extend(other.calls);
        self.uses.union(other.uses);
        self
    }
}

/// Validates all bodies; what they use together and, if code is to look whether
/// it has to stop, what each of them calls.
pub(super) fn scan(module: &mut ParsedModule<'_>, options: &Options) -> Result<Usage, Error> {
    let calls = options.epoch || options.fuel;
    // Validation consumes its part of a body.
    let types = &module.types;
    let chunks: Vec<_> = module.bodies.chunks_mut(64).map(Mutex::new).collect();
    let work = |allocations: &mut FuncValidatorAllocations, chunk: usize| {
        let mut usage = Usage::default();
        // Each is taken once, so nobody waits for a lock.
        let mut bodies = chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner);
        for body in bodies.iter_mut() {
            let calls = calls.then(BodyCalls::default);
            validate(body, types, allocations, &mut usage, calls)?;
        }
        Ok(usage)
    };
    let tokens = options.thread_tokens.as_ref();
    let results: Vec<wasmparser::Result<Usage>> =
        parallel::map(tokens, chunks.len(), FuncValidatorAllocations::default, work);
    let mut usage = Usage::default();
    for result in results {
        // In order, so that the first invalid body is reported whatever the
        // number of threads.
        usage = usage.union(result.map_err(|error| Error::from_parser(&error))?);
    }
    Ok(usage)
}

fn validate(
    body: &mut ParsedBody<'_>,
    types: &Types,
    allocations: &mut FuncValidatorAllocations,
    usage: &mut Usage,
    mut calls: Option<BodyCalls>,
) -> wasmparser::Result<()> {
    let Some(validate) = body.validate.take() else { return Ok(()) };
    let mut validator = validate.into_validator(std::mem::take(allocations));
    let mut reader = body.body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    for local in body.body.get_locals_reader()? {
        usage.uses.value(local?.1);
    }
    let mut operators = wasmparser::OperatorsReader::new(reader);
    let mut highest = 0;
    while !operators.eof() {
        let position = operators.original_position();
        let op = operators.read()?;
        validator.op(position, &op)?;
        highest = highest.max(validator.operand_stack_height());
        usage.note(&op, types);
        if let Some(calls) = &mut calls {
            calls.note(&op, types);
        }
    }
    usage.calls.extend(calls);
    operators.finish()?;
    usage.frame_values.push(validator.len_locals().saturating_add(highest).max(1));
    *allocations = validator.into_allocations();
    Ok(())
}
