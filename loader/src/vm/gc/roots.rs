//! Where references are outside of objects: in frames of compiled code, in
//! globals and tables.

use super::super::instance::InstanceData;
use super::super::state::{StoreState, Suspended};
use super::super::structs::ValRaw;
use super::trace::Tracer;
use crate::module::Module;
use std::cell::Cell;
use wasmc_artifacts::format::StackMapSlot;
use wasmc_artifacts::rows::Rows;

/// Calls whose places are remembered during a collection, since the frames of
/// a recursion are all alike; a power of two.
const REMEMBERED: usize = 64;

/// A frame of compiled code, and where it goes on.
#[derive(Debug, Clone, Copy)]
pub(in crate::vm) struct Frame {
    /// The return address of the call that the frame is in.
    pub(in crate::vm) pc: usize,
    /// Its frame pointer.
    pub(in crate::vm) fp: usize,
}

impl Frame {
    /// The frame that has called the function whose frame pointer is given.
    ///
    /// # Safety
    /// It is that of a function which keeps frame pointers, on a stack that
    /// nobody changes.
    unsafe fn calling(fp: usize) -> Frame {
        let at = fp as *const usize;
        // SAFETY: the caller's; the return address is above the frame pointer.
        unsafe { Frame { fp: at.read(), pc: at.add(1).read() } }
    }
}

/// Finds the places that hold references in frames.
struct Places<'a> {
    state: &'a StoreState,
    module: Option<&'a Module>,
    known: [(usize, Option<Rows<'a, StackMapSlot>>); REMEMBERED],
}

impl<'a> Places<'a> {
    fn new(state: &'a StoreState) -> Places<'a> {
        Places { state, module: None, known: [(0, None); REMEMBERED] }
    }

    /// The places in a frame that is in the call which returns to `pc`.
    fn at(&mut self, pc: usize) -> Option<Rows<'a, StackMapSlot>> {
        let known = (pc >> 2) % REMEMBERED;
        if self.known[known].0 != pc {
            self.known[known] = (pc, self.find(pc));
        }
        self.known[known].1
    }

    fn find(&mut self, pc: usize) -> Option<Rows<'a, StackMapSlot>> {
        let contains = |module: &&Module| module.text().contains(&pc);
        if !self.module.as_ref().is_some_and(contains) {
            self.module = self.state.code_list().map(InstanceData::module).find(contains);
        }
        let module = self.module?;
        module.artifact().stack_map_at((pc - module.text().start) as u32)
    }
}

impl StoreState {
    /// Passes all references outside of objects to the tracer. `frame` is the
    /// innermost one of compiled code, if that is not one that has called the
    /// host.
    pub(super) fn trace(&self, tracer: &mut Tracer<'_>, frame: Option<Frame>) {
        self.trace_frames(tracer, frame);
        for instance in self.instances() {
            instance.trace(tracer);
        }
        self.trace_made(tracer);
        self.roots().trace(|reference| *reference = tracer.root(*reference));
        let exception = &self.context.exception;
        exception.set(tracer.root(exception.get() as u32).into());
    }

    /// Those in frames, of all activations of this store.
    fn trace_frames(&self, tracer: &mut Tracer<'_>, frame: Option<Frame>) {
        let mut places = Places::new(self);
        let context = &self.context;
        let entry_fp = context.entry_fp.get() as usize;
        if entry_fp != 0 {
            // An activation that is not in compiled code has noted where it
            // left that.
            let left = Frame { pc: context.exit_pc.get() as usize, fp: context.exit_fp.get() as usize };
            places.walk(frame.unwrap_or(left), entry_fp, tracer);
        }
        let mut older = self.suspended.get();
        // SAFETY: suspended activations are in frames further up this stack, or
        // on that of a thread that waits.
        while let Some(Suspended { exit_pc, exit_fp, entry_fp, older: next, .. }) = unsafe { older.as_ref() } {
            // As above: they were interrupted by a call of the host's.
            places.walk(Frame { pc: *exit_pc as usize, fp: *exit_fp as usize }, *entry_fp as usize, tracer);
            older = *next;
        }
    }
}

impl Places<'_> {
    /// Goes from a frame to the entry stub whose frame pointer is given.
    fn walk(&mut self, mut frame: Frame, entry_fp: usize, tracer: &mut Tracer<'_>) {
        while frame.fp != entry_fp {
            for slot in self.at(frame.pc).iter().flat_map(Rows::iter) {
                let place = (frame.fp - slot.offset as usize) as *mut u32;
                // SAFETY: the artifact says that the frame, which is in that
                // call, keeps a reference there.
                unsafe { place.write(tracer.root(place.read())) };
            }
            // SAFETY: frames between an adapter and an entry stub are compiled
            // code's, which keeps frame pointers.
            let caller = unsafe { Frame::calling(frame.fp) };
            assert!(caller.fp > frame.fp, "a stack has no entry stub");
            frame = caller;
        }
    }
}

/// Deals with the reference in a cell.
pub(in crate::vm) fn trace_cell(cell: &Cell<ValRaw>, tracer: &mut Tracer<'_>) {
    let value = cell.get();
    cell.set(ValRaw { low: tracer.root(value.low as u32).into(), ..value });
}

impl InstanceData {
    /// Passes what the instance's own globals and tables refer to.
    fn trace(&self, tracer: &mut Tracer<'_>) {
        for table in self.tables() {
            table.trace(tracer);
        }
        let globals = &self.module().blueprint().references;
        for index in globals {
            trace_cell(self.global(*index), tracer);
        }
        if self.is_initialised() {
            for index in globals {
                // SAFETY: the snapshot has a value for every global, and
                // nobody else uses it now.
                trace_cell(unsafe { self.snapshot.cast::<Cell<ValRaw>>().add(*index as usize).as_ref() }, tracer);
            }
        }
    }

    /// Makes null of what the instance's own globals and tables refer to, since
    /// the heap that it is in is emptied or another one's from now on. Globals
    /// get their first values once more when the instance is initialised.
    pub(in crate::vm) fn drop_references(&self) {
        for table in self.tables() {
            table.drop_references();
        }
        let globals = &self.module().blueprint().references;
        for index in globals {
            self.global(*index).set(ValRaw::of(0));
        }
        if !globals.is_empty() {
            self.initialised.set(false);
        }
    }
}
