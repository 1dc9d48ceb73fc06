//! Exceptions: `try_table`, `throw`, `throw_ref`, and the instructions that
//! came before them.

use crate::error::Error;
use crate::translate::control::Kind;
use crate::translate::handlers::{Clause, Landing};
use crate::translate::{Symbol, Translator, clif_type, trap_code};
use cranelift_codegen::ir::{InstBuilder, Value};
use wasmc_artifacts::abi::descriptor::{EXCEPTION_TAG, FieldLayout};
use wasmc_artifacts::abi::{Trap, ValType};
use wasmparser::{BlockType, Catch, TryTable};

impl Translator<'_> {
    pub(in crate::translate) fn visit_try_table(&mut self, table: &TryTable) -> Result<(), Error> {
        if !self.reachable {
            self.open_dead();
            return Ok(());
        }
        let ty = self.block_type(table.ty)?;
        if table.catches.is_empty() {
            self.open(Kind::Block, &ty);
            return Ok(());
        }
        let frame = |label: u32| self.frames.len() - 1 - label as usize;
        let clause = |catch: &Catch| match *catch {
            Catch::One { tag, label } => Clause { tag: Some(tag), by_reference: false, frame: frame(label) },
            Catch::OneRef { tag, label } => Clause { tag: Some(tag), by_reference: true, frame: frame(label) },
            Catch::All { label } => Clause { tag: None, by_reference: false, frame: frame(label) },
            Catch::AllRef { label } => Clause { tag: None, by_reference: true, frame: frame(label) },
        };
        let clauses = table.catches.iter().map(clause).collect();
        self.open(Kind::TryTable { clauses, landing: Landing::default() }, &ty);
        Ok(())
    }

    pub(in crate::translate) fn visit_throw(&mut self, tag: u32) {
        let count = self.tag_params(tag).len();
        let mut values = self.pop_many(count);
        self.canonical_all(&mut values);
        self.pay();
        self.throw_new(tag, &values);
        self.set_unreachable();
    }

    pub(in crate::translate) fn visit_throw_ref(&mut self) {
        let exception = self.pop();
        self.pay();
        self.b.ins().trapz(exception, trap_code(Trap::NullReference));
        self.throw_reference(exception, self.frames.len());
        self.set_unreachable();
    }

    pub(in crate::translate) fn visit_try(&mut self, ty: BlockType) -> Result<(), Error> {
        if !self.reachable {
            self.open_dead();
            return Ok(());
        }
        let ty = self.block_type(ty)?;
        self.open(Kind::Try { landing: Landing::default() }, &ty);
        Ok(())
    }

    /// Ends the body of a `try`, or of its last handler. The result is the
    /// exception, in a block for those that no handler so far has caught.
    fn next_handler(&mut self) -> Option<Value> {
        self.leave_to_next();
        let known = self.top().known;
        self.known.forget(known);
        self.looked = self.top().looked;
        let frame = self.top();
        let height = frame.height;
        let kind = std::mem::replace(&mut frame.kind, Kind::Catch { exception: None, otherwise: None });
        self.reachable = false;
        let exception = match kind {
            Kind::Try { landing } => self.land(landing)?,
            Kind::Catch { exception: Some(exception), otherwise: Some(otherwise) } => {
                self.b.switch_to_block(otherwise);
                self.owed = self.owed.map(|_| 0);
                exception
            }
            Kind::Catch { .. } => return None,
            other => {
                self.top().kind = other;
                return None;
            }
        };
        self.stack.truncate(height);
        self.reachable = true;
        Some(exception)
    }

    pub(in crate::translate) fn visit_catch(&mut self, tag: u32) {
        let Some(exception) = self.next_handler() else { return };
        let otherwise = self.b.create_block();
        self.test_tag(exception, tag, otherwise);
        self.top().kind = Kind::Catch { exception: Some(exception), otherwise: Some(otherwise) };
        let values = self.exception_values(exception, tag);
        self.stack.extend(values);
    }

    pub(in crate::translate) fn visit_catch_all(&mut self) {
        let Some(exception) = self.next_handler() else { return };
        self.top().kind = Kind::Catch { exception: Some(exception), otherwise: None };
    }

    pub(in crate::translate) fn visit_delegate(&mut self, depth: u32) {
        self.leave_to_next();
        let frame = self.pop_frame();
        if let Kind::Try { landing } = frame.kind
            && let Some(exception) = self.land(landing)
        {
            let target = self.frames.len() - 1 - depth as usize;
            self.throw_reference(exception, target + 1);
        }
        self.continue_after(&frame);
    }

    pub(in crate::translate) fn visit_rethrow(&mut self, depth: u32) {
        let frame = &self.frames[self.frames.len() - 1 - depth as usize];
        let Kind::Catch { exception: Some(exception), .. } = frame.kind else {
            unreachable!("validation has `rethrow` only in handlers, and this one can be reached")
        };
        self.pay();
        self.throw_reference(exception, self.frames.len());
        self.set_unreachable();
    }

    /// The types of an exception's values.
    fn tag_params(&self, tag: u32) -> &[ValType] {
        let ty = self.env.module.tags[tag as usize];
        self.env.module.types.func(ty).params()
    }

    /// A new exception.
    pub(in crate::translate) fn make_exception(&mut self, tag: u32, values: &[Value]) -> Value {
        let layout = FieldLayout::of_exception(self.tag_params(tag));
        let descriptor = self.symbol_address(Symbol::ExnDescriptor(self.env.module.tags[tag as usize]));
        let exception = self.allocate_object(descriptor, layout.size);
        let object = self.object_address(exception);
        let identity = self.tag_address(tag);
        let flags = self.object_flags();
        self.b.ins().store(flags, identity, object, EXCEPTION_TAG as i32);
        for (value, offset) in values.iter().zip(layout.offsets) {
            self.b.ins().store(flags, *value, object, offset as i32);
        }
        exception
    }

    /// The values of an exception with a known tag.
    pub(in crate::translate) fn exception_values(&mut self, exception: Value, tag: u32) -> Vec<Value> {
        let types = self.tag_params(tag).to_vec();
        let layout = FieldLayout::of_exception(&types);
        let object = self.object_address(exception);
        let flags = self.object_flags();
        let mut values = Vec::with_capacity(types.len());
        for (ty, offset) in types.iter().zip(layout.offsets) {
            let value = self.b.ins().load(clif_type(*ty), flags, object, offset as i32);
            self.track(value, *ty);
            values.push(value);
        }
        values
    }
}
