//! Artifact files that are truncated or replaced while they are mapped: an
//! error or a trap at worst, and never for another module.

use std::fs::File;
use std::path::PathBuf;
use wasmc_loader::{
    Caller, Config, DamagedError, Engine, Error, Instance, InstanceAllocationStrategy, InstanceLimits,
    InstantiationStrategy, Linker, Module, Result, Store, Trap, TypedFunc,
};

/// The smallest page of any machine that tests run on: where files are cut.
const PAGE: u64 = 4096;
/// What `sum` returns: bytes of the two ends of the memory, and a constant
/// that comes through a table of functions.
const SUM: i32 = 3 + 5 + 1000;

/// Much code, so that it takes several pages; data at both ends of a memory;
/// and a table of functions that nobody can write to.
fn text() -> String {
    let mut filler = String::new();
    for i in 0..300 {
        filler += &format!(
            "(func (export \"f{i}\") (param i32) (result i32)
               local.get 0 i32.const {i} i32.add i32.load8_u offset={i} local.get 0 i32.mul i32.const {i} i32.xor)\n"
        );
    }
    format!(
        r#"(module
            (import "host" "cut" (func $cut))
            (memory (export "memory") 4)
            (data (i32.const 0) "\03") (data (i32.const 262143) "\05")
            (table funcref (elem $thousand $fail))
            (type $number (func (result i32)))
            (func $thousand (type $number) i32.const 1000)
            (func $fail (type $number) unreachable)
            {filler}
            (func $sum (export "sum") (result i32)
                (i32.load8_u (i32.const 0)) (i32.load8_u (i32.const 262143)) i32.add
                (call_indirect (type $number) (i32.const 0)) i32.add)
            (func (export "cut_and_sum") (result i32) call $cut call $sum)
            (func (export "cut_and_fail") (result i32) call $cut (call_indirect (type $number) (i32.const 1)))
            (tag $number (param i32))
            (func $throw (param i32) (throw $number (local.get 0)))
            (func (export "cut_and_throw") (result i32)
                (block $caught (result i32)
                    (try_table (catch $number $caught) call $cut (call $throw (call $sum)))
                    unreachable))
            (func (export "cut") call $cut))"#
    )
}

/// An artifact in a file of its own.
struct Artifact {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Artifact {
    fn new() -> Artifact {
        let wasm = wat::parse_str(text()).unwrap();
        let bytes = wasmc::compile(&wasm, &wasmc::Options::new()).unwrap();
        Artifact { folder: tempfile::tempdir().unwrap(), bytes }
    }

    /// Writes it anew, and maps it.
    fn open(&self, engine: &Engine) -> Module {
        let path = self.path();
        // A new file, as nobody must write to one that is mapped.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, &self.bytes).unwrap();
        // SAFETY: the bytes come straight from the compiler. That the file is
        // truncated is what these tests are about.
        unsafe { Module::open(engine, path) }.unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("module.cwasm")
    }

    fn cut(&self, length: u64) {
        File::options().write(true).open(self.path()).unwrap().set_len(length).unwrap();
    }

    /// All lengths to which it can be cut at a page's boundary.
    fn lengths(&self) -> impl Iterator<Item = u64> + use<> {
        (0..self.bytes.len() as u64).step_by(PAGE as usize)
    }
}

/// A module of another file, which must go on working.
struct Bystander(Store<()>, TypedFunc<i32, i32>);

impl Bystander {
    fn new(engine: &Engine, folder: &tempfile::TempDir) -> Bystander {
        let text = r#"(module (memory 1) (data (i32.const 70) "\07")
            (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;
        let path = folder.path().join("bystander.cwasm");
        std::fs::write(&path, wasmc::compile(&wat::parse_str(text).unwrap(), &wasmc::Options::new()).unwrap()).unwrap();
        // SAFETY: the bytes come straight from the compiler, and nobody
        // changes the file.
        let module = unsafe { Module::open(engine, path) }.unwrap();
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let get = instance.get_typed_func(&mut store, "get").unwrap();
        Bystander(store, get)
    }

    fn check(&mut self) {
        assert_eq!(self.1.call(&mut self.0, 70).unwrap(), 7);
        let error = self.1.call(&mut self.0, 65536).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    }
}

/// A store whose data is what the import `cut` does.
type Cutter = Box<dyn FnMut() -> Result<()> + Send>;

fn instantiate(engine: &Engine, module: &Module, cut: Cutter) -> Result<(Store<Cutter>, Instance)> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "cut", |mut caller: Caller<'_, Cutter>| (caller.data_mut())())?;
    let mut store = Store::new(engine, cut);
    let instance = linker.instantiate(&mut store, module)?;
    Ok((store, instance))
}

fn number(store: &mut Store<Cutter>, instance: Instance, name: &str) -> Result<i32> {
    instance.get_typed_func::<(), i32>(&mut *store, name)?.call(store, ())
}

fn nothing() -> Cutter {
    Box::new(|| Ok(()))
}

/// Whether an error says that the artifact is damaged.
fn is_loss(error: &Error) -> bool {
    error.is::<DamagedError>() || error.downcast_ref() == Some(&Trap::ArtifactLost)
}

/// Counts results that are right, and asserts that all others are losses.
#[derive(Default)]
struct Tally {
    right: usize,
    lost: usize,
}

impl Tally {
    fn count(&mut self, result: Result<i32>, length: u64) {
        match result {
            Ok(value) => {
                assert_eq!(value, SUM, "cut to {length} bytes");
                self.right += 1;
            }
            Err(error) => {
                assert!(is_loss(&error), "cut to {length} bytes: {error:?}");
                self.lost += 1;
            }
        }
    }

