//! A validated function body to CLIF.
//!
//! [`Translator`] walks the operators of one body. `visit.rs` forwards each
//! operator to a small method in the file of its family under `ops/`; the
//! value stack and the control frames are in `control.rs`; `heap.rs` decides
//! how memory is accessed; `stubs.rs` makes the code at the boundary between
//! host and wasm. Translation reads [`ModuleFacts`] and derives no fact again.

mod alloc;
mod builtin;
mod control;
mod counted;
mod handlers;
mod heap;
mod hints;
mod initializer;
mod interrupt;
mod known;
mod ops;
mod pieces;
mod safepoints;
mod sampled;

pub use initializer::translate_initializer;
pub(crate) use ops::call::{READ_ONLY_ELEMENT_SIZE, READ_ONLY_NULL, read_only_elements};
mod stack;
pub mod stubs;
mod visit;

use crate::analyse::ModuleFacts;
use crate::error::Error;
use crate::options::Options;
use crate::parse::{ParsedModule, TypeIndex};
use control::Frame;
use cranelift_codegen::ir::{
    self, AbiParam, AliasRegion, AliasRegionData, ArgumentPurpose, ExtFuncData, ExternalName, FuncRef, GlobalValueData,
    MemFlagsData, SigRef, Signature, TrapCode, Type, UserExternalName, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use std::collections::HashMap;
use wasmc_artifacts::abi::{FuncType, Trap, ValType, vm_header};

/// What the names in CLIF stand for; the linker resolves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// A defined function, by its index in the function index space.
    Function(u32),
    /// A local stand-in for an imported function.
    ImportThunk(u32),
    /// A read-only table, by its index in the table index space.
    Table(u32),
    /// A support routine, by its number in `support.rs`.
    Support(u32),
    /// The descriptor of exceptions whose tag has this function type.
    ExnDescriptor(TypeIndex),
    /// The descriptor of a type.
    Descriptor(TypeIndex),
    /// The function that computes initial values.
    Initializer,
}

impl Symbol {
    /// The name in CLIF.
    pub fn name(self) -> UserExternalName {
        let (namespace, index) = match self {
            Symbol::Function(index) => (0, index),
            Symbol::ImportThunk(index) => (1, index),
            Symbol::Table(index) => (2, index),
            Symbol::Support(index) => (3, index),
            Symbol::ExnDescriptor(ty) => (4, ty.0),
            Symbol::Descriptor(ty) => (5, ty.0),
            Symbol::Initializer => (6, 0),
        };
        UserExternalName { namespace, index }
    }

    /// What a name in CLIF stands for.
    pub fn from_name(name: &UserExternalName) -> Option<Symbol> {
        Some(match name.namespace {
            0 => Symbol::Function(name.index),
            1 => Symbol::ImportThunk(name.index),
            2 => Symbol::Table(name.index),
            3 => Symbol::Support(name.index),
            4 => Symbol::ExnDescriptor(TypeIndex(name.index)),
            5 => Symbol::Descriptor(TypeIndex(name.index)),
            6 => Symbol::Initializer,
            _ => return None,
        })
    }
}

/// Everything about the module that translating a function reads.
pub struct ModuleEnv<'a> {
    /// The module.
    pub module: &'a ParsedModule<'a>,
    /// What analysis found.
    pub facts: &'a ModuleFacts,
    /// How to compile.
    pub options: &'a Options,
    /// For which machine.
    pub isa: &'a dyn TargetIsa,
}

/// The convention between wasm functions. The only place that chooses it:
/// `tail` lets the callee pop stack arguments, as tail calls need.
pub const WASM_CALL_CONV: CallConv = CallConv::Tail;

/// The convention between compiled code and the host.
pub const NATIVE_CALL_CONV: CallConv = CallConv::SystemV;

/// The CLIF type of a wasm value: a reference to a function is an address, any
/// other reference has 32 bits.
pub fn clif_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
        ValType::Ref(_) if ty.is_func_ref() => types::I64,
        ValType::Ref(_) => types::I32,
    }
}

/// The signature of a wasm function of type `ty` in the wasm convention.
pub fn wasm_signature(ty: &FuncType) -> Signature {
    let mut sig = Signature::new(WASM_CALL_CONV);
    sig.params.push(AbiParam::special(types::I64, ArgumentPurpose::VMContext));
    sig.params.extend(ty.params().iter().map(|ty| AbiParam::new(clif_type(*ty))));
    sig.returns.extend(ty.results().iter().map(|ty| AbiParam::new(clif_type(*ty))));
    sig
}

/// Cranelift's code for a trap of ours.
pub fn trap_code(trap: Trap) -> TrapCode {
    match trap {
        Trap::StackOverflow => TrapCode::STACK_OVERFLOW,
        Trap::IntegerOverflow => TrapCode::INTEGER_OVERFLOW,
        Trap::IntegerDivisionByZero => TrapCode::INTEGER_DIVISION_BY_ZERO,
        Trap::BadConversionToInteger => TrapCode::BAD_CONVERSION_TO_INTEGER,
        other => TrapCode::unwrap_user(other as u8),
    }
}

