//! Calls of builtins, through the table that the context header points to.

use super::{NATIVE_CALL_CONV, Translator, trap_code};
use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, Type, Value, types};
use wasmc_artifacts::abi::{Builtin, BuiltinType, Trap, vm_header};

fn clif_type(ty: BuiltinType) -> Type {
    match ty {
        BuiltinType::Header | BuiltinType::Ptr | BuiltinType::I64 => types::I64,
        BuiltinType::I32 => types::I32,
    }
}

/// The signature of a builtin.
pub(super) fn signature(builtin: Builtin) -> Signature {
    let mut sig = Signature::new(NATIVE_CALL_CONV);
    sig.params.extend(builtin.params().iter().map(|ty| AbiParam::new(clif_type(*ty))));
    sig.returns.extend(builtin.result().map(|ty| AbiParam::new(clif_type(ty))));
    sig
}

impl Translator<'_> {
    /// Calls a builtin; `args` do not include the header.
    pub(super) fn call_builtin(&mut self, builtin: Builtin, args: &[Value]) -> Option<Value> {
        self.makes_calls = true;
        let sig = match self.builtin_signatures.get(&builtin) {
            Some(sig) => *sig,
            None => {
                let sig = self.b.import_signature(signature(builtin));
                self.builtin_signatures.insert(builtin, sig);
                sig
            }
        };
        let table = self.load_context(self.env.facts.layout.header() + vm_header::builtins, self.constant_flags());
        let flags = self.constant_flags();
        let code = self.b.ins().load(types::I64, flags, table, builtin.offset());
        let mut all = Vec::with_capacity(args.len() + 1);
        if builtin.params().first() == Some(&BuiltinType::Header) {
            let header = self.env.facts.layout.header();
            all.push(self.b.ins().iadd_imm_s(self.vmctx, i64::from(header)));
        }
        all.extend_from_slice(args);
        let call = self.b.ins().call_indirect(sig, code, &all);
        if !self.may_collect(builtin) {
            self.tracked.quiet.insert(call);
        }
        self.b.inst_results(call).first().copied()
    }

    /// Whether garbage may be collected in a builtin: in one that allocates, and
    /// where a callback of the host's may run.
    fn may_collect(&self, builtin: Builtin) -> bool {
        match builtin {
            Builtin::gc_alloc => true,
            Builtin::atomic_wait32 | Builtin::atomic_wait64 => self.env.options.epoch,
            _ => false,
        }
    }

    /// Calls a builtin that returns a result.
    pub(super) fn call_builtin_value(&mut self, builtin: Builtin, args: &[Value]) -> Value {
        self.call_builtin(builtin, args).unwrap_or_else(|| unreachable!("the builtin {} has a result", builtin.name()))
    }

    /// Calls a builtin that returns 0, or 1 to trap.
    pub(super) fn call_builtin_or_trap(&mut self, builtin: Builtin, args: &[Value], trap: Trap) {
        let status = self.call_builtin_value(builtin, args);
        self.b.ins().trapnz(status, trap_code(trap));
    }

    /// A 32-bit constant, as builtins take indices.
    pub(super) fn index(&mut self, index: u32) -> Value {
        self.b.ins().iconst(types::I32, i64::from(index))
    }
}
