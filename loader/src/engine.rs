//! Engines: what modules and stores of a process share.

use crate::config::Config;
use crate::epochs::Epochs;
use crate::error::{Error, Result};
use crate::parts;
use crate::plan::Plans;
use crate::refs::types::ObjectTypes;
use crate::registry::TypeRegistry;
use crate::strategy::{InstanceAllocationStrategy, InstantiationStrategy, PoolMetrics};
use crate::sys;
use crate::vm::instance::Placement;
use crate::vm::of::Of;
use crate::vm::pool::Pool;
use crate::vm::quiet::notice_forks;
use crate::vm::shared::{Lease, Shared};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use wasmc_artifacts::abi::{Arch, CpuFeatures};

/// What modules and stores share: settings, and the identity of types.
///
/// Cheap to clone; clones are the same engine.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Shared<Inner>);

/// What an artifact was compiled from; see [`Engine::detect_precompiled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precompiled {
    /// A module.
    Module,
}

/// What is behind an [`Engine`].
#[derive(Debug)]
pub(crate) struct Inner {
    config: Config,
    placement: Placement,
    pool: Option<Pool>,
    #[cfg(feature = "async")]
    stacks: crate::vm::stacks::Stacks,
    types: TypeRegistry,
    plans: Of<Plans, { parts::EMBEDDED.is_on() }>,
    pub(crate) object_types: Of<ObjectTypes, { parts::GC.is_on() }>,
    epochs: Of<Option<Arc<Epochs>>, { parts::INTERRUPTION.is_on() }>,
}

impl Default for Engine {
    /// An engine with the default settings.
    ///
    /// # Panics
    /// If the system refuses the signal handlers that traps need; see
    /// [`Engine::new`].
    fn default() -> Self {
        Engine::new(&Config::new()).unwrap_or_else(|e| panic!("{e:#}"))
    }
}

impl Engine {
    /// An engine with these settings. The first one in a process installs
    /// handlers for SIGSEGV, SIGBUS, SIGILL and SIGFPE, which pass on to the
    /// previous handlers what is not a trap of wasm code.
    ///
    /// # Errors
    /// If the system refuses the handlers, or has no memory or descriptors to
    /// try out what it can do; the machine has an architecture that no artifact
    /// can be for; or a pool is larger than the address space
    /// ([`PoolSizeError`](crate::PoolSizeError)).
    pub fn new(config: &Config) -> Result<Engine> {
        if Arch::host().is_none() {
            return Err(Error::msg(format!(
                "cannot run artifacts on {}: they are made for x86_64 and aarch64",
                std::env::consts::ARCH
            )));
        }
        parts::check_config(config)?;
        sys::signals::install(crate::vm::traps::decide)
            .map_err(|e| Error::new(e).context("cannot install the signal handlers that traps need"))?;
        let untried = |e| Error::new(e).context("cannot try out what the system can do with memory");
        if parts::RECYCLING.is_on() {
            sys::try_out().map_err(untried)?;
            notice_forks();
        }
        // Instances that are made once and never again rely on nothing else
        // than that their writes stay with them.
        let remakes = parts::RECYCLING.is_on() || parts::ON_DEMAND.is_on() || parts::INSTANCE_REUSE.is_on();
        let view = config.copy_on_write && (!remakes || copy_on_write().map_err(untried)?);
        let pool = match &config.allocation {
            InstanceAllocationStrategy::OnDemand => None,
            InstanceAllocationStrategy::Pooling { instance_limits, .. } if instance_limits.count == 0 => {
                return Err(Error::msg("a pool needs at least one slot; `InstanceLimits::count` says how many it has"));
            }
            InstanceAllocationStrategy::Pooling { strategy, instance_limits } => {
                Some(Pool::new(config, *strategy, instance_limits)?)
            }
        };
        let placement = Placement { pooled: pool.is_some(), view };
        Ok(Engine(Shared::new(Inner {
            config: config.clone(),
            placement,
            pool,
            #[cfg(feature = "async")]
            stacks: config.stacks(),
            types: TypeRegistry::default(),
            plans: Of::default(),
            object_types: Of::default(),
            epochs: Of::new(parts::INTERRUPTION.is_on().then(Arc::default)),
        })))
    }

    /// Begins the next epoch: code of this engine's stores whose deadline that
    /// is stops where it next looks
    /// ([`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline)).
    ///
    /// Takes no lock and allocates nothing, so that signal handlers may call it;
    /// it takes about a nanosecond for each store.
    pub fn increment_epoch(&self) {
        if let Some(epochs) = self.0.epochs.as_ref().filter(|_| parts::INTERRUPTION.is_on()) {
            epochs.tick();
        }
    }

    /// The epochs that code looks at, if it is to do so.
    #[inline]
    pub(crate) fn epochs(&self) -> Option<&Arc<Epochs>> {
        self.0.epochs.as_ref().filter(|_| self.0.config.epoch_interruption)
    }

    /// The strategy that is really in force: where memories cannot be views of
    /// artifacts, it is not the one that was asked for.
    #[allow(deprecated, reason = "the deprecated strategy still works")]
    pub fn instantiation_strategy(&self) -> InstantiationStrategy {
        match (self.0.config.reuse_instances, self.0.placement) {
            (true, _) => InstantiationStrategy::LegacyInstanceReuse,
            (_, Placement { pooled: true, view: true }) => InstantiationStrategy::PoolingCopyOnWrite,
            (_, Placement { pooled: true, view: false }) => InstantiationStrategy::Pooling,
            (_, Placement { pooled: false, view: true }) => InstantiationStrategy::RecreateInstanceCopyOnWrite,
            (_, Placement { pooled: false, view: false }) => InstantiationStrategy::RecreateInstance,
        }
    }