/// Parts of memory that never overlap, so that a store to one does not
/// invalidate what is known about another.
#[derive(Clone, Copy)]
struct Regions {
    context: AliasRegion,
    globals: AliasRegion,
    heap: AliasRegion,
    tables: AliasRegion,
}

/// Translates one function body.
pub struct Translator<'a> {
    b: FunctionBuilder<'a>,
    env: &'a ModuleEnv<'a>,
    vmctx: Value,
    stack: Vec<Value>,
    frames: Vec<Frame>,
    reachable: bool,
    locals: Vec<(Variable, ValType)>,
    signatures: HashMap<TypeIndex, SigRef>,
    builtin_signatures: HashMap<wasmc_artifacts::abi::Builtin, SigRef>,
    functions: HashMap<u32, FuncRef>,
    regions: Regions,
    /// The regions of parts of objects.
    parts: HashMap<ops::Part, AliasRegion>,
    /// What is known of references.
    known: known::Known,
    /// What the collector has to know of.
    tracked: safepoints::Tracked,
    /// What was allocated last.
    room: Option<alloc::Room>,
    makes_calls: bool,
    tail_args: u32,
    /// The function's frame, if frames are counted.
    counted: Option<counted::Frame>,
    hints: hints::Hints<'a>,
    /// Units of fuel that were not taken yet for what control has done when it
    /// gets here, if the function counts.
    owed: Option<i64>,
    fuel_region: Option<AliasRegion>,
    /// The outermost open loop without calls, if fuel is in a variable there.
    fuel_loop: Option<(usize, Variable)>,
    /// The loops of the function that are still to come, if it looks.
    loops: std::slice::Iter<'a, crate::analyse::LoopFact>,
    /// Looks that need not be taken each time.
    looks: Vec<sampled::Look>,
    /// Whether it looks whether to stop.
    watches: bool,
    /// Whether it has looked on every way to here, if it has to before calls.
    looked: bool,
}

/// What translation of a body found out about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translated {
    /// Whether it calls nothing, or functions of the module alone and in its own
    /// place, so that its frame and their arguments are all the stack it needs.
    /// What may be the host's is no such function: it could call back for ever.
    pub leaf: bool,
    /// Bytes of stack that the arguments of its tail calls may take.
    pub tail_args: u32,
}

/// Translates the body of defined function `index` (in the function index
/// space) into `func`.
///
/// # Errors
/// [`Error`] if the body cannot be read; validation has accepted it before.
pub fn translate(
    env: &ModuleEnv<'_>,
    index: u32,
    func: &mut ir::Function,
    context: &mut FunctionBuilderContext,
) -> Result<Translated, Error> {
    let body = &env.module.bodies[(index - env.module.imported_functions) as usize].body;
    let ty = env.module.func_type(index);
    func.signature = wasm_signature(ty);
    func.name = ir::UserFuncName::User(Symbol::Function(index).name());
    let mut t = Translator::new(env, func, context);
    t.hints = hints::Hints::new(env.module.branch_hints(index));
    t.declare_locals(ty, body)?;
    t.claim_values(index);
    t.enter_function(ty);
    t.begin_watch(index);
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        if env.options.debug {
            t.b.set_srcloc(ir::SourceLoc::new(reader.original_position() as u32));
        }
        if !t.hints.is_empty() {
            t.hints.set_position((reader.original_position() - body.range().start) as u32);
        }
        reader.visit_operator(&mut visit::Visitor(&mut t))??;
    }
    let tail_args = t.tail_args;
    if !t.makes_calls {
        t.keep_count_unchanged();
    }
    // Where it looks, the host may call it again.
    let leaf = !t.makes_calls && !t.watches;
    t.hints.apply(t.b.func);
    let looks = std::mem::take(&mut t.looks);
    let tracked = t.finish();
    sampled::sample(func, &looks);
    safepoints::expose(func, &tracked);
    Ok(Translated { leaf, tail_args })
}

/// Makes `func` check the stack limit on entry.
pub fn set_stack_limit(env: &ModuleEnv<'_>, func: &mut ir::Function) {
    let flags = func.dfg.mem_flags.insert_unchecked(MemFlagsData::trusted());
    let base = func.create_global_value(GlobalValueData::VMContext);
    let offset = (env.facts.layout.header() + vm_header::stack_limit).into();
    func.stack_limit =
        Some(func.create_global_value(GlobalValueData::Load { base, offset, global_type: types::I64, flags }));
}

