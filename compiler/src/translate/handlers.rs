//! Where exceptions go within a function.
//!
//! A `try` whose body may throw has up to two blocks besides its clauses:
//!
//! ```text
//!   call ──(the loader)──▶ landing pad ──▶ dispatch ──▶ a clause's label, or
//!   throw in the same function ───────────────┘         the next `try`, or out
//! ```
//!
//! Both are made for the first operator that needs them, and filled in where
//! the body ends. The code that does not throw has no instruction for them.

use super::control::Kind;
use super::{Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, ExceptionTableData, ExceptionTableItem, FuncRef, InstBuilder, SigRef, Value, types,
};
use wasmc_artifacts::abi::descriptor::EXCEPTION_TAG;
use wasmc_artifacts::abi::{Builtin, Trap, vm_tag_import};

/// The blocks of a `try`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Landing {
    /// Where calls unwind to.
    pad: Option<Block>,
    /// What compares the tag of the exception that it gets.
    dispatch: Option<Block>,
}

/// A clause of a `try_table`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clause {
    /// What it catches; everything if there is none.
    pub tag: Option<u32>,
    /// Whether its label gets the exception itself, too.
    pub by_reference: bool,
    /// The frame that it branches to.
    pub frame: usize,
}

/// What is called.
#[derive(Clone, Copy)]
pub(super) enum Code {
    /// A function of this module.
    Direct(FuncRef),
    /// A function at an address.
    At(Value),
}

