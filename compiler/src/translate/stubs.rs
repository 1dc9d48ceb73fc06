//! Code at the boundary between host and wasm: entry stubs, adapters and
//! stand-ins for imports, each generated as CLIF. What they do is said in
//! `wasmc_artifacts::abi`.

use super::interrupt::keeping_signature;
use super::{ModuleEnv, NATIVE_CALL_CONV, Symbol, builtin, clif_type, wasm_signature};
use crate::types::{TypeIndex, Types};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, Block, BlockArg, ExceptionTableData, ExceptionTableItem, InstBuilder, MemFlagsData, Signature,
    StackSlotData, StackSlotKind, TrapCode, Value, types,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use wasmc_artifacts::abi::{
    Builtin, FuncType, Trap, VM_VAL_SIZE, ValType, vm_func_import, vm_func_ref, vm_header, vm_host_func,
    vm_store_context,
};

/// A kind of stub. Except for thunks there is one for each type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stub {
    /// Host to wasm, native arguments.
    NativeEntry(TypeIndex),
    /// Host to wasm, an array of values.
    ArrayEntry(TypeIndex),
    /// Wasm to host, native arguments.
    NativeHost(TypeIndex),
    /// Wasm to host, an array of values.
    ArrayHost(TypeIndex),
    /// Stand-in for an imported function.
    ImportThunk(u32),
    /// Host to wasm, an array of no values: for the initialiser.
    InitializerEntry,
}

impl Stub {
    /// The name of its symbol.
    pub fn symbol_name(self, types: &Types) -> String {
        let ty = |index: TypeIndex| types.func(index);
        match self {
            Stub::NativeEntry(index) => format!("wasmc.native_entry {}", ty(index)),
            Stub::ArrayEntry(index) => format!("wasmc.array_entry {}", ty(index)),
            Stub::NativeHost(index) => format!("wasmc.native_host {}", ty(index)),
            Stub::ArrayHost(index) => format!("wasmc.array_host {}", ty(index)),
            Stub::ImportThunk(function) => format!("wasmc.import {function}"),
            Stub::InitializerEntry => "wasmc.initializer_entry".to_owned(),
        }
    }
}

/// Results that do not come back in a register go through memory.
fn returns_in_memory(ty: &FuncType) -> bool {
    ty.results().len() > 1
}

/// The signature of native entry stubs and native host functions: a record,
/// the parameters, and where several results go.
fn native_signature(ty: &FuncType) -> Signature {
    let mut sig = Signature::new(NATIVE_CALL_CONV);
    sig.params.push(AbiParam::new(types::I64));
    sig.params.extend(ty.params().iter().map(|ty| AbiParam::new(clif_type(*ty))));
    if returns_in_memory(ty) {
        sig.params.push(AbiParam::new(types::I64));
    } else {
        sig.returns.extend(ty.results().iter().map(|ty| AbiParam::new(clif_type(*ty))));
    }
    sig
}

/// The signature of array entry stubs and array host functions.
fn array_signature() -> Signature {
    let mut sig = Signature::new(NATIVE_CALL_CONV);
    sig.params.push(AbiParam::new(types::I64));
    sig.params.push(AbiParam::new(types::I64));
    sig
}

/// Generates a stub into `func`.
pub fn build(env: &ModuleEnv<'_>, stub: Stub, func: &mut ir::Function, context: &mut FunctionBuilderContext) {
    func.signature = match stub {
        Stub::NativeEntry(ty) => native_signature(env.module.types.func(ty)),
        Stub::ArrayEntry(_) | Stub::InitializerEntry => array_signature(),
        Stub::NativeHost(ty) | Stub::ArrayHost(ty) => wasm_signature(env.module.types.func(ty)),
        Stub::ImportThunk(function) => wasm_signature(env.module.func_type(function)),
    };
    if let Stub::ImportThunk(function) = stub {
        func.name = ir::UserFuncName::User(Symbol::ImportThunk(function).name());
    }
    let mut b = FunctionBuilder::new(func, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let mut builder = StubBuilder { env, b, args: Vec::new() };
    builder.args = builder.b.block_params(entry).to_vec();
    match stub {
        Stub::NativeEntry(ty) => builder.native_entry(env.module.types.func(ty)),
        Stub::ArrayEntry(ty) => builder.array_entry(env.module.types.func(ty)),
        Stub::InitializerEntry => builder.array_entry(&FuncType::new([], [])),
        Stub::NativeHost(ty) => builder.native_host(env.module.types.func(ty)),
        Stub::ArrayHost(ty) => builder.array_host(env.module.types.func(ty)),
        Stub::ImportThunk(function) => builder.import_thunk(function),
    }
    builder.b.seal_all_blocks();
    builder.b.finalize(env.isa.frontend_config());
}

struct StubBuilder<'a> {
    env: &'a ModuleEnv<'a>,
    b: FunctionBuilder<'a>,
    args: Vec<Value>,
}

