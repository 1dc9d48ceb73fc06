//! Where instances live, and how their memories get their first content.
//!
//! [`InstanceAllocationStrategy`] is the first question alone, under the names
//! that Wasmtime gave it; [`InstantiationStrategy`] answers both in one word,
//! under the names of Substrate's executor. The compiled artifact is the same
//! for all of them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Where instances live.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum InstanceAllocationStrategy {
    /// Memory is allocated when an instance is made, and freed as soon as its
    /// store is dropped.
    #[default]
    OnDemand,
    /// Address space for a number of instances is reserved when the engine is
    /// made; instances take a slot of it, and give it back when their store is
    /// dropped.
    Pooling {
        /// Which of the free slots an instance gets.
        strategy: PoolingAllocationStrategy,
        /// How many slots there are, and what fits into each.
        instance_limits: InstanceLimits,
    },
}

impl InstanceAllocationStrategy {
    /// A pool with the default strategy and limits.
    pub fn pooling() -> Self {
        InstanceAllocationStrategy::Pooling {
            strategy: PoolingAllocationStrategy::default(),
            instance_limits: InstanceLimits::default(),
        }
    }
}

impl From<InstanceLimits> for InstanceAllocationStrategy {
    /// A pool with these limits.
    fn from(instance_limits: InstanceLimits) -> Self {
        InstanceAllocationStrategy::Pooling { strategy: PoolingAllocationStrategy::default(), instance_limits }
    }
}

/// Which of a pool's free slots an instance gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PoolingAllocationStrategy {
    /// The lowest one.
    NextAvailable,
    /// One that nobody can predict: the choice comes from the system's source
    /// of random numbers.
    Random,
    /// One that had an instance of the same module last, which is nearly
    /// ready; otherwise the one that has not been used for the longest time.
    #[default]
    ReuseAffinity,
}

/// What fits into a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceLimits {
    /// Number of slots, each for one instance. Default: 1000.
    pub count: u32,
    /// Bytes for the context of an instance: its globals, imports, function
    /// references and small tables, and the loader's notes about it.
    /// Default: 1 MiB.
    pub size: usize,
    /// Tables that an instance may define. Default: 1.
    pub tables: u32,
    /// Elements that each of them may have. Default: 20,000.
    pub table_elements: u32,
    /// Memories that an instance may define. Default: 1.
    pub memories: u32,
    /// Pages of 64 KiB that each of them may have. Default: 65,536.
    pub memory_pages: u64,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        InstanceLimits {
            count: 1000,
            size: 1 << 20,
            tables: 1,
            table_elements: 20_000,
            memories: 1,
            memory_pages: 65_536,
        }
    }
}

/// What happens when all slots of a pool are in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PoolExhaustion {
    /// Instantiation fails with a
    /// [`PoolConcurrencyLimitError`](crate::PoolConcurrencyLimitError).
    #[default]
    Error,
    /// It waits for a slot, and fails like that if there is none in time.
    Block {
        /// How long it waits at most.
        timeout: Duration,
    },
    /// The instance is allocated on demand.
    OnDemand,
}

/// How large the memories of instances are and can become. Applied when an
/// instance is made; the module stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeapAllocStrategy {
    /// Memories begin as the module says and can grow.
    Dynamic {
        /// The most pages of 64 KiB that a memory can have, if that is less
        /// than the module says.
        maximum_pages: Option<u32>,
    },
    /// Memories begin with more pages of 64 KiB than the module says, up to
    /// its maximum, and cannot grow.
    Static {
        /// How many more.
        extra_pages: u32,
    },
}

impl Default for HeapAllocStrategy {
    fn default() -> Self {
        HeapAllocStrategy::Static { extra_pages: 2048 }
    }
}

/// Where instances live and how their memories get their first content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstantiationStrategy {
    /// In a pool, with memories that are views of the artifact.
    #[default]
    PoolingCopyOnWrite,
    /// Allocated on demand, with memories that are views of the artifact.
    RecreateInstanceCopyOnWrite,
    /// In a pool, with memories that are copied from the artifact.
    Pooling,
    /// Allocated on demand, with memories that are copied from the artifact:
    /// very slow, to compare others with.
    RecreateInstance,
    /// One instance in each store, which is reset instead of made anew.
    #[deprecated = "call `Instance::reset`, which does the same and says so"]
    LegacyInstanceReuse,
}

