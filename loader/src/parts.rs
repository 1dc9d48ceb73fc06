//! Parts of the loader that cargo features leave out.
//!
//! A part's code is compiled whether its feature is on or not, so that no
//! combination of features can fail to build. Where the rest of the loader would
//! enter the part it asks a constant of this file first, and what nothing enters
//! is not linked. A module that needs a part which is left out is refused when it
//! is loaded, and what the host can do to come into need of one is an error.

use crate::config::Config;
use crate::error::Result;
use crate::profiler::ProfilingStrategy;
use crate::strategy::{InstanceAllocationStrategy, PoolExhaustion, PoolingAllocationStrategy};
use wasmc_artifacts::abi::ValType;
use wasmc_artifacts::format::{Artifact, ExternKind};

macro_rules! parts {
    ($($(#[$meta:meta])* $name:ident: $feature:literal,)*) => {
        $($(#[$meta])* pub(crate) const $name: Part = Part { is_on: cfg!(feature = $feature), feature: $feature };)*
    };
}

parts! {
    /// References other than to functions, and the garbage-collected heap.
    GC: "gc",
    /// Exceptions, which are objects on that heap.
    EXCEPTIONS: "exceptions",
    /// Memories that threads share.
    THREADS: "threads",
    /// Backtraces of wasm code in errors.
    BACKTRACES: "backtraces",
    /// Code for more than the baseline of a CPU.
    CPU_FEATURES: "cpu-features",
    /// Telling debuggers about loaded code.
    DEBUGGER: "debugger",
    /// Artifacts that are part of an executable or a shared library.
    EMBEDDED: "embedded",
    /// Errors in more than a few words.
    MESSAGES: "messages",
    /// Instances outside pools.
    ON_DEMAND: "on-demand",
    /// Deadlines, interrupts and fuel.
    INTERRUPTION: "interruption",
    /// Instances that are kept and reset before each use.
    INSTANCE_REUSE: "instance-reuse",
    /// Imports other than functions of the host's.
    LINKING: "linking",
    /// Pools that choose slots other than by affinity, or do other than fail
    /// when they are full.
    POOL_POLICIES: "pool-policies",
    /// Telling profilers about loaded code.
    PROFILING: "profiling",
    /// Using what dropped stores leave again, instances in a pool and states of
    /// stores, rather than making new ones.
    RECYCLING: "recycling",
    /// Going on when an artifact's file turns out to be shorter than it was.
    TRUNCATION: "truncation",
    /// Fetching the pages in one go that instances are known to touch.
    WORKING_SETS: "working-sets",
}

/// A part that can be left out.
pub(crate) struct Part {
    is_on: bool,
    feature: &'static str,
}

/// Something needs a part of the loader that was left out when the program was
/// built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(
    feature = "messages",
    error("{what} needs the cargo feature `{feature}` of wasmc-loader, without which this program was built")
)]
#[cfg_attr(not(feature = "messages"), error("{what} needs the cargo feature `{feature}` of wasmc-loader"))]
pub struct FeatureError {
    what: &'static str,
    feature: &'static str,
}

impl FeatureError {
    /// The name of the cargo feature.
    pub fn feature(&self) -> &'static str {
        self.feature
    }
}

impl Part {
    /// Whether it is there.
    #[inline(always)]
    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Asks for the part on behalf of something that is only there with it.
    ///
    /// # Errors
    /// [`FeatureError`], if it was left out.
    #[inline(always)]
    pub(crate) fn need(&self, what: &'static str) -> Result<(), FeatureError> {
        if self.is_on { Ok(()) } else { Err(FeatureError { what, feature: self.feature }) }
    }

    /// The same if a condition holds.
    #[inline(always)]
    fn need_if(&self, condition: impl FnOnce() -> bool, what: &'static str) -> Result<(), FeatureError> {
        if self.is_on || !condition() { Ok(()) } else { self.need(what) }
    }
}

/// Checks that nothing is asked for that was left out.
pub(crate) fn check_config(config: &Config) -> Result<(), FeatureError> {
    BACKTRACES.need_if(|| config.wasm_backtrace, "`Config::wasm_backtrace`")?;
    DEBUGGER.need_if(|| config.debugger, "`Config::debugger`")?;
    PROFILING.need_if(|| config.profiler != ProfilingStrategy::None, "`Config::profiler`")?;
    INTERRUPTION.need_if(|| config.epoch_interruption, "`Config::epoch_interruption`")?;
    INTERRUPTION.need_if(|| config.consume_fuel, "`Config::consume_fuel`")?;
    TRUNCATION.need_if(|| config.sealed_artifacts, "`Config::sealed_artifacts`")?;
    INSTANCE_REUSE.need_if(|| config.reuse_instances, "the strategy `legacy-instance-reuse`")?;
    ON_DEMAND.need_if(|| config.limits().is_none(), "an engine without a pool")?;
    let policies = || match &config.allocation {
        InstanceAllocationStrategy::OnDemand => false,
        InstanceAllocationStrategy::Pooling { strategy, .. } => {
            *strategy != PoolingAllocationStrategy::ReuseAffinity || config.pool.exhaustion != PoolExhaustion::Error
        }
    };
    POOL_POLICIES.need_if(policies, "a pool with another strategy or another policy than the default")
}

/// Checks that code of a module needs nothing that was left out.
pub(crate) fn check_module(artifact: &Artifact<'_>) -> Result<()> {
    let tables = artifact.tables();
    CPU_FEATURES.need_if(|| artifact.header().cpu_features != 0, "a module for more than the baseline of a CPU")?;
    EXCEPTIONS.need_if(|| !tables.tags.is_empty(), "a module with exceptions")?;
    let is_gc = |ty: Option<ValType>| ty.is_none_or(ValType::is_gc_ref);
    let refers = || {
        artifact.header().uses_heap != 0
            || tables.globals.iter().any(|row| is_gc(row.ty.ty()))
            || tables.tables.iter().any(|row| is_gc(row.element.ty()))
            || (0..tables.types.len() as u32).any(|row| {
                // Structs and arrays are no function types.
                let ty = artifact.func_type(row);
                ty.is_none_or(|ty| ty.params().iter().chain(ty.results()).any(|ty| ty.is_gc_ref()))
            })
    };
    GC.need_if(refers, "a module with references other than to functions")?;
    let links = || tables.imports.iter().any(|row| row.kind != ExternKind::Func as u8);
    LINKING.need_if(links, "a module that imports something else than functions")?;
    let shares = || tables.memories.iter().any(|row| row.shared != 0);
    Ok(THREADS.need_if(shares, "a module with a shared memory")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_left_out_is_named() {
        let part = |is_on| Part { is_on, feature: "fast-forward" };
        assert_eq!(part(true).need("the tape"), Ok(()));
        let error = part(false).need("the tape").unwrap_err();
        assert_eq!(error.feature(), "fast-forward");
        assert!(error.to_string().starts_with("the tape needs the cargo feature `fast-forward`"), "{error}");
    }
}
