//! The side that is tested: compiler and loader.

use crate::choices::Choices;
use crate::features;
use crate::sides::{Content, State, Stop, Value};
use anyhow::{Context as _, Result, bail};
use std::num::NonZeroUsize;
use wasmc::{OptLevel, Options, Target, Tunables};
use wasmc_loader::{
    AnyRef, AsContextMut, Caller, Config, Engine, Extern, ExternRef, ExternType, Func, Global, I31, Instance,
    InstantiationStrategy, Memory, Module, Ref, Rooted, Store, Table, Tag, ThrownException, Trap, Val, ValType,
};

/// Bytes of stack that wasm may use: more than the oracle, so that it is the
/// first to run out.
const STACK: usize = 4 << 20;

type Log = Vec<(usize, Vec<Value>)>;

/// How a module is compiled and run.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    cpu: &'static str,
    opt_level: OptLevel,
    /// Whether memories have little address space, so that accesses are
    /// checked.
    tight: bool,
    strategy: InstantiationStrategy,
    /// Whether every instance is one that was used and reset.
    pub reset: bool,
    /// Whether objects move at every allocation.
    stress: bool,
}

impl Variant {
    /// A way that the bytes choose.
    pub fn choose(choices: &mut Choices<'_>) -> Variant {
        Variant {
            cpu: choices.pick(&["baseline", "native"]),
            opt_level: choices.pick(&[OptLevel::Speed, OptLevel::Speed, OptLevel::None, OptLevel::Size]),
            tight: choices.below(4) == 1,
            strategy: choices.pick(&[
                InstantiationStrategy::RecreateInstanceCopyOnWrite,
                InstantiationStrategy::PoolingCopyOnWrite,
                InstantiationStrategy::RecreateInstance,
                InstantiationStrategy::Pooling,
            ]),
            reset: choices.below(3) == 1,
            stress: choices.below(2) == 1,
        }
    }

    fn options(self, canonicalize_nans: bool) -> Result<Options> {
        let tunables = if self.tight {
            Tunables { memory_reservation: 4 << 20, memory_guard: 1 << 16, ..Tunables::default() }
        } else {
            Tunables::default()
        };
        let mut options = Options {
            target: Target::default().cpu(self.cpu)?,
            opt_level: self.opt_level,
            tunables,
            canonicalize_nans,
            verify: true,
            jobs: NonZeroUsize::new(1),
            ..Options::new()
        };
        // Those that are off by default have nothing to do with it, but for
        // these two, which the oracle has.
        for name in ["wide-arithmetic", "custom-page-sizes"] {
            if features::is_supported(name) {
                options.features.set(name, true)?;
            }
        }
        Ok(options)
    }

    /// Compiles and loads a module.
    ///
    /// # Errors
    /// Ours: the module is one that the oracle accepts.
    pub fn prepare(self, wasm: &[u8], canonicalize_nans: bool) -> Result<Prepared> {
        let artifact = wasmc::compile(wasm, &self.options(canonicalize_nans)?).context("it does not compile")?;
        wasmc::inspect::verify(&artifact).context("the artifact is not what it should be")?;
        let mut config = Config::new();
        config.max_wasm_stack(STACK).gc_stress(self.stress).instantiation_strategy(self.strategy);
        if matches!(self.strategy, InstantiationStrategy::Pooling | InstantiationStrategy::PoolingCopyOnWrite) {
            config
                .allocation_strategy(limits())
                .memory_init_cow(self.strategy == InstantiationStrategy::PoolingCopyOnWrite);
        }
        let engine = Engine::new(&config).map_err(anyhow::Error::from).context("no engine can be made")?;
        // SAFETY: the artifact is the compiler's.
        let module = unsafe { Module::from_bytes(&engine, &artifact) };
        Ok(Prepared { module: module.map_err(anyhow::Error::from).context("the artifact cannot be loaded")? })
    }
}

/// A pool with room for what the generators make.
fn limits() -> wasmc_loader::InstanceLimits {
    wasmc_loader::InstanceLimits {
        count: 4,
        size: 1 << 20,
        tables: 8,
        table_elements: 10_000,
        memories: 4,
        memory_pages: 64,
    }
}

/// A module, ready to be instantiated.
pub struct Prepared {
    module: Module,
}

/// An instance and its store.
pub struct Live {
    store: Store<Log>,
    instance: Instance,
}

