use super::*;
use std::time::Instant;

#[test]
fn measure() {
    for (name, text) in [
        ("plain", "(module (func (export \"f\")))"),
        ("heap", "(module (type $s (struct (field i32))) (func (export \"f\") (drop (struct.new $s (i32.const 1)))))"),
    ] {
        for pool in [false, true] {
            let mut config = Config::new();
            if pool {
                config.allocation_strategy(wasmc_loader::InstanceAllocationStrategy::pooling());
            }
            let engine = Engine::new(&config).unwrap();
            let module = module(&engine, text, OptLevel::Speed);
            let pre = linker(&engine).instantiate_pre(&module).unwrap();
            for _ in 0..3 {
                let start = Instant::now();
                let n = 20000;
                for _ in 0..n {
                    let mut store = Store::new(&engine, ());
                    let instance = pre.instantiate(&mut store).unwrap();
                    instance.get_typed_func::<(), ()>(&mut store, "f").unwrap().call(&mut store, ()).unwrap();
                }
                println!("{name} pool {pool}: {:?}", start.elapsed() / n);
            }
        }
    }
}