    /// Some lengths must have mattered, and the whole file must have been used.
    fn check(&self, pages: usize) {
        assert_eq!(self.right + self.lost, pages);
        assert!(self.lost > 3, "{} of {pages} lengths made a difference", self.lost);
    }
}

/// An engine for every strategy that makes new instances.
fn engines() -> impl Iterator<Item = Engine> {
    use InstantiationStrategy::{Pooling, PoolingCopyOnWrite, RecreateInstance, RecreateInstanceCopyOnWrite};
    [RecreateInstanceCopyOnWrite, RecreateInstance, PoolingCopyOnWrite, Pooling].into_iter().map(|strategy| {
        let instance_limits = InstanceLimits { count: 4, ..InstanceLimits::default() };
        let pooling = InstanceAllocationStrategy::Pooling { strategy: Default::default(), instance_limits };
        let mut config = Config::new();
        config.allocation_strategy(pooling).instantiation_strategy(strategy);
        Engine::new(&config).unwrap()
    })
}

/// Runs `scenario` for every length that the file can be cut to, under every
/// strategy.
fn for_every_length(scenario: impl Fn(&Engine, &Artifact, u64) -> Result<i32>) {
    let artifact = Artifact::new();
    for engine in engines() {
        let mut bystander = Bystander::new(&engine, &artifact.folder);
        let mut tally = Tally::default();
        for length in artifact.lengths() {
            // Live before and after, in registers if there are enough.
            let kept: [u64; 8] = std::array::from_fn(|i| std::hint::black_box(length + i as u64));
            tally.count(scenario(&engine, &artifact, length), length);
            for (i, kept) in kept.into_iter().enumerate() {
                assert_eq!(std::hint::black_box(kept), length + i as u64);
            }
            bystander.check();
        }
        tally.check(artifact.lengths().count());
    }
}

#[test]
fn calls_of_an_instance_whose_file_is_cut_succeed_or_trap() {
    for_every_length(|engine, artifact, length| {
        let module = artifact.open(engine);
        let (mut store, instance) = instantiate(engine, &module, nothing())?;
        let sum = instance.get_typed_func::<(), i32>(&mut store, "sum")?;
        assert_eq!(sum.call(&mut store, ()).unwrap(), SUM);
        artifact.cut(length);
        let result = sum.call(&mut store, ());
        if let Err(error) = &result {
            assert_eq!(error.downcast_ref(), Some(&Trap::ArtifactLost));
            for again in [sum.call(&mut store, ()), number(&mut store, instance, "sum")] {
                assert!(is_loss(&again.unwrap_err()));
            }
        }
        result
    });
}

#[test]
fn instantiating_a_module_whose_file_is_cut_succeeds_or_is_an_error() {
    for_every_length(|engine, artifact, length| {
        let module = artifact.open(engine);
        artifact.cut(length);
        let (mut store, instance) = instantiate(engine, &module, nothing())?;
        number(&mut store, instance, "sum")
    });
}

#[test]
fn an_instance_in_the_place_of_an_earlier_one_succeeds_or_is_an_error() {
    for_every_length(|engine, artifact, length| {
        let module = artifact.open(engine);
        for _ in 0..2 {
            let (mut store, instance) = instantiate(engine, &module, nothing())?;
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            memory.data_mut(&mut store)[0] = 99;
            memory.data_mut(&mut store)[262_143] = 99;
        }
        let (store, _) = instantiate(engine, &module, nothing())?;
        artifact.cut(length);
        drop(store);
        let (mut store, instance) = instantiate(engine, &module, nothing())?;
        number(&mut store, instance, "sum")
    });
}

#[test]
fn resetting_an_instance_whose_file_is_cut_succeeds_or_is_an_error() {
    for_every_length(|engine, artifact, length| {
        let module = artifact.open(engine);
        let (mut store, instance) = instantiate(engine, &module, nothing())?;
        let sum = instance.get_typed_func::<(), i32>(&mut store, "sum")?;
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        for _ in 0..2 {
            memory.data_mut(&mut store)[0] = 99;
            memory.data_mut(&mut store)[262_143] = 99;
            instance.reset(&mut store)?;
        }
        memory.data_mut(&mut store)[0] = 99;
        artifact.cut(length);
        instance.reset(&mut store)?;
        sum.call(&mut store, ())
    });
}

#[test]
fn a_module_without_its_file_is_refused_by_name() {
    let artifact = Artifact::new();
    for engine in engines() {
        let module = artifact.open(&engine);
        artifact.cut(0);
        for _ in 0..2 {
            let error = instantiate(&engine, &module, nothing()).err().unwrap();
            assert_eq!(error.downcast_ref::<DamagedError>().unwrap().path(), artifact.path());
            let text = format!("{error:#}");
            assert!(text.contains("module.cwasm was truncated") && text.contains("sealed_artifacts"), "{text}");
        }
        // The names in it are gone, but asking is harmless.
        let _ = (module.name().map(str::len), module.imports().count(), module.exports().count());
        drop(module);
        // What is left of the file is no artifact.
        // SAFETY: nothing of it can be executed.
        assert!(unsafe { Module::open(&engine, artifact.path()) }.is_err());
        artifact.open(&engine);
    }
}

#[test]
fn the_host_reads_zeros_where_data_was_and_no_code_works_on_them() {
    for_every_length(|engine, artifact, length| {
        let module = artifact.open(engine);
        let (mut store, instance) = instantiate(engine, &module, nothing())?;
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let sum = instance.get_typed_func::<(), i32>(&mut store, "sum")?;
        artifact.cut(length);
        let first = memory.data(&store)[0];
        let last = memory.data_mut(&mut store)[262_143];
        assert!((first == 3 || first == 0) && (last == 5 || last == 0));
        memory.data_mut(&mut store)[262_143] = 9;
        assert_eq!(memory.data(&store)[262_143], 9);
        memory.data_mut(&mut store)[262_143] = last;
        let result = sum.call(&mut store, ());
        if first == 0 || last == 0 {
            let error = result.as_ref().expect_err("code ran on zeros");
            assert_eq!(error.downcast_ref(), Some(&Trap::ArtifactLost));
        }
        result
    });
}

#[test]
fn code_whose_file_is_cut_while_it_runs_goes_on_or_traps() {
    let scenario = |name: &'static str| {
        move |engine: &Engine, artifact: &Artifact, length: u64| {
            let module = artifact.open(engine);
            let path = artifact.path();
            let cut = move || {
                File::options().write(true).open(&path)?.set_len(length)?;
                Ok(())
            };
            let (mut store, instance) = instantiate(engine, &module, Box::new(cut))?;
            number(&mut store, instance, name)
        }
    };
    for_every_length(scenario("cut_and_sum"));
    // Whether there is a handler is told from the file.
    for_every_length(scenario("cut_and_throw"));
    let artifact = Artifact::new();
    for engine in engines() {
        for length in artifact.lengths() {
            let error = scenario("cut_and_fail")(&engine, &artifact, length).unwrap_err();
            let trap = *error.downcast_ref::<Trap>().unwrap();
            assert!([Trap::UnreachableCodeReached, Trap::ArtifactLost].contains(&trap), "{trap}");
        }
    }
}

