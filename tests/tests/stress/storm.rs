//! Everything at once: more threads than shards and slots, traps of every kind
//! in flight, and modules that are dropped meanwhile.

use crate::child;
use crate::guests::{self, STRATEGIES};
use crate::usage::Usage;
use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;
use wasmc_loader::{
    Caller, Config, Engine, Error, Instance, InstancePre, Linker, PoolConcurrencyLimitError, PoolExhaustion,
    ResetError, Result, Store, Trap, WasmParams, WasmResults,
};
use wasmc_tests::rng::{Rng, rounds};

/// More than the shards of a machine with few cores, and than the slots.
const THREADS: usize = 12;
const SLOTS: usize = 5;

/// A module whose instances keep their owner's number in many places, and fail
/// in every way.
const GUEST: &str = r#"(module
    (type $none (func))
    (type $number (func (param i32) (result i32)))
    (import "host" "panic" (func $panic))
    (import "host" "fail" (func $fail))
    (import "host" "reset" (func $reset))
    (memory (export "memory") 3 20)
    (data (i32.const 70000) "\07")
    (data $passive "passive")
    (table $t (export "table") 4 500 funcref)
    (elem (i32.const 0) $unreachable $deep)
    (global $owner (mut i32) (i32.const 0))
    (global $divisor (mut i32) (i32.const 0))
    (func $unreachable (type $none) unreachable)
    (func $deep (type $number) (i32.add (i32.const 1) (call $deep (local.get 0))))

    (func (export "pristine") (result i32)
        (i32.add (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 130000)))
            (i32.add (i32.add (i32.sub (i32.load8_u (i32.const 70000)) (i32.const 7)) (global.get $owner))
                (i32.add (i32.sub (memory.size) (i32.const 3)) (i32.sub (table.size $t) (i32.const 4))))))
    (func (export "own") (param $owner i32)
        (global.set $owner (local.get $owner))
        (i32.store (i32.const 0) (local.get $owner))
        (i32.store8 (i32.const 70000) (local.get $owner))
        (i32.store (i32.const 130000) (local.get $owner)))
    (func (export "owned") (param $owner i32) (result i32)
        (i32.and
            (i32.and (i32.eq (i32.load (i32.const 0)) (local.get $owner))
                (i32.eq (i32.load (i32.const 130000)) (local.get $owner)))
            (i32.and (i32.eq (global.get $owner) (local.get $owner))
                (i32.eq (i32.load8_u (i32.const 70000)) (i32.and (local.get $owner) (i32.const 255))))))
    (func (export "grow") (result i32)
        (local $page i32)
        (drop (table.grow $t (ref.func $unreachable) (i32.const 50)))
        (local.set $page (memory.grow (i32.const 2)))
        (if (i32.ge_s (local.get $page) (i32.const 0))
            (then (i32.store (i32.mul (local.get $page) (i32.const 65536)) (global.get $owner))))
        (memory.init $passive (i32.const 300) (i32.const 0) (i32.const 7))
        (data.drop $passive)
        (local.get $page))

    (func (export "unreachable") (call_indirect (type $none) (i32.const 0)))
    (func (export "memory_bounds") (drop (i32.load (i32.const -8))))
    (func (export "division") (drop (i32.div_s (i32.const 1) (global.get $divisor))))
    (func (export "overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.sub (global.get $divisor) (i32.const 1)))))
    (func (export "conversion") (drop (i32.trunc_f64_s (f64.div (f64.const 1) (f64.const 0)))))
    (func (export "null") (call_indirect (type $none) (i32.const 2)))
    (func (export "signature") (call_indirect (type $none) (i32.const 1)))
    (func (export "table_bounds") (call_indirect (type $none) (i32.const 5000)))
    (func (export "table_get") (drop (table.get $t (i32.const 5000))))
    (func (export "stack") (drop (call $deep (i32.const 0))))
    (func (export "panic") (call $panic))
    (func (export "fail") (call $fail))
    (func (export "reset") (call $reset))
    (export "f" (func $unreachable)))"#;

/// Functions that trap, and how.
const TRAPS: [(&str, Trap); 10] = [
    ("unreachable", Trap::UnreachableCodeReached),
    ("memory_bounds", Trap::MemoryOutOfBounds),
    ("division", Trap::IntegerDivisionByZero),
    ("overflow", Trap::IntegerOverflow),
    ("conversion", Trap::IntegerOverflow),
    ("null", Trap::IndirectCallToNull),
    ("signature", Trap::BadSignature),
    ("table_bounds", Trap::UndefinedElement),
    ("table_get", Trap::TableOutOfBounds),
    ("stack", Trap::StackOverflow),
];

/// What host functions panic and fail with.
const PURPOSE: &str = "on purpose";

/// What a panic says.
fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// A store's data: the instance in it.
type Data = Option<Instance>;

/// Which of the memories that are in use belongs to whom.
type Owners = Mutex<HashMap<usize, i32>>;

/// What all threads share.
struct Storm {
    engine: Engine,
    artifact: Vec<u8>,
    /// Two modules, of which each is replaced now and then.
    current: [RwLock<InstancePre<Data>>; 2],
    owners: Owners,
    /// Instances that one thread has left for another one.
    left: Mutex<Vec<Tenant>>,
}

fn link(engine: &Engine, artifact: &[u8]) -> Result<InstancePre<Data>> {
    let module = guests::load(engine, artifact)?;
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "panic", || -> () { panic!("{PURPOSE}") })?;
    linker.func_wrap("host", "fail", || -> Result<()> { Err(Error::msg(PURPOSE)) })?;
    linker.func_wrap("host", "reset", |mut caller: Caller<'_, Data>| {
        let instance = caller.data().expect("the tenant has put it there");
        let refused = instance.reset(&mut caller).unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&ResetError::CallActive));
    })?;
    linker.instantiate_pre(&module)
}

