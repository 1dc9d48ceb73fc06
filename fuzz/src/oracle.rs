//! The side that is trusted: Wasmtime.

use crate::choices::Rng;
use crate::sides::{Call, Content, Script, Session, State, Stop, Type, Value};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use wasmtime::{
    AnyRef, AsContextMut, Caller, Config, Engine, Extern, ExternRef, ExternType, Func, GcHeapOutOfMemory, Global,
    HeapType, I31, Instance, Memory, Module, Ref, Store, Table, Tag, ThrownException, Trap, Val, ValType,
};

/// Calls of each exported function.
const CALLS: usize = 3;

/// Bytes of stack that wasm may use.
const STACK: usize = 1 << 20;

type Log = Vec<(usize, Vec<Value>)>;

/// Two engines: one that leaves NaNs as they come, and one that does not.
pub struct Oracle {
    plain: Engine,
    canonical: Engine,
}

/// A module, ready to be instantiated.
pub struct Prepared {
    module: Module,
}

impl Oracle {
    /// Sets the engines up.
    ///
    /// # Errors
    /// As Wasmtime's.
    pub fn new() -> Result<Oracle> {
        Ok(Oracle { plain: engine(false)?, canonical: engine(true)? })
    }

    /// Compiles a module.
    ///
    /// # Errors
    /// If Wasmtime does not accept it.
    pub fn prepare(&self, wasm: &[u8], canonicalize_nans: bool) -> Result<Prepared> {
        let engine = if canonicalize_nans { &self.canonical } else { &self.plain };
        Ok(Prepared { module: Module::new(engine, wasm)? })
    }
}

fn engine(canonicalize_nans: bool) -> Result<Engine> {
    let mut config = Config::new();
    config
        .cranelift_nan_canonicalization(canonicalize_nans)
        .parallel_compilation(false)
        .max_wasm_stack(STACK)
        .shared_memory(true)
        .wasm_custom_page_sizes(true)
        .wasm_exceptions(true)
        .wasm_function_references(true)
        .wasm_gc(true)
        .wasm_memory64(true)
        .wasm_multi_memory(true)
        .wasm_tail_call(true)
        .wasm_wide_arithmetic(true);
    Ok(Engine::new(&config)?)
}

impl Prepared {
    /// Calls for every exported function whose arguments can be made, on an
    /// instance of its own: fuel is not renewed.
    pub fn script(&self, seed: u64) -> Script {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let functions = self.module.exports().filter_map(|export| {
            let ExternType::Func(ty) = export.ty() else { return None };
            let params: Vec<Type> = ty.params().map(|ty| parameter(&ty)).collect::<Option<_>>()?;
            let mut call = || (export.name().to_owned(), params.iter().map(|ty| argument(&mut rng, *ty)).collect());
            Some((0..CALLS).map(|_| call()).collect())
        });
        functions.collect()
    }

    /// Does what the script says, each list with a new instance.
    ///
    /// # Errors
    /// An import that cannot be made.
    pub fn run(&self, script: &Script) -> Result<Vec<Session>> {
        let mut sessions = Vec::new();
        for calls in script {
            let mut live = match self.instantiate()? {
                Ok(live) => live,
                Err(stop) => {
                    sessions.push(Session { new: Err(stop), calls: Vec::new() });
                    // The next one does the same.
                    break;
                }
            };
            let mut session = Session { new: Ok(live.state()), calls: Vec::new() };
            for (name, args) in calls {
                let result = live.call(name, args);
                let ended = result.as_ref().is_err_and(Stop::is_limit);
                session.calls.push(Call { name: name.clone(), args: args.clone(), result, state: live.state() });
                if ended {
                    break;
                }
            }
            sessions.push(session);
        }
        Ok(sessions)
    }

    fn instantiate(&self) -> Result<Result<Live, Stop>> {
        let mut store = Store::new(self.module.engine(), Log::new());
        let imports = imports(&mut store, &self.module)?;
        Ok(match Instance::new(&mut store, &self.module, &imports) {
            Ok(instance) => Ok(Live { store, instance }),
            Err(error) => Err(stop(&mut store, &error)),
        })
    }
}

