//! The settings that behaviours are tried with, and what runs a call under
//! one of them.

use super::module;
use std::time::Duration;
use wasmc_loader::{
    Config, Engine, Instance, InstanceAllocationStrategy, InstanceLimits, InstancePre, InstantiationStrategy, Linker,
    Module, PoolExhaustion, PoolingAllocationStrategy, Store,
};
use wasmc_tests::carriers::{self, Carrier};

/// Slots of the pools in these tests.
pub const SLOTS: u32 = 10;

/// Limits that the tests' modules fit into.
pub const LIMITS: InstanceLimits = InstanceLimits {
    count: SLOTS,
    size: 1 << 20,
    tables: 4,
    table_elements: 20_000,
    memories: 3,
    memory_pages: 65_536,
};

/// How a fresh instance is had for the next call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// In a new store.
    Anew,
    /// By instantiating again in the same store.
    Again,
    /// By `Instance::reset`.
    ResetInstance,
    /// By `Store::reset`.
    ResetStore,
}

/// A strategy, or a way to configure one.
pub struct Setting {
    pub strategy: InstantiationStrategy,
    pub config: Config,
    pub way: Way,
}

/// A configuration for a strategy, with a small pool if it has one.
pub fn config(strategy: InstantiationStrategy) -> Config {
    let mut config = Config::new();
    config.allocation_strategy(LIMITS).instantiation_strategy(strategy);
    config
}

impl Setting {
    /// The setting of this name: a strategy's with `_` for `-`, or a variation.
    /// With `embedded_` or `linked_` before it, this thread loads artifacts from
    /// a program from now on.
    pub fn named(name: &str) -> Setting {
        for (prefix, carrier) in [("embedded_", Carrier::Embedded), ("linked_", Carrier::Linked)] {
            if let Some(name) = name.strip_prefix(prefix) {
                carriers::choose(carrier);
                return Setting::named(name);
            }
        }
        if let Ok(strategy) = name.replace('_', "-").parse::<InstantiationStrategy>() {
            let reuse = name == "legacy_instance_reuse";
            let way = if reuse { Way::Again } else { Way::Anew };
            return Setting { strategy, config: config(strategy), way };
        }
        let (base, way) = match name {
            "no_spare_slots" => (InstantiationStrategy::RecreateInstanceCopyOnWrite, Way::Anew),
            "reset_of_instance" => (InstantiationStrategy::PoolingCopyOnWrite, Way::ResetInstance),
            "reset_of_store" => (InstantiationStrategy::PoolingCopyOnWrite, Way::ResetStore),
            "reset_of_copies" => (InstantiationStrategy::Pooling, Way::ResetInstance),
            "reset_on_demand" => (InstantiationStrategy::RecreateInstanceCopyOnWrite, Way::ResetStore),
            "nothing_kept_copied" => (InstantiationStrategy::Pooling, Way::Anew),
            _ => (InstantiationStrategy::PoolingCopyOnWrite, Way::Anew),
        };
        let mut config = config(base);
        let choose = |config: &mut Config, strategy, count| {
            let instance_limits = InstanceLimits { count, ..LIMITS };
            config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy, instance_limits });
        };
        match name {
            "next_available" => choose(&mut config, PoolingAllocationStrategy::NextAvailable, SLOTS),
            "random" => choose(&mut config, PoolingAllocationStrategy::Random, SLOTS),
            "nothing_kept" | "nothing_kept_copied" => {
                config.linear_memory_keep_resident(0).table_keep_resident(0);
            }
            "batched" => {
                config.max_unused_warm_slots(0).decommit_batch_size(3);
            }
            "overflowing" => {
                choose(&mut config, PoolingAllocationStrategy::ReuseAffinity, 1);
                config.pool_exhaustion(PoolExhaustion::OnDemand);
            }
            // Several threads wait for one slot, and modules displace each other.
            "crowded" => {
                choose(&mut config, PoolingAllocationStrategy::ReuseAffinity, 1);
                config.pool_exhaustion(PoolExhaustion::Block { timeout: Duration::from_secs(1000) });
            }
            "no_spare_slots" => {
                config.spare_slots(0);
            }
            reset => assert!(reset.starts_with("reset_"), "there is no setting `{reset}`"),
        }
        Setting { strategy: base, config, way }
    }

    pub fn engine(&self) -> Engine {
        Engine::new(&self.config).unwrap_or_else(|e| panic!("{e:?}"))
    }

    /// An engine of which something else is different.
    pub fn engine_with(&self, change: impl FnOnce(&mut Config)) -> Engine {
        let mut config = self.config.clone();
        change(&mut config);
        Engine::new(&config).unwrap_or_else(|e| panic!("{e:?}"))
    }

    /// A module without imports, ready for calls.
    pub fn guest(&self, text: &str) -> Guest<()> {
        self.guest_in(&self.engine(), text, |_| {})
    }

    /// A module of a certain engine, its imports from a linker.
    pub fn guest_in<T>(&self, engine: &Engine, text: &str, define: impl FnOnce(&mut Linker<T>)) -> Guest<T> {
        self.guest_of(&module(engine, text), define)
    }

    pub fn guest_of<T>(&self, module: &Module, define: impl FnOnce(&mut Linker<T>)) -> Guest<T> {
        let mut linker = Linker::new(module.engine());
        define(&mut linker);
        let pre = linker.instantiate_pre(module).unwrap_or_else(|e| panic!("{e:?}"));
        Guest { way: self.way, pre, kept: None }
    }
}

/// A module of which every call gets a fresh instance.
pub struct Guest<T: 'static> {
    way: Way,
    pub pre: InstancePre<T>,
    kept: Option<(Store<T>, Instance)>,
}

impl<T: 'static> Guest<T> {
    /// Does something with a fresh instance.
    pub fn with<R>(&mut self, data: T, work: impl FnOnce(&mut Store<T>, Instance) -> R) -> R {
        let (mut store, instance) = match self.kept.take() {
            None => {
                let mut store = Store::new(self.pre.module().engine(), data);
                let instance = self.pre.instantiate(&mut store).unwrap_or_else(|e| panic!("{e:?}"));
                (store, instance)
            }
            Some((mut store, mut instance)) => {
                *store.data_mut() = data;
                match self.way {
                    Way::Anew => unreachable!("nothing is kept"),
                    Way::Again => instance = self.pre.instantiate(&mut store).unwrap(),
                    Way::ResetInstance => instance.reset(&mut store).unwrap(),
                    Way::ResetStore => store.reset().unwrap(),
                }
                (store, instance)
            }
        };
        let result = work(&mut store, instance);
        if self.way != Way::Anew {
            self.kept = Some((store, instance));
        }
        result
    }
}

impl Guest<()> {
    /// Calls an export of a fresh instance that returns a number.
    pub fn number(&mut self, name: &str) -> wasmc_loader::Result<i32> {
        self.with((), |store, instance| super::call::<(), i32, ()>(store, instance, name, ()))
    }
}
