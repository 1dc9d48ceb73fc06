//! CLIF to machine code, in parallel, one item at a time.
//!
//! An item is a defined function, a stub or a support routine. Items are
//! compiled in any order on any number of threads and come back in the order
//! in which they were asked for, so the artifact does not depend on either.

use crate::error::Error;
use crate::options::OptLevel;
use crate::parallel;
use crate::support;
use crate::translate::stubs::{self, Stub};
use crate::translate::{ModuleEnv, Symbol, Translated, set_stack_limit, translate, translate_initializer};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{self, ExternalName, LibCall, TrapCode, UserStackMap};
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_codegen::{
    CompiledCode, Context, Final, FinalizedMachCallSite, FinalizedMachExceptionHandler, FinalizedRelocTarget,
    MachBufferFinalized,
};
use cranelift_frontend::FunctionBuilderContext;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmc_artifacts::abi::{Arch, Trap, UNCHECKED_FRAME};
use wasmc_artifacts::format::Handler;

/// Bytes at the top of a frame: the caller's frame pointer, and where to
/// return to.
const SAVED_REGISTERS: u32 = 16;

/// What to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Item {
    /// A defined function, by its index in the function index space.
    Function(u32),
    /// A stub.
    Stub(Stub),
    /// A support routine, by its number.
    Support(u32),
    /// The function that computes initial values.
    Initializer,
}

/// A place in code that depends on where something else is.
#[derive(Debug, Clone, Copy)]
pub struct Relocation {
    /// Offset in the code.
    pub offset: u32,
    /// How the value is encoded.
    pub kind: Reloc,
    /// What it refers to.
    pub target: Symbol,
    /// Added to the target's address.
    pub addend: i64,
}

/// Machine code of an item.
#[derive(Debug)]
pub struct CompiledFunction {
    /// What it is.
    pub item: Item,
    /// The code.
    pub code: Vec<u8>,
    /// Its alignment in bytes.
    pub alignment: u32,
    /// What has to be filled in.
    pub relocations: Vec<Relocation>,
    /// Where it traps. Accesses to memory, which fault, are left out.
    pub traps: Vec<(u32, Trap)>,
    /// Its calls with exception handlers, in order.
    pub handlers: Vec<Handler>,
    /// Return addresses of calls during which the frame holds references, and
    /// where: bytes below the frame pointer, ascending.
    pub stack_maps: Vec<(u32, Vec<u32>)>,
    /// How to unwind through it.
    pub unwind: Option<UnwindInfo>,
    /// The most bytes of stack that its frame has, return address included.
    pub frame: u32,
    /// Offsets in the code and in the wasm, with `-g`.
    pub source_locs: Vec<(u32, u32)>,
    /// The code generator's listing or CLIF, if asked for.
    pub listing: Option<String>,
}

/// Which text to keep beside the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// None.
    None,
    /// CLIF before optimisation.
    Clif,
    /// Machine instructions.
    Asm,
}

/// Compiles items, in parallel; the results are in the order of `items`.
///
/// # Errors
/// The first item's [`Error`] in that order.
pub fn compile(env: &ModuleEnv<'_>, items: &[Item], listing: Listing) -> Result<Vec<CompiledFunction>, Error> {
    // Large functions first: one that is begun last would keep one thread busy
    // while the others have nothing left to do.
    let mut order: Vec<(usize, Item)> = items.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, item)| Reverse(body_length(env, *item)));
    let done = AtomicUsize::new(0);
    let work = |worker: &mut Worker, piece: usize| {
        let (index, item) = order[piece];
        let result = worker.compile(env, item, listing);
        if let Some(progress) = &env.options.progress {
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, items.len());
        }
        (index, result)
    };
    let mut results = parallel::map(env.options.thread_tokens.as_ref(), order.len(), Worker::new, work);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Bytes of wasm that an item is made from.
fn body_length(env: &ModuleEnv<'_>, item: Item) -> u64 {
    match item {
        Item::Function(index) => {
            let range = env.module.bodies[(index - env.module.imported_functions) as usize].body.range();
            range.end - range.start
        }
        Item::Stub(_) | Item::Support(_) | Item::Initializer => 0,
    }
}

/// The reusable memory of one thread.
struct Worker {
    context: Context,
    builder: FunctionBuilderContext,
    control: ControlPlane,
}