fn imports(store: &mut Store<Log>, module: &Module) -> Result<Vec<Extern>> {
    let mut numbers = 0..;
    let mut imports = Vec::new();
    for import in module.imports() {
        imports.push(match import.ty() {
            ExternType::Func(ty) => {
                let Some(zeros) = ty.results().map(|ty| ty.default_value()).collect::<Option<Vec<Val>>>() else {
                    bail!("an imported function returns references that are not null");
                };
                let number = numbers.next().unwrap_or_default();
                let note = move |mut caller: Caller<'_, Log>, args: &[Val], results: &mut [Val]| {
                    results.copy_from_slice(&zeros);
                    let args = args.iter().map(|arg| from_val(&mut caller, *arg)).collect();
                    caller.data_mut().push((number, args));
                    Ok(())
                };
                Func::new(&mut *store, ty, note).into()
            }
            ExternType::Global(ty) => match ty.content().default_value() {
                Some(value) => Global::new(&mut *store, ty, value)?.into(),
                None => bail!("an imported global is a reference that is not null"),
            },
            ExternType::Table(ty) if ty.element().is_nullable() => {
                let null = Ref::null(ty.element().heap_type());
                Table::new(&mut *store, ty, null)?.into()
            }
            ExternType::Table(_) => bail!("an imported table has references that are not null"),
            ExternType::Memory(ty) if ty.is_shared() => bail!("a memory that is imported is shared"),
            ExternType::Memory(ty) => Memory::new(&mut *store, ty)?.into(),
            ExternType::Tag(ty) => Tag::new(&mut *store, &ty)?.into(),
        });
    }
    Ok(imports)
}

fn parameter(ty: &ValType) -> Option<Type> {
    Some(match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::Ref(ty) if !ty.is_nullable() => return None,
        ValType::Ref(ty) if matches!(ty.heap_type(), HeapType::Extern) => Type::Extern,
        ValType::Ref(ty) if matches!(ty.heap_type(), HeapType::Any | HeapType::Eq | HeapType::I31) => Type::Any,
        ValType::Ref(_) => Type::Null,
    })
}

fn argument(rng: &mut Rng, ty: Type) -> Value {
    const INTERESTING: [u64; 8] =
        [0, 1, u64::MAX, 1 << 31, 1 << 63, 0x7fff_ffff, 0x7ff8_0000_0000_0000, 0x3ff0_0000_0000_0000];
    let bits = match rng.below(3) {
        0 => INTERESTING[rng.below(INTERESTING.len())],
        1 => rng.next_u64() & 0xffff,
        _ => rng.next_u64(),
    };
    match ty {
        Type::I32 => Value::I32(bits as i32),
        Type::I64 => Value::I64(bits as i64),
        Type::F32 => Value::F32(bits as u32),
        Type::F64 => Value::F64(bits),
        Type::V128 => Value::V128(u128::from(bits) << 64 | u128::from(rng.next_u64())),
        Type::Any if bits & 1 == 0 => Value::I31(bits as i32 >> 1),
        Type::Extern if bits & 1 == 0 => Value::Extern(bits as u32),
        Type::Any | Type::Extern | Type::Null => Value::Null,
    }
}

struct Live {
    store: Store<Log>,
    instance: Instance,
}

impl Live {
    fn call(&mut self, name: &str, args: &[Value]) -> Result<Vec<Value>, Stop> {
        let store = &mut self.store;
        let missing = || Stop::Other(format!("there is no function {name:?}"));
        let func = self.instance.get_func(&mut *store, name).ok_or_else(missing)?;
        let ty = func.ty(&*store);
        let args: Vec<Val> = ty.params().zip(args).map(|(ty, arg)| to_val(&mut *store, &ty, *arg)).collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        match func.call(&mut *store, &args, &mut results) {
            Ok(()) => Ok(results.into_iter().map(|result| from_val(&mut *store, result)).collect()),
            Err(error) => Err(stop(store, &error)),
        }
    }

