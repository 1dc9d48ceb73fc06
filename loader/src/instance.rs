//! Instances: of what a module exports, the living counterpart.

use crate::error::{Error, Result};
use crate::externs::{Export, Extern};
use crate::func::{Func, TypedFunc};
use crate::linking::{self, Item, Items};
use crate::memory::Memory;
use crate::module::{Module, ModuleExport};
use crate::parts;
use crate::shared_memory::SharedMemory;
use crate::store::{AsContextMut, StoreContext, StoreContextMut, StoreInner, StoreOpaque};
use crate::table::Table;
use crate::tag::Tag;
use crate::vm::global::Global;
use crate::vm::handle::Stored;
use crate::vm::instance::{InstanceData, Placement};
use crate::vm::lifecycle;
use crate::vm::shared::{Lease, Shared};
use crate::vm::typed::{WasmParams, WasmResults};
use wasmc_artifacts::format::{self, ExternKind};

/// An instance of a module; belongs to a store.
///
/// All methods panic if they are given another store.
#[derive(Debug, Clone, Copy)]
pub struct Instance(pub(crate) Stored<InstanceData>);

impl Instance {
    /// Instantiates a module with what it imports, in the order of
    /// [`Module::imports`], and calls its start function.
    ///
    /// # Errors
    /// If the imports do not fit ([`LinkError`](crate::LinkError) names all
    /// that do not), a segment is out of bounds, the start function fails, or
    /// there is no memory for the instance.
    pub fn new(mut store: impl AsContextMut, module: &Module, imports: &[Extern]) -> Result<Instance> {
        let inner = store.as_context_mut().0;
        let wanted = module.artifact().tables().imports.len();
        if imports.len() != wanted {
            let given = imports.len();
            return Err(Error::msg(format!("the module has {wanted} imports, and {given} were given")));
        }
        if !imports.is_empty() {
            parts::LINKING.need("a list of imports")?;
        }
        let items: Vec<Item> = imports.iter().cloned().map(Item::Extern).collect();
        linking::check_stores(&inner.opaque, items.iter())?;
        let items = Shared::small(Items::new(items));
        linking::check_bound(&inner.opaque, module, &items)?;
        module.check_limits()?;
        let placement = module.engine().placement();
        instantiate(inner, module, &items, placement)
    }

    /// Makes the instance as it was when it had just been instantiated:
    /// content and size of the memories and tables that its module defines,
    /// globals, and dropped segments. Then the start function runs again.
    ///
    /// Functions, memories and other handles of the instance stay valid, but a
    /// shared memory that its module defines is replaced by a new one (see
    /// [`SharedMemory`]). What
    /// it imports from elsewhere is not reset; [`Store::reset`](crate::Store::reset)
    /// does that too. Works also after a trap or a panic of a host function,
    /// and costs much less than another instance.
    ///
    /// # Errors
    /// [`ResetError`] if code of the store is running (a host function that it
    /// called can ask for this); otherwise as when the instance was made. If
    /// that happens the instance is in no particular state, and a later reset
    /// may work.
    ///
    /// # Panics
    /// If the instance belongs to another store.
    pub fn reset(&self, mut store: impl AsContextMut) -> Result<()> {
        let inner = store.as_context_mut().0;
        let own: *const InstanceData = self.data(&inner.opaque);
        lifecycle::restore(inner, |instance| std::ptr::eq(own, instance))?;
        let index = self.data(&inner.opaque).index();
        start(inner, index)
    }

