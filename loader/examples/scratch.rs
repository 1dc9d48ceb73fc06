use std::time::Instant;
use wasmc_loader::*;
fn check(engine: &Engine, pre: &InstancePre<()>, label: &str) -> Result<()> {
    for round in 0..50 {
        let mut store = Store::new(engine, ());
        let i = pre.instantiate(&mut store)?;
        verify(&mut store, &i, label, round)?;
        i.reset(&mut store)?;
        verify(&mut store, &i, label, round)?;
        store.reset()?;
        verify(&mut store, &i, label, round)?;
    }
    Ok(())
}
fn verify(store: &mut Store<()>, i: &Instance, label: &str, round: u32) -> Result<()> {
    let m = i.get_memory(&mut *store, "memory").unwrap();
    let d = m.data(&*store);
    assert_eq!(d.len(), 131072, "{label} {round}");
    assert_eq!(&d[1024..1029], b"hello");
    assert!(d[..1024].iter().chain(&d[1029..]).all(|b| *b == 0), "{label} {round}");
    let g = i.get_global(&mut *store, "g").unwrap();
    assert_eq!(g.get(&mut *store).unwrap_i32(), 7);
    let t = i.get_table(&mut *store, "t").unwrap();
    assert_eq!(t.size(&*store), 4);
    assert!(matches!(t.get(&mut *store, 0), Some(Ref::Func(Some(_)))));
    let poke = i.get_typed_func::<i32, ()>(&mut *store, "poke")?;
    for k in 0..(round as i32 % 20) {
        poke.call(&mut *store, k * 4096 + 8)?;
    }
    let grow = i.get_typed_func::<(), i32>(&mut *store, "grow")?;
    if round % 3 == 0 {
        assert_eq!(grow.call(&mut *store, ())?, 2);
        poke.call(&mut *store, 4 * 65536)?;
    }
    if round % 2 == 0 {
        let tg = i.get_typed_func::<(), i32>(&mut *store, "tgrow")?;
        assert_eq!(tg.call(&mut *store, ())?, 4);
    }
    if round % 5 == 0 {
        let t = i.get_typed_func::<(), ()>(&mut *store, "trap")?;
        assert!(t.call(&mut *store, ()).is_err());
    }
    if round % 7 == 0 {
        m.data_mut(&mut *store).fill(0xaa);
    }
    Ok(())
}
fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap();
    for s in InstantiationStrategy::ALL {
        let mut c = Config::new();
        c.instantiation_strategy(*s);
        let engine = Engine::new(&c)?;
        let module = unsafe { Module::open(&engine, &path)? };
        println!(
            "{s} {:?} {:?} {:?}",
            engine.instantiation_strategy(),
            module.resources_required(),
            module.memory_initialization()
        );
        let pre = Linker::new(&engine).instantiate_pre(&module)?;
        if std::env::args().nth(2).is_none() {
            check(&engine, &pre, &s.to_string())?;
        }
        for (name, n) in [("nothing", None), ("empty", Some(0)), ("poke1", Some(1)), ("poke16", Some(16))] {
            let mut best = f64::MAX;
            for _ in 0..20 {
                let t = Instant::now();
                for _ in 0..2000 {
                    let mut store = Store::new(&engine, ());
                    let i = pre.instantiate(&mut store)?;
                    if let Some(n) = n {
                        if n == 0 {
                            i.get_typed_func::<(), ()>(&mut store, "empty")?.call(&mut store, ())?;
                        } else {
                            let p = i.get_typed_func::<i32, ()>(&mut store, "poke")?;
                            for k in 0..n {
                                p.call(&mut store, k * 8192 + 8)?;
                            }
                        }
                    }
                }
                best = best.min(t.elapsed().as_nanos() as f64 / 2000.0);
            }
            print!("  {name} {best:.0} ns");
        }
        println!("\n{:?}", engine.pool_metrics());
    }
    Ok(())
}