    /// What the pool has done so far; `None` if there is no pool.
    pub fn pool_metrics(&self) -> Option<PoolMetrics> {
        self.pool().map(Pool::metrics)
    }

    /// Where instances live unless one is asked for another place.
    pub(crate) fn placement(&self) -> Placement {
        self.0.placement
    }

    #[inline]
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.0.pool.as_ref()
    }

    /// The stacks of calls that can be suspended.
    #[cfg(feature = "async")]
    pub(crate) fn stacks(&self) -> &crate::vm::stacks::Stacks {
        &self.0.stacks
    }

    /// Why memories are not views of artifacts, if they are not.
    pub(crate) fn why_copied(&self) -> Option<&'static str> {
        match (self.0.placement.view, self.0.config.copy_on_write) {
            (true, _) => None,
            (false, false) => Some("copy-on-write is switched off in the engine's configuration"),
            (false, true) => Some("copy-on-write does not work on this system"),
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Whether bytes are an artifact of this project's, and of what. Nothing
    /// else about them is checked: whether a loader can use them, loading says.
    ///
    /// ```
    /// use wasmc_loader::{Engine, Precompiled};
    /// # fn main() -> wasmc_loader::Result<()> {
    /// # let artifact = wasmc::compile(b"(module)", &wasmc::Options::new())?;
    /// assert_eq!(Engine::detect_precompiled(&artifact), Some(Precompiled::Module));
    /// assert_eq!(Engine::detect_precompiled(b"\0asm\x01\0\0\0"), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn detect_precompiled(bytes: &[u8]) -> Option<Precompiled> {
        wasmc_artifacts::container::metadata_offset(bytes).ok().map(|_| Precompiled::Module)
    }

    /// The same for a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn detect_precompiled_file(path: impl AsRef<Path>) -> Result<Option<Precompiled>> {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).map_err(|e| Error::new(e).context(format!("cannot read {}", path.display())))?;
        Ok(Self::detect_precompiled(&bytes))
    }

    /// Whether both are the same engine.
    pub fn same(a: &Engine, b: &Engine) -> bool {
        Shared::same(&a.0, &b.0)
    }

    /// A reference for a store, to be counted without contention.
    #[inline]
    pub(crate) fn lease(&self) -> Lease<Engine> {
        Lease::of(self)
    }

    /// The module with this id is gone: whatever the engine keeps for its next
    /// instances is of no use any more.
    pub(crate) fn forget_module(&self, id: u64) {
        if let Some(pool) = self.pool() {
            pool.forget(id);
        }
    }

    pub(crate) fn stack_size(&self) -> usize {
        self.0.config.max_wasm_stack
    }

    /// Frames in a backtrace; 0 if there is to be none.
    pub(crate) fn backtrace_frames(&self) -> usize {
        if self.0.config.wasm_backtrace { self.0.config.wasm_backtrace_max_frames } else { 0 }
    }

    /// What is known of artifacts that are part of this program.
    pub(crate) fn plans(&self) -> &Plans {
        &self.0.plans
    }

    /// The function types that the engine has seen.
    pub(crate) fn types(&self) -> &TypeRegistry {
        &self.0.types
    }
}

/// Whether memories can be views of artifacts. Warns once if not.
fn copy_on_write() -> io::Result<bool> {
    static WARNED: Once = Once::new();
    let works = sys::copy_on_write_works()?;
    if !works {
        WARNED.call_once(|| {
            log::warn!("copy-on-write views of files do not work on this system: memories are copied instead");
        });
    }
    Ok(works)
}

/// The features of this machine's CPU that artifacts can require.
pub(crate) fn host_cpu_features() -> CpuFeatures {
    /// 0 until it is known; who finds that detects the same features.
    static FEATURES: AtomicU64 = AtomicU64::new(0);
    const KNOWN: u64 = 1 << 63;
    match FEATURES.load(Ordering::Relaxed) {
        0 => {
            let features = detect();
            debug_assert!(features.0 & KNOWN == 0, "there are as many features as bits");
            FEATURES.store(features.0 | KNOWN, Ordering::Relaxed);
            features
        }
        known => CpuFeatures(known & !KNOWN),
    }
}

macro_rules! detect {
    ($arch:ident, $detect:ident: $($name:tt)*) => {{
        let mut features = CpuFeatures::default();
        $(
            if std::arch::$detect!($name) {
                features.0 |= const { CpuFeatures::of(Arch::$arch, $name).0 };
            }
        )*
        features
    }};
}

#[cfg(target_arch = "x86_64")]
fn detect() -> CpuFeatures {
    detect!(X86_64, is_x86_feature_detected:
        "cmpxchg16b" "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
        "avx512bitalg" "avx512dq" "avx512f" "avx512vbmi" "avx512vl")
}

#[cfg(target_arch = "aarch64")]
fn detect() -> CpuFeatures {
    detect!(Aarch64, is_aarch64_feature_detected: "lse" "paca" "fp16" "dotprod")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> CpuFeatures {
    CpuFeatures::default()
}

#[cfg(test)]
mod tests {
    use wasmc_artifacts::abi::CPU_FEATURES;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_feature_of_the_list_is_detected_by_name() {
        // `detect` names each feature in a literal, as std requires; here the
        // list it was written from is compared with its source.
        let source = include_str!("engine.rs");
        for feature in CPU_FEATURES {
            assert!(source.contains(&format!("\"{}\"", feature.name)), "{} is not detected", feature.name);
        }
    }
}
