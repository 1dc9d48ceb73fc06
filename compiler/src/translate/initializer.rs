//! The function that computes initial values of globals.

use super::{ModuleEnv, Translated, Translator, safepoints, visit, wasm_signature};
use crate::analyse::operators;
use crate::error::Error;
use crate::parse::ConstOp;
use cranelift_codegen::ir;
use cranelift_frontend::FunctionBuilderContext;
use wasmc_artifacts::abi::FuncType;
use wasmparser::Operator;

/// Translates the constant expressions of a module that make objects, into one
/// function without parameters and results.
///
/// # Errors
/// [`Error`] if an expression cannot be read; validation has accepted it
/// before.
pub fn translate_initializer(
    env: &ModuleEnv<'_>,
    func: &mut ir::Function,
    context: &mut FunctionBuilderContext,
) -> Result<Translated, Error> {
    let ty = FuncType::new([], []);
    func.signature = wasm_signature(&ty);
    func.name = ir::UserFuncName::User(super::Symbol::Initializer.name());
    let mut t = Translator::new(env, func, context);
    t.enter_function(&ty);
    for global in &env.facts.initializer.globals {
        for op in env.module.globals[*global as usize].init.iter().flatten() {
            match *op {
                ConstOp::Computed { start, end } => t.expression(start, end)?,
                ConstOp::GlobalGet(other) => t.visit_global_get(other),
                _ => unreachable!("an expression with another operation is not left to code"),
            }
        }
        t.visit_global_set(*global);
    }
    t.visit_end();
    let tracked = t.finish();
    safepoints::expose(func, &tracked);
    Ok(Translated { leaf: false, tail_args: 0 })
}

impl Translator<'_> {
    /// Pushes the value of the constant expression in these bytes.
    fn expression(&mut self, start: u32, end: u32) -> Result<(), Error> {
        let mut operators = operators(self.env.module, start, end);
        while !operators.eof() {
            if matches!(operators.clone().read()?, Operator::End) {
                break;
            }
            operators.visit_operator(&mut visit::Visitor(self))??;
        }
        Ok(())
    }
}
