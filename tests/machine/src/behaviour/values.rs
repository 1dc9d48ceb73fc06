//! Exceptions, objects, and where instances begin.

use super::{Run, outcome};
use wasmc_loader::{
    Caller, Config, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy, Linker,
    PoolingAllocationStrategy, Result, Store,
};

/// Exceptions within functions, between them, through the host, and to it.
pub fn exceptions(run: &mut Run<'_>) -> Result<()> {
    let module = run.load(&Config::new(), "exceptions")?;
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("host", "call", |mut caller: Caller<'_, ()>, n: i32| {
        let function = caller.get_export("throw").and_then(wasmc_loader::Extern::into_func);
        function.expect("the guest exports it").typed::<i32, i32>(&caller)?.call(&mut caller, n)
    })?;
    let mut store = Store::new(module.engine(), ());
    let instance = linker.instantiate(&mut store, &module)?;
    for name in ["inside", "between", "through", "throw"] {
        let function = instance.get_typed_func::<i32, i32>(&mut store, name)?;
        let results: Vec<_> = [0, 1, 2].map(|n| outcome(function.call(&mut store, n))).into();
        run.see(format_args!("exceptions {name}: {}", results.join("; ")));
    }
    Ok(())
}

/// Objects that live in frames while the collector runs.
pub fn objects(run: &mut Run<'_>) -> Result<()> {
    for stress in [false, true] {
        let module = run.load(Config::new().gc_stress(stress), "objects")?;
        let mut linker = Linker::new(module.engine());
        linker.func_wrap("host", "collect", |mut caller: Caller<'_, ()>| caller.gc())?;
        let mut store = Store::new(module.engine(), ());
        let instance = linker.instantiate(&mut store, &module)?;
        let function = instance.get_typed_func::<i32, i32>(&mut store, "lists")?;
        let results: Vec<_> = [1, 10, 100].map(|n| outcome(function.call(&mut store, n))).into();
        run.see(format_args!("objects, stress {stress}: {}", results.join("; ")));
    }
    Ok(())
}

/// Instances begin where another machine left one, with each strategy and
/// after resets.
pub fn initialized(run: &mut Run<'_>) -> Result<()> {
    let limits =
        InstanceLimits { count: 2, size: 1 << 20, tables: 2, table_elements: 100, memories: 2, memory_pages: 64 };
    let pool = InstanceAllocationStrategy::Pooling {
        strategy: PoolingAllocationStrategy::ReuseAffinity,
        instance_limits: limits,
    };
    for strategy in InstantiationStrategy::ALL {
        let mut config = Config::new();
        config.allocation_strategy(pool.clone()).instantiation_strategy(*strategy);
        let (mut store, instance) = run.alone(&config, "initialized")?;
        let function = instance.get_typed_func::<i32, i64>(&mut store, "next")?;
        let mut results = Vec::new();
        for _ in 0..2 {
            results.extend([1, 70_000].map(|at| outcome(function.call(&mut store, at))));
            instance.reset(&mut store)?;
        }
        run.see(format_args!("initialized, {strategy}: {}", results.join(" ")));
    }
    Ok(())
}