impl Translator<'_> {
    /// The innermost of the outermost `count` frames that catches exceptions
    /// thrown in it.
    fn catching_frame(&self, count: usize) -> Option<usize> {
        self.frames[..count].iter().rposition(|frame| matches!(frame.kind, Kind::TryTable { .. } | Kind::Try { .. }))
    }

    fn landing(&mut self, frame: usize) -> &mut Landing {
        match &mut self.frames[frame].kind {
            Kind::TryTable { landing, .. } | Kind::Try { landing } => landing,
            _ => unreachable!("this frame catches nothing"),
        }
    }

    /// The block that gets exceptions thrown in a frame that catches some.
    fn dispatch_of(&mut self, frame: usize) -> Block {
        if let Some(block) = self.landing(frame).dispatch {
            return block;
        }
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        let exception = self.b.append_block_param(block, types::I32);
        self.tracked.references.insert(exception);
        self.landing(frame).dispatch = Some(block);
        block
    }

    /// The block that calls in a frame that catches exceptions unwind to.
    fn pad_of(&mut self, frame: usize) -> Block {
        if let Some(block) = self.landing(frame).pad {
            return block;
        }
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        self.b.append_block_param(block, types::I64);
        self.landing(frame).pad = Some(block);
        self.dispatch_of(frame);
        block
    }

    /// Calls code, which may throw; its results.
    pub(super) fn call_code(&mut self, code: Code, sig: SigRef, args: &[Value]) -> Vec<Value> {
        let Some(frame) = self.catching_frame(self.frames.len()) else {
            let call = match code {
                Code::Direct(function) => self.b.ins().call(function, args),
                Code::At(address) => self.b.ins().call_indirect(sig, address, args),
            };
            return self.b.inst_results(call).to_vec();
        };
        let pad = self.pad_of(frame);
        let returned = self.b.create_block();
        // A block of the call's own, as nothing but the exception can be passed
        // on from a call that unwinds: the collector may have moved the rest.
        let unwound = self.b.create_block();
        self.b.set_cold_block(unwound);
        let payload = self.b.append_block_param(unwound, types::I64);
        let results: Vec<_> = self.b.func.dfg.signatures[sig].returns.iter().map(|result| result.value_type).collect();
        for ty in &results {
            self.b.append_block_param(returned, *ty);
        }
        let results: Vec<BlockArg> = (0..results.len()).map(|i| BlockArg::TryCallRet(i as u32)).collect();
        let normal = self.b.func.dfg.block_call(returned, &results);
        let caught = self.b.func.dfg.block_call(unwound, &[BlockArg::TryCallExn(0)]);
        let table = ExceptionTableData::new(sig, normal, [ExceptionTableItem::Default(caught)]);
        let table = self.b.func.dfg.exception_tables.push(table);
        match code {
            Code::Direct(function) => self.b.ins().try_call(function, args, table),
            Code::At(address) => self.b.ins().try_call_indirect(address, args, table),
        };
        self.b.seal_block(unwound);
        self.b.switch_to_block(unwound);
        self.b.ins().jump(pad, &[BlockArg::Value(payload)]);
        self.b.seal_block(returned);
        self.b.switch_to_block(returned);
        self.b.block_params(returned).to_vec()
    }

    /// Fills in the landing pad and begins the dispatch of a `try` whose body
    /// is translated; the exception there. `None` if nothing in it throws.
    pub(super) fn land(&mut self, landing: Landing) -> Option<Value> {
        let dispatch = landing.dispatch?;
        if let Some(pad) = landing.pad {
            self.b.seal_block(pad);
            self.b.switch_to_block(pad);
            self.restore_values();
            let payload = self.b.block_params(pad)[0];
            let exception = self.b.ins().ireduce(types::I32, payload);
            self.b.ins().jump(dispatch, &[BlockArg::Value(exception)]);
        }
        self.b.seal_block(dispatch);
        self.b.switch_to_block(dispatch);
        // Whatever throws has paid.
        self.owed = self.owed.map(|_| 0);
        Some(self.b.block_params(dispatch)[0])
    }

    /// Throws an exception that is there, out of the outermost `count` frames.
    pub(super) fn throw_reference(&mut self, exception: Value, count: usize) {
        if let Some(frame) = self.catching_frame(count) {
            let dispatch = self.dispatch_of(frame);
            self.b.ins().jump(dispatch, &[BlockArg::Value(exception)]);
        } else {
            self.call_builtin(Builtin::throw, &[exception]);
            self.b.ins().trap(trap_code(Trap::UnreachableCodeReached));
        }
    }

    /// Throws an exception with a known tag. Where a clause of this function
    /// certainly catches it, this is a branch, and the exception is made only
    /// if the clause wants it.
    pub(super) fn throw_new(&mut self, tag: u32, values: &[Value]) {
        let mut count = self.frames.len();
        while let Some(frame) = self.catching_frame(count) {
            count = frame;
            let Kind::TryTable { clauses, .. } = &self.frames[frame].kind else {
                let exception = self.make_exception(tag, values);
                return self.throw_reference(exception, frame + 1);
            };
            for clause in clauses.clone() {
                match clause.tag {
                    Some(other) if other != tag && self.are_distinct(tag, other) => {}
                    Some(other) if other != tag => {
                        let exception = self.make_exception(tag, values);
                        return self.throw_reference(exception, frame + 1);
                    }
                    _ => {
                        let exception = clause.by_reference.then(|| self.make_exception(tag, values));
                        let values = if clause.tag.is_some() { values } else { &[] };
                        return self.enter_clause(clause, values, exception);
                    }
                }
            }
        }
        let exception = self.make_exception(tag, values);
        self.throw_reference(exception, 0);
    }

    /// Whether two tags of the module are different ones. An imported tag may
    /// be the same as another imported one, but not as one that is only made
    /// with the instance.
    fn are_distinct(&self, tag: u32, other: u32) -> bool {
        let imported = self.env.module.imported_tags;
        tag.max(other) >= imported
    }

    /// Branches to a clause's label.
    fn enter_clause(&mut self, clause: Clause, values: &[Value], exception: Option<Value>) {
        let mut args = values.to_vec();
        args.extend(exception);
        self.branch_to_frame(clause.frame, &mut args);
    }

    /// The dispatch of a `try_table`, whose frame is closed.
    pub(super) fn finish_try_table(&mut self, clauses: &[Clause], landing: Landing) {
        let Some(exception) = self.land(landing) else { return };
        for clause in clauses {
            let by_reference = clause.by_reference.then_some(exception);
            let Some(tag) = clause.tag else {
                return self.enter_clause(*clause, &[], by_reference);
            };
            let otherwise = self.b.create_block();
            self.test_tag(exception, tag, otherwise);
            let values = self.exception_values(exception, tag);
            self.enter_clause(*clause, &values, by_reference);
            self.b.switch_to_block(otherwise);
        }
        self.throw_reference(exception, self.frames.len());
    }

    /// Goes on if an exception has a tag, and to a new block if not.
    pub(super) fn test_tag(&mut self, exception: Value, tag: u32, otherwise: Block) {
        let object = self.object_address(exception);
        let flags = self.object_flags();
        let found = self.b.ins().load(types::I64, flags, object, EXCEPTION_TAG as i32);
        let expected = self.tag_address(tag);
        let same = self.b.ins().icmp(IntCC::Equal, found, expected);
        let caught = self.b.create_block();
        self.b.ins().brif(same, caught, &[], otherwise, &[]);
        self.b.seal_block(caught);
        self.b.seal_block(otherwise);
        self.b.switch_to_block(caught);
    }

    /// The identity of a tag.
    pub(super) fn tag_address(&mut self, tag: u32) -> Value {
        let (layout, imported) = (&self.env.facts.layout, self.env.module.imported_tags);
        if tag < imported {
            let at = layout.tag_import(tag) + vm_tag_import::def;
            self.load_context(at, self.constant_flags())
        } else {
            let at = layout.tag_def(tag - imported);
            self.b.ins().iadd_imm_s(self.vmctx, i64::from(at))
        }
    }
}
