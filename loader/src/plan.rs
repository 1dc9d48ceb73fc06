//! What all modules of one artifact have in common within an engine: the code,
//! checked and executable, and what instances consist of.
//!
//! An artifact that is part of this program stays as it is, so that what was
//! found out when it was loaded first serves whoever loads it again. What is
//! kept for that is kept by the engine, and ends with it.

use crate::config::Config;
use crate::engine::{Engine, host_cpu_features};
use crate::error::{Error, Result};
use crate::module::IncompatibleError;
use crate::parts;
use crate::profiler::{self, ProfilingStrategy};
use crate::sys;
use crate::vm::blueprint::{Blueprint, Impossible};
use crate::vm::code::Code;
use crate::vm::slot::SlotLayout;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmc_artifacts::FormatError;
use wasmc_artifacts::abi::{Arch, CpuFeatures};
use wasmc_artifacts::format::Artifact;

/// An artifact that is ready for use.
pub(crate) struct Plan {
    blueprint: Blueprint,
    layout: Arc<SlotLayout>,
    code: Code,
}

impl Plan {
    /// Checks that the artifact runs here as the engine is configured, and
    /// makes its code executable.
    pub(crate) fn new(engine: &Engine, mut code: Code) -> Result<Plan> {
        let artifact = code.artifact();
        parts::check_module(artifact)?;
        check_machine(artifact)?;
        check_limits(artifact, engine.config())?;
        let blueprint = Blueprint::new(artifact, engine.config()).map_err(|impossible| match impossible {
            Impossible::AddressSpace => Error::new(IncompatibleError::AddressSpace),
            Impossible::Limit(e) => Error::new(e),
            Impossible::Corrupt(what) => Error::new(FormatError::Corrupt { what }),
        })?;
        let layout = SlotLayout::of_module(&blueprint, sys::page_size()).ok_or(IncompatibleError::AddressSpace)?;
        let types = artifact.tables().types;
        engine.types().register(types.iter().map(|row| (row.id, artifact.bytes(row.encoding).unwrap_or_default())))?;
        let profiled = parts::PROFILING.is_on()
            && cfg!(target_os = "linux")
            && engine.config().profiler == ProfilingStrategy::PerfMap
            && !code.has_symbols();
        let executable = if profiled { code.make_executable_copy() } else { code.make_executable() };
        executable.map_err(|e| Error::new(e).context(UNEXECUTABLE))?;
        if profiled {
            profiler::announce(&code)?;
        }
        Ok(Plan { blueprint, layout: Arc::new(layout), code })
    }

    /// What instances consist of.
    #[inline]
    pub(crate) fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// Where that is in a slot for this module alone.
    pub(crate) fn layout(&self) -> &Arc<SlotLayout> {
        &self.layout
    }

    /// See [`Code::take_watch`].
    pub(crate) fn take_watch(&mut self) -> Option<sys::Watch> {
        self.code.take_watch()
    }

    /// The artifact and its code.
    #[inline]
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }
}

/// How long an artifact stays where it is, which is part of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// For ever.
    Linked,
    /// Until its shared library is unloaded: of those, so many have been, if
    /// the system counts them.
    Embedded(Option<u64>),
}

impl Stay {
    /// Of an artifact that is embedded, now.
    pub(crate) fn embedded() -> Stay {
        Stay::Embedded(sys::unloaded())
    }
}

struct Known {
    /// Address and length of the artifact. Not a reference: it may be gone.
    place: (usize, usize),
    stay: Stay,
    plan: Arc<Plan>,
}

/// The plans of artifacts that are part of this program, and that were loaded
/// before.
#[derive(Default)]
pub(crate) struct Plans(Mutex<Vec<Known>>);

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the artifacts themselves, which may be gone.
        f.debug_list().entries(self.all().iter().map(|known| known.place)).finish()
    }
}

fn place(bytes: &'static [u8]) -> (usize, usize) {
    (bytes.as_ptr().addr(), bytes.len())
}

impl Plans {
    fn all(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan of the artifact `bytes`, if that was loaded before and is
    /// certain to be there still.
    pub(crate) fn find(&self, bytes: &'static [u8], stay: Stay) -> Option<Arc<Plan>> {
        let place = place(bytes);
        let all = self.all();
        all.iter().find(|known| known.place == place && known.stay == stay).map(|known| known.plan.clone())
    }

    /// Keeps a plan for whoever loads the artifact `bytes` next. `stay` must
    /// have been found out before the plan was made.
    pub(crate) fn keep(&self, bytes: &'static [u8], stay: Stay, plan: &Arc<Plan>) {
        if stay == Stay::Embedded(None) || plan.code.is_copy() {
            return;
        }
        let place = place(bytes);
        let mut all = self.all();
        // What was known of libraries before one was unloaded is of no use.
        all.retain(|known| known.stay == Stay::Linked || known.stay == stay || stay == Stay::Linked);
        if !all.iter().any(|known| known.place == place && known.stay == stay) {
            all.push(Known { place, stay, plan: plan.clone() });
        }
    }
}

/// Said where the system refuses.
#[cfg(feature = "messages")]
const UNEXECUTABLE: &str = "cannot map the code as executable; where only the system's loader may do that, \
                            link the artifact into the program (`wasmc --emit obj`)";

#[cfg(not(feature = "messages"))]
const UNEXECUTABLE: &str = "cannot map the code as executable";

/// Whether the code can be stopped as the settings say.
fn check_limits(artifact: &Artifact<'_>, config: &Config) -> Result<(), IncompatibleError> {
    if !parts::INTERRUPTION.is_on() {
        return Ok(());
    }
    let header = artifact.header();
    if config.epoch_interruption && header.epoch == 0 {
        let what = "checks of the epoch";
        return Err(IncompatibleError::Unlimited { what, setting: "epoch_interruption", flag: "--epoch" });
    }
    if config.consume_fuel && header.fuel == 0 {
        let what = "counting fuel";
        return Err(IncompatibleError::Unlimited { what, setting: "consume_fuel", flag: "--fuel" });
    }
    Ok(())
}

/// Whether this machine can run an artifact.
fn check_machine(artifact: &Artifact<'_>) -> Result<()> {
    let header = artifact.header();
    let found = Arch::from_code(header.arch);
    if found != Arch::host() {
        return Err(Error::new(IncompatibleError::Arch {
            found: found.map_or("an unknown architecture", Arch::name),
            triple: artifact.str(header.triple).unwrap_or_default().to_owned(),
            expected: Arch::host().map_or(std::env::consts::ARCH, Arch::name),
        }));
    }
    let missing = if parts::CPU_FEATURES.is_on() {
        CpuFeatures(header.cpu_features).without(host_cpu_features())
    } else {
        // `parts` has seen to it that none is required.
        CpuFeatures::default()
    };
    if !missing.is_empty() {
        let unknown = missing.iter().next().is_none();
        let missing = if unknown { "of a newer compiler".to_owned() } else { missing.to_string() };
        return Err(Error::new(IncompatibleError::Cpu { missing }));
    }
    let expected = sys::page_size() as u64;
    if artifact.page_size() < expected {
        return Err(Error::new(IncompatibleError::PageSize { found: artifact.page_size(), expected }));
    }
    Ok(())
}
