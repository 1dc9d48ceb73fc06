use std::time::Instant;
use wasmc_loader::*;
fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap();
    for s in &InstantiationStrategy::ALL[..2] {
        let mut c = Config::new();
        c.instantiation_strategy(*s);
        let engine = Engine::new(&c)?;
        let module = unsafe { Module::open(&engine, &path)? };
        let pre = Linker::new(&engine).instantiate_pre(&module)?;
        for work in 0..4 {
            let run = |n: usize| {
                let t = Instant::now();
                std::thread::scope(|sc| {
                    for _ in 0..n {
                        sc.spawn(|| {
                            for _ in 0..100000 {
                                let mut store = Store::new(&engine, ());
                                let i = pre.instantiate(&mut store).unwrap();
                                if work == 1 {
                                    i.get_typed_func::<(), ()>(&mut store, "empty")
                                        .unwrap()
                                        .call(&mut store, ())
                                        .unwrap();
                                }
                                if work == 2 {
                                    let p = i.get_typed_func::<i32, ()>(&mut store, "poke").unwrap();
                                    for k in 0..16 {
                                        p.call(&mut store, k * 8192 + 8).unwrap();
                                    }
                                }
                                if work == 3 {
                                    let m = i.get_memory(&mut store, "memory").unwrap();
                                    for k in 0..16 {
                                        m.write(&mut store, k * 8192, &[1]).unwrap();
                                    }
                                }
                            }
                        });
                    }
                });
                t.elapsed().as_nanos() as f64 / 100000.0
            };
            let one = (0..3).map(|_| run(1)).fold(f64::MAX, f64::min);
            let two = (0..3).map(|_| run(2)).fold(f64::MAX, f64::min);
            println!("{s} work {work}: one {one:.0} ns, two {two:.0} ns, scaling {:.2}", 2.0 * one / two);
        }
        println!("{:?}", engine.pool_metrics());
    }
    Ok(())
}