#[test]
fn an_error_or_panic_of_the_host_that_comes_with_the_cut_is_kept() {
    let (engine, artifact) = (Engine::default(), Artifact::new());
    for length in artifact.lengths() {
        for panics in [false, true] {
            let module = artifact.open(&engine);
            let path = artifact.path();
            let cut = move || {
                File::options().write(true).open(&path)?.set_len(length)?;
                if panics {
                    // Not `panic!`, which would print what is expected here.
                    std::panic::resume_unwind(Box::new("on purpose"));
                }
                Err(Error::msg("refused"))
            };
            let (mut store, instance) = instantiate(&engine, &module, Box::new(cut)).unwrap();
            let call = || number(&mut store, instance, "cut_and_sum");
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
                Ok(result) => assert_eq!(result.unwrap_err().to_string(), "refused", "cut to {length} bytes"),
                Err(payload) => assert_eq!(payload.downcast_ref(), Some(&"on purpose")),
            }
        }
    }
}

#[test]
fn nested_calls_come_back_from_a_cut_one_by_one() {
    let (engine, artifact) = (Engine::default(), Artifact::new());
    let mut bystander = Bystander::new(&engine, &artifact.folder);
    let module = artifact.open(&engine);
    let mut linker: Linker<(u32, PathBuf)> = Linker::new(&engine);
    // Calls itself through wasm, ten levels deep, then cuts.
    let cut = |mut caller: Caller<'_, (u32, PathBuf)>| -> Result<()> {
        let (depth, path) = caller.data_mut();
        *depth += 1;
        if *depth == 10 {
            File::options().write(true).open(path)?.set_len(0)?;
            return Ok(());
        }
        let again = caller.get_export("cut").and_then(wasmc_loader::Extern::into_func).unwrap();
        again.call(&mut caller, &[], &mut []).map_err(|e| e.context("one level"))
    };
    linker.func_wrap("host", "cut", cut).unwrap();
    let mut store = Store::new(&engine, (0, artifact.path()));
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let function = instance.get_typed_func::<(), ()>(&mut store, "cut").unwrap();
    let error = function.call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::ArtifactLost));
    assert_eq!(error.chain().filter(|message| message == "one level").count(), 9);
    bystander.check();
}

