//! The side of the differential test that is trusted: an interpreter.

use crate::sides::{Side, State, Value};
use wasmi::{
    AsContext, AsContextMut, Caller, Config, Engine, ExternRef, ExternType, Func, Global, Instance, Memory, Module,
    Ref, Store, Table, V128, Val,
};

pub(crate) struct Interpreter {
    store: Store<Vec<(usize, Vec<Value>)>>,
    instance: Instance,
}

/// Reads a module.
pub(crate) fn load(wasm: &[u8]) -> Result<Module, String> {
    let mut config = Config::default();
    // The fuel in the module ends a recursion, not the interpreter.
    config.set_max_recursion_depth(1 << 20).set_max_stack_height(64 << 20);
    config.wasm_tail_call(true).wasm_multi_memory(true);
    config.wasm_memory64(true).wasm_custom_page_sizes(true).wasm_wide_arithmetic(true);
    Module::new(&Engine::new(&config), wasm).map_err(|e| e.to_string())
}

fn to_val(mut store: impl AsContextMut, value: Value) -> Val {
    match value {
        Value::I32(v) => Val::I32(v),
        Value::I64(v) => Val::I64(v),
        Value::F32(v) => Val::F32(wasmi::F32::from_bits(v)),
        Value::F64(v) => Val::F64(wasmi::F64::from_bits(v)),
        Value::V128(v) => Val::V128(V128::from(v)),
        Value::Func(_) => Val::FuncRef(Ref::Null),
        Value::Extern(None) => Val::ExternRef(Ref::Null),
        Value::Extern(Some(number)) => Val::ExternRef(Ref::Val(ExternRef::new(&mut store, number))),
    }
}

fn from_val(store: impl AsContext, value: &Val) -> Value {
    match value {
        Val::I32(v) => Value::I32(*v),
        Val::I64(v) => Value::I64(*v),
        Val::F32(v) => Value::F32(v.to_bits()),
        Val::F64(v) => Value::F64(v.to_bits()),
        Val::V128(v) => Value::V128(v.as_u128()),
        Val::FuncRef(func) => Value::Func(!func.is_null()),
        Val::ExternRef(value) => {
            let store = store.as_context();
            Value::Extern(value.val().and_then(|value| value.data(store).downcast_ref().copied()))
        }
    }
}

fn trap(error: &wasmi::Error) -> String {
    error.as_trap_code().map_or_else(|| instantiation(error), |trap| format!("{trap:?}"))
}

/// Active segments that do not fit are no traps to the interpreter.
fn instantiation(error: &wasmi::Error) -> String {
    let message = error.to_string();
    if message.contains("out of bounds memory") || message.contains("data segment") {
        "MemoryOutOfBounds".to_owned()
    } else if message.contains("table") {
        "TableOutOfBounds".to_owned()
    } else {
        message
    }
}

impl Side for Interpreter {
    type Module = Module;

    fn instantiate(module: &Module) -> Result<Interpreter, String> {
        let mut store = Store::new(module.engine(), Vec::new());
        let mut numbers = 0..;
        let imports = module.imports().map(|import| match import.ty() {
            ExternType::Func(ty) => {
                let number = numbers.next().unwrap_or_default();
                let note = move |mut caller: Caller<'_, Vec<_>>, args: &[Val], _: &mut [Val]| {
                    let args = args.iter().map(|arg| from_val(&caller, arg)).collect();
                    caller.data_mut().push((number, args));
                    Ok(())
                };
                Func::new(&mut store, ty.clone(), note).into()
            }
            ExternType::Global(ty) => Global::new(&mut store, Val::default(ty.content()), ty.mutability()).into(),
            ExternType::Table(ty) => Table::new(&mut store, *ty, Val::default(ty.element())).unwrap().into(),
            ExternType::Memory(ty) => Memory::new(&mut store, *ty).unwrap().into(),
        });
        let imports: Vec<_> = imports.collect();
        let instance = Instance::new(&mut store, module, &imports).map_err(|e| trap(&e))?;
        Ok(Interpreter { store, instance })
    }

    fn call(&mut self, name: &str, args: &[Value]) -> Result<Vec<Value>, String> {
        let func = self.instance.get_func(&self.store, name).expect("the function is exported");
        let args: Vec<Val> = args.iter().map(|arg| to_val(&mut self.store, *arg)).collect();
        let mut results: Vec<Val> = func.ty(&self.store).results().iter().copied().map(Val::default).collect();
        func.call(&mut self.store, &args, &mut results).map_err(|e| trap(&e))?;
        Ok(results.iter().map(|result| from_val(&self.store, result)).collect())
    }

    fn state(&mut self) -> State {
        let mut state = State { log: self.store.data().clone(), ..State::default() };
        for export in self.instance.exports(&self.store) {
            let name = export.name().to_owned();
            match export.into_extern() {
                wasmi::Extern::Global(global) => {
                    state.globals.insert(name, from_val(&self.store, &global.get(&self.store)));
                }
                wasmi::Extern::Memory(memory) => {
                    state.memories.insert(name, memory.data(&self.store).to_vec());
                }
                wasmi::Extern::Table(table) => {
                    let size = table.size(&self.store);
                    let elements = (0..size).filter_map(|index| table.get(&self.store, index));
                    state.tables.insert(name, elements.map(|element| from_val(&self.store, &element)).collect());
                }
                wasmi::Extern::Func(_) => {}
            }
        }
        state
    }
}
