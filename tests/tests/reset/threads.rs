//! Stores move between threads, and processes fork.

use crate::guest::{self, GUESTS, Host, PAGE, artifact, call, elsewhere};
use crate::kinds::{self, Place};
use crate::tenants::check;
use std::sync::mpsc;
use wasmc_loader::{Caller, Extern, Instance, Linker, ResetError, Store, Trap};
use wasmc_tests::rng::{Rng, rounds};

type Tenant = (Store<Host>, Instance);
type Job = Box<dyn FnOnce() + Send>;

/// A thread that does what it is told, so that what it remembers of earlier
/// stores matters to later ones.
struct Worker(Option<mpsc::Sender<Job>>, Option<std::thread::JoinHandle<()>>);

impl Worker {
    fn new() -> Worker {
        let (send, receive) = mpsc::channel::<Job>();
        Worker(Some(send), Some(std::thread::spawn(move || receive.iter().for_each(|job| job()))))
    }

    fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let (send, receive) = mpsc::channel();
        let job = Box::new(move || send.send(work()).expect("the result is waited for"));
        self.0.as_ref().expect("the worker has not ended").send(job).expect("the worker lives");
        receive.recv().expect("the work does not panic")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.take());
        let ended = self.1.take().map(|thread| thread.join());
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// What is done with a store, each step on some thread.
#[derive(Debug, Clone, Copy)]
enum Step {
    Call(&'static str),
    Write,
    Slice,
}

fn step(tenant: Tenant, step: Step, at: usize) -> Tenant {
    let (mut store, instance) = tenant;
    match step {
        Step::Call(name) => call(&mut store, instance, name, at, 8).unwrap(),
        Step::Write => {
            let memory = instance.get_memory(&mut store, "m").unwrap();
            memory.write(&mut store, at, &[guest::PATTERN; 8]).unwrap();
        }
        Step::Slice => {
            instance.get_memory(&mut store, "m").unwrap().data_mut(&mut store)[at..at + 8].fill(guest::PATTERN);
        }
    }
    (store, instance)
}

#[test]
fn it_does_not_matter_which_thread_makes_uses_and_drops_a_store() {
    const GUEST: usize = 2;
    let workers = [Worker::new(), Worker::new(), Worker::new()];
    let mut rng = Rng::new(3);
    for kind in kinds::all().into_iter().filter(|kind| !kind.stays()) {
        let pre = guest::pre(&kind.engine(), artifact(GUEST));
        for round in 0..rounds(10) {
            // All threads are used to stores in which nothing new is written.
            for worker in &workers {
                let pre = pre.clone();
                worker.run(move || {
                    for _ in 0..rng_rounds(round) {
                        let mut store = Store::new(pre.module().engine(), Host::default());
                        let instance = pre.instantiate(&mut store).unwrap();
                        step((store, instance), Step::Call("touch"), 8);
                    }
                });
            }
            let on = |rng: &mut Rng| &workers[rng.below(workers.len())];
            let mut story = String::new();
            let own = pre.clone();
            let store = on(&mut rng).run(move || Store::new(own.module().engine(), Host::default()));
            let own = pre.clone();
            let mut tenant = on(&mut rng).run(move || {
                let mut store = store;
                let instance = own.instantiate(&mut store).unwrap();
                (store, instance)
            });
            for _ in 0..1 + rng.below(3) {
                let what = rng.pick(&[Step::Call("touch"), Step::Call("fill"), Step::Write, Step::Slice]);
                let at = rng.below((GUESTS[GUEST].pages << 16) - 8);
                let worker = rng.below(workers.len());
                story += &format!("{what:?} at {at:#x} by {worker}, ");
                tenant = workers[worker].run(move || step(tenant, what, at));
            }
            on(&mut rng).run(move || drop(tenant));
            let own = pre.clone();
            let name = kind.name.clone();
            on(&mut rng).run(move || {
                let mut store = Store::new(own.module().engine(), Host::default());
                let instance = own.instantiate(&mut store).unwrap();
                check(&mut store, instance, GUEST, || format!("{name}: {story}"));
            });
        }
    }
}

/// How many quiet stores there are before a round.
fn rng_rounds(round: usize) -> usize {
    [3, 0, 12][round % 3]
}

#[test]
fn a_store_that_is_reset_on_another_thread_is_as_at_first() {
    const GUEST: usize = 1;
    for kind in kinds::all().into_iter().filter(kinds::Kind::stays) {
        let mut place = Place::new(kind.way, guest::pre(&kind.engine(), artifact(GUEST)));
        for round in 0..rounds(12) {
            let mut turn = || {
                place.with(|store, instance| {
                    check(store, instance, GUEST, || format!("{}, round {round}", kind.name));
                });
                place.with(|store, instance| call(store, instance, "touch", round * PAGE, 8).unwrap());
            };
            if round % 3 == 1 { elsewhere(turn) } else { turn() }
        }
    }
}

#[test]
fn a_call_that_waits_for_its_host_on_another_thread_is_active() {
    fn reset(mut caller: Caller<'_, Option<Instance>>) -> wasmc_loader::Result<()> {
        let instance = caller.data().expect("the instance is known");
        let refused = |result: wasmc_loader::Result<()>| {
            let error = result.expect_err("an instance was reset while it ran");
            assert_eq!(error.downcast_ref(), Some(&ResetError::CallActive));
        };
        refused(instance.reset(&mut caller));
        elsewhere(|| refused(instance.reset(&mut caller)));
        // Also after the other thread has run code of the store.
        let get = caller.get_export("get").and_then(Extern::into_func).expect("the guest exports `get`");
        elsewhere(|| {
            let value = get.typed::<(), i32>(&caller).and_then(|get| get.call(&mut caller, ()));
            assert_eq!(value.unwrap(), 5);
            refused(instance.reset(&mut caller));
        });
        refused(instance.reset(&mut caller));
        Ok(())
    }
    let engine = wasmc_loader::Engine::default();
    let artifact = guest::compile(
        r#"(module (import "" "reset" (func $reset)) (memory 1)
            (func (export "get") (result i32) (i32.load (i32.const 0)))
            (func (export "run") (result i32)
                (i32.store (i32.const 0) (i32.const 5)) (call $reset) (call $reset) (i32.load (i32.const 0))))"#,
    );
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "reset", reset).unwrap();
    let mut store = Store::new(&engine, None);
    let instance = linker.instantiate(&mut store, &guest::load(&engine, &artifact)).unwrap();
    *store.data_mut() = Some(instance);
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    for _ in 0..3 {
        assert_eq!(run.call(&mut store, ()).unwrap(), 5);
        instance.reset(&mut store).unwrap();
        elsewhere(|| assert_eq!(run.call(&mut store, ()).unwrap(), 5));
        store.reset().unwrap();
    }
}

