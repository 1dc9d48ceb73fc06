//! Engines: what modules and stores of a process share.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::sys;
use crate::types::{FuncType, ValType};
use crate::vm::shared::{Lease, Shared};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use wasmc_artifacts::abi::{Arch, CpuFeatures};

/// What modules and stores share: settings, and the identity of types.
///
/// Cheap to clone; clones are the same engine.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Shared<Inner>);

/// What is behind an [`Engine`].
#[derive(Debug)]
pub(crate) struct Inner {
    config: Config,
    types: Mutex<Types>,
}

/// The function types that the engine has seen. Compiled code compares ids
/// only, so no two types may have the same one.
#[derive(Debug, Default)]
struct Types {
    encodings: HashMap<u64, Box<[u8]>>,
    /// Ids of the host's types, which are expensive to compute.
    ids: HashMap<FuncType, u64>,
}

/// Two different function types have the same id.
#[derive(Debug, thiserror::Error)]
#[error(
    "the function types {first} and {second} have the same id {id:016x}; modules that use both cannot share an engine"
)]
struct TypeCollision {
    first: String,
    second: String,
    id: u64,
}

impl Types {
    fn register(&mut self, id: u64, encoding: &[u8]) -> Result<()> {
        match self.encodings.get(&id) {
            Some(known) if **known == *encoding => Ok(()),
            Some(known) => {
                let show = |bytes| FuncType::decode(bytes).map_or_else(|e| e.to_string(), |ty| ty.to_string());
                Err(Error::new(TypeCollision { first: show(known), second: show(encoding), id }))
            }
            None => {
                self.encodings.insert(id, encoding.into());
                Ok(())
            }
        }
    }
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
    /// If the system refuses the handlers, or the machine has an architecture
    /// that no artifact can be for.
    pub fn new(config: &Config) -> Result<Engine> {
        if Arch::host().is_none() {
            return Err(Error::msg(format!(
                "cannot run artifacts on {}: they are made for x86_64 and aarch64",
                std::env::consts::ARCH
            )));
        }
        sys::signals::install(crate::vm::traps::decide)
            .map_err(|e| Error::new(e).context("cannot install the signal handlers that traps need"))?;
        Ok(Engine(Shared::new(Inner { config: config.clone(), types: Mutex::default() })))
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.config
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
    /// instances is of no use any more. An engine keeps nothing so far; slots
    /// belong to the module.
    pub(crate) fn forget_module(&self, _id: u64) {}

    pub(crate) fn spare_slots(&self) -> usize {
        self.0.config.spare_slots
    }

    pub(crate) fn stack_size(&self) -> usize {
        self.0.config.max_wasm_stack
    }

    /// Frames in a backtrace; 0 if there is to be none.
    pub(crate) fn backtrace_frames(&self) -> usize {
        if self.0.config.wasm_backtrace { self.0.config.wasm_backtrace_max_frames } else { 0 }
    }

    /// Notes a module's types.
    ///
    /// # Errors
    /// If one has the id of another type that the engine has seen.
    pub(crate) fn register_types<'a>(&self, types: impl Iterator<Item = (u64, &'a [u8])>) -> Result<()> {
        let mut known = self.0.types.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, encoding) in types {
            known.register(id, encoding)?;
        }
        Ok(())
    }

    /// The type with this id, if the engine has seen it.
    pub(crate) fn func_type(&self, id: u64) -> Option<FuncType> {
        let known = self.0.types.lock().unwrap_or_else(PoisonError::into_inner);
        FuncType::decode(known.encodings.get(&id)?).ok()
    }

    /// Whether this is the id of the type with these parameters and results.
    pub(crate) fn is_type(&self, id: u64, params: &[ValType], results: &[ValType]) -> bool {
        let known = self.0.types.lock().unwrap_or_else(PoisonError::into_inner);
        known.encodings.get(&id).is_some_and(|encoding| FuncType::is_encoding(encoding, params, results))
    }

    /// The id of a type of the host's.
    ///
    /// # Errors
    /// If it is that of another type that the engine has seen.
    pub(crate) fn type_id(&self, ty: &FuncType) -> Result<u64> {
        let mut known = self.0.types.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known.ids.get(ty) {
            return Ok(*id);
        }
        let id = ty.id().0;
        known.register(id, &ty.encode())?;
        known.ids.insert(ty.clone(), id);
        Ok(id)
    }
}

/// The features of this machine's CPU that artifacts can require.
pub(crate) fn host_cpu_features() -> CpuFeatures {
    static FEATURES: OnceLock<CpuFeatures> = OnceLock::new();
    *FEATURES.get_or_init(detect)
}

macro_rules! detect {
    ($arch:ident, $detect:ident: $($name:tt)*) => {{
        let mut features = CpuFeatures::default();
        $(
            if std::arch::$detect!($name) {
                let known = features.insert(Arch::$arch, $name);
                debug_assert!(known, "{} is not in the list of features", $name);
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
    use super::*;
    use wasmc_artifacts::abi::CPU_FEATURES;

    #[test]
    fn two_types_with_one_id_are_refused_and_named() {
        let engine = Engine::default();
        let (a, b) = (FuncType::new([ValType::I32], []), FuncType::new([], [ValType::F64]));
        engine.register_types([(7, &*a.encode())].into_iter()).unwrap();
        engine.register_types([(7, &*a.encode())].into_iter()).unwrap();
        let error = engine.register_types([(7, &*b.encode())].into_iter()).unwrap_err().to_string();
        assert!(error.contains("(i32) -> ()") && error.contains("() -> (f64)"), "{error}");
    }

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
