//! What is done again and again while the system has too little of something.

use crate::guests::{self, Tenant};
use std::path::PathBuf;
use wasmc_loader::{
    Config, Engine, Error, InstanceAllocationStrategy, InstanceLimits, InstancePre, Memory, MemoryType,
    PoolingAllocationStrategy, Result, Table, TableType, Val, ValType,
};

/// Uses everything that takes system calls: data in two places, two memories
/// and a table that grow.
const GUEST: &str = r#"(module
    (memory (export "memory") 4 64)
    (memory $second 1 8)
    (data (i32.const 16) "first") (data (i32.const 200000) "second")
    (table (export "table") 10 5000 funcref)
    (global $g (mut i32) (i32.const 5))
    (func (export "first") (result i32)
        (i32.add (i32.load8_u (i32.const 16)) (i32.add (global.get $g) (i32.load8_u (i32.const 200000)))))
    (func (export "get") (result i32) (i32.load (i32.const 100000)))
    (func (export "put") (param i32)
        (local $page i32)
        (i32.store (i32.const 100000) (local.get 0))
        (i32.store8 (i32.const 200000) (i32.const 1))
        (i32.store $second (i32.const 1000) (local.get 0))
        (drop (table.grow (ref.null func) (i32.const 2000)))
        (if (i32.eq (memory.grow (i32.const 3)) (i32.const 4))
            (then (i32.store (i32.const 400000) (local.get 0))))
        (drop (memory.grow $second (i32.const 1)))))"#;
const FIRST: i32 = b'f' as i32 + b's' as i32 + 5;

const SLOTS: usize = 3;

/// Where instances can live.
pub fn configs() -> Vec<Config> {
    let pooled = |strategy| {
        let mut config = Config::new();
        let limits = InstanceLimits { count: SLOTS as u32, memories: 2, memory_pages: 100, ..Default::default() };
        config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy, instance_limits: limits });
        config
    };
    let mut configs: Vec<Config> = guests::STRATEGIES.map(pooled).into();
    configs[0].max_unused_warm_slots(1).linear_memory_keep_resident(8192);
    configs[1].max_unused_warm_slots(1).decommit_batch_size(2);
    configs.push(pooled(PoolingAllocationStrategy::ReuseAffinity).memory_init_cow(false).clone());
    configs.extend([Config::new(), Config::new().memory_init_cow(false).spare_slots(0).clone()]);
    configs
}

/// The guest's artifact, in a file too.
pub struct Guest {
    pub artifact: Vec<u8>,
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Guest {
    /// Compiles it.
    pub fn new() -> Guest {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.cwasm");
        let artifact = guests::artifact(GUEST);
        std::fs::write(&path, &artifact).unwrap();
        Guest { artifact, path, _folder: folder }
    }

    /// Loads it from the file and from bytes.
    pub fn load(&self, engine: &Engine) -> Result<[InstancePre<()>; 2]> {
        let opened = guests::link(&guests::open(engine, &self.path)?)?;
        let loaded = guests::link(&guests::load(engine, &self.artifact)?)?;
        Ok([opened, loaded])
    }
}

/// Makes instances of both, uses them, resets them, and makes more.
pub fn instances(opened: &InstancePre<()>, loaded: &InstancePre<()>) -> Result<()> {
    let mut one = Tenant::new(opened)?;
    let mut two = Tenant::new(loaded)?;
    for number in 1..4 {
        for tenant in [&mut one, &mut two] {
            tenant.settle(FIRST, number);
            tenant.check(number);
            tenant.store.reset()?;
        }
    }
    let store = &mut two.store;
    let memory = Memory::new(&mut *store, MemoryType::new(1, Some(5)))?;
    let _ = memory.grow(&mut *store, 2);
    Table::new(&mut *store, TableType::new(ValType::FUNCREF, 10, None), Val::FuncRef(None).ref_().unwrap())?;
    store.reset()?;
    drop(one);
    for pre in [loaded, opened, loaded] {
        let mut tenant = Tenant::new(pre)?;
        tenant.settle(FIRST, 9);
    }
    two.settle(FIRST, 5);
    Ok(())
}

/// All slots can be taken, and nobody has left anything in them.
pub fn intact(engine: &Engine, pres: &[InstancePre<()>; 2]) {
    for pre in pres {
        let mut tenants: Vec<Tenant> = (0..SLOTS).map(|_| Tenant::new(pre).unwrap()).collect();
        tenants.iter_mut().for_each(|tenant| tenant.settle(FIRST, 3));
        if let Some(metrics) = engine.pool_metrics() {
            assert_eq!(metrics.live, SLOTS as u64, "{metrics:?}");
            assert!(Tenant::new(pre).is_err(), "one more than there are slots");
        }
        drop(tenants);
        assert_eq!(engine.pool_metrics().map_or(0, |metrics| metrics.live), 0);
    }
}

/// The error says what the system said.
pub fn check_message(error: &Error) {
    let text = format!("{error:#}");
    assert!(["os error", "memory", "address space"].iter().any(|word| text.contains(word)), "{text}");
}

/// All of it, from an engine to the end of its last instance. What has been
/// made when something fails is dropped at once.
pub fn all(config: &Config, guest: &Guest) -> Result<()> {
    let engine = Engine::new(config)?;
    let [opened, loaded] = guest.load(&engine)?;
    instances(&opened, &loaded)
}