    fn state(&mut self) -> State {
        let mut store = &mut self.store;
        let mut state = State { log: store.data().clone(), ..State::default() };
        let exports: BTreeMap<String, Extern> =
            self.instance.exports(&mut store).map(|export| (export.name().to_owned(), export.into_extern())).collect();
        for (name, export) in exports {
            match export {
                Extern::Global(global) => {
                    let value = global.get(&mut *store);
                    state.globals.insert(name, from_val(&mut *store, value));
                }
                Extern::Memory(memory) => {
                    state.memories.insert(name, Content::of(memory.data(&*store)));
                }
                Extern::SharedMemory(memory) => {
                    // SAFETY: no other thread has this memory.
                    let bytes: Vec<u8> = memory.data().iter().map(|byte| unsafe { *byte.get() }).collect();
                    state.memories.insert(name, Content::of(&bytes));
                }
                Extern::Table(table) => {
                    let elements = (0..table.size(&*store)).map(|index| {
                        let element = table.get(&mut *store, index);
                        element.map_or(Value::Null, |element| from_val(&mut *store, element.into()))
                    });
                    state.tables.insert(name, elements.collect());
                }
                Extern::Func(_) | Extern::Tag(_) => {}
            }
        }
        state
    }
}

fn to_val(mut store: impl AsContextMut, ty: &ValType, value: Value) -> Val {
    match value {
        Value::I32(v) => Val::I32(v),
        Value::I64(v) => Val::I64(v),
        Value::F32(v) => Val::F32(v),
        Value::F64(v) => Val::F64(v),
        Value::V128(v) => Val::V128(v.into()),
        // A heap that has no room for so little is beyond what is compared.
        Value::Extern(number) => Val::ExternRef(ExternRef::new(&mut store, number).ok()),
        Value::I31(number) => Val::AnyRef(Some(AnyRef::from_i31(&mut store, I31::wrapping_i32(number)))),
        _ => ty.default_value().unwrap_or(Val::I32(0)),
    }
}

fn from_val(mut store: impl AsContextMut, value: Val) -> Value {
    match value {
        Val::I32(v) => Value::I32(v),
        Val::I64(v) => Value::I64(v),
        Val::F32(v) => Value::F32(v),
        Val::F64(v) => Value::F64(v),
        Val::V128(v) => Value::V128(v.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) | Val::ContRef(_) => {
            Value::Null
        }
        Val::FuncRef(Some(_)) => Value::Func,
        Val::ExnRef(Some(_)) => Value::Exn,
        Val::ExternRef(Some(value)) => {
            let number = match value.data(store.as_context()) {
                Ok(Some(value)) => value.downcast_ref::<u32>().copied(),
                _ => None,
            };
            number.map_or(Value::Opaque, Value::Extern)
        }
        Val::AnyRef(Some(value)) => any(&mut store, value).unwrap_or(Value::Opaque),
    }
}

fn any(mut store: impl AsContextMut, value: wasmtime::Rooted<AnyRef>) -> Option<Value> {
    if let Some(number) = value.as_i31(&store).ok()? {
        return Some(Value::I31(number.get_i32()));
    }
    if value.is_struct(&store).ok()? {
        return Some(Value::Struct);
    }
    if value.is_array(&store).ok()? {
        return Some(Value::Array);
    }
    let value = ExternRef::convert_any(&mut store, value).ok()?;
    let number = value.data(store.as_context()).ok()??.downcast_ref::<u32>().copied()?;
    Some(Value::Extern(number))
}

fn stop(store: &mut Store<Log>, error: &wasmtime::Error) -> Stop {
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Stop::Deep,
        Some(Trap::AllocationTooLarge) => Stop::Exhausted,
        Some(trap) => Stop::Trap(format!("{trap:?}")),
        None if error.is::<ThrownException>() => {
            store.take_pending_exception();
            Stop::Exception
        }
        None if error.is::<GcHeapOutOfMemory<()>>() => Stop::Exhausted,
        None => Stop::Other(format!("{error:#}")),
    }
}
