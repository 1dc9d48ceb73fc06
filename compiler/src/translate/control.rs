//! Control frames and the operators that make and leave them.

use super::handlers::{Clause, Landing};
use super::{Translator, clif_type};
use crate::error::Error;
use crate::options::OptLevel;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, InstBuilder, JumpTableData, Value};
use std::collections::{BTreeMap, HashMap};
use wasmc_artifacts::abi::{Builtin, FuncType, Trap, ValType};
use wasmparser::{BlockType, BrTable};

/// What opened a frame.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// The function's own frame.
    Function,
    /// `block`.
    Block,
    /// `loop`: branches go back to `header`.
    Loop { header: Block },
    /// `if`, before its `else`: the block for the other case, and the
    /// parameters and the fuel owed, which that case begins with again.
    If { otherwise: Block, params: Vec<Value>, owed: Option<i64> },
    /// `if`, after its `else`.
    Else,
    /// `try_table` with clauses.
    TryTable { clauses: Vec<Clause>, landing: Landing },
    /// `try`, before its first handler.
    Try { landing: Landing },
    /// `try`, in a handler: the exception, if anything in the body throws, and
    /// the block for those that no handler so far catches.
    Catch { exception: Option<Value>, otherwise: Option<Block> },
    /// Any frame opened in unreachable code.
    Dead,
}

/// An open control frame.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Where control goes after the frame's `end`.
    next: Block,
    /// Whether anything branches to `next`.
    next_used: bool,
    /// Number of parameters and results.
    params: usize,
    results: usize,
    /// Height of the value stack below the parameters.
    pub(super) height: usize,
    /// What was known of references when it was opened.
    pub(super) known: usize,
    /// The fuel owed at `next`, once it is known.
    pub(super) owed: Option<i64>,
    /// Whether code has looked on every way to where it was opened.
    pub(super) looked: bool,
}

fn block_args(values: &[Value]) -> Vec<BlockArg> {
    values.iter().map(|value| BlockArg::Value(*value)).collect()
}