impl Prepared {
    /// A new instance, or how its making ended.
    ///
    /// # Errors
    /// Ours: the oracle could make the imports.
    pub fn instantiate(&self) -> Result<Result<Live, Stop>> {
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
                let number = numbers.next().unwrap_or_default();
                let zeros = ty.results().iter().map(Val::default_for_ty).collect::<Option<Vec<Val>>>();
                let zeros = zeros.context("an imported function returns references that are not null")?;
                let note = move |mut caller: Caller<'_, Log>, args: &[Val], results: &mut [Val]| {
                    results.copy_from_slice(&zeros);
                    let args = args.iter().map(|arg| from_val(&mut caller, *arg)).collect();
                    caller.data_mut().push((number, args));
                    Ok(())
                };
                Func::new(&mut *store, ty, note).into()
            }
            ExternType::Global(ty) => {
                let zero = Val::default_for_ty(ty.content()).context("a global that is not null is imported")?;
                Global::new(&mut *store, ty, zero)?.into()
            }
            ExternType::Table(ty) => {
                let ValType::Ref(element) = ty.element() else { bail!("a table of numbers") };
                let null = Ref::null(&element.heap);
                Table::new(&mut *store, ty, null)?.into()
            }
            ExternType::Memory(ty) => Memory::new(&mut *store, ty)?.into(),
            ExternType::Tag(ty) => Tag::new(&mut *store, &ty)?.into(),
        });
    }
    Ok(imports)
}

impl Live {
    /// Calls an export.
    ///
    /// # Errors
    /// How it ended, if without a result.
    pub fn call(&mut self, name: &str, args: &[Value]) -> Result<Vec<Value>, Stop> {
        let store = &mut self.store;
        let missing = || Stop::Other(format!("there is no function {name:?}"));
        let func = self.instance.get_func(&mut *store, name).ok_or_else(missing)?;
        let ty = func.ty(&*store);
        let args: Vec<Val> = ty.params().iter().zip(args).map(|(ty, arg)| to_val(&mut *store, *ty, *arg)).collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        match func.call(&mut *store, &args, &mut results) {
            Ok(()) => Ok(results.into_iter().map(|result| from_val(&mut *store, result)).collect()),
            Err(error) => Err(stop(store, &error)),
        }
    }

    /// Makes the store as it was when the instance was new.
    ///
    /// # Errors
    /// How the instance's start function ended.
    pub fn reset(&mut self) -> Result<(), Stop> {
        self.store.data_mut().clear();
        self.store.reset().map_err(|error| stop(&mut self.store, &error))
    }

    /// What can be seen.
    pub fn state(&mut self) -> State {
        let store = &mut self.store;
        let mut state = State { log: store.data().clone(), ..State::default() };
        let names: Vec<String> =
            self.instance.module(&*store).exports().map(|export| export.name().to_owned()).collect();
        for name in names {
            if let Some(global) = self.instance.get_global(&mut *store, &name) {
                let value = global.get(&mut *store);
                state.globals.insert(name, from_val(&mut *store, value));
            } else if let Some(memory) = self.instance.get_memory(&mut *store, &name) {
                state.memories.insert(name, Content::of(memory.data(&*store)));
            } else if let Some(memory) = self.instance.get_shared_memory(&mut *store, &name) {
                // SAFETY: no other thread has this memory.
                let bytes: Vec<u8> = memory.data().iter().map(|byte| unsafe { *byte.get() }).collect();
                state.memories.insert(name, Content::of(&bytes));
            } else if let Some(table) = self.instance.get_table(&mut *store, &name) {
                let elements = (0..table.size(&*store)).map(|index| {
                    let element = table.get(&mut *store, index);
                    element.map_or(Value::Null, |element| from_val(&mut *store, element.into()))
                });
                state.tables.insert(name, elements.collect());
            }
        }
        state
    }
}

fn to_val(mut store: impl AsContextMut, ty: ValType, value: Value) -> Val {
    match value {
        Value::I32(v) => Val::I32(v),
        Value::I64(v) => Val::I64(v),
        Value::F32(v) => Val::F32(v),
        Value::F64(v) => Val::F64(v),
        Value::V128(v) => Val::V128(v.into()),
        Value::Extern(number) => Val::ExternRef(ExternRef::new(&mut store, number).ok()),
        Value::I31(number) => Val::AnyRef(Some(AnyRef::from_i31(&mut store, I31::wrapping_i32(number)))),
        _ => Val::default_for_ty(&ty).unwrap_or(Val::I32(0)),
    }
}

fn from_val(mut store: impl AsContextMut, value: Val) -> Value {
    match value {
        Val::I32(v) => Value::I32(v),
        Val::I64(v) => Value::I64(v),
        Val::F32(v) => Value::F32(v),
        Val::F64(v) => Value::F64(v),
        Val::V128(v) => Value::V128(v.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => Value::Null,
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

fn any(mut store: impl AsContextMut, value: Rooted<AnyRef>) -> Option<Value> {
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

fn stop(store: &mut Store<Log>, error: &wasmc_loader::Error) -> Stop {
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Stop::Deep,
        Some(Trap::AllocationTooLarge | Trap::HeapExhausted) => Stop::Exhausted,
        // One trap in the oracle.
        Some(Trap::UndefinedElement) => Stop::Trap(format!("{:?}", Trap::TableOutOfBounds)),
        Some(trap) => Stop::Trap(format!("{trap:?}")),
        None if error.is::<ThrownException>() => {
            store.take_pending_exception();
            Stop::Exception
        }
        None => Stop::Other(format!("{error:#}")),
    }
}
