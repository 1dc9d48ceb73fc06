//! The kinds of instances that are looked at: where they live, how much may
//! stay resident, and how the next one is had.

use wasmc_loader::{
    Config, Engine, Instance, InstanceAllocationStrategy, InstanceLimits, InstancePre, InstantiationStrategy,
    PoolingAllocationStrategy, Store,
};

/// Limits that the tests' modules fit into.
const LIMITS: InstanceLimits =
    InstanceLimits { count: 1, size: 1 << 20, tables: 5, table_elements: 2000, memories: 4, memory_pages: 256 };

/// How the next tenant comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Way {
    /// In a new store, after the last one was dropped.
    Anew,
    /// By instantiating again in the same store, which resets.
    Again,
    /// By `Instance::reset`.
    ResetInstance,
    /// By `Store::reset`.
    ResetStore,
}

/// A kind of instances.
#[derive(Debug, Clone)]
pub struct Kind {
    pub name: String,
    pub config: Config,
    pub way: Way,
    slots: usize,
}

/// Bytes that may stay resident: nothing, one page, the default, everything.
const KEEP: [(&str, Option<usize>); 4] =
    [("nothing", Some(0)), ("one page", Some(4 << 10)), ("the default", None), ("everything", Some(1 << 30))];

fn kind(strategy: InstantiationStrategy, pool: PoolingAllocationStrategy, count: u32, keep: usize, way: Way) -> Kind {
    let (kept, bytes) = KEEP[keep];
    let mut config = Config::new();
    let instance_limits = InstanceLimits { count, ..LIMITS };
    config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy: pool, instance_limits });
    config.instantiation_strategy(strategy);
    if let Some(bytes) = bytes {
        config.linear_memory_keep_resident(bytes).table_keep_resident(bytes);
    }
    let place = if strategy.is_pooling() { format!(" {pool:?} of {count}") } else { String::new() };
    let slots = if strategy.is_pooling() { count as usize } else { 3 };
    Kind { name: format!("{strategy}{place}, {way:?}, kept: {kept}"), config, way, slots }
}

/// All kinds.
#[allow(deprecated, reason = "the deprecated strategy has to work as well")]
pub fn all() -> Vec<Kind> {
    use InstantiationStrategy as Strategy;
    use PoolingAllocationStrategy::{NextAvailable, Random, ReuseAffinity};
    let mut kinds = Vec::new();
    for keep in 0..KEEP.len() {
        for strategy in [Strategy::PoolingCopyOnWrite, Strategy::Pooling] {
            kinds.push(kind(strategy, ReuseAffinity, 1, keep, Way::Anew));
            kinds.push(kind(strategy, ReuseAffinity, 3, keep, Way::ResetStore));
            kinds.push(kind(strategy, NextAvailable, 1, keep, Way::ResetInstance));
        }
        kinds.push(kind(Strategy::PoolingCopyOnWrite, NextAvailable, 3, keep, Way::Anew));
        kinds.push(kind(Strategy::PoolingCopyOnWrite, Random, 3, keep, Way::Anew));
        kinds.push(kind(Strategy::RecreateInstanceCopyOnWrite, ReuseAffinity, 1, keep, Way::ResetInstance));
        kinds.push(kind(Strategy::LegacyInstanceReuse, ReuseAffinity, 1, keep, Way::Again));
    }
    for strategy in [Strategy::RecreateInstanceCopyOnWrite, Strategy::RecreateInstance] {
        // The budget does not matter to these.
        kinds.push(kind(strategy, ReuseAffinity, 1, 2, Way::Anew));
        kinds.push(kind(strategy, ReuseAffinity, 1, 2, Way::ResetStore));
    }
    kinds
}

/// An engine whose instances nobody has used before.
pub fn fresh() -> Engine {
    let mut config = Config::new();
    config.instantiation_strategy(InstantiationStrategy::RecreateInstance).spare_slots(0);
    Engine::new(&config).unwrap_or_else(|e| panic!("{e:?}"))
}

impl Kind {
    pub fn engine(&self) -> Engine {
        Engine::new(&self.config).unwrap_or_else(|e| panic!("{}: {e:?}", self.name))
    }

    /// How many instances there can be at once, of those that matter here.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Whether the next tenant of a store is in the same store.
    pub fn stays(&self) -> bool {
        self.way != Way::Anew
    }
}

/// A place that has one tenant after the other, of one module.
pub struct Place<T: 'static> {
    pub way: Way,
    pub pre: InstancePre<T>,
    kept: Option<(Store<T>, Instance)>,
}

impl<T: 'static> Place<T> {
    pub fn new(way: Way, pre: InstancePre<T>) -> Place<T> {
        Place { way, pre, kept: None }
    }

    /// The next tenant, with its host's data.
    pub fn next_with(&mut self, data: T) -> (Store<T>, Instance) {
        let Some((mut store, mut instance)) = self.kept.take() else {
            let mut store = Store::new(self.pre.module().engine(), data);
            let instance = self.pre.instantiate(&mut store).unwrap_or_else(|e| panic!("{e:?}"));
            return (store, instance);
        };
        *store.data_mut() = data;
        match self.way {
            Way::Anew => unreachable!("nothing is kept"),
            Way::Again => instance = self.pre.instantiate(&mut store).unwrap_or_else(|e| panic!("{e:?}")),
            Way::ResetInstance => instance.reset(&mut store).unwrap_or_else(|e| panic!("{e:?}")),
            Way::ResetStore => store.reset().unwrap_or_else(|e| panic!("{e:?}")),
        }
        (store, instance)
    }

    /// Takes a tenant back.
    pub fn leave(&mut self, store: Store<T>, instance: Instance) {
        if self.way != Way::Anew {
            self.kept = Some((store, instance));
        }
    }
}

impl<T: Default + 'static> Place<T> {
    /// The next tenant.
    pub fn next(&mut self) -> (Store<T>, Instance) {
        self.next_with(T::default())
    }

    /// Lets a tenant do something.
    pub fn with<R>(&mut self, work: impl FnOnce(&mut Store<T>, Instance) -> R) -> R {
        let (mut store, instance) = self.next();
        let result = work(&mut store, instance);
        self.leave(store, instance);
        result
    }
}