impl Worker {
    fn new() -> Self {
        Worker { context: Context::new(), builder: FunctionBuilderContext::new(), control: ControlPlane::default() }
    }

    fn compile(&mut self, env: &ModuleEnv<'_>, item: Item, listing: Listing) -> Result<CompiledFunction, Error> {
        let Translated { leaf, tail_args } = self.translate(env, item)?;
        let mut clif = None;
        if listing == Listing::Clif {
            clif = Some(self.context.func.display().to_string());
        }
        self.context.set_disasm(listing == Listing::Asm);
        self.generate(env, item)?;
        let frame = self.code(env, item)?.buffer.frame_layout().map_or(0, |layout| layout.frame_to_fp_offset);
        if leaf && frame.saturating_add(tail_args) > UNCHECKED_FRAME {
            // A leaf with a frame so large needs the check after all.
            self.translate(env, item)?;
            set_stack_limit(env, &mut self.context.func);
            self.generate(env, item)?;
        }
        self.finish(env, item, clif, frame + tail_args)
    }

    /// Fills the context with an item's CLIF, without a stack check if it is a
    /// leaf.
    fn translate(&mut self, env: &ModuleEnv<'_>, item: Item) -> Result<Translated, Error> {
        self.context.clear();
        let func = &mut self.context.func;
        match item {
            Item::Function(index) => {
                let translated = translate(env, index, func, &mut self.builder)?;
                if !translated.leaf {
                    set_stack_limit(env, func);
                }
                return Ok(translated);
            }
            Item::Initializer => {
                let translated = translate_initializer(env, func, &mut self.builder)?;
                set_stack_limit(env, func);
                return Ok(translated);
            }
            Item::Stub(stub) => stubs::build(env, stub, func, &mut self.builder),
            Item::Support(number) => support::build(number, env.isa, func, &mut self.builder),
        }
        Ok(Translated { leaf: false, tail_args: 0 })
    }

    fn generate(&mut self, env: &ModuleEnv<'_>, item: Item) -> Result<(), Error> {
        if env.options.verify
            && let Err(errors) = self.context.verify(env.isa)
        {
            return Err(refused(env, item, &format!("{errors}\n{}", self.context.func.display())));
        }
        match self.context.compile(env.isa, &mut self.control) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(refused(env, item, &cranelift_codegen::print_errors::pretty_error(error.func, error.inner)))
            }
        }
    }

    fn code(&self, env: &ModuleEnv<'_>, item: Item) -> Result<&CompiledCode, Error> {
        self.context.compiled_code().ok_or_else(|| refused(env, item, "no code came out"))
    }

    /// Collects what became of an item, given the bytes of its frame below the
    /// saved frame pointer and return address.
    fn finish(
        &mut self,
        env: &ModuleEnv<'_>,
        item: Item,
        clif: Option<String>,
        frame: u32,
    ) -> Result<CompiledFunction, Error> {
        let compiled = self.code(env, item)?;
        let func = &self.context.func;
        let buffer = &compiled.buffer;
        let mut relocations = Vec::with_capacity(buffer.relocs().len());
        for reloc in buffer.relocs() {
            let target =
                target(&reloc.target, func).ok_or_else(|| refused(env, item, "a reference has an unknown target"))?;
            relocations.push(Relocation { offset: reloc.offset, kind: reloc.kind, target, addend: reloc.addend });
        }
        let handlers = match item {
            Item::Function(_) | Item::Initializer => buffer.call_sites().filter_map(|site| handler(&site)).collect(),
            // What goes to an entry stub's handler is not looked up.
            Item::Stub(_) | Item::Support(_) => Vec::new(),
        };
        let unwind = compiled.create_unwind_info(env.isa).map_err(|e| refused(env, item, &e.to_string()))?;
        let mut source_locs = Vec::new();
        if env.options.debug {
            let locs = buffer.get_srclocs_sorted();
            source_locs =
                locs.iter().filter(|loc| !loc.loc.is_default()).map(|loc| (loc.start, loc.loc.bits())).collect();
        }
        let mut code = buffer.data().to_vec();
        let traps: Vec<(u32, Trap)> =
            buffer.traps().iter().filter_map(|site| Some((site.offset, trap(site.code)?))).collect();
        if env.options.target.arch() == Arch::X86_64 {
            halt(&mut code, &traps);
        }
        Ok(CompiledFunction {
            item,
            code,
            alignment: buffer.alignment.max(alignment(env)),
            relocations,
            traps,
            handlers,
            stack_maps: stack_maps(buffer),
            unwind,
            frame: frame.saturating_add(SAVED_REGISTERS),
            source_locs,
            listing: clif.or_else(|| compiled.vcode.clone()),
        })
    }
}

