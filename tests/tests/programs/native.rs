//! The side of the differential test that is tested: compiler and loader.

use crate::sides::{Side, State, Type, Value};
use wasmc_loader::{
    AsContextMut, Caller, Engine, ExternRef, ExternType, Func, Global, Instance, Memory, Module, Ref, Result, Store,
    Table, Trap, V128, Val, ValType,
};

pub(crate) struct Native {
    store: Store<Vec<(usize, Vec<Value>)>>,
    instance: Instance,
}

pub(crate) fn load(engine: &Engine, artifact: &[u8]) -> Module {
    wasmc_tests::carriers::load(engine, artifact).unwrap_or_else(|e| panic!("cannot load: {e:#}"))
}

/// The functions that a module exports, with the types of their parameters.
pub(crate) fn functions(module: &Module) -> Vec<(String, Vec<Type>)> {
    let functions = module.exports().filter_map(|export| {
        let ty = export.ty();
        Some((export.name().to_owned(), ty.func()?.params().iter().copied().map(type_of).collect()))
    });
    functions.collect()
}

fn type_of(ty: ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::FUNCREF => Type::Func,
        ValType::EXTERNREF => Type::Extern,
        ValType::Ref(ty) => panic!("the oracle does not know {ty}"),
    }
}

fn to_val(mut store: impl AsContextMut, value: Value) -> Val {
    match value {
        Value::I32(v) => Val::I32(v),
        Value::I64(v) => Val::I64(v),
        Value::F32(v) => Val::F32(v),
        Value::F64(v) => Val::F64(v),
        Value::V128(v) => Val::V128(V128::from(v)),
        Value::Func(_) => Val::FuncRef(None),
        Value::Extern(number) => Val::ExternRef(number.map(|number| ExternRef::new(&mut store, number).unwrap())),
    }
}

fn from_val(mut store: impl AsContextMut, value: Val) -> Value {
    match value {
        Val::I32(v) => Value::I32(v),
        Val::I64(v) => Value::I64(v),
        Val::F32(v) => Value::F32(v),
        Val::F64(v) => Value::F64(v),
        Val::V128(v) => Value::V128(v.as_u128()),
        Val::FuncRef(func) => Value::Func(func.is_some()),
        Val::ExternRef(value) => {
            let store = store.as_context_mut();
            Value::Extern(value.and_then(|value| value.data(&store).unwrap()?.downcast_ref().copied()))
        }
        Val::AnyRef(_) | Val::ExnRef(_) => panic!("the oracle does not know {value:?}"),
    }
}

fn trap(error: &wasmc_loader::Error) -> String {
    match error.downcast_ref::<Trap>() {
        // The interpreter does not tell these two apart.
        Some(Trap::UndefinedElement) => format!("{:?}", Trap::TableOutOfBounds),
        Some(trap) => format!("{trap:?}"),
        None => format!("{error:#}"),
    }
}

impl Side for Native {
    type Module = Module;

    fn instantiate(module: &Module) -> Result<Native, String> {
        let mut store = Store::new(module.engine(), Vec::new());
        let mut numbers = 0..;
        let imports = module.imports().map(|import| match import.ty() {
            ExternType::Func(ty) => {
                let number = numbers.next().unwrap_or_default();
                let note = move |mut caller: Caller<'_, Vec<_>>, args: &[Val], _: &mut [Val]| {
                    let args = args.iter().map(|arg| from_val(&mut caller, *arg)).collect();
                    caller.data_mut().push((number, args));
                    Ok(())
                };
                Func::new(&mut store, ty, note).into()
            }
            ExternType::Global(ty) => {
                Global::new(&mut store, ty.clone(), Val::default_for_ty(ty.content()).unwrap()).unwrap().into()
            }
            ExternType::Table(ty) => {
                Table::new(&mut store, ty.clone(), Ref::null(&ty.element().as_ref().unwrap().heap)).unwrap().into()
            }
            ExternType::Memory(ty) => Memory::new(&mut store, ty).unwrap().into(),
            ExternType::Tag(ty) => panic!("the oracle does not know {ty}"),
        });
        let imports: Vec<_> = imports.collect();
        let instance = Instance::new(&mut store, module, &imports).map_err(|e| trap(&e))?;
        Ok(Native { store, instance })
    }

    fn call(&mut self, name: &str, args: &[Value]) -> Result<Vec<Value>, String> {
        let func = self.instance.get_func(&mut self.store, name).expect("the function is exported");
        let args: Vec<Val> = args.iter().map(|arg| to_val(&mut self.store, *arg)).collect();
        let ty = func.ty(&self.store);
        let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::default_for_ty(ty).unwrap()).collect();
        func.call(&mut self.store, &args, &mut results).map_err(|e| trap(&e))?;
        Ok(results.into_iter().map(|result| from_val(&mut self.store, result)).collect())
    }

    fn state(&mut self) -> State {
        let mut state = State { log: self.store.data().clone(), ..State::default() };
        let names: Vec<String> =
            self.instance.module(&self.store).exports().map(|export| export.name().to_owned()).collect();
        for name in names {
            if let Some(global) = self.instance.get_global(&mut self.store, &name) {
                let value = global.get(&mut self.store);
                state.globals.insert(name, from_val(&mut self.store, value));
            } else if let Some(memory) = self.instance.get_memory(&mut self.store, &name) {
                state.memories.insert(name, memory.data(&self.store).to_vec());
            } else if let Some(table) = self.instance.get_table(&mut self.store, &name) {
                let elements = (0..table.size(&self.store)).filter_map(|index| {
                    let element = table.get(&mut self.store, index)?;
                    Some(from_val(&mut self.store, element.into()))
                });
                state.tables.insert(name, elements.collect());
            }
        }
        state
    }
}
