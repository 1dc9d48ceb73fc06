//! The one table of WebAssembly proposals.
//!
//! It says for every group of operators that wasmparser knows whether it is
//! supported. The validator's features and the translator's dispatch are both
//! made from it, so they cannot disagree, and a group without a row here does
//! not compile.

use crate::error::Error;
use wasmparser::WasmFeatures;

/// A proposal, or the set of the first version.
#[derive(Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The name used on command lines and in messages.
    pub name: &'static str,
    /// Whether the compiler can translate it.
    pub supported: bool,
    /// Whether it is on unless switched off.
    pub default: bool,
    /// The validator's flag.
    pub(crate) feature: WasmFeatures,
}

macro_rules! proposals {
    // `$d` is a dollar sign: it lets this macro write another one.
    ($d:tt $($group:ident $feature:ident $name:literal $state:ident;)*) => {
        /// All proposals. The position is the bit in an artifact's
        /// `wasm_features`.
        pub const PROPOSALS: &[Proposal] = &[$(Proposal {
            name: $name,
            supported: proposals!(@supported $state),
            default: proposals!(@default $state),
            feature: WasmFeatures::$feature,
        },)*];

        /// Expands to the first braces if operators of the group are
        /// translated, and to the second ones otherwise.
        macro_rules! if_supported {
            $(($group {$d($d yes:tt)*} {$d($d no:tt)*}) => { $d crate::proposals::proposals!(@select $state {$d($d yes)*} {$d($d no)*}) };)*
        }
        pub(crate) use if_supported;

        /// Expands to the validator's flag for a group of operators.
        macro_rules! feature_of {
            $(($group) => { wasmparser::WasmFeatures::$feature };)*
        }
        pub(crate) use feature_of;
    };
    (@supported no) => { false };
    (@supported $state:ident) => { true };
    (@default on) => { true };
    (@default $state:ident) => { false };
    (@select no {$($yes:tt)*} {$($no:tt)*}) => {{ $($no)* }};
    (@select $state:ident {$($yes:tt)*} {$($no:tt)*}) => {{ $($yes)* }};
}
pub(crate) use proposals;

// operator group, the validator's flag, name, and: `on` by default, `off` by
// default, or not translated at all (`no`). The order is part of the format.
proposals! { $
    mvp FLOATS "mvp" on;
    mutable_global MUTABLE_GLOBAL "mutable-global" on;
    sign_extension SIGN_EXTENSION "sign-extension" on;
    saturating_float_to_int SATURATING_FLOAT_TO_INT "saturating-float-to-int" on;
    multi_value MULTI_VALUE "multi-value" on;
    bulk_memory BULK_MEMORY "bulk-memory" on;
    reference_types REFERENCE_TYPES "reference-types" on;
    simd SIMD "simd" on;
    extended_const EXTENDED_CONST "extended-const" on;
    relaxed_simd RELAXED_SIMD "relaxed-simd" on;
    tail_call TAIL_CALL "tail-call" on;
    multi_memory MULTI_MEMORY "multi-memory" on;
    memory64 MEMORY64 "memory64" on;
    threads THREADS "threads" on;
    exceptions EXCEPTIONS "exceptions" on;
    legacy_exceptions LEGACY_EXCEPTIONS "legacy-exceptions" off;
    function_references FUNCTION_REFERENCES "function-references" on;
    gc GC "gc" on;
    wide_arithmetic WIDE_ARITHMETIC "wide-arithmetic" on;
    custom_page_sizes CUSTOM_PAGE_SIZES "custom-page-sizes" on;
    custom_descriptors CUSTOM_DESCRIPTORS "custom-descriptors" no;
    memory_control MEMORY_CONTROL "memory-control" no;
    stack_switching STACK_SWITCHING "stack-switching" no;
    shared_everything_threads SHARED_EVERYTHING_THREADS "shared-everything-threads" no;
    acquire_release_atomics ACQUIRE_RELEASE_ATOMICS "acquire-release-atomics" no;
}

/// The proposal whose absence the validator reports as `missing`.
pub(crate) fn by_feature(missing: WasmFeatures) -> Option<&'static Proposal> {
    PROPOSALS.iter().find(|p| p.feature.intersects(missing))
}

/// Which proposals a module may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Features(u64);

impl Default for Features {
    fn default() -> Self {
        let mut bits = 0;
        for (bit, proposal) in PROPOSALS.iter().enumerate() {
            bits |= u64::from(proposal.default) << bit;
        }
        Features(bits)
    }
}

impl Features {
    /// Switches a proposal on or off.
    ///
    /// # Errors
    /// An unknown name, or a proposal that is not supported.
    pub fn set(&mut self, name: &str, on: bool) -> Result<(), Error> {
        if name == "all" {
            for proposal in PROPOSALS.iter().filter(|p| p.supported && p.name != "mvp") {
                self.set(proposal.name, on)?;
            }
            return Ok(());
        }
        let Some(bit) = PROPOSALS.iter().position(|p| p.name == name) else {
            let known = PROPOSALS.iter().filter(|p| p.supported).map(|p| p.name).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownName { what: "WebAssembly feature", name: name.to_owned(), known });
        };
        if on && !PROPOSALS[bit].supported {
            return Err(Error::Options(format!("the `{name}` proposal is not supported yet")));
        }
        self.0 = if on { self.0 | 1 << bit } else { self.0 & !(1 << bit) };
        Ok(())
    }

    /// Applies a comma-separated list: `name` switches on, `-name` off, `all`
    /// stands for everything that is supported.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn apply(&mut self, list: &str) -> Result<(), Error> {
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.strip_prefix('-') {
                Some(name) => self.set(name, false)?,
                None => self.set(item.strip_prefix('+').unwrap_or(item), true)?,
            }
        }
        Ok(())
    }

    /// The set as bits, in the order of [`PROPOSALS`].
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The names in a set of bits.
    pub fn names(bits: u64) -> impl Iterator<Item = &'static str> {
        PROPOSALS.iter().enumerate().filter(move |(bit, _)| bits >> bit & 1 != 0).map(|(_, p)| p.name)
    }

    /// The proposals that the validator's flags stand for, and the first version.
    pub(crate) fn from_wasm(features: WasmFeatures) -> Features {
        let bits = PROPOSALS
            .iter()
            .enumerate()
            .map(|(bit, proposal)| u64::from(proposal.name == "mvp" || proposal.feature.intersects(features)) << bit);
        Features(bits.sum())
    }

    /// The validator's flags.
    pub(crate) fn wasm(self) -> WasmFeatures {
        let mut features = WasmFeatures::GC_TYPES;
        for (bit, proposal) in PROPOSALS.iter().enumerate() {
            if self.0 >> bit & 1 != 0 {
                features |= proposal.feature;
            }
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_switched_by_name() {
        let mut features = Features::default();
        assert!(features.wasm().simd());
        features.apply("-simd, relaxed-simd").unwrap();
        assert!(!features.wasm().simd());
        assert!(features.apply("stack-switching").unwrap_err().to_string().contains("not supported"));
        assert!(features.apply("smid").unwrap_err().to_string().contains("known are"));
    }
}