impl StubBuilder<'_> {
    fn flags() -> MemFlagsData {
        MemFlagsData::trusted()
    }

    fn load(&mut self, base: Value, offset: i32) -> Value {
        self.b.ins().load(types::I64, Self::flags(), base, offset)
    }

    fn store(&mut self, value: Value, base: Value, offset: i32) {
        self.b.ins().store(Self::flags(), value, base, offset);
    }

    /// Writes values to an array of 16-byte values.
    fn store_values(&mut self, values: &[Value], array: Value) {
        for (i, value) in values.iter().enumerate() {
            self.store(*value, array, i as i32 * VM_VAL_SIZE as i32);
        }
    }

    fn load_values(&mut self, types: &[ValType], array: Value) -> Vec<Value> {
        let load = |(i, ty): (usize, &ValType)| {
            self.b.ins().load(clif_type(*ty), Self::flags(), array, i as i32 * VM_VAL_SIZE as i32)
        };
        types.iter().enumerate().map(load).collect()
    }

    /// Calls the function that `func_ref` points to. The result is its
    /// results; where the callee unwinds, control goes to the second block
    /// that is returned, which the caller must fill.
    fn enter_wasm(&mut self, ty: &FuncType, func_ref: Value, params: &[Value]) -> (Vec<Value>, Block) {
        let code = self.load(func_ref, vm_func_ref::code);
        let ctx = self.load(func_ref, vm_func_ref::ctx);
        let store = self.load(ctx, self.env.facts.layout.header() + vm_header::store);
        let sig = self.b.import_signature(wasm_signature(ty));
        let (returned, unwound) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(unwound);
        let mut rets = Vec::new();
        for (i, result) in ty.results().iter().enumerate() {
            self.b.append_block_param(returned, clif_type(*result));
            rets.push(BlockArg::TryCallRet(i as u32));
        }
        let normal = self.b.func.dfg.block_call(returned, &rets);
        let handler = self.b.func.dfg.block_call(unwound, &[]);
        let table = ExceptionTableData::new(sig, normal, [ExceptionTableItem::Default(handler)]);
        let table = self.b.func.dfg.exception_tables.push(table);
        // The block with the call is referred to, which an entry block cannot be.
        let block = self.b.create_block();
        self.b.ins().jump(block, &[]);
        self.b.switch_to_block(block);
        let fp = self.b.ins().get_frame_pointer(types::I64);
        self.store(fp, store, vm_store_context::entry_fp);
        let sp = self.b.ins().get_stack_pointer(types::I64);
        self.store(sp, store, vm_store_context::entry_sp);
        // The address of the handler is that of this block's exception edge.
        let pc = self.b.ins().get_exception_handler_address(types::I64, block, 0);
        self.store(pc, store, vm_store_context::entry_pc);
        let mut args = vec![ctx];
        args.extend_from_slice(params);
        self.b.ins().try_call_indirect(code, &args, table);
        self.b.switch_to_block(returned);
        self.look_at_fuel(store);
        (self.b.block_params(returned).to_vec(), unwound)
    }

    /// Stops here if there is no fuel left, in modules that count it.
    fn look_at_fuel(&mut self, store: Value) {
        if !self.env.options.fuel {
            return;
        }
        let fuel = self.load(store, vm_store_context::fuel);
        let none = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, fuel, 0);
        let (cold, next) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(none, cold, &[], next, &[]);
        self.b.switch_to_block(cold);
        let builtins = self.load(store, vm_store_context::builtins);
        let code = self.load(builtins, Builtin::out_of_fuel.offset());
        let sig = self.b.import_signature(keeping_signature());
        self.b.ins().call_indirect(sig, code, &[]);
        self.b.ins().jump(next, &[]);
        self.b.switch_to_block(next);
    }

    fn native_entry(&mut self, ty: &FuncType) {
        let func_ref = self.args[0];
        let params = self.args[1..=ty.params().len()].to_vec();
        let (results, unwound) = self.enter_wasm(ty, func_ref, &params);
        if returns_in_memory(ty) {
            let array = self.args[1 + ty.params().len()];
            self.store_values(&results, array);
            self.b.ins().return_(&[]);
        } else {
            self.b.ins().return_(&results);
        }
        self.b.switch_to_block(unwound);
        let nothing =
            if returns_in_memory(ty) { Vec::new() } else { ty.results().iter().map(|ty| self.zero(*ty)).collect() };
        self.b.ins().return_(&nothing);
    }

    fn zero(&mut self, ty: ValType) -> Value {
        match clif_type(ty) {
            types::F32 => self.b.ins().f32const(0.0),
            types::F64 => self.b.ins().f64const(0.0),
            types::I8X16 => {
                let zeros = self.b.func.dfg.constants.insert([0; 16].as_slice().into());
                self.b.ins().vconst(types::I8X16, zeros)
            }
            ty => self.b.ins().iconst(ty, 0),
        }
    }

    fn array_entry(&mut self, ty: &FuncType) {
        let (func_ref, array) = (self.args[0], self.args[1]);
        let params = self.load_values(ty.params(), array);
        let (results, unwound) = self.enter_wasm(ty, func_ref, &params);
        self.store_values(&results, array);
        self.b.ins().return_(&[]);
        self.b.switch_to_block(unwound);
        self.b.ins().return_(&[]);
    }

    /// Calls the host function of `record` and goes on only if it succeeded.
    fn leave_wasm(&mut self, sig: Signature, args: &[Value]) -> Vec<Value> {
        let record = self.args[0];
        let store = self.load(record, vm_host_func::store);
        self.look_at_fuel(store);
        // The caller's frame pointer and the return address.
        let fp = self.b.ins().get_frame_pointer(types::I64);
        let caller = self.load(fp, 0);
        self.store(caller, store, vm_store_context::exit_fp);
        let pc = self.load(fp, 8);
        self.store(pc, store, vm_store_context::exit_pc);
        let native = self.load(record, vm_host_func::native);
        let sig = self.b.import_signature(sig);
        let call = self.b.ins().call_indirect(sig, native, args);
        let results = self.b.inst_results(call).to_vec();
        let pending = self.load(store, vm_store_context::pending);
        let (succeeded, failed) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(failed);
        self.b.ins().brif(pending, failed, &[], succeeded, &[]);
        self.b.switch_to_block(failed);
        let builtins = self.load(store, vm_store_context::builtins);
        let raise = self.load(builtins, Builtin::raise.offset());
        let sig = self.b.import_signature(builtin::signature(Builtin::raise));
        self.b.ins().call_indirect(sig, raise, &[store]);
        self.b.ins().trap(TrapCode::unwrap_user(Trap::UnreachableCodeReached as u8));
        self.b.switch_to_block(succeeded);
        results
    }

    fn values_slot(&mut self, count: usize) -> Value {
        let bytes = count.max(1) as u32 * VM_VAL_SIZE;
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4));
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    fn native_host(&mut self, ty: &FuncType) {
        let mut args = self.args.clone();
        let results = if returns_in_memory(ty) {
            let array = self.values_slot(ty.results().len());
            args.push(array);
            self.leave_wasm(native_signature(ty), &args);
            self.load_values(ty.results(), array)
        } else {
            self.leave_wasm(native_signature(ty), &args)
        };
        self.b.ins().return_(&results);
    }

    fn array_host(&mut self, ty: &FuncType) {
        let array = self.values_slot(ty.params().len().max(ty.results().len()));
        let params = self.args[1..].to_vec();
        self.store_values(&params, array);
        let record = self.args[0];
        self.leave_wasm(array_signature(), &[record, array]);
        let results = self.load_values(ty.results(), array);
        self.b.ins().return_(&results);
    }

    /// Called with the importing instance's vmctx, calls on with the callee's.
    fn import_thunk(&mut self, function: u32) {
        let import = self.env.facts.layout.func_import(function);
        let vmctx = self.args[0];
        let code = self.load(vmctx, import + vm_func_import::code);
        let ctx = self.load(vmctx, import + vm_func_import::ctx);
        let mut args = self.args.clone();
        args[0] = ctx;
        let sig = self.b.import_signature(wasm_signature(self.env.module.func_type(function)));
        self.b.ins().return_call_indirect(sig, code, &args);
    }
}
