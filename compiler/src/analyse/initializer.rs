//! Constant expressions that make objects: code computes them, when an
//! instance is made.

use crate::error::Error;
use crate::parse::{ConstOp, ParsedModule};
use std::collections::BTreeSet;
use wasmparser::{BinaryReader, Operator, OperatorsReader};

/// What the code computes.
#[derive(Debug, Default)]
pub struct Initializer {
    /// The globals whose initial values it computes, in order.
    pub globals: Vec<u32>,
    /// The functions that it refers to.
    pub functions: BTreeSet<u32>,
    /// Whether it turns references to values of the host's into others or back.
    pub converts: bool,
}

impl Initializer {
    /// Finds what there is to compute.
    pub(super) fn new(module: &ParsedModule<'_>) -> Result<Initializer, Error> {
        let mut found = Initializer::default();
        for (index, global) in (0..).zip(&module.globals) {
            let computed = global.init.iter().flatten().any(|op| match op {
                ConstOp::Computed { .. } => true,
                ConstOp::GlobalGet(other) => found.computes(*other),
                _ => false,
            });
            if computed {
                found.globals.push(index);
            }
            for op in global.init.iter().flatten() {
                if let ConstOp::Computed { start, end } = *op {
                    found.note(operators(module, start, end))?;
                }
            }
        }
        Ok(found)
    }

    /// Whether it computes a global's initial value.
    pub fn computes(&self, global: u32) -> bool {
        self.globals.binary_search(&global).is_ok()
    }

    fn note(&mut self, mut operators: OperatorsReader<'_>) -> Result<(), Error> {
        while !operators.eof() {
            match operators.read()? {
                Operator::RefFunc { function_index } => drop(self.functions.insert(function_index)),
                Operator::AnyConvertExtern | Operator::ExternConvertAny => self.converts = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The operators of a constant expression, given where it is in the module.
pub fn operators<'a>(module: &ParsedModule<'a>, start: u32, end: u32) -> OperatorsReader<'a> {
    let bytes = module.bytes.get(start as usize..end as usize).unwrap_or_default();
    OperatorsReader::new(BinaryReader::new(bytes, start.into()))
}
