//! Builtins that can end the code which calls them: growth, where the store
//! has a limiter that is against it, and traps.

use super::instance::InstanceData;
use super::memory::MemoryData;
use super::state::{Cause, Made, StoreState};
use super::structs::VMHeader;
use super::table::TableData;
use super::unwind::{note_caller, raise};
use crate::error::Result;
use crate::limits::Taken;
use crate::store::StoreInner;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_artifacts::abi::{Trap, vm_header, vm_store_context};

/// How things of a store with a limiter grow. The first argument of both is
/// the `StoreInner` that the running call lent.
#[derive(Clone, Copy)]
pub(super) struct Growth {
    memory: unsafe fn(*mut u8, &MemoryData, u64) -> Result<Option<u64>>,
    table: unsafe fn(*mut u8, &TableData, u64, u64) -> Result<Option<u64>>,
}

/// # Safety
/// `host` is an exclusively borrowed `StoreInner<T>`.
unsafe fn memory<T: 'static>(host: *mut u8, memory: &MemoryData, delta: u64) -> Result<Option<u64>> {
    // SAFETY: the caller's.
    unsafe { &mut *host.cast::<StoreInner<T>>() }.grow_memory(memory, delta)
}

/// # Safety
/// `host` is an exclusively borrowed `StoreInner<T>`.
unsafe fn table<T: 'static>(host: *mut u8, table: &TableData, delta: u64, value: u64) -> Result<Option<u64>> {
    // SAFETY: the caller's.
    unsafe { &mut *host.cast::<StoreInner<T>>() }.grow_table(table, delta, value)
}

impl StoreState {
    /// The state of the store whose code passes its header to a builtin.
    ///
    /// # Safety
    /// `header` is that of a living instance.
    pub(super) unsafe fn of_header<'a>(header: *const VMHeader) -> &'a StoreState {
        // SAFETY: the header was filled in by `InstanceData::allocate`, with
        // the state of the store that has the instance.
        unsafe { &*(*header).store.get().cast::<StoreState>() }
    }

    /// From now on code asks the limiter of the store, which has data of type
    /// `T`, before it lets anything grow.
    pub(crate) fn limit_growth<T: 'static>(&self) {
        self.growth.set(Some(Growth { memory: memory::<T>, table: table::<T> }));
    }

    /// What there is in the store.
    pub(crate) fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        for made in &*self.made.borrow() {
            match made {
                Made::Memory(_) => taken.memories += 1,
                Made::Table(..) => taken.tables += 1,
                Made::Global(..) => {}
            }
        }
        for instance in self.instances() {
            let blueprint = instance.module().blueprint();
            taken.instances += 1;
            taken.memories += blueprint.memory_types().count();
            taken.tables += blueprint.table_types().count();
        }
        taken
    }

    /// Does something for compiled code that can fail: then the code is left
    /// when the builtin returns.
    #[inline(never)]
    fn grown(&self, grow: &mut dyn FnMut(*mut u8) -> Result<Option<u64>>) -> u64 {
        let cause = match catch_unwind(AssertUnwindSafe(|| grow(self.context.host.get()))) {
            Ok(Ok(old)) => return old.unwrap_or(u64::MAX),
            Ok(Err(error)) => Cause::Error(error),
            Err(panic) => Cause::Panic(panic),
        };
        self.end(cause);
        u64::MAX
    }

    /// Notes why code is left that has called a [`failing`] builtin, as soon as
    /// that returns.
    #[cold]
    pub(super) fn end(&self, cause: Cause) {
        self.cause.set(Some(cause));
        self.leave();
    }

    /// Lets code that has called a [`failing`] builtin be left, and notes where
    /// that was.
    fn leave(&self) {
        self.capture_call(self.context.exit_pc.get() as usize, self.context.exit_fp.get() as usize);
        self.context.pending.set(1);
    }
}