    fn data<'a>(&self, store: &'a StoreOpaque) -> &'a InstanceData {
        self.0.get(store)
    }

    /// The module.
    pub fn module<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a Module {
        self.data(&store.into().0.opaque).module()
    }

    /// The exports, in the module's order.
    pub fn exports<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> impl ExactSizeIterator<Item = Export<'a>> {
        // Exclusive, since function values are made when they are asked for.
        let opaque = &store.into().0.opaque;
        let instance = self.data(opaque);
        let artifact = instance.module().artifact();
        let rows = artifact.tables().exports.iter();
        let exports: Vec<Export<'a>> = rows
            .filter_map(|row| {
                let name = artifact.str(row.name)?;
                Some(Export { name, value: export(opaque, instance, &row)? })
            })
            .collect();
        exports.into_iter()
    }

    /// The export `name`, if there is one.
    pub fn get_export(&self, mut store: impl AsContextMut, name: &str) -> Option<Extern> {
        let opaque = &store.as_context_mut().0.opaque;
        let instance = self.data(opaque);
        export(opaque, instance, &instance.module().artifact().export(name)?)
    }

    /// An export that was looked up in the module before.
    pub fn get_module_export(&self, mut store: impl AsContextMut, place: &ModuleExport) -> Option<Extern> {
        let opaque = &store.as_context_mut().0.opaque;
        let instance = self.data(opaque);
        instance.module().is_same(&place.module).then(|| export(opaque, instance, &place.row))?
    }

    /// The export with this number in the module's order.
    pub(crate) fn export_at(&self, store: &StoreOpaque, index: usize) -> Option<Extern> {
        let instance = self.data(store);
        export(store, instance, &instance.module().artifact().tables().exports.get(index)?)
    }

    /// As an error, whether the module's artifact has been damaged.
    pub(crate) fn intact(&self, store: &StoreOpaque) -> Result<()> {
        Ok(self.data(store).module().intact()?)
    }

    /// The exported function `name`, if there is one.
    pub fn get_func(&self, store: impl AsContextMut, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The exported function `name` with its type known to the compiler.
    ///
    /// # Errors
    /// If there is none, or it has another type.
    pub fn get_typed_func<Params: WasmParams, Results: WasmResults>(
        &self,
        mut store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<Params, Results>> {
        let func = self.get_func(&mut store, name);
        // Names can be lost with the file.
        self.data(&store.as_context().0.opaque).module().intact()?;
        let func = func.ok_or_else(|| Error::msg(format!("the instance exports no function `{name}`")))?;
        func.typed(store.as_context()).map_err(|e| e.context(format!("cannot call the export `{name}`")))
    }

    /// The exported memory `name`, if there is one that is not shared.
    pub fn get_memory(&self, store: impl AsContextMut, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The exported shared memory `name`, if there is one.
    pub fn get_shared_memory(&self, store: impl AsContextMut, name: &str) -> Option<SharedMemory> {
        self.get_export(store, name)?.into_shared_memory()
    }

    /// The exported table `name`, if there is one.
    pub fn get_table(&self, store: impl AsContextMut, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// The exported global `name`, if there is one.
    pub fn get_global(&self, store: impl AsContextMut, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// The exported tag `name`, if there is one.
    pub fn get_tag(&self, store: impl AsContextMut, name: &str) -> Option<Tag> {
        self.get_export(store, name)?.into_tag()
    }
}

/// What an export of an instance stands for.
fn export(store: &StoreOpaque, instance: &InstanceData, row: &format::Export) -> Option<Extern> {
    let state = &store.state;
    let index = row.index;
    Some(match ExternKind::from_code(row.kind)? {
        ExternKind::Func => Extern::Func(Func(instance.handle(state, |i| i.func_ref(index))?)),
        ExternKind::Table => Extern::Table(Table(instance.handle(state, |i| i.table(index))?)),
        ExternKind::Memory => match instance.memory(index)?.shared() {
            Some(shared) if parts::THREADS.is_on() => {
                Extern::SharedMemory(SharedMemory::of(&store.engine, shared.clone()))
            }
            _ => Extern::Memory(Memory(instance.handle(state, |i| i.memory(index))?)),
        },
        ExternKind::Global => Extern::Global(Global::of_instance(store, instance, index)?),
        ExternKind::Tag => Extern::Tag(Tag(instance.handle(state, |i| i.tag(index))?)),
    })
}

/// Makes an instance whose imports have been checked.
pub(crate) fn instantiate<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Module,
    items: &Shared<Items>,
    placement: Placement,
) -> Result<Instance> {
    if !crate::Engine::same(&store.opaque.engine, module.engine()) {
        return Err(Error::msg("the module was loaded with another engine than the store was made with"));
    }
    module.intact()?;
    let instance = make(store, module, items, placement);
    // What was read of an artifact that got damaged meanwhile means nothing,
    // an error included.
    module.intact()?;
    instance
}

fn make<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Module,
    items: &Shared<Items>,
    placement: Placement,
) -> Result<Instance> {
    let (handle, index) = store.limited(
        |limiter| limiter.instance(module),
        |opaque| {
            let instance = InstanceData::allocate(&opaque.state, module, placement)?;
            provide(opaque, instance, items);
            Ok((Instance(instance.itself(&opaque.state)), instance.index()))
        },
    )?;
    lifecycle::initialise(store, index)?;
    let opaque = &mut store.opaque;
    if !opaque.unadapted.is_empty() {
        let waiting = std::mem::take(&mut opaque.unadapted);
        opaque.unadapted = waiting.into_iter().filter(|host| !host.get(opaque).adapt(module)).collect();
    }
    start(store, index)?;
    Ok(handle)
}

/// Calls the start function of a store's instance, if there is one.
pub(crate) fn start<T: 'static>(store: &mut StoreInner<T>, index: usize) -> Result<()> {
    let state = &store.opaque.state;
    match state.instance(index).and_then(|instance| instance.start(state)) {
        Some(start) => Func(start?).call_start(store),
        None => Ok(()),
    }
}

/// Why something cannot be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResetError {
    /// Code of the store is running.
    #[error("cannot reset while a call into the store is active: let it return first")]
    CallActive,
}

/// Puts what provides the imports into the instance.
fn provide(store: &StoreOpaque, instance: &InstanceData, items: &Shared<Items>) {
    let state = &store.state;
    instance.keep_imports(Lease::of(items));
    if instance.recall_imports(state, items) {
        return;
    }
    let tables = instance.module().artifact().tables();
    let (mut funcs, mut table, mut global, mut tag) = (0.., 0.., 0.., 0..);
    let next = |counter: &mut std::ops::RangeFrom<u32>| counter.next().unwrap_or_default();
    let mut memories = Vec::new();
    for (item, row) in items.iter().zip(tables.imports.iter()) {
        match item {
            Item::Host(def) => instance.import_host(state, next(&mut funcs), row.index, def),
            Item::Extern(_) if !parts::LINKING.is_on() => {}
            Item::Extern(Extern::Func(func)) => instance.import_func(store, next(&mut funcs), row.index, func.0),
            Item::Extern(Extern::Table(imported)) => instance.import_table(state, next(&mut table), imported.0),
            Item::Extern(Extern::Memory(imported)) => memories.push(imported.0),
            Item::Extern(Extern::SharedMemory(imported)) => {
                if parts::THREADS.is_on() {
                    memories.push(state.use_shared(&imported.data));
                }
            }
            Item::Extern(Extern::Global(imported)) => instance.import_global(state, next(&mut global), imported.cell()),
            Item::Extern(Extern::Tag(imported)) => instance.import_tag(store, next(&mut tag), *imported),
        }
    }
    if parts::LINKING.is_on() && !memories.is_empty() {
        instance.import_memories(state, memories.into());
    }
    instance.filled_with(state, items);
}