/// An instance that one thread has.
struct Tenant {
    store: Store<Data>,
    instance: Instance,
    number: i32,
    base: usize,
}

impl Tenant {
    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, p: P) -> Result<R> {
        self.instance.get_typed_func::<P, R>(&mut self.store, name)?.call(&mut self.store, p)
    }

    /// Moves in: everything is as at first, and nobody else lives here.
    fn settle(&mut self) {
        assert_eq!(self.call::<(), i32>("pristine", ()).unwrap(), 0);
        self.call::<i32, ()>("own", self.number).unwrap();
    }

    fn check(&mut self) {
        assert_eq!(self.call::<i32, i32>("owned", self.number).unwrap(), 1, "somebody else was here");
    }

    /// Fails in some way.
    fn fail(&mut self, rng: &mut Rng) {
        match rng.below(TRAPS.len() + 3) {
            0 => {
                let panic = catch_unwind(AssertUnwindSafe(|| self.call::<(), ()>("panic", ()))).unwrap_err();
                assert_eq!(message(&*panic), Some(PURPOSE));
            }
            1 => {
                let error = self.call::<(), ()>("fail", ()).unwrap_err();
                assert!(format!("{error:#}").contains(PURPOSE), "{error:?}");
            }
            2 => self.call::<(), ()>("reset", ()).unwrap(),
            other => {
                let (name, trap) = TRAPS[other - 3];
                let error = self.call::<(), ()>(name, ()).unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&trap), "{name}: {error:?}");
            }
        }
    }

    fn reset(&mut self, rng: &mut Rng) {
        if rng.below(2) == 0 {
            self.store.reset().unwrap();
        } else {
            self.instance.reset(&mut self.store).unwrap();
        }
        self.settle();
    }
}

