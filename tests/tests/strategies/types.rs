//! The public types' names, defaults and values, which others have in their
//! configurations.

use super::settings::config;
use std::collections::HashSet;
use std::time::Duration;
use wasmc_loader::{
    Config, Engine, HeapAllocStrategy, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy,
    PoolExhaustion, PoolMetrics, PoolingAllocationStrategy,
};

#[test]
fn defaults_are_those_of_the_contract() {
    assert_eq!(InstanceAllocationStrategy::default(), InstanceAllocationStrategy::OnDemand);
    assert_eq!(PoolingAllocationStrategy::default(), PoolingAllocationStrategy::ReuseAffinity);
    let limits = InstanceLimits {
        count: 1000,
        size: 1_048_576,
        tables: 1,
        table_elements: 20_000,
        memories: 1,
        memory_pages: 65_536,
    };
    assert_eq!(InstanceLimits::default(), limits);
    let pooling = InstanceAllocationStrategy::Pooling {
        strategy: PoolingAllocationStrategy::ReuseAffinity,
        instance_limits: limits,
    };
    assert_eq!(InstanceAllocationStrategy::pooling(), pooling);
    assert_eq!(InstanceAllocationStrategy::from(limits), pooling);
    assert_eq!(InstantiationStrategy::default(), InstantiationStrategy::PoolingCopyOnWrite);
    assert_eq!(PoolExhaustion::default(), PoolExhaustion::Error);
    assert_eq!(HeapAllocStrategy::default(), HeapAllocStrategy::Static { extra_pages: 2048 });
    assert_eq!(PoolMetrics::default().slots, 0);
}

#[test]
fn an_engine_that_is_told_nothing_allocates_on_demand() {
    let engine = Engine::default();
    assert_eq!(engine.instantiation_strategy(), InstantiationStrategy::RecreateInstanceCopyOnWrite);
    assert_eq!(engine.pool_metrics(), None);
    // With the defaults, all thousand slots of 4 GiB find their place.
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::pooling());
    let engine = Engine::new(&config).unwrap();
    assert_eq!(engine.instantiation_strategy(), InstantiationStrategy::PoolingCopyOnWrite);
    let metrics = engine.pool_metrics().unwrap();
    assert_eq!(metrics.slots, 1000);
    assert_eq!(metrics, {
        let mut zero = PoolMetrics::default();
        zero.slots = 1000;
        zero
    });
}

#[test]
#[allow(deprecated, reason = "the deprecated strategy still works")]
fn strategies_have_the_names_of_the_contract() {
    let names = [
        (InstantiationStrategy::PoolingCopyOnWrite, "pooling-copy-on-write", true, true),
        (InstantiationStrategy::RecreateInstanceCopyOnWrite, "recreate-instance-copy-on-write", false, true),
        (InstantiationStrategy::Pooling, "pooling", true, false),
        (InstantiationStrategy::RecreateInstance, "recreate-instance", false, false),
        (InstantiationStrategy::LegacyInstanceReuse, "legacy-instance-reuse", false, true),
    ];
    assert_eq!(InstantiationStrategy::ALL, names.map(|(strategy, ..)| strategy));
    for (strategy, name, pooling, view) in names {
        assert_eq!(strategy.to_string(), name);
        assert_eq!(name.parse(), Ok(strategy));
        assert_eq!(format!("{strategy:<35}|"), format!("{name:<35}|"));
        assert_eq!((strategy.is_pooling(), strategy.is_copy_on_write()), (pooling, view), "{name}");
        for wrong in [name.to_uppercase(), name.replace('-', "_") + "_", format!(" {name}"), String::new()] {
            let error = wrong.parse::<InstantiationStrategy>().unwrap_err().to_string();
            assert!(names.iter().all(|(_, name, ..)| error.contains(name)), "{error}");
        }
    }
    assert_eq!(names.iter().map(|(strategy, ..)| *strategy).collect::<HashSet<_>>().len(), 5);
    let twins = InstantiationStrategy::ALL.iter().map(|strategy| strategy.without_copy_on_write().to_string());
    let expected = ["pooling", "recreate-instance", "pooling", "recreate-instance", "legacy-instance-reuse"];
    assert!(twins.eq(expected));
}

#[test]
fn an_engine_reports_the_strategy_that_is_in_force() {
    for strategy in InstantiationStrategy::ALL {
        let engine = Engine::new(&config(*strategy)).unwrap();
        assert_eq!(engine.instantiation_strategy(), *strategy);
        assert_eq!(engine.pool_metrics().is_some(), strategy.is_pooling());
        // Without copy-on-write its twin is.
        let mut config = config(*strategy);
        config.memory_init_cow(false);
        let engine = Engine::new(&config).unwrap();
        assert_eq!(engine.instantiation_strategy(), strategy.without_copy_on_write());
    }
}

#[test]
fn a_pool_keeps_its_limits_when_a_strategy_is_chosen() {
    let limits = InstanceLimits { count: 3, ..InstanceLimits::default() };
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling {
        strategy: PoolingAllocationStrategy::Random,
        instance_limits: limits,
    });
    config.instantiation_strategy(InstantiationStrategy::Pooling);
    assert_eq!(Engine::new(&config).unwrap().pool_metrics().unwrap().slots, 3);
    config.instantiation_strategy(InstantiationStrategy::RecreateInstance);
    assert_eq!(Engine::new(&config).unwrap().pool_metrics(), None);
    config.instantiation_strategy(InstantiationStrategy::PoolingCopyOnWrite);
    assert_eq!(Engine::new(&config).unwrap().pool_metrics().unwrap().slots, 1000);
}

#[test]
fn values_are_plain_data() {
    fn plain<T: Copy + Send + Sync + std::fmt::Debug + Eq + 'static>() {}
    fn hashed<T: std::hash::Hash>() {}
    plain::<InstantiationStrategy>();
    plain::<PoolingAllocationStrategy>();
    plain::<InstanceLimits>();
    plain::<PoolExhaustion>();
    plain::<HeapAllocStrategy>();
    plain::<PoolMetrics>();
    hashed::<InstantiationStrategy>();
    hashed::<PoolingAllocationStrategy>();
    let block = PoolExhaustion::Block { timeout: Duration::from_millis(5) };
    assert_ne!(block, PoolExhaustion::Block { timeout: Duration::from_millis(6) });
    assert!([PoolExhaustion::Error, PoolExhaustion::OnDemand].iter().all(|other| *other != block));
}
