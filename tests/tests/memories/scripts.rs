//! The scripts in `tests/scripts`.

use super::tunables;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use wasmc::wast::{Runner, Setup};
use wasmc::{OptLevel, Options};
use wasmc_loader::{Config, Engine, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy, Module};

/// Every script's name and text.
fn scripts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wast"));
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Runs all scripts with each of the settings.
#[track_caller]
fn pass(options: Options, setups: &[Setup], what: &str) {
    let mut options = Options { jobs: NonZeroUsize::new(1), verify: true, ..options };
    options.features.apply("all").unwrap();
    let runner = Runner::new(options, |engine, compiled| {
        // SAFETY: a `Compiled` comes straight from the compiler.
        unsafe { Module::from_bytes(engine, compiled.bytes()) }
    });
    let scripts = scripts();
    assert!(scripts.len() >= 7, "there are only {} scripts", scripts.len());
    for (name, script) in scripts {
        for (number, outcome) in runner.run_each(&script, setups).into_iter().enumerate() {
            let failures: Vec<String> = outcome.failures.iter().map(|failure| format!("{name}: {failure}")).collect();
            assert_eq!(failures, [] as [String; 0], "{what}, setting {number}");
            let directives = script.lines().filter(|line| line.starts_with("(assert_")).count();
            assert!(outcome.passed >= directives, "{name}: {} of {directives}, {what}", outcome.passed);
        }
    }
}

#[test]
fn they_pass_under_every_strategy_and_after_resets() {
    let limits =
        InstanceLimits { count: 60, memories: 5, tables: 4, table_elements: 100_000, ..InstanceLimits::default() };
    let mut setups = Vec::new();
    for strategy in InstantiationStrategy::ALL {
        let mut config = Config::new();
        let pool = wasmc_loader::PoolingAllocationStrategy::NextAvailable;
        config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy: pool, instance_limits: limits });
        config.instantiation_strategy(*strategy);
        let engine = Engine::new(&config).unwrap();
        setups.extend([false, true].map(|reset| Setup { engine: engine.clone(), reset, interrupt: false }));
    }
    pass(Options::new(), &setups, "default options");
}

#[test]
fn they_pass_with_little_address_space_and_without_optimisation() {
    let [_, tight] = tunables();
    for opt_level in [OptLevel::None, OptLevel::Basic, OptLevel::Size] {
        pass(Options { opt_level, ..Options::new() }, &[Setup::default()], &format!("{opt_level:?}"));
        let options = Options { opt_level, tunables: tight, ..Options::new() };
        pass(options, &[Setup::default()], &format!("little address space, {opt_level:?}"));
    }
    pass(Options { tunables: tight, ..Options::new() }, &[Setup::default()], "little address space");
}