impl Storm {
    fn new(config: &Config, artifact: &[u8]) -> Storm {
        let engine = Engine::new(config).unwrap();
        let current = [0; 2].map(|_| RwLock::new(link(&engine, artifact).unwrap()));
        Storm { engine, artifact: artifact.into(), current, owners: Mutex::default(), left: Mutex::default() }
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, HashMap<usize, i32>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance, of which nobody else has the slot; `None` if the pool is
    /// full.
    fn enter(&self, rng: &mut Rng, number: i32) -> Option<Tenant> {
        let pre = self.current[rng.below(2)].read().unwrap().clone();
        let mut store = Store::new(&self.engine, None);
        let instance = match pre.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(error) => {
                assert!(error.is::<PoolConcurrencyLimitError>(), "{error:?}");
                return None;
            }
        };
        *store.data_mut() = Some(instance);
        let base = instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store) as usize;
        if let Some(owner) = self.owners().insert(base, number) {
            panic!("{owner} and {number} have the same slot");
        }
        let mut tenant = Tenant { store, instance, number, base };
        tenant.settle();
        Some(tenant)
    }

    fn leave(&self, mut tenant: Tenant) {
        tenant.check();
        assert_eq!(self.owners().remove(&tenant.base), Some(tenant.number));
        drop(tenant);
    }

    /// What one thread does.
    fn live(&self, thread: usize, rounds: usize) {
        let mut rng = Rng::new(thread as u64);
        let mut tenants: Vec<Tenant> = Vec::new();
        for round in 0..rounds {
            let some = if tenants.is_empty() { 0 } else { rng.below(tenants.len()) };
            let crowded = tenants.len() == 2;
            match (rng.below(12), tenants.get_mut(some)) {
                (0..3, Some(tenant)) => tenant.fail(&mut rng),
                (3, Some(tenant)) => {
                    tenant.call::<(), i32>("grow", ()).map(drop).unwrap_or_else(|error| {
                        // The second time, what it copies from is dropped.
                        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
                    });
                }
                (4..6, Some(tenant)) => tenant.reset(&mut rng),
                (6, Some(_)) => {
                    let replaced = self.left.lock().unwrap().pop();
                    self.left.lock().unwrap().push(tenants.swap_remove(some));
                    tenants.extend(replaced);
                }
                (7, _) => {
                    let module = link(&self.engine, &self.artifact).unwrap();
                    *self.current[rng.below(2)].write().unwrap() = module;
                }
                (8.., Some(_)) if crowded => self.leave(tenants.swap_remove(some)),
                _ => match self.enter(&mut rng, (round * THREADS + thread) as i32 + 1) {
                    Some(tenant) => tenants.push(tenant),
                    None => {
                        tenants.drain(..).chain(self.left.lock().unwrap().pop()).for_each(|tenant| self.leave(tenant));
                    }
                },
            }
            tenants.iter_mut().for_each(Tenant::check);
        }
        tenants.into_iter().for_each(|tenant| self.leave(tenant));
    }

    /// Lets all threads live, and sees that nothing is left of it.
    fn blow(self, rounds: usize) {
        thread::scope(|scope| {
            let storm = &self;
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || storm.live(thread, rounds))).collect();
            // The scope waits for the closures only, not for the threads' stacks.
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        left.into_iter().for_each(|tenant| self.leave(tenant));
        assert!(self.owners().is_empty());
        if let Some(metrics) = self.engine.pool_metrics() {
            assert_eq!(metrics.live, 0, "{metrics:?}");
            let mut rng = Rng::new(0);
            let all: Vec<Tenant> = (0..SLOTS as i32).map(|number| self.enter(&mut rng, number).unwrap()).collect();
            assert_eq!(self.engine.pool_metrics().unwrap().overflow_hits, metrics.overflow_hits);
            all.into_iter().for_each(|tenant| self.leave(tenant));
        }
        drop(self.current);
        let metrics = self.engine.pool_metrics().unwrap_or_default();
        assert_eq!((metrics.live, metrics.unused_warm, metrics.resident_bytes), (0, 0, 0), "{metrics:?}");
    }
}

/// Pools of every kind, and none.
fn configs() -> Vec<Config> {
    let block = PoolExhaustion::Block { timeout: Duration::from_millis(1) };
    let mut configs = vec![Config::new(), Config::new().memory_init_cow(false).spare_slots(2).clone()];
    for strategy in STRATEGIES {
        for (policy, warm, batch) in [(PoolExhaustion::Error, 100, 1), (block, 2, 2), (PoolExhaustion::OnDemand, 3, 1)]
        {
            let mut config = guests::pool_with(SLOTS as u32, strategy);
            configs.push(config.pool_exhaustion(policy).max_unused_warm_slots(warm).decommit_batch_size(batch).clone());
        }
    }
    configs[4].memory_init_cow(false);
    configs[6].linear_memory_keep_resident(0).table_keep_resident(0);
    configs
}

#[test]
fn no_slot_is_ever_shared_or_lost_whatever_happens_in_it() {
    child::alone("storm::no_slot_is_ever_shared_or_lost_whatever_happens_in_it", || {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if message(panic.payload()) != Some(PURPOSE) {
                report(panic);
            }
        }));
        let artifact = guests::artifact(GUEST);
        let all = |rounds: usize| configs().iter().for_each(|config| Storm::new(config, &artifact).blow(rounds));
        all(20);
        let before = Usage::now();
        all(rounds(200));
        // Stacks of threads, which the system's library keeps, and heap.
        before.assert_flat(2 * THREADS, 8 << 10);
    });
}