#[allow(deprecated, reason = "the deprecated strategy still works")]
impl InstantiationStrategy {
    /// All of them.
    pub const ALL: &'static [InstantiationStrategy] = &[
        InstantiationStrategy::PoolingCopyOnWrite,
        InstantiationStrategy::RecreateInstanceCopyOnWrite,
        InstantiationStrategy::Pooling,
        InstantiationStrategy::RecreateInstance,
        InstantiationStrategy::LegacyInstanceReuse,
    ];

    /// Whether instances live in a pool.
    pub fn is_pooling(self) -> bool {
        matches!(self, InstantiationStrategy::PoolingCopyOnWrite | InstantiationStrategy::Pooling)
    }

    /// Whether memories are views of the artifact.
    pub fn is_copy_on_write(self) -> bool {
        !matches!(self, InstantiationStrategy::Pooling | InstantiationStrategy::RecreateInstance)
    }

    /// Whether a store's instance is reset rather than made anew.
    pub(crate) fn reuses_instances(self) -> bool {
        self == InstantiationStrategy::LegacyInstanceReuse
    }

    /// What is in force instead where memories cannot be views of the
    /// artifact.
    pub fn without_copy_on_write(self) -> InstantiationStrategy {
        match self {
            InstantiationStrategy::PoolingCopyOnWrite => InstantiationStrategy::Pooling,
            InstantiationStrategy::RecreateInstanceCopyOnWrite => InstantiationStrategy::RecreateInstance,
            other => other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            InstantiationStrategy::PoolingCopyOnWrite => "pooling-copy-on-write",
            InstantiationStrategy::RecreateInstanceCopyOnWrite => "recreate-instance-copy-on-write",
            InstantiationStrategy::Pooling => "pooling",
            InstantiationStrategy::RecreateInstance => "recreate-instance",
            InstantiationStrategy::LegacyInstanceReuse => "legacy-instance-reuse",
        }
    }
}

impl fmt::Display for InstantiationStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no instantiation strategy; there are pooling-copy-on-write, recreate-instance-copy-on-write, pooling, recreate-instance and legacy-instance-reuse"
)]
pub struct UnknownStrategyError(String);

impl FromStr for InstantiationStrategy {
    type Err = UnknownStrategyError;

    fn from_str(name: &str) -> Result<Self, UnknownStrategyError> {
        let found = Self::ALL.iter().find(|strategy| strategy.name() == name);
        found.copied().ok_or_else(|| UnknownStrategyError(name.to_owned()))
    }
}

/// A module needs more than a pool was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(
    feature = "messages",
    error(
        "the module needs {required} where the pool's limit `{limit}` is {allowed}; raise that limit, or use an engine that allocates on demand"
    )
)]
#[cfg_attr(not(feature = "messages"), error("the module needs {required} where `{limit}` is {allowed}"))]
pub struct LimitError {
    /// The name of the limit: a field of [`InstanceLimits`], or a setting of
    /// [`Config`](crate::Config).
    pub limit: &'static str,
    /// The limit.
    pub allowed: u64,
    /// The module's value.
    pub required: u64,
}

/// All slots of a pool are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(
    feature = "messages",
    error(
        "all {slots} slots of the pool are in use; drop stores that are not needed, make a larger pool, or let it wait or allocate on demand (`Config::pool_exhaustion`)"
    )
)]
#[cfg_attr(not(feature = "messages"), error("all {slots} slots of the pool are in use"))]
pub struct PoolConcurrencyLimitError {
    /// How many slots there are.
    pub slots: u32,
}

/// A pool is larger than the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(
    feature = "messages",
    error(
        "cannot reserve address space for {slots} slots of {slot_bytes} bytes each; {largest} slots of this size can be had now"
    )
)]
#[cfg_attr(
    not(feature = "messages"),
    error("no address space for {slots} slots of {slot_bytes} bytes, but for {largest}")
)]
pub struct PoolSizeError {
    /// How many slots were asked for.
    pub slots: u32,
    /// Bytes of address space that each of them takes.
    pub slot_bytes: u64,
    /// How many of them this process can have.
    pub largest: u32,
}

/// What a pool has done so far.
///
/// Collected without a lock while the pool is used: the numbers are exact when
/// nobody uses it, and may be a few instances apart otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolMetrics {
    /// Slots of the pool.
    pub slots: u32,
    /// Instances that live in it.
    pub live: u64,
    /// The most that lived in it at once, as far as it was looked at.
    pub peak: u64,
    /// Instances that got a slot which their module had last.
    pub warm_hits: u64,
    /// Instances that got a slot which had to be prepared.
    pub cold_hits: u64,
    /// Instances that were allocated on demand because the pool was full.
    pub overflow_hits: u64,
    /// Prepared slots that nobody uses.
    pub unused_warm: u64,
    /// Bytes of memory in prepared slots that nobody uses.
    pub resident_bytes: u64,
    /// How often a slot was reset.
    pub resets: u64,
    /// Nanoseconds that a reset takes, the mean of those that were measured:
    /// one in 64.
    pub reset_nanoseconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_printed_as_they_are_parsed() {
        for strategy in InstantiationStrategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(*strategy));
        }
        let error = "Pooling".parse::<InstantiationStrategy>().unwrap_err().to_string();
        assert!(error.contains("`Pooling`") && error.contains("pooling-copy-on-write"), "{error}");
    }

    #[test]
    fn without_copy_on_write_a_strategy_keeps_its_place() {
        for strategy in InstantiationStrategy::ALL {
            let twin = strategy.without_copy_on_write();
            assert_eq!(twin.is_pooling(), strategy.is_pooling());
            assert_eq!(twin.is_copy_on_write(), strategy.reuses_instances());
        }
    }
}