#[test]
fn another_store_on_another_thread_traps_too() {
    let (engine, artifact) = (Engine::default(), Artifact::new());
    let module = artifact.open(&engine);
    let step = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let (mut store, instance) = instantiate(&engine, &module, nothing()).unwrap();
            let sum = instance.get_typed_func::<(), i32>(&mut store, "sum").unwrap();
            step.wait();
            step.wait();
            sum.call(&mut store, ())
        });
        let (mut store, instance) = instantiate(&engine, &module, nothing()).unwrap();
        let sum = instance.get_typed_func::<(), i32>(&mut store, "sum").unwrap();
        step.wait();
        artifact.cut(0);
        let error = sum.call(&mut store, ()).unwrap_err();
        step.wait();
        for error in [error, other.join().unwrap().unwrap_err()] {
            assert_eq!(error.downcast_ref(), Some(&Trap::ArtifactLost));
        }
    });
}

#[test]
fn a_sealed_artifact_does_not_notice() {
    let artifact = Artifact::new();
    let engine = Engine::new(Config::new().sealed_artifacts(true)).unwrap();
    let module = artifact.open(&engine);
    let (mut store, instance) = instantiate(&engine, &module, nothing()).unwrap();
    artifact.cut(0);
    assert_eq!(number(&mut store, instance, "sum").unwrap(), SUM);
    let (mut store, instance) = instantiate(&engine, &module, nothing()).unwrap();
    assert_eq!(number(&mut store, instance, "sum").unwrap(), SUM);
    std::fs::write(artifact.path(), vec![0xff; artifact.bytes.len()]).unwrap();
    let (mut store, instance) = instantiate(&engine, &module, nothing()).unwrap();
    assert_eq!(number(&mut store, instance, "sum").unwrap(), SUM);
}

#[test]
fn replacement_by_rename_does_not_matter() {
    let (engine, artifact) = (Engine::default(), Artifact::new());
    let module = artifact.open(&engine);
    let (mut store, instance) = instantiate(&engine, &module, nothing()).unwrap();
    let new = artifact.folder.path().join("new");
    std::fs::write(&new, b"something else").unwrap();
    std::fs::rename(new, artifact.path()).unwrap();
    assert_eq!(number(&mut store, instance, "sum").unwrap(), SUM);
    let (mut store, instance) = instantiate(&engine, &module, nothing()).unwrap();
    assert_eq!(number(&mut store, instance, "sum").unwrap(), SUM);
}