impl Translator<'_> {
    fn block_with_params(&mut self, types: &[ValType]) -> Block {
        let block = self.b.create_block();
        for ty in types {
            let value = self.b.append_block_param(block, clif_type(*ty));
            self.track(value, *ty);
        }
        block
    }

    pub(super) fn block_type(&self, ty: BlockType) -> Result<FuncType, Error> {
        Ok(match ty {
            BlockType::Empty => FuncType::new([], []),
            BlockType::Type(ty) => FuncType::new([], [self.env.module.types.val_type(ty)?]),
            BlockType::FuncType(index) => {
                let module = self.env.module;
                module.types.func(self.type_index(index)).clone()
            }
        })
    }

    /// Opens the function's frame.
    pub(super) fn enter_function(&mut self, ty: &FuncType) {
        let next = self.block_with_params(ty.results());
        let results = ty.results().len();
        let known = self.known.mark();
        self.frames.push(Frame {
            kind: Kind::Function,
            next,
            next_used: false,
            params: 0,
            results,
            height: 0,
            known,
            owed: None,
            looked: self.looked,
        });
    }

    /// Opens a frame; the parameters are on the stack.
    pub(super) fn open(&mut self, kind: Kind, ty: &FuncType) {
        let next = self.block_with_params(ty.results());
        let (params, results) = (ty.params().len(), ty.results().len());
        let height = self.stack.len() - params;
        let known = self.known.mark();
        let looked = self.looked;
        self.frames.push(Frame { kind, next, next_used: false, params, results, height, known, owed: None, looked });
    }

    /// Opens a frame in unreachable code, of which only the nesting matters.
    pub(super) fn open_dead(&mut self) {
        let next = self.frames[0].next;
        let height = self.stack.len();
        let known = self.known.mark();
        self.frames.push(Frame {
            kind: Kind::Dead,
            next,
            next_used: false,
            params: 0,
            results: 0,
            height,
            known,
            owed: None,
            looked: self.looked,
        });
    }

    /// Everything up to the frame's `end` or `else` cannot be reached.
    pub(super) fn set_unreachable(&mut self) {
        self.reachable = false;
    }

    pub(super) fn top(&mut self) -> &mut Frame {
        self.frames.last_mut().unwrap_or_else(|| unreachable!("validation balances control frames"))
    }

    pub(super) fn visit_block(&mut self, ty: BlockType) -> Result<(), Error> {
        if !self.reachable {
            self.open_dead();
            return Ok(());
        }
        let ty = self.block_type(ty)?;
        self.open(Kind::Block, &ty);
        Ok(())
    }

    pub(super) fn visit_loop(&mut self, ty: BlockType) -> Result<(), Error> {
        let fact = self.loops.next().copied();
        if !self.reachable {
            self.open_dead();
            return Ok(());
        }
        let ty = self.block_type(ty)?;
        let header = self.block_with_params(ty.params());
        self.open(Kind::Loop { header }, &ty);
        let mut args = self.pop_many(ty.params().len());
        self.canonical_all(&mut args);
        self.pay();
        self.begin_counting_loop(fact);
        let entry = self.b.ins().jump(header, &block_args(&args));
        self.b.switch_to_block(header);
        // Before anything else makes a parameter of what it uses.
        self.stack.extend_from_slice(self.b.block_params(header));
        self.look_in_loop(fact, header, entry);
        Ok(())
    }

    pub(super) fn visit_if(&mut self, ty: BlockType) -> Result<(), Error> {
        if !self.reachable {
            self.open_dead();
            return Ok(());
        }
        let ty = self.block_type(ty)?;
        let condition = self.pop();
        let (then, otherwise) = (self.b.create_block(), self.b.create_block());
        let branch = self.b.ins().brif(condition, then, &[], otherwise, &[]);
        if let Some(taken) = self.hints.taken() {
            self.hints.note_unlikely(branch, usize::from(taken));
        }
        self.b.seal_block(then);
        self.b.seal_block(otherwise);
        let params = self.stack[self.stack.len() - ty.params().len()..].to_vec();
        let owed = self.owed;
        self.open(Kind::If { otherwise, params, owed }, &ty);
        self.b.switch_to_block(then);
        Ok(())
    }

    pub(super) fn visit_else(&mut self) {
        self.leave_to_next();
        let known = self.top().known;
        self.known.forget(known);
        self.looked = self.top().looked;
        let frame = self.top();
        let height = frame.height;
        match std::mem::replace(&mut frame.kind, Kind::Else) {
            Kind::If { otherwise, params, owed } => {
                self.owed = owed;
                self.stack.truncate(height);
                self.stack.extend(params);
                self.b.switch_to_block(otherwise);
                self.reachable = true;
            }
            dead => self.top().kind = dead,
        }
    }

    /// If control can fall out of the frame's end, sends it on.
    pub(super) fn leave_to_next(&mut self) {
        if !self.reachable {
            return;
        }
        let frame = self.top();
        frame.next_used = true;
        let (next, results) = (frame.next, frame.results);
        let mut values = self.pop_many(results);
        self.canonical_all(&mut values);
        let owed = self.owed;
        let rest = *self.top().owed.get_or_insert(owed.unwrap_or(0));
        self.settle(rest);
        if self.fuel_loop.is_some_and(|(at, _)| at + 1 == self.frames.len()) {
            self.put_fuel_back();
        }
        self.b.ins().jump(next, &block_args(&values));
    }

    pub(super) fn visit_end(&mut self) {
        if let Frame { kind: Kind::If { owed, .. }, owed: rest @ None, .. } = self.top() {
            // Who skips it pays nothing for that.
            *rest = *owed;
        }
        self.leave_to_next();
        let mut frame = self.pop_frame();
        match &mut frame.kind {
            Kind::Loop { header } => self.b.seal_block(*header),
            Kind::If { otherwise, params, owed } => {
                self.b.switch_to_block(*otherwise);
                self.canonical_all(params);
                self.owed = *owed;
                self.settle(frame.owed.or(*owed).unwrap_or(0));
                self.b.ins().jump(frame.next, &block_args(params));
                frame.next_used = true;
            }
            Kind::TryTable { clauses, landing } => self.finish_try_table(clauses, *landing),
            Kind::Try { landing } => {
                if let Some(exception) = self.land(*landing) {
                    self.throw_reference(exception, self.frames.len());
                }
            }
            Kind::Catch { exception: Some(exception), otherwise: Some(otherwise) } => {
                self.b.switch_to_block(*otherwise);
                self.throw_reference(*exception, self.frames.len());
            }
            Kind::Function | Kind::Block | Kind::Else | Kind::Catch { .. } | Kind::Dead => {}
        }
        self.continue_after(&frame);
    }

    /// Takes the innermost frame off, and what it has left on the value stack.
    pub(super) fn pop_frame(&mut self) -> Frame {
        let frame = self.frames.pop().unwrap_or_else(|| unreachable!("validation balances control frames"));
        self.known.forget(frame.known);
        self.stack.truncate(frame.height);
        self.fuel_loop = self.fuel_loop.filter(|(at, _)| *at < self.frames.len());
        self.looked = frame.looked;
        frame
    }

    /// Goes on after the end of a frame.
    pub(super) fn continue_after(&mut self, frame: &Frame) {
        if matches!(frame.kind, Kind::Dead) {
            return;
        }
        self.b.seal_block(frame.next);
        self.reachable = frame.next_used;
        if !frame.next_used {
            return;
        }
        self.b.switch_to_block(frame.next);
        self.stack.extend_from_slice(self.b.block_params(frame.next));
        self.owed = self.owed.map(|_| frame.owed.unwrap_or(0));
        if matches!(frame.kind, Kind::Function) {
            let results = self.pop_many(frame.results);
            self.pay();
            self.release_values();
            self.b.ins().return_(&results);
        }
    }

    /// The target of a branch, how many values it takes; marks it as used.
    pub(super) fn branch_target(&mut self, depth: u32) -> (Block, usize) {
        self.frame_target(self.frames.len() - 1 - depth as usize)
    }

    /// Whether a branch goes back to the beginning of a loop.
    fn is_loop(&self, depth: u32) -> bool {
        matches!(self.frames[self.frames.len() - 1 - depth as usize].kind, Kind::Loop { .. })
    }

    /// The same for a frame by its number from the outermost one.
    fn frame_target(&mut self, at: usize) -> (Block, usize) {
        let frame = &mut self.frames[at];
        match frame.kind {
            Kind::Loop { header } => (header, frame.params),
            _ => {
                frame.next_used = true;
                (frame.next, frame.results)
            }
        }
    }

    /// Branches to the label of a frame with these values.
    pub(super) fn branch_to_frame(&mut self, at: usize, values: &mut [Value]) {
        let (target, _) = self.frame_target(at);
        self.canonical_all(values);
        self.jump_to_label(at, target, &block_args(values));
    }

    /// The values that a branch takes, which stay on the stack.
    pub(super) fn branch_args(&mut self, count: usize) -> Vec<BlockArg> {
        let mut values = self.stack[self.stack.len() - count..].to_vec();
        self.canonical_all(&mut values);
        block_args(&values)
    }

    pub(super) fn visit_br(&mut self, depth: u32) {
        self.branch(depth);
        self.set_unreachable();
    }

    /// Branches, on a way of its own.
    pub(super) fn branch(&mut self, depth: u32) {
        let (target, count) = self.branch_target(depth);
        let args = self.branch_args(count);
        self.jump_to_label(self.frames.len() - 1 - depth as usize, target, &args);
    }

    pub(super) fn visit_br_if(&mut self, depth: u32) {
        let condition = self.pop();
        self.branch_if(condition, depth);
    }

    /// Branches if `condition` is not 0.
    pub(super) fn branch_if(&mut self, condition: Value, depth: u32) {
        let at = self.frames.len() - 1 - depth as usize;
        if self.is_loop(depth) {
            self.pay();
        }
        let fall_through = self.b.create_block();
        let branch = if self.pays_on_way_to(at) {
            let paying = self.b.create_block();
            let branch = self.b.ins().brif(condition, paying, &[], fall_through, &[]);
            self.b.seal_block(paying);
            self.b.switch_to_block(paying);
            self.branch(depth);
            branch
        } else {
            let (target, count) = self.branch_target(depth);
            let args = self.branch_args(count);
            self.b.ins().brif(condition, target, &args, fall_through, &[])
        };
        match self.hints.taken() {
            Some(false) => self.hints.note_unlikely(branch, 0),
            // A loop is left at some time, and what comes next is as likely as
            // the loop was.
            Some(true) if !self.is_loop(depth) => self.hints.note_unlikely(branch, 1),
            Some(true) | None => {}
        }
        self.b.seal_block(fall_through);
        self.b.switch_to_block(fall_through);
    }

    pub(super) fn visit_br_table(&mut self, table: &BrTable<'_>) -> Result<(), Error> {
        let index = self.pop();
        let mut ways = HashMap::new();
        let default = self.table_way(table.default(), &mut ways);
        let mut targets = Vec::with_capacity(table.len() as usize);
        for depth in table.targets() {
            targets.push(self.table_way(depth?, &mut ways));
        }
        let jump_table = self.b.create_jump_table(JumpTableData::new(default, &targets));
        self.b.ins().br_table(index, jump_table);
        for (depth, block) in ways.into_iter().collect::<BTreeMap<_, _>>() {
            self.b.seal_block(block);
            self.b.switch_to_block(block);
            self.branch(depth);
        }
        self.set_unreachable();
        Ok(())
    }

    /// How a `br_table` gets to a label: by way of a block of its own, one of
    /// `ways`, if it has to pay.
    fn table_way(&mut self, depth: u32, ways: &mut HashMap<u32, Block>) -> BlockCall {
        if self.pays_on_way_to(self.frames.len() - 1 - depth as usize) {
            let block = *ways.entry(depth).or_insert_with(|| self.b.create_block());
            return self.b.func.dfg.block_call(block, &[]);
        }
        let (target, count) = self.branch_target(depth);
        let args = self.branch_args(count);
        self.b.func.dfg.block_call(target, &args)
    }

    /// Returns on the spot: an epilogue of its own is shorter than the way to
    /// a shared one.
    pub(super) fn visit_return(&mut self) {
        let mut results = self.pop_many(self.frames[0].results);
        self.canonical_all(&mut results);
        self.pay();
        self.put_fuel_back();
        self.release_values();
        self.b.ins().return_(&results);
        self.set_unreachable();
    }

    /// Ends the code without a signal, which takes microseconds, where that is
    /// worth the room, and no debugger should stop here. In a leaf function
    /// too: the builtin needs little of the stack that such ones may take.
    pub(super) fn visit_unreachable(&mut self) {
        self.pay();
        self.put_fuel_back();
        if self.env.options.opt_level == OptLevel::Speed && !self.env.options.debug {
            // The first block, which may not be in the layout yet, cannot be cold.
            let entry = self.b.func.layout.entry_block();
            let block = self.b.current_block().filter(|block| entry.is_some_and(|entry| entry != *block));
            if let Some(block) = block {
                self.b.set_cold_block(block);
            }
            let calls = self.makes_calls;
            let code = self.index(Trap::UnreachableCodeReached as u32);
            self.call_builtin(Builtin::trap, &[code]);
            self.makes_calls = calls;
        }
        self.b.ins().trap(super::trap_code(Trap::UnreachableCodeReached));
        self.set_unreachable();
    }

    pub(super) fn visit_nop(&mut self) {}
}