/// Makes the instruction that traps, which is `ud2`, a privileged one of the
/// same length, `hlt` twice: hypervisors look at every undefined
/// instruction, which takes three times as long as all the rest of a trap.
fn halt(code: &mut [u8], traps: &[(u32, Trap)]) {
    for (offset, _) in traps {
        if let Some(instruction) = code.get_mut(*offset as usize..).and_then(|code| code.first_chunk_mut::<2>())
            && *instruction == [0x0f, 0x0b]
        {
            *instruction = [0xf4, 0xf4];
        }
    }
}

/// The handler of a call, if it has one: the only one, for all exceptions.
fn handler(site: &FinalizedMachCallSite<'_>) -> Option<Handler> {
    let handler = site.exception_handlers.iter().find_map(|handler| match handler {
        FinalizedMachExceptionHandler::Default(offset) => Some(*offset),
        _ => None,
    })?;
    Some(Handler { pc: site.ret_addr, handler, frame: site.frame_offset? })
}

/// The calls during which a frame holds references, and where it does. Stack
/// pointers are as at the call: a callee takes its arguments away.
fn stack_maps(buffer: &MachBufferFinalized<Final>) -> Vec<(u32, Vec<u32>)> {
    let frame = buffer.frame_layout().map_or(0, |layout| layout.frame_to_fp_offset);
    let map = |(pc, _, map): &(u32, u32, UserStackMap)| {
        let mut places: Vec<u32> = map.entries().map(|(_, offset)| frame - offset).collect();
        places.sort_unstable();
        (*pc, places)
    };
    buffer.user_stack_maps().iter().map(map).collect()
}

/// Code that is meant to be fast begins where the processor fetches well.
fn alignment(env: &ModuleEnv<'_>) -> u32 {
    let alignment = env.isa.function_alignment();
    match env.options.opt_level {
        OptLevel::Speed => alignment.preferred,
        OptLevel::None | OptLevel::Basic | OptLevel::Size => alignment.minimum,
    }
}

/// Our trap for Cranelift's code; `None` for memory accesses, of which the
/// artifact keeps no list.
fn trap(code: TrapCode) -> Option<Trap> {
    match code {
        TrapCode::HEAP_OUT_OF_BOUNDS => None,
        TrapCode::STACK_OVERFLOW => Some(Trap::StackOverflow),
        TrapCode::INTEGER_OVERFLOW => Some(Trap::IntegerOverflow),
        TrapCode::INTEGER_DIVISION_BY_ZERO => Some(Trap::IntegerDivisionByZero),
        TrapCode::BAD_CONVERSION_TO_INTEGER => Some(Trap::BadConversionToInteger),
        user => Trap::from_code(user.as_raw().get()),
    }
}

fn target(target: &FinalizedRelocTarget, func: &ir::Function) -> Option<Symbol> {
    match target {
        FinalizedRelocTarget::ExternalName(ExternalName::User(name)) => {
            Symbol::from_name(&func.params.user_named_funcs()[*name])
        }
        FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) => routine(*call),
        _ => None,
    }
}

fn routine(call: LibCall) -> Option<Symbol> {
    support::routine(call).map(Symbol::Support)
}

fn refused(env: &ModuleEnv<'_>, item: Item, reason: &str) -> Error {
    let (index, name) = match item {
        Item::Function(index) => (index, format!(" `{}`", env.module.function_name(index))),
        Item::Stub(stub) => (0, format!(" (stub `{}`)", stub.symbol_name(&env.module.types))),
        Item::Support(number) => (0, format!(" (support routine {number})")),
        Item::Initializer => (0, " (the initialiser)".to_owned()),
    };
    Error::Codegen { index, name, reason: reason.to_owned() }
}