#[test]
fn a_call_goes_on_as_before_when_its_host_has_called_on_another_thread() {
    fn away(mut caller: Caller<'_, ()>) -> wasmc_loader::Result<()> {
        let deep = caller.get_export("deep").and_then(Extern::into_func).expect("the guest exports `deep`");
        let deep = deep.typed::<(), ()>(&caller)?;
        elsewhere(|| {
            for _ in 0..2 {
                let error = deep.call(&mut caller, ()).expect_err("recursion without end returns");
                assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
            }
        });
        Ok(())
    }
    let engine = wasmc_loader::Engine::default();
    let artifact = guest::compile(
        r#"(module (import "" "away" (func $away))
            (func $deep (export "deep") (call $deep) (call $deep))
            (func $down (param i32) (result i32)
                (if (result i32) (local.get 0)
                    (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
                    (else (i32.const 0))))
            (func (export "trap") (call $away) (unreachable))
            (func (export "overflow") (call $away) (call $deep))
            (func (export "down") (result i32) (call $away) (call $down (i32.const 1000))))"#,
    );
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "away", away).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &guest::load(&engine, &artifact)).unwrap();
    let mut turn = || {
        for (name, trap) in [("trap", Trap::UnreachableCodeReached), ("overflow", Trap::StackOverflow)] {
            let func = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
            assert_eq!(func.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&trap));
        }
        let down = instance.get_typed_func::<(), i32>(&mut store, "down").unwrap();
        assert_eq!(down.call(&mut store, ()).unwrap(), 1000);
    };
    turn();
    elsewhere(&mut turn);
    turn();
}