impl<'a> Translator<'a> {
    fn new(env: &'a ModuleEnv<'a>, func: &'a mut ir::Function, context: &'a mut FunctionBuilderContext) -> Self {
        let mut region = |user_id, description: &'static str| {
            func.dfg.alias_regions.insert(AliasRegionData { user_id, description: description.into() })
        };
        let regions = Regions {
            context: region(0, "context"),
            globals: region(1, "globals"),
            heap: region(2, "heap"),
            tables: region(3, "tables"),
        };
        let mut b = FunctionBuilder::new(func, context);
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        let vmctx = b.block_params(entry)[0];
        Translator {
            b,
            env,
            vmctx,
            stack: Vec::new(),
            frames: Vec::new(),
            reachable: true,
            locals: Vec::new(),
            signatures: HashMap::new(),
            builtin_signatures: HashMap::new(),
            functions: HashMap::new(),
            regions,
            parts: HashMap::new(),
            known: known::Known::default(),
            tracked: safepoints::Tracked::default(),
            room: None,
            makes_calls: false,
            tail_args: 0,
            counted: None,
            hints: hints::Hints::default(),
            owed: None,
            fuel_region: None,
            fuel_loop: None,
            loops: [].iter(),
            looks: Vec::new(),
            watches: false,
            looked: true,
        }
    }

    /// Ends the function; what the collector has to know of it.
    fn finish(mut self) -> safepoints::Tracked {
        self.b.seal_all_blocks();
        self.b.finalize(self.env.isa.frontend_config());
        self.tracked
    }

    fn declare_locals(&mut self, ty: &FuncType, body: &wasmparser::FunctionBody<'_>) -> Result<(), Error> {
        let entry = self.b.current_block().unwrap_or_else(|| unreachable!("the entry block is current"));
        for (i, param) in ty.params().iter().enumerate() {
            let value = self.b.block_params(entry)[i + 1];
            self.track(value, *param);
            self.declare_local(*param, value);
        }
        // A null is not a number: the collector is told of it.
        let mut zeros = HashMap::new();
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            let ty = self.env.module.types.val_type(ty)?;
            let zero = *zeros.entry((clif_type(ty), ty.is_gc_ref())).or_insert_with(|| self.zero(clif_type(ty)));
            for _ in 0..count {
                self.declare_local(ty, zero);
            }
        }
        Ok(())
    }

    fn declare_local(&mut self, ty: ValType, value: Value) {
        let variable = self.b.declare_var(clif_type(ty));
        self.b.def_var(variable, value);
        self.locals.push((variable, ty));
    }

    /// The distinct type with index `index` in the module.
    fn type_index(&self, index: u32) -> TypeIndex {
        self.env.module.types.index(index).unwrap_or_else(|| unreachable!("validation has checked type indices"))
    }

    /// The zero of a type.
    fn zero(&mut self, ty: Type) -> Value {
        use cranelift_codegen::ir::InstBuilder;
        match ty {
            types::F32 => self.b.ins().f32const(0.0),
            types::F64 => self.b.ins().f64const(0.0),
            ty if ty.is_vector() => {
                let zeros = self.b.func.dfg.constants.insert([0; 16].as_slice().into());
                self.b.ins().vconst(ty, zeros)
            }
            ty => self.b.ins().iconst(ty, 0),
        }
    }

    /// Flags for a field of the context.
    fn context_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.regions.context))
    }

    /// Flags for a field of the context that never changes while the
    /// instance lives.
    fn constant_flags(&self) -> MemFlagsData {
        self.context_flags().with_readonly().with_can_move()
    }

    /// Loads an address or number from the context.
    fn load_context(&mut self, offset: i32, flags: MemFlagsData) -> Value {
        use cranelift_codegen::ir::InstBuilder;
        self.b.ins().load(types::I64, flags, self.vmctx, offset)
    }

    /// The address of something in the text of this module.
    fn symbol_address(&mut self, symbol: Symbol) -> Value {
        use cranelift_codegen::ir::InstBuilder;
        let name = self.b.func.declare_imported_user_function(symbol.name());
        let data =
            GlobalValueData::Symbol { name: ExternalName::user(name), offset: 0.into(), colocated: true, tls: false };
        let global = self.b.create_global_value(data);
        self.b.ins().symbol_value(types::I64, global)
    }

    fn signature(&mut self, ty: TypeIndex) -> SigRef {
        if let Some(sig) = self.signatures.get(&ty) {
            return *sig;
        }
        let sig = self.b.import_signature(wasm_signature(self.env.module.types.func(ty)));
        self.signatures.insert(ty, sig);
        sig
    }

    /// A defined function, callable directly.
    fn function(&mut self, index: u32) -> FuncRef {
        if let Some(func) = self.functions.get(&index) {
            return *func;
        }
        let signature = self.signature(self.env.module.functions[index as usize]);
        let name = self.b.func.declare_imported_user_function(Symbol::Function(index).name());
        let data = ExtFuncData { name: ExternalName::user(name), signature, colocated: true, patchable: false };
        let func = self.b.import_function(data);
        self.functions.insert(index, func);
        func
    }
}