/// Makes a builtin of a function that can [end](StoreState::end) the code that
/// has called it: notes where that was, and looks whether the code is to be
/// left.
macro_rules! failing {
    ($($(#[$meta:meta])* $name:ident($($param:ident: $t:ty),*) -> $result:ty = $inner:path;)*) => {$(
        $(#[$meta])*
        ///
        /// # Safety
        /// Called by compiled code with its own header.
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(ctx: *const VMHeader $(, $param: $t)*) -> $result {
            // Arguments are in rdi, rsi, rdx, rcx, r8 and r9; the return
            // address and the store align the stack.
            std::arch::naked_asm!(
                note_caller!(),
                "push rax",
                "call {inner}",
                "pop rdi",
                "cmp qword ptr [rdi + {pending}], 0",
                "jne {raise}",
                "ret",
                store = const vm_header::store,
                fp = const vm_store_context::exit_fp,
                pc = const vm_store_context::exit_pc,
                pending = const vm_store_context::pending,
                inner = sym $inner,
                raise = sym raise,
            )
        }

        $(#[$meta])*
        ///
        /// # Safety
        /// Called by compiled code with its own header.
        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(ctx: *const VMHeader $(, $param: $t)*) -> $result {
            std::arch::naked_asm!(
                note_caller!(),
                "stp x9, x30, [sp, #-16]!",
                "bl {inner}",
                "ldp x9, x30, [sp], #16",
                "ldr x10, [x9, {pending}]",
                "cbnz x10, 2f",
                "ret",
                "2:",
                "mov x0, x9",
                "b {raise}",
                store = const vm_header::store,
                fp = const vm_store_context::exit_fp,
                pc = const vm_store_context::exit_pc,
                pending = const vm_store_context::pending,
                inner = sym $inner,
                raise = sym raise,
            )
        }
    )*};
}

pub(super) use failing;

failing! {
    /// Grows a memory.
    memory_grow(memory: u32, delta: u64) -> u64 = grow_memory;
    /// Grows a table.
    table_grow(table: u32, delta: u64, value: u64) -> u64 = grow_table;
    /// Traps: without a signal, which takes microseconds.
    trap(code: u32) -> () = note_trap;
}

/// # Safety
/// Called by compiled code with its own header.
unsafe extern "C" fn note_trap(ctx: *const VMHeader, code: u32) {
    // SAFETY: the caller's.
    let state = unsafe { StoreState::of_header(ctx) };
    let trap = u8::try_from(code).ok().and_then(Trap::from_code);
    state.trap.set(Some(trap.unwrap_or(Trap::UnreachableCodeReached)));
    state.leave();
}

/// # Safety
/// Called by compiled code with its own header.
unsafe extern "C" fn grow_memory(ctx: *const VMHeader, memory: u32, delta: u64) -> u64 {
    // SAFETY: the caller's.
    let (instance, state) = unsafe { (InstanceData::of_header(ctx), StoreState::of_header(ctx)) };
    let Some(memory) = instance.memory(memory) else { return u64::MAX };
    match state.growth.get() {
        // SAFETY: code runs, so that the context has what its call lent, with
        // data of the type that `limit_growth` got.
        Some(growth) => state.grown(&mut |host| unsafe { (growth.memory)(host, memory, delta) }),
        None => memory.grow(delta).unwrap_or(u64::MAX),
    }
}

/// # Safety
/// Called by compiled code with its own header.
unsafe extern "C" fn grow_table(ctx: *const VMHeader, table: u32, delta: u64, value: u64) -> u64 {
    // SAFETY: the caller's.
    let (instance, state) = unsafe { (InstanceData::of_header(ctx), StoreState::of_header(ctx)) };
    let Some(table) = instance.table(table) else { return u64::MAX };
    match state.growth.get() {
        // SAFETY: as in `grow_memory`.
        Some(growth) => state.grown(&mut |host| unsafe { (growth.table)(host, table, delta, value) }),
        None => table.grow(delta, value).unwrap_or(u64::MAX),
    }
}
